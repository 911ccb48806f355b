//! Go's own functions and those of sprig that SPIRE lets into a template (NA-293, NA-297 to NA-305).

use std::cmp::Ordering;
use std::vec::IntoIter;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use spire_crypto::hash;

use super::value::Value;

type Body = fn(&mut Args) -> Result<Value, String>;

#[derive(Debug)]
pub(super) struct Function {
    pub name: String,
    body: Body,
    /// Arguments behind the one that decides are not looked at.
    pub lazy: Option<Lazy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lazy {
    And,
    Or,
}

pub(super) enum Lookup {
    Found(Function),
    /// SPIRE has it.
    NotBuilt,
    Unknown,
}

/// No path needs these (NA-293, NA-297 to NA-305).
const NOT_BUILT: &[&str] = &[
    "abbrevboth",
    "adler32sum",
    "b32dec",
    "b32enc",
    "call",
    "camelcase",
    "chunk",
    "dict",
    "dig",
    "get",
    "hasKey",
    "html",
    "indent",
    "js",
    "kebabcase",
    "keys",
    "merge",
    "mergeOverwrite",
    "mustChunk",
    "mustMerge",
    "mustMergeOverwrite",
    "mustRegexFind",
    "mustRegexFindAll",
    "mustRegexMatch",
    "mustRegexReplaceAll",
    "mustRegexReplaceAllLiteral",
    "mustRegexSplit",
    "nindent",
    "omit",
    "pick",
    "pluck",
    "plural",
    "quote",
    "regexFind",
    "regexFindAll",
    "regexMatch",
    "regexQuoteMeta",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "regexSplit",
    "seq",
    "set",
    "snakecase",
    "squote",
    "unset",
    "urlJoin",
    "urlParse",
    "urlquery",
    "uuidv4",
    "values",
    "wrap",
    "wrapWith",
];

pub(super) fn find(name: &str) -> Lookup {
    let body = go(name).or_else(|| text(name)).or_else(|| list(name)).or_else(|| choice(name));
    match body {
        Some(body) => {
            let lazy = match name {
                "and" => Some(Lazy::And),
                "or" => Some(Lazy::Or),
                _ => None,
            };
            Lookup::Found(Function { name: name.to_owned(), body, lazy })
        }
        None if NOT_BUILT.contains(&name) => Lookup::NotBuilt,
        None => Lookup::Unknown,
    }
}

/// What a function is called with.
pub(super) struct Args(IntoIter<Value>);

impl Args {
    pub fn call(function: &Function, values: Vec<Value>) -> Result<Value, String> {
        let mut args = Self(values.into_iter());
        let value = (function.body)(&mut args)?;
        match args.0.len() {
            0 => Ok(value),
            _ => Err("wrong number of args".to_owned()),
        }
    }

    fn any(&mut self) -> Result<Value, String> {
        self.0.next().ok_or_else(|| "wrong number of args".to_owned())
    }

    fn rest(&mut self) -> Vec<Value> {
        self.0.by_ref().collect()
    }

    fn text(&mut self) -> Result<String, String> {
        match self.any()? {
            Value::Text(text) => Ok(text),
            other => Err(wrong("string", &other)),
        }
    }

    fn int(&mut self) -> Result<i64, String> {
        match self.any()? {
            Value::Int(number) => Ok(number),
            other => Err(wrong("int", &other)),
        }
    }

    fn flag(&mut self) -> Result<bool, String> {
        match self.any()? {
            Value::Bool(value) => Ok(value),
            other => Err(wrong("bool", &other)),
        }
    }

    fn list(&mut self) -> Result<Vec<Value>, String> {
        match self.any()? {
            Value::List(items) => Ok(items),
            other => Err(wrong("slice", &other)),
        }
    }

