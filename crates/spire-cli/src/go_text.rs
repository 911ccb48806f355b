//! Text as Go's library prints it.

pub use spire_types::go_text::quote;

/// `2006-01-02 15:04:05 +0000 UTC`, in UTC (SC-247).
pub fn utc_time(unix: i64) -> String {
    format!("{} +0000 UTC", date_and_clock(unix, ' '))
}

/// `2006-01-02T15:04:05Z`.
pub fn rfc3339(unix: i64) -> String {
    format!("{}Z", date_and_clock(unix, 'T'))
}

const DAY: i64 = 86_400;

/// Any time, also of years that have no four digits.
pub(crate) fn date_and_clock(unix: i64, between: char) -> String {
    let (year, month, day) = civil_date(unix.div_euclid(DAY));
    let second = unix.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let sign = if year < 0 { "-" } else { "" };
    let year = year.unsigned_abs();
    format!("{sign}{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar. Years are counted from March
/// within, so that the leap day is the last of its year.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097; // days in 400 years
    let shifted = days + 719_468; // since 0000-03-01
    let (era, day) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day)
}

/// `1 agent`, `0 agents` (SC-232).
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_any_year() {
        // SC-247
        for (unix, expected) in [
            (0, "1970-01-01 00:00:00 +0000 UTC"),
            (1_552_410_266, "2019-03-12 17:04:26 +0000 UTC"),
            (951_782_400, "2000-02-29 00:00:00 +0000 UTC"),
            (-1, "1969-12-31 23:59:59 +0000 UTC"),
            (-62_135_596_800, "0001-01-01 00:00:00 +0000 UTC"),
            (99_999_999_999_999, "3170843-11-07 09:46:39 +0000 UTC"),
        ] {
            assert_eq!(utc_time(unix), expected);
        }
        assert_eq!(rfc3339(1_705_406_400), "2024-01-16T12:00:00Z");
    }
}
