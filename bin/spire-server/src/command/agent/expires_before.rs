//! The one layout of dates that `-expiresBefore` takes: `2006-01-02 15:04:05 -0700 -07` (SC-272).

use time::Month;

/// Refuses what is no date of that layout, in the words of Go's library.
pub(super) fn check(text: &str) -> Result<(), String> {
    let shown = spire_runtime::logging::go_quote(text);
    Reader { rest: text }.date().map_err(|reason| format!("parsing time {shown}{reason}"))
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
        self.zone("-0700", true)?;
        self.space()?;
        self.zone("-07", false)?;
        if !self.rest.is_empty() {
            return Err(format!(": extra text: {}", spire_runtime::logging::go_quote(self.rest)));
        }
        let month = u8::try_from(month).ok().and_then(|month| Month::try_from(month).ok());
        let length = month.map_or(0, |month| month.length(i32::try_from(year).unwrap_or_default()));
        if day < 1 || day > length.into() {
            return Err(": day out of range".to_owned());
        }
        Ok(())
    }

    fn unreadable(&self, element: &str) -> String {
        let (rest, element) =
            (spire_runtime::logging::go_quote(self.rest), spire_runtime::logging::go_quote(element));
        format!(" as \"{LAYOUT}\": cannot parse {rest} as {element}")
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

    fn zone(&mut self, element: &str, minutes: bool) -> Result<(), String> {
        let whole = self.rest;
        let unreadable = Reader { rest: whole }.unreadable(element);
        self.rest = whole.strip_prefix(['+', '-']).ok_or_else(|| unreadable.clone())?;
        let hour = self.digits(2, 2, element).map_err(|_| unreadable.clone())?;
        let minute = if minutes { self.digits(2, 2, element).map_err(|_| unreadable)? } else { 0 };
        if hour > 24 {
            return Err(": time zone offset hour out of range".to_owned());
        }
        if minute > 60 {
            return Err(": time zone offset minute out of range".to_owned());
        }
        Ok(())
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
            ("2024-01-31", " as \"2006-01-02 15:04:05 -0700 -07\": cannot parse \"\" as \"15\""),
            ("2024-01-31 10:00:00 +0000 +00 x", ": extra text: \" x\""),
        ] {
            assert_eq!(check(text).unwrap_err(), format!("parsing time \"{text}\"{reason}"));
        }
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
