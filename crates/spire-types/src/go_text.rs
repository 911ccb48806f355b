//! How Go prints strings, which is how users of SPIRE see them in errors and logs.

use std::fmt::Write;

/// Go's `%q`: double quotes, backslash escapes, printable characters as they are.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Go's `%q` of a single character.
pub fn quote_char(c: char) -> String {
    match c {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => {
            let mut out = String::from("'");
            push_escaped(&mut out, c.encode_utf8(&mut [0; 4]));
            out.push('\'');
            out
        }
    }
}

/// The same as [`quote`] for what need not be UTF-8.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        push_escaped(&mut out, chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// Appends what [`quote`] gives.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            _ if printable(c) => out.push(c),
            _ => push_escape(out, c),
        }
    }
}

fn push_escape(out: &mut String, c: char) {
    let code = u32::from(c);
    let _ = match code {
        0..0x80 => write!(out, "\\x{code:02x}"),
        0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Rust escapes in debug output what is not printable; combining marks only at the start of a text.
fn printable(c: char) -> bool {
    let mut text = [0_u8; 5];
    text[0] = b'a';
    let length = 1 + c.encode_utf8(&mut text[1..]).len();
    std::str::from_utf8(&text[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        for (text, quoted) in [
            ("plain", r#""plain""#),
            ("a \"b\" \\", r#""a \"b\" \\""#),
            ("tab\tnl\n\x07\x1b\x7f", r#""tab\tnl\n\a\x1b\x7f""#),
            ("\t\n\r\x07\x08\x0b\x0c\x01\x7f\0", r#""\t\n\r\a\b\v\f\x01\x7f\x00""#),
            ("\u{a0}\u{feff}\u{e0001}", r#""\u00a0\ufeff\U000e0001""#),
            ("plain 'x'", r#""plain 'x'""#),
            ("a\"\\\n\u{7f}\u{80}\u{e9}", r#""a\"\\\n\x7f\u0080é""#),
            ("grüße 世界 e\u{301}", "\"grüße 世界 e\u{301}\""),
            ("\u{a0}\u{200b}\u{e0001}", r#""\u00a0\u200b\U000e0001""#),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(quote_bytes(text.as_bytes()), quoted);
        }
        for (c, quoted) in
            [('a', "'a'"), ('\'', r"'\''"), ('"', "'\"'"), ('\n', r"'\n'"), ('\u{80}', r"'\u0080'")]
        {
            assert_eq!(quote_char(c), quoted);
        }
        // An escape that was cut out of a longer text may end within a character.
        assert_eq!(quote_bytes(b"%a\xc3"), r#""%a\xc3""#);
    }
}
