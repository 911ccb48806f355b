//! Go's durations (SC-040, SC-194).

use std::fmt::{self, Write as _};
use std::time::Duration;

/// Why a text is no duration; Go's wording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("time: invalid duration {}", quote(.0))]
    Invalid(String),
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    #[error("time: unknown unit {} in duration {}", quote(.unit), quote(.text))]
    UnknownUnit { unit: String, text: String },
}

/// Not `%q`: what is not ASCII is told byte by byte.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..0x80 => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

/// Nanoseconds with a sign, as Go has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GoDuration(pub i64);

impl GoDuration {
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Negative durations become zero.
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or_default())
    }

    /// Whole seconds, rounded towards zero.
    pub fn whole_seconds(self) -> i64 {
        self.0 / 1_000_000_000
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Reads what `time.ParseDuration` reads.
pub fn parse(text: &str) -> Result<GoDuration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(GoDuration(0));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (number, behind) = split_number(rest);
        if number.is_empty() || number == "." {
            return Err(invalid());
        }
        rest = behind;
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..unit_end];
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        rest = &rest[unit_end..];
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() }),
        };
        total += scaled(number, scale).ok_or_else(invalid)?;
        if total > i128::from(i64::MAX) + i128::from(negative) {
            return Err(invalid());
        }
    }
    let signed = if negative { -total } else { total };
    i64::try_from(signed).map(GoDuration).map_err(|_| invalid())
}

/// Digits, and a point with more of them, from what follows.
fn split_number(text: &str) -> (&str, &str) {
    let digits_end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits_end(text);
    let end = match text[whole..].strip_prefix('.') {
        Some(fraction) => whole + 1 + digits_end(fraction),
        None => whole,
    };
    text.split_at(end)
}

fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut value = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        value += i128::from(digit - b'0') * unit;
    }
    Some(value)
}

/// As Go's `Duration.String` prints it: `1h2m3.5s`, `1.5ms`, `0s`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if nanos == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if nanos < 1_000_000_000 {
            let (unit, scale) = match nanos {
                n if n < 1_000 => ("ns", 1),
                n if n < 1_000_000 => ("µs", 1_000),
                _ => ("ms", 1_000_000),
            };
            return write!(f, "{}{unit}", decimal(nanos, scale));
        }
        let (hours, rest) = (nanos / 3_600_000_000_000, nanos % 3_600_000_000_000);
        let (minutes, rest) = (rest / 60_000_000_000, rest % 60_000_000_000);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", decimal(rest, 1_000_000_000))
    }
}

fn decimal(value: u64, scale: u64) -> String {
    let (whole, fraction) = (value / scale, value % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    let digits = scale.ilog10() as usize;
    let fraction = format!("{fraction:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// The short form of warnings: whole seconds, no trailing `0s`, then no trailing `0m` (SC-194).
pub fn short(duration: GoDuration) -> String {
    let text = GoDuration::from_secs(duration.whole_seconds()).to_string();
    let text = match text.strip_suffix("0s") {
        Some(rest) if rest.ends_with('m') => rest,
        _ => &text,
    };
    match text.strip_suffix("0m") {
        Some(rest) if rest.ends_with('h') => rest.to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        // SC-040
        for (text, nanos) in [
            ("0", 0),
            ("1h", 3_600_000_000_000),
            ("-1.5s", -1_500_000_000),
            ("1h2m3s", 3_723_000_000_000),
            (".5ms", 500_000),
            ("1us", 1_000),
            ("2µs", 2_000),
        ] {
            assert_eq!(parse(text).unwrap().0, nanos, "{text}");
        }
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("x", "time: invalid duration \"x\""),
            ("10", "time: missing unit in duration \"10\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("1..5s", "time: missing unit in duration \"1..5s\""),
            ("1.5.5s", "time: missing unit in duration \"1.5.5s\""),
            (".s", "time: invalid duration \".s\""),
            ("µ\n\"\\", r#"time: invalid duration "\xc2\xb5\x0a\"\\""#),
            ("1é", r#"time: unknown unit "\xc3\xa9" in duration "1\xc3\xa9""#),
            ("9999999h", "time: invalid duration \"9999999h\""),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for text in ["0s", "1.5ms", "100ns", "1.001µs", "61h0m0s", "1m0.5s", "-2s", "24h0m0s"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        for (text, expected) in
            [("4h", "4h"), ("100s", "1m40s"), ("2h12m", "2h12m"), ("144h", "144h"), ("20s", "20s")]
        {
            assert_eq!(short(parse(text).unwrap()), expected);
        }
    }
}
