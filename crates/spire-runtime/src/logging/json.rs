//! The JSON layout of logrus: members sorted, HTML-escaped as Go does (SC-524).

use std::fmt::Write;

use super::go_text;
use super::record::Record;
use super::value::LogValue;

pub(super) fn line(out: &mut String, record: &Record) {
    let mut fixed =
        [("level", Fixed::Level), ("msg", Fixed::Message), ("time", Fixed::Time)].into_iter().peekable();
    let mut separator = '{';
    for (name, value) in &record.fields {
        while let Some((_, part)) = fixed.next_if(|(fixed_name, _)| *fixed_name < &**name) {
            push_fixed(out, &mut separator, part, record);
        }
        push_name(out, &mut separator, name);
        push_value(out, value);
    }
    for (_, part) in fixed {
        push_fixed(out, &mut separator, part, record);
    }
    out.push_str("}\n");
}

#[derive(Clone, Copy)]
enum Fixed {
    Level,
    Message,
    Time,
}

fn push_fixed(out: &mut String, separator: &mut char, part: Fixed, record: &Record) {
    match part {
        Fixed::Level => {
            push_name(out, separator, "level");
            push_string(out, record.level.as_str());
        }
        Fixed::Message => {
            push_name(out, separator, "msg");
            push_string(out, &record.message);
        }
        Fixed::Time => {
            push_name(out, separator, "time");
            out.push('"');
            go_text::push_rfc3339(out, record.time, true);
            out.push('"');
        }
    }
}

fn push_name(out: &mut String, separator: &mut char, name: &str) {
    out.push(*separator);
    *separator = ',';
    push_string(out, name);
    out.push(':');
}

fn push_value(out: &mut String, value: &LogValue) {
    // Writing to a String cannot fail.
    let _ = match value {
        LogValue::Text(text) => {
            push_string(out, text);
            Ok(())
        }
        LogValue::Int(number) => write!(out, "{number}"),
        LogValue::Uint(number) => write!(out, "{number}"),
        LogValue::Float(number) => match go_text::json_float(*number) {
            Some(text) => out.write_str(&text),
            None => write!(out, "\"{}\"", go_text::float(*number)),
        },
        LogValue::Bool(value) => write!(out, "{value}"),
        LogValue::Time(time) => {
            out.push('"');
            go_text::push_rfc3339(out, go_text::local(*time), true);
            out.push('"');
            Ok(())
        }
        // Go's usual empty list is one that was never made.
        LogValue::List(items) if items.is_empty() => out.write_str("null"),
        LogValue::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_value(out, item);
            }
            out.push(']');
            Ok(())
        }
        LogValue::Object(members) => {
            for (index, (name, value)) in members.iter().enumerate() {
                push_name(out, &mut if index == 0 { '{' } else { ',' }, name);
                push_value(out, value);
            }
            out.write_str(if members.is_empty() { "{}" } else { "}" })
        }
        LogValue::Shown { json, .. } => {
            push_value(out, json);
            Ok(())
        }
        LogValue::Nil => out.write_str("null"),
    };
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
