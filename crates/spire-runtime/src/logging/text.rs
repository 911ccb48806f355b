//! The text layout of logrus (SC-521 to SC-523).

use std::fmt::Write;
use std::time::Duration;

use super::go_text;
use super::level::LogLevel;
use super::record::Record;
use super::value::LogValue;

/// `time="…" level=info msg="…" k=v`, for files and pipes.
pub(super) fn plain(out: &mut String, record: &Record, nanoseconds: bool) {
    // A time always has a colon and is therefore always quoted.
    out.push_str("time=\"");
    go_text::push_rfc3339(out, record.time, nanoseconds);
    out.push_str("\" level=");
    out.push_str(record.level.as_str());
    if !record.message.is_empty() {
        out.push_str(" msg=");
        push_text(out, &record.message);
    }
    for (name, value) in &record.fields {
        out.push(' ');
        out.push_str(name);
        out.push('=');
        push_value(out, value);
    }
    out.push('\n');
}

/// `INFO[0000] message   k=v` in colours, for a terminal. `age` is the time since the program started.
pub(super) fn coloured(out: &mut String, record: &Record, age: Duration) {
    let colour = match record.level {
        LogLevel::Debug | LogLevel::Trace => 37,
        LogLevel::Warn => 33,
        LogLevel::Error | LogLevel::Fatal | LogLevel::Panic => 31,
        LogLevel::Info => 36,
    };
    let word = &record.level.as_str().to_ascii_uppercase()[..4];
    let message = record.message.strip_suffix('\n').unwrap_or(&record.message);
    // Writing to a String cannot fail.
    let _ = write!(out, "\x1b[{colour}m{word}\x1b[0m[{:04}] {message:<44} ", age.as_secs());
    for (name, value) in &record.fields {
        let _ = write!(out, " \x1b[{colour}m{name}\x1b[0m=");
        push_value(out, value);
    }
    out.push('\n');
}

fn push_value(out: &mut String, value: &LogValue) {
    match value {
        LogValue::Text(text) => push_text(out, text),
        other => push_text(out, &other.to_string()),
    }
}

fn push_text(out: &mut String, text: &str) {
    if text.bytes().all(is_bare) {
        out.push_str(text);
    } else {
        go_text::push_quoted(out, text);
    }
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/' | b'@' | b'^' | b'+')
}
