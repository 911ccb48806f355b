//! How Go prints numbers, times and errors of files.

use std::fmt::Write;
use std::path::Path;

pub use spire_types::go_text::{push_quoted, quote};
use time::{OffsetDateTime, UtcOffset};

/// `%v` of a float: shortest digits, exponent form below 1e-4 and from 1e6 on.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = number.abs();
    if number != 0.0 && !(1e-4..1e6).contains(&size) { exponent(number, true) } else { format!("{number}") }
}

/// A float in Go's JSON: exponent form below 1e-6 and from 1e21 on. `None` for what JSON cannot say.
pub(super) fn json_float(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    let size = number.abs();
    Some(if number != 0.0 && !(1e-6..1e21).contains(&size) {
        exponent(number, false)
    } else {
        format!("{number}")
    })
}

fn exponent(number: f64, two_digits: bool) -> String {
    let text = format!("{number:e}");
    let Some((digits, power)) = text.split_once('e') else { return text };
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    let padding = if power.len() < 2 && (two_digits || sign == '+') { "0" } else { "" };
    format!("{digits}e{sign}{padding}{power}")
}

/// The zone of the machine at that time; UTC if it cannot be told.
pub(super) fn local(time: OffsetDateTime) -> OffsetDateTime {
    time.to_offset(UtcOffset::local_offset_at(time).unwrap_or(UtcOffset::UTC))
}

/// RFC 3339, `2026-11-24T12:00:00Z`, with or without a fraction of a second whose trailing zeros are dropped.
pub(super) fn push_rfc3339(out: &mut String, time: OffsetDateTime, nanoseconds: bool) {
    push_date_time(out, time, 'T');
    if nanoseconds {
        push_fraction(out, time.nanosecond());
    }
    if time.offset().is_utc() {
        out.push('Z');
    } else {
        push_offset(out, time.offset(), ":");
    }
}

/// `2006-01-02 15:04:05.999999999 -0700 MST` in local time.
///
/// The zone's own name is not known to us. Most zones have none but their offset, `-03`, which is what is shown for
/// those that do have one, too.
pub(super) fn time(time: OffsetDateTime) -> String {
    let time = local(time);
    let mut out = String::with_capacity(40);
    push_date_time(&mut out, time, ' ');
    push_fraction(&mut out, time.nanosecond());
    out.push(' ');
    push_offset(&mut out, time.offset(), "");
    out.push(' ');
    if time.offset().is_utc() {
        out.push_str("UTC");
    } else {
        let mut name = String::new();
        push_offset(&mut name, time.offset(), "");
        out.push_str(name.strip_suffix("00").unwrap_or(&name));
    }
    out
}

fn push_date_time(out: &mut String, time: OffsetDateTime, separator: char) {
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let month = u8::from(month);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}");
}

fn push_fraction(out: &mut String, nanosecond: u32) {
    if nanosecond != 0 {
        let digits = format!("{nanosecond:09}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

fn push_offset(out: &mut String, offset: UtcOffset, separator: &str) {
    let (hours, minutes, _) = offset.as_hms();
    let sign = if offset.is_negative() { '-' } else { '+' };
    let _ = write!(out, "{sign}{:02}{separator}{:02}", hours.unsigned_abs(), minutes.unsigned_abs());
}

/// The text of an operating system error as Go has it: `permission denied`.
pub fn os_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or(&text);
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// What `os.ReadFile` says of a file that cannot be read: directories can be opened, but not be read.
pub fn read_error(path: &Path, error: &std::io::Error) -> String {
    let step = if error.kind() == std::io::ErrorKind::IsADirectory { "read" } else { "open" };
    format!("{step} {}: {}", path.display(), os_error(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_files_are_described_as_go_does() {
        for (path, text) in [
            ("/", "read /: is a directory"),
            ("/nonexistent", "open /nonexistent: no such file or directory"),
        ] {
            let path = Path::new(path);
            assert_eq!(read_error(path, &std::fs::read(path).unwrap_err()), text);
        }
    }

    #[test]
    fn floats_print_as_in_go() {
        for (number, text, json) in [
            (1.0, "1", "1"),
            (0.5, "0.5", "0.5"),
            (61.25, "61.25", "61.25"),
            (0.00001, "1e-05", "0.00001"),
            (1e-7, "1e-07", "1e-7"),
            (1e21, "1e+21", "1e+21"),
            (123_456_789.0, "1.23456789e+08", "123456789"),
        ] {
            assert_eq!((float(number), json_float(number).unwrap()), (text.to_owned(), json.to_owned()));
        }
    }

    #[test]
    fn times_print_as_in_go() {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_609_502_400_120_000_000).unwrap();
        let mut out = String::new();
        push_rfc3339(&mut out, time, true);
        assert_eq!(out, "2021-01-01T12:00:00.12Z");
        let mut out = String::new();
        let west = UtcOffset::from_hms(-3, -30, 0).unwrap();
        push_rfc3339(&mut out, time.to_offset(west), false);
        assert_eq!(out, "2021-01-01T08:30:00-03:30");
    }

    #[test]
    fn operating_system_errors_read_as_in_go() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(os_error(&error), "no such file or directory");
    }
}