    /// A list as texts; anything else is a list of one (sprig's `toStrings`).
    fn texts(&mut self) -> Result<Vec<String>, String> {
        Ok(match self.any()? {
            Value::List(items) => {
                items.iter().filter(|item| **item != Value::Nil).map(Value::to_string).collect()
            }
            Value::Nil => Vec::new(),
            other => vec![other.to_string()],
        })
    }
}

fn wrong(expected: &str, got: &Value) -> String {
    format!("wrong type for value; expected {expected}; got {}", got.kind())
}

fn go(name: &str) -> Option<Body> {
    Some(match name {
        // The arguments before the last one have not decided.
        "and" | "or" => |a| a.rest().pop().ok_or_else(|| "wrong number of args".to_owned()),
        "not" => |a| Ok(Value::Bool(!a.any()?.is_true())),
        "len" => |a| match a.any()? {
            Value::Text(text) => length(text.len()),
            Value::List(items) => length(items.len()),
            Value::Map(entries) => length(entries.len()),
            other => Err(format!("len of type {}", other.kind())),
        },
        "index" => |a| {
            let value = a.any()?;
            a.rest().iter().try_fold(value, index)
        },
        "print" => |a| {
            let mut printed = String::new();
            let mut texts = true;
            for (place, value) in a.rest().iter().enumerate() {
                let text = matches!(value, Value::Text(_));
                // Go puts a space between two neighbours if neither is a string.
                if place > 0 && !text && !texts {
                    printed.push(' ');
                }
                texts = text;
                printed.push_str(&value.to_string());
            }
            Ok(Value::Text(printed))
        },
        "println" => |a| Ok(Value::Text(spaced(&a.rest()) + "\n")),
        "printf" => |a| {
            let format = a.text()?;
            printf(&format, a.rest())
        },
        "eq" => |a| {
            let (first, others) = (a.any()?, a.rest());
            if others.is_empty() {
                return Err("missing argument for comparison".to_owned());
            }
            for other in &others {
                if is_equal(&first, other)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        },
        "ne" => |a| Ok(Value::Bool(!is_equal(&a.any()?, &a.any()?)?)),
        "lt" => |a| Ok(Value::Bool(order(a)?.is_lt())),
        "le" => |a| Ok(Value::Bool(order(a)?.is_le())),
        "gt" => |a| Ok(Value::Bool(order(a)?.is_gt())),
        "ge" => |a| Ok(Value::Bool(order(a)?.is_ge())),
        _ => return None,
    })
}

fn text(name: &str) -> Option<Body> {
    Some(match name {
        "lower" => |a| Ok(Value::Text(a.text()?.to_lowercase())),
        "upper" => |a| Ok(Value::Text(a.text()?.to_uppercase())),
        "trim" => |a| Ok(Value::from(a.text()?.trim())),
        "trimAll" => |a| {
            let (cut, text) = (a.text()?, a.text()?);
            Ok(Value::from(text.trim_matches(|c| cut.contains(c))))
        },
        "trimPrefix" => |a| {
            let (prefix, text) = (a.text()?, a.text()?);
            Ok(Value::from(text.strip_prefix(&*prefix).unwrap_or(&text)))
        },
        "trimSuffix" => |a| {
            let (suffix, text) = (a.text()?, a.text()?);
            Ok(Value::from(text.strip_suffix(&*suffix).unwrap_or(&text)))
        },
        "trunc" => |a| {
            let (count, text) = (a.int()?, a.text()?);
            let (count, keeps_end) = (offset(count.saturating_abs()), count < 0);
            match count {
                count if count >= text.len() => Ok(Value::Text(text)),
                count if keeps_end => cut(&text, text.len() - count, text.len()),
                count => cut(&text, 0, count),
            }
        },
        "abbrev" => |a| {
            let (width, text) = (a.int()?, a.text()?);
            if width < 4 || text.len() <= offset(width) {
                return Ok(Value::Text(text));
            }
            Ok(Value::Text(format!("{}...", cut(&text, 0, offset(width) - 3)?)))
        },
        "substr" => |a| {
            let (start, end, text) = (a.int()?, a.int()?, a.text()?);
            let whole = text.len();
            match (start, end) {
                (start, end) if start < 0 => cut(&text, 0, offset(end)),
                (start, end) if end < 0 || offset(end) > whole => cut(&text, offset(start), whole),
                (start, end) => cut(&text, offset(start), offset(end)),
            }
        },
        "repeat" => |a| {
            let (count, text) = (a.int()?, a.text()?);
            match usize::try_from(count) {
                Err(_) => Err("negative repeat count".to_owned()),
                Ok(count) if text.len().saturating_mul(count) > u16::MAX.into() => {
                    Err("the text is too long".to_owned())
                }
                Ok(count) => Ok(Value::Text(text.repeat(count))),
            }
        },
        "replace" => |a| {
            let (old, new, text) = (a.text()?, a.text()?, a.text()?);
            Ok(Value::Text(text.replace(&old, &new)))
        },
        "contains" => |a| {
            let (part, text) = (a.text()?, a.text()?);
            Ok(Value::Bool(text.contains(&part)))
        },
        "hasPrefix" => |a| {
            let (prefix, text) = (a.text()?, a.text()?);
            Ok(Value::Bool(text.starts_with(&prefix)))
        },
        "hasSuffix" => |a| {
            let (suffix, text) = (a.text()?, a.text()?);
            Ok(Value::Bool(text.ends_with(&suffix)))
        },
        "nospace" => |a| Ok(Value::Text(a.text()?.split_whitespace().collect())),
        "title" => |a| Ok(Value::Text(first_letters(&a.text()?, is_separator, char::to_uppercase))),
        "untitle" => |a| Ok(Value::Text(first_letters(&a.text()?, char::is_whitespace, char::to_lowercase))),
        "initials" => |a| {
            let text = a.text()?;
            Ok(Value::Text(text.split_whitespace().filter_map(|word| word.chars().next()).collect()))
        },
        "swapcase" => |a| {
            let swap = |c: char| {
                if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() }
            };
            Ok(Value::Text(a.text()?.chars().map(swap).collect()))
        },
        "cat" => |a| {
            let given: Vec<Value> = a.rest().into_iter().filter(|value| *value != Value::Nil).collect();
            Ok(Value::Text(spaced(&given)))
        },
        "toString" => |a| Ok(Value::Text(a.any()?.to_string())),
        "sha1sum" => |a| Ok(Value::Text(hash::sha1_hex(a.text()?.as_bytes()))),
        "sha256sum" => |a| Ok(Value::Text(hash::sha256_hex(a.text()?.as_bytes()))),
        "b64enc" => |a| Ok(Value::Text(STANDARD.encode(a.text()?))),
        "b64dec" => |a| {
            let decoded = STANDARD.decode(a.text()?);
            // sprig's answer to what cannot be decoded is the text of the error.
            let failed = || "illegal base64 data".to_owned();
            Ok(Value::Text(
                decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(failed),
            ))
        },
        "base" => |a| Ok(Value::from(base(&a.text()?))),
        "dir" => |a| {
            let path = a.text()?;
            Ok(Value::Text(clean(&path[..path.rfind('/').map_or(0, |slash| slash + 1)])))
        },
        "clean" => |a| Ok(Value::Text(clean(&a.text()?))),
        "ext" => |a| {
            let path = a.text()?;
            let name = &path[path.rfind('/').map_or(0, |slash| slash + 1)..];
            Ok(Value::from(name.rfind('.').map_or("", |dot| &name[dot..])))
        },
        "isAbs" => |a| Ok(Value::Bool(a.text()?.starts_with('/'))),
        _ => return None,
    })
}

fn list(name: &str) -> Option<Body> {
    Some(match name {
        "splitList" => |a| {
            let (separator, text) = (a.text()?, a.text()?);
            let parts: Vec<String> = match separator.is_empty() {
                true => text.chars().map(String::from).collect(),
                false => text.split(&*separator).map(str::to_owned).collect(),
            };
            Ok(Value::texts(&parts))
        },
        "join" => |a| {
            let separator = a.text()?;
            Ok(Value::Text(a.texts()?.join(&separator)))
        },
        "toStrings" => |a| Ok(Value::texts(&a.texts()?)),
        "sortAlpha" => |a| {
            let mut texts = a.texts()?;
            texts.sort();
            Ok(Value::texts(&texts))
        },
        "list" | "tuple" => |a| Ok(Value::List(a.rest())),
        "append" | "push" | "mustAppend" | "mustPush" => |a| {
            let mut items = a.list()?;
            items.push(a.any()?);
            Ok(Value::List(items))
        },
        "prepend" | "mustPrepend" => |a| {
            let mut items = a.list()?;
            items.insert(0, a.any()?);
            Ok(Value::List(items))
        },
        "first" | "mustFirst" => |a| Ok(a.list()?.first().cloned().unwrap_or(Value::Nil)),
        "last" | "mustLast" => |a| Ok(a.list()?.pop().unwrap_or(Value::Nil)),
        "rest" | "mustRest" => |a| Ok(Value::List(a.list()?.into_iter().skip(1).collect())),
        "initial" | "mustInitial" => |a| {
            let mut items = a.list()?;
            items.pop();
            Ok(Value::List(items))
        },
        "reverse" | "mustReverse" => |a| Ok(Value::List(a.list()?.into_iter().rev().collect())),
        "uniq" | "mustUniq" => |a| {
            let mut unique = Vec::new();
            for item in a.list()? {
                if !unique.contains(&item) {
                    unique.push(item);
                }
            }
            Ok(Value::List(unique))
        },
        "compact" | "mustCompact" => {
            |a| Ok(Value::List(a.list()?.into_iter().filter(Value::is_true).collect()))
        }
        "without" | "mustWithout" => |a| {
            let (items, unwanted) = (a.list()?, a.rest());
            Ok(Value::List(items.into_iter().filter(|item| !unwanted.contains(item)).collect()))
        },
        "has" | "mustHas" => |a| {
            let needle = a.any()?;
            match a.any()? {
                Value::Nil => Ok(Value::Bool(false)),
                Value::List(items) => Ok(Value::Bool(items.contains(&needle))),
                other => Err(wrong("slice", &other)),
            }
        },
        "slice" | "mustSlice" => |a| {
            let (items, mut bounds) = (a.list()?, a.rest().into_iter());
            let mut bound = |default: usize| match bounds.next() {
                Some(Value::Int(number)) => Ok(offset(number)),
                Some(other) => Err(wrong("int", &other)),
                None => Ok(default),
            };
            let (start, end) = (bound(0)?, bound(items.len())?);
            if items.is_empty() {
                return Ok(Value::Nil);
            }
            let slice = items.get(start..end).ok_or("slice bounds out of range")?;
            Ok(Value::List(slice.to_vec()))
        },
        "concat" => |a| {
            let mut all = Vec::new();
            while a.0.len() > 0 {
                all.extend(a.list()?);
            }
            Ok(Value::List(all))
        },
        _ => return None,
    })
}

fn choice(name: &str) -> Option<Body> {
    Some(match name {
        "default" => |a| {
            let (default, given) = (a.any()?, a.rest().into_iter().next());
            Ok(given.filter(Value::is_true).unwrap_or(default))
        },
        "empty" => |a| Ok(Value::Bool(!a.any()?.is_true())),
        "coalesce" => |a| Ok(a.rest().into_iter().find(Value::is_true).unwrap_or(Value::Nil)),
        "all" => |a| Ok(Value::Bool(a.rest().iter().all(Value::is_true))),
        "any" => |a| Ok(Value::Bool(a.rest().iter().any(Value::is_true))),
        "ternary" => |a| {
            let (yes, no) = (a.any()?, a.any()?);
            Ok(if a.flag()? { yes } else { no })
        },
        "fail" => |a| Err(a.text()?),
        _ => return None,
    })
}

fn length(length: usize) -> Result<Value, String> {
    i64::try_from(length).map(Value::Int).map_err(|error| error.to_string())
}

/// A place in a text or a list; no text is long enough for what does not fit.
fn offset(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn cut(text: &str, start: usize, end: usize) -> Result<Value, String> {
    text.get(start..end).map(Value::from).ok_or_else(|| "slice bounds out of range".to_owned())
}

fn index(value: Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::List(mut items), Value::Int(place)) => match offset(*place) {
            place if place < items.len() => Ok(items.swap_remove(place)),
            _ => Err(format!("index out of range: {place}")),
        },
        // An absent key is empty here, other than behind a dot (NA-295).
        (Value::Map(entries), Value::Text(key)) => Ok(entries.get(key).cloned().unwrap_or(Value::from(""))),
        (Value::List(_), other) => Err(format!("cannot index slice/array with type {}", other.kind())),
        (other, _) => Err(format!("can't index item of type {}", other.kind())),
    }
}

