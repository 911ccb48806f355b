//! Go's whole numbers.

/// Why a text is no whole number; Go's wording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntError {
    #[error("invalid syntax")]
    Syntax,
    #[error("value out of range")]
    Range,
}

/// Reads what `strconv.ParseInt` reads when it is asked to find out the base: `12`, `0x1F`, `017`, `0b11`, `8_081`.
pub fn parse_int(text: &str) -> Result<i64, IntError> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let (digits_of_base, base) = split_base(digits);
    let mut value: i128 = 0;
    for digit in digits_of_base.chars().filter(|c| *c != '_') {
        let digit = digit.to_digit(base).ok_or(IntError::Syntax)?;
        value = value * i128::from(base) + i128::from(digit);
        if value > i128::from(u64::MAX) {
            return Err(IntError::Range);
        }
    }
    // The base prefix counts as a digit.
    if digits.is_empty() || digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") {
        return Err(IntError::Syntax);
    }
    i64::try_from(if negative { -value } else { value }).map_err(|_| IntError::Range)
}

fn split_base(digits: &str) -> (&str, u32) {
    let Some(rest) = digits.strip_prefix('0') else { return (digits, 10) };
    let base = match rest.as_bytes() {
        [b'x' | b'X', _, ..] => 16,
        [b'o' | b'O', _, ..] => 8,
        [b'b' | b'B', _, ..] => 2,
        _ => return (rest, 8),
    };
    (&rest[1..], base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_as_go_reads_them() {
        // SC-023, SC-209: a port that SPIRE takes must not be refused, nor another one be taken.
        for (text, value) in [
            ("0", 0),
            ("+12", 12),
            ("-12", -12),
            ("0x1F", 31),
            ("017", 15),
            ("0o17", 15),
            ("0B11", 3),
            ("8_081", 8081),
            ("0x_1f", 31),
            ("0_17", 15),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_int(text), Ok(value), "{text}");
        }
        for text in ["", "-", "+-1", "x", "1x", "08", "0x", "0b2", "5_", "_5", "1__0", "0x1_", "1.5", "１"] {
            assert_eq!(parse_int(text), Err(IntError::Syntax), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999x"] {
            assert_eq!(parse_int(text), Err(IntError::Range), "{text}");
        }
    }
}
