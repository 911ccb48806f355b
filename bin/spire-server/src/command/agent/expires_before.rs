//! The one layout of dates that `-expiresBefore` takes: `2006-01-02 15:04:05 -0700 -07` (SC-272).

use std::fmt::Write;

use time::Month;

/// Refuses what is no date of that layout, in the words of Go's library.
pub(super) fn check(text: &str) -> Result<(), String> {
    Reader { rest: text }.date().map_err(|reason| format!("parsing time {}{reason}", quote(text)))
}

/// Go's errors about times have quotes of their own: bytes that are no printable ASCII come as hexadecimal numbers.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=0x7f => quoted.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(quoted, "\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

const LAYOUT: &str = "2006-01-02 15:04:05 -0700 -07";

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn date(&mut self) -> Result<(), String> {
        let year = self.digits(4, 4, "2006")?;
        self.literal("-")?;
        let month = self.within(2, 2, "01", 1..=12, "month")?;
        self.literal("-")?;
        let day = self.digits(2, 2, "02")?;
        self.space()?;
        self.within(1, 2, "15", 0..=23, "hour")?;
        self.literal(":")?;
        self.within(2, 2, "04", 0..=59, "minute")?;
        self.literal(":")?;
        self.within(2, 2, "05", 0..=59, "second")?;
        self.fraction();
        self.space()?;
        self.zone("-0700", 5)?;
        self.space()?;
        self.zone("-07", 3)?;
        if !self.rest.is_empty() {
            return Err(format!(": extra text: {}", quote(self.rest)));
        }
        let month = u8::try_from(month).ok().and_then(|month| Month::try_from(month).ok());
        let length = month.map_or(0, |month| month.length(i32::try_from(year).unwrap_or_default()));
        if day < 1 || day > length.into() {
            return Err(": day out of range".to_owned());
        }
        Ok(())
    }

    fn unreadable(&self, element: &str) -> String {
        format!(" as \"{LAYOUT}\": cannot parse {} as {}", quote(self.rest), quote(element))
    }

    fn literal(&mut self, literal: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(literal).ok_or_else(|| self.unreadable(literal))?;
        Ok(())
    }

    /// Go takes any number of spaces for one, and none at the end.
    fn space(&mut self) -> Result<(), String> {
        if !self.rest.is_empty() && !self.rest.starts_with(' ') {
            return Err(self.unreadable(" "));
        }
        self.rest = self.rest.trim_start_matches(' ');
        Ok(())
    }

    /// As many digits as there are, from `least` to `most`.
    fn digits(&mut self, least: usize, most: usize, element: &str) -> Result<u32, String> {
        let found = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if found < least {
            return Err(self.unreadable(element));
        }
        let (number, rest) = self.rest.split_at(found);
        self.rest = rest;
        Ok(number.parse().unwrap_or_default())
    }

    fn within(
        &mut self,
        least: usize,
        most: usize,
        element: &str,
        range: std::ops::RangeInclusive<u32>,
        name: &str,
    ) -> Result<u32, String> {
        let number = self.digits(least, most, element)?;
        if range.contains(&number) { Ok(number) } else { Err(format!(": {name} out of range")) }
    }

    /// Fractions of a second are taken though the layout has none.
    fn fraction(&mut self) {
        let Some(digits) = self.rest.strip_prefix(['.', ',']) else { return };
        let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() < digits.len() {
            self.rest = rest;
        }
    }

    /// A sign, two digits of hours and perhaps two of minutes. Go names what is out of range before what is no zone.
    fn zone(&mut self, element: &str, length: usize) -> Result<(), String> {
        let unreadable = self.unreadable(element);
        let zone = self.rest.as_bytes().get(..length).and_then(<[u8]>::split_first);
        let Some((sign, (hour, minute))) = zone.map(|(sign, digits)| (*sign, digits.split_at(2))) else {
            return Err(unreadable);
        };
        let hour = pair(hour);
        let minute = hour.and_then(|_| if minute.is_empty() { Some(0) } else { pair(minute) });
        let out_of_range = |name: &str| Err(format!(": time zone offset {name} out of range"));
        match (sign, hour, minute) {
            (_, _, Some(61..)) => out_of_range("minute"),
            (_, Some(25..), _) => out_of_range("hour"),
            (b'+' | b'-', Some(_), Some(_)) => {
                self.rest = self.rest.get(length..).unwrap_or_default();
                Ok(())
            }
            _ => Err(unreadable),
        }
    }
}

/// The number that two digits are.
fn pair(digits: &[u8]) -> Option<u32> {
    match digits {
        [tens @ b'0'..=b'9', units @ b'0'..=b'9'] => Some(u32::from((tens - b'0') * 10 + (units - b'0'))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_layout_are_taken() {
        // SC-272
        for text in [
            "2024-01-31 10:00:00 +0000 +00",
            "2024-02-29 1:00:00 -0730 -07",
            "2024-01-31 10:00:00.25 +0100 +01",
            "2024-01-31 10:00:00,5 -2460 -24",
            "2024-01-31   10:00:00 +0100  +01",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn others_are_refused_with_the_part_that_is_wrong() {
        // SC-272
        for (text, reason) in [
            ("2024-13-31 10:00:00 +0000 +00", ": month out of range"),
            ("2023-02-29 10:00:00 +0000 +00", ": day out of range"),
            ("2024-01-31 24:00:00 +0000 +00", ": hour out of range"),
            (
                "2024-01-31T10:00:00Z",
                " as \"2006-01-02 15:04:05 -0700 -07\": cannot parse \"T10:00:00Z\" as \" \"",
            ),
            ("2024-01-31 10:00:00 +25xx +00", ": time zone offset hour out of range"),
            ("2024-01-31 10:00:00 +2561 +00", ": time zone offset minute out of range"),
            ("2024-01-31 10:00:00 +0000 +25", ": time zone offset hour out of range"),
            (
                "2024-01-31 10:00:00 +250",
                " as \"2006-01-02 15:04:05 -0700 -07\": cannot parse \"+250\" as \"-0700\"",
            ),
            ("2024-01-31", " as \"2006-01-02 15:04:05 -0700 -07\": cannot parse \"\" as \"15\""),
            ("2024-01-31 10:00:00 +0000 +00 x", ": extra text: \" x\""),
        ] {
            assert_eq!(check(text).unwrap_err(), format!("parsing time \"{text}\"{reason}"));
        }
        assert_eq!(
            check("é\t\"\\\u{7f}").unwrap_err(),
            "parsing time \"\\xc3\\xa9\\x09\\\"\\\\\u{7f}\" as \"2006-01-02 15:04:05 -0700 -07\": cannot parse \
             \"\\xc3\\xa9\\x09\\\"\\\\\u{7f}\" as \"2006\""
        );
        for text in [
            "",
            "2024",
            "2024-01-31 10:00:00 +0000",
            "2024-01-31 10:00:00 UTC",
            "2024-1-31 10:00:00 +0000 +00",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