fn spaced(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
}

fn is_equal(one: &Value, other: &Value) -> Result<bool, String> {
    match (one, other) {
        (Value::Nil, _) | (_, Value::Nil) => Ok(one == other),
        (Value::List(_) | Value::Map(_) | Value::Record(_), _) => {
            Err(format!("non-comparable type {}", one.kind()))
        }
        (one, other) if one.kind() == other.kind() => Ok(one == other),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn order(args: &mut Args) -> Result<Ordering, String> {
    match (args.any()?, args.any()?) {
        (Value::Int(one), Value::Int(other)) => Ok(one.cmp(&other)),
        (Value::Text(one), Value::Text(other)) => Ok(one.cmp(&other)),
        (one, other) if one.kind() != other.kind() => Err("incompatible types for comparison".to_owned()),
        _ => Err("invalid type for comparison".to_owned()),
    }
}

/// `%s`, `%v`, `%d` and `%x` with width, `-` and `0`.
fn printf(format: &str, values: Vec<Value>) -> Result<Value, String> {
    let mut values = values.into_iter();
    let mut out = String::new();
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        out.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        let flags = rest.len() - rest.trim_start_matches(['-', '0']).len();
        let digits =
            rest[flags..].len() - rest[flags..].trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (flags, width) = (&rest[..flags], &rest[flags..flags + digits]);
        rest = &rest[flags.len() + digits..];
        let Some(verb) = rest.chars().next() else { return Err("printf: no verb at the end".to_owned()) };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = values.next().ok_or("printf: missing value")?;
        let shown = match (verb, &value) {
            ('v', value) => value.to_string(),
            ('s', Value::Text(_) | Value::List(_) | Value::Record(_)) => value.to_string(),
            ('d', Value::Int(number)) => number.to_string(),
            ('x', Value::Int(number)) if *number >= 0 => format!("{number:x}"),
            ('x', Value::Text(text)) => hex::encode(text),
            _ => {
                return Err(format!(
                    "printf: %{verb} of a value of type {} is not built in this version",
                    value.kind()
                ));
            }
        };
        let width = if width.is_empty() {
            0
        } else {
            width.parse::<u8>().map_err(|_| "printf: the width is too large")?
        };
        let missing = usize::from(width).saturating_sub(shown.chars().count());
        match (flags.contains('-'), flags.contains('0')) {
            (true, _) => out.extend([&*shown, &" ".repeat(missing)]),
            (false, true) => {
                let (sign, digits) = shown.split_at(usize::from(verb == 'd' && shown.starts_with('-')));
                out.extend([sign, &"0".repeat(missing), digits]);
            }
            (false, false) => out.extend([&*" ".repeat(missing), &shown]),
        }
    }
    out.push_str(rest);
    match values.next() {
        None => Ok(Value::Text(out)),
        Some(_) => Err("printf: more values than verbs".to_owned()),
    }
}

/// Changes the letters behind a separator.
fn first_letters<I: Iterator<Item = char>>(
    text: &str,
    separates: fn(char) -> bool,
    change: fn(char) -> I,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut starts = true;
    for c in text.chars() {
        if starts && !separates(c) {
            out.extend(change(c))
        } else {
            out.push(c)
        }
        starts = separates(c);
    }
    out
}

fn is_separator(c: char) -> bool {
    if c.is_ascii() { !c.is_ascii_alphanumeric() && c != '_' } else { c.is_whitespace() }
}

fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match (path, trimmed) {
        ("", _) => ".",
        (_, "") => "/",
        (_, trimmed) => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

/// Without `.`, empty and `..` segments, as far as that goes.
fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => drop(kept.pop()),
            ".." if absolute => {}
            segment => kept.push(segment),
        }
    }
    match (absolute, kept.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".to_owned(),
        (false, path) => path,
    }
}
