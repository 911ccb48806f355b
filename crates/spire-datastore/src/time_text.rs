//! Times as SPIRE's SQLite driver writes and reads them (SA-296).
//!
//! Stored comparisons are string comparisons, so there is exactly one written form, and it is in UTC.

use std::fmt::Write as _;

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// `YYYY-MM-DD HH:MM:SS[.fraction]+00:00`, trailing zeros of the fraction cut.
pub(crate) fn format(time: OffsetDateTime) -> String {
    let t = time.to_offset(UtcOffset::UTC);
    let mut text = String::with_capacity(35);
    let (date, clock) = (t.date(), t.time());
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    let nanos = t.nanosecond();
    if nanos != 0 {
        let _ = write!(text, ".{nanos:09}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push_str("+00:00");
    text
}

/// Whole seconds since 1970 as a time; out of range is clamped to what can be represented.
pub(crate) fn from_unix(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(if seconds < 0 {
        OffsetDateTime::UNIX_EPOCH
    } else {
        PrimitiveDateTime::MAX.assume_utc()
    })
}

/// Reads every form that SPIRE's driver accepts; `None` if it is none of them.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let text = text.strip_suffix('Z').unwrap_or(text);
    let date = Date::from_calendar_date(
        number(text.get(0..4)?)?,
        Month::try_from(u8::try_from(number(text.get(5..7)?)?).ok()?).ok()?,
        u8::try_from(number(text.get(8..10)?)?).ok()?,
    )
    .ok()?;
    let Some(rest) = text.get(10..).filter(|rest| !rest.is_empty()) else {
        return Some(PrimitiveDateTime::new(date, Time::MIDNIGHT).assume_utc());
    };
    let rest = rest.strip_prefix(['T', ' '])?;
    let zone_at = rest.find(['+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let part = |range: std::ops::Range<usize>| u8::try_from(number(clock.get(range)?)?).ok();
    let seconds = if clock.len() >= 8 { part(6..8)? } else { 0 };
    let nanos = match clock.get(8..).unwrap_or("") {
        "" => 0,
        fraction => {
            let digits = fraction.strip_prefix('.')?;
            let kept = &digits[..digits.len().min(9)];
            u32::try_from(number(kept)?).ok()? * 10u32.pow(9 - u32::try_from(kept.len()).ok()?)
        }
    };
    let time = Time::from_hms_nano(part(0..2)?, part(3..5)?, seconds, nanos).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_offset(offset(zone)?))
}

fn offset(zone: &str) -> Option<UtcOffset> {
    if zone.is_empty() {
        return Some(UtcOffset::UTC);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let hours = i8::try_from(number(zone.get(1..3)?)?).ok()?;
    let minutes = match zone.get(3..).unwrap_or("") {
        "" => 0,
        rest => i8::try_from(number(rest.strip_prefix(':').unwrap_or(rest).get(0..2)?)?).ok()?,
    };
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

fn number(digits: &str) -> Option<i32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Rounded half up to the second, as the API shows `created_at` (SA-299).
pub(crate) fn rounded_unix(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() + i64::from(time.nanosecond() >= 500_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: i64) -> OffsetDateTime {
        from_unix(seconds) + time::Duration::nanoseconds(nanos)
    }

    #[test]
    fn written_form_is_the_one_go_compares_as_text() {
        // SA-296
        for (nanos, expected) in [
            (0, "2026-11-24 12:11:53+00:00"),
            (623_855_989, "2026-11-24 12:11:53.623855989+00:00"),
            (480_000_000, "2026-11-24 12:11:53.48+00:00"),
            (1, "2026-11-24 12:11:53.000000001+00:00"),
        ] {
            let time = at(1_795_522_313, nanos);
            assert_eq!(format(time), expected);
            assert_eq!(parse(expected), Some(time));
        }
    }

    #[test]
    fn every_form_the_go_driver_accepts_is_read() {
        // SA-296
        let time = Some(at(1_795_522_313, 0));
        for text in [
            "2026-11-24T12:11:53Z",
            "2026-11-24 12:11:53",
            "2026-11-24T12:11:53",
            "2026-11-24 14:11:53+02:00",
            "2026-11-24 06:41:53-05:30",
            "2026-11-24 12:11:53.000+00:00",
        ] {
            assert_eq!(parse(text), time, "{text}");
        }
        assert_eq!(parse("2026-11-24 12:11"), Some(at(1_795_522_260, 0)));
        assert_eq!(parse("2026-11-24"), Some(at(1_795_478_400, 0)));
        for text in ["", "yesterday", "2026-13-01", "2026-11-24 25:00:00"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn created_at_is_rounded_half_up() {
        // SA-299
        assert_eq!(rounded_unix(at(10, 499_999_999)), 10);
        assert_eq!(rounded_unix(at(10, 500_000_000)), 11);
    }
}
