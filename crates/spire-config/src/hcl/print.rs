use super::{Item, Key, Object, Value};

pub(super) fn object(object: &Object) -> String {
    let mut out = String::new();
    for item in &object.items {
        print_item(item, 0, &mut out);
    }
    out.trim().to_owned()
}

fn print_item(item: &Item, depth: usize, out: &mut String) {
    // JSON may give several keys to what is no object; HCL has blocks for that.
    if let [label, rest @ ..] = &*item.keys
        && !rest.is_empty()
        && !matches!(item.value, Value::Object(..))
    {
        let inner = Item { keys: rest.to_vec(), value: item.value.clone() };
        let block = Object { items: vec![inner] };
        out.push_str(&"  ".repeat(depth));
        push_key(label, out);
        out.push_str(" = ");
        print_block(&block, depth, out);
        out.push('\n');
        return;
    }
    out.push_str(&"  ".repeat(depth));
    for (index, key) in item.keys.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        push_key(key, out);
    }
    if item.keys.len() == 1 || !matches!(item.value, Value::Object(..)) {
        out.push_str(" =");
    }
    out.push(' ');
    print_value(&item.value, depth, out);
    out.push('\n');
}

fn print_value(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::String(text, _) => out.push_str(&quoted(text)),
        Value::Number(text, _) => out.push_str(text),
        Value::Bool(value, _) => out.push_str(if *value { "true" } else { "false" }),
        Value::List(list, _) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                print_value(value, depth, out);
            }
            out.push(']');
        }
        Value::Object(object, _) => print_block(object, depth, out),
    }
}

fn print_block(object: &Object, depth: usize, out: &mut String) {
    out.push_str("{\n");
    for item in &object.items {
        print_item(item, depth + 1, out);
    }
    out.push_str(&"  ".repeat(depth));
    out.push('}');
}

fn push_key(key: &Key, out: &mut String) {
    match key.bare && is_identifier(&key.name) {
        true => out.push_str(&key.name),
        false => out.push_str(&quoted(&key.name)),
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !matches!(text, "true" | "false")
}

/// A string that reads back as `text`.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            // Within `${…}` nothing would be unescaped.
            '$' if rest.as_str().starts_with('{') => out.push_str("\\x24"),
            '\0' => out.push_str("\\x00"),
            '\u{e123}' => out.push_str("\\ue123"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
