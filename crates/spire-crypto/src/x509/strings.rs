//! The string types of names, read as Go reads them.

/// A string type whose rules a value breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadString {
    Printable,
    Utf8,
    Bmp,
    Ia5,
    Numeric,
}

impl BadString {
    /// In a certificate, where `crypto/x509` says it.
    pub fn in_certificate(self) -> &'static str {
        match self {
            Self::Printable => "invalid PrintableString",
            Self::Utf8 => "invalid UTF-8 string",
            Self::Bmp => "invalid BMPString",
            Self::Ia5 => "invalid IA5String",
            Self::Numeric => "invalid NumericString",
        }
    }

    /// In a request, where `encoding/asn1` says it.
    pub fn in_request(self) -> &'static str {
        match self {
            Self::Printable => "asn1: syntax error: PrintableString contains invalid character",
            Self::Utf8 => "asn1: invalid UTF-8 string",
            Self::Bmp => "invalid BMPString",
            Self::Ia5 => "asn1: syntax error: IA5String contains invalid character",
            Self::Numeric => "asn1: syntax error: NumericString contains invalid character",
        }
    }
}

/// The text of a value; nothing if its tag is not that of a string.
pub(super) fn text(tag: u8, value: &[u8]) -> Result<Option<String>, BadString> {
    let checked = |fits: bool, bad| if fits { Ok(latin1(value)) } else { Err(bad) };
    let text = match tag {
        0x0c => std::str::from_utf8(value).map(str::to_owned).map_err(|_| BadString::Utf8),
        0x12 => checked(value.iter().all(|b| b.is_ascii_digit() || *b == b' '), BadString::Numeric),
        0x13 => checked(value.iter().all(|b| is_printable(*b) || b"*&".contains(b)), BadString::Printable),
        // T.61 is nearly Latin-1, and everybody takes it for that.
        0x14 => Ok(latin1(value)),
        0x16 => checked(value.is_ascii(), BadString::Ia5),
        0x1e => bmp(value).ok_or(BadString::Bmp),
        _ => return Ok(None),
    };
    text.map(Some)
}

/// The characters of a PrintableString (X.680 section 41.4). Go reads `*` and `&`, too.
pub(super) fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

fn latin1(value: &[u8]) -> String {
    value.iter().map(|byte| char::from(*byte)).collect()
}

/// Two bytes for a character, without surrogates and noncharacters; a zero at the end is dropped.
fn bmp(value: &[u8]) -> Option<String> {
    if !value.len().is_multiple_of(2) {
        return None;
    }
    let value = value.strip_suffix(&[0, 0]).unwrap_or(value);
    let characters = value.chunks_exact(2).map(|pair| {
        let point = u16::from_be_bytes(pair.try_into().ok()?);
        let none = matches!(point, 0xfdd0..=0xfdef | 0xfffe | 0xffff);
        char::from_u32(u32::from(point)).filter(|_| !none)
    });
    characters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_type_becomes_text() {
        // CA-220: a subject that an old tool wrote is kept, in whatever type its values are.
        for (tag, value, wanted) in [
            (0x13, &b"a&*"[..], "a&*"),
            (0x12, b"1 2", "1 2"),
            (0x14, b"B\xe4r", "B\u{e4}r"),
            (0x16, b"a@b", "a@b"),
            (0x0c, "B\u{e4}r".as_bytes(), "B\u{e4}r"),
            (0x1e, b"\0B\0\xe4\0\0", "B\u{e4}"),
        ] {
            assert_eq!(text(tag, value), Ok(Some(wanted.to_owned())), "{tag:x}");
        }
        assert_eq!(text(0x02, b"\x01"), Ok(None));
    }

    #[test]
    fn what_breaks_the_rules_of_its_type_is_refused() {
        for (tag, value, bad) in [
            (0x13, &b"a@b"[..], BadString::Printable),
            (0x0c, b"\xff\xfe", BadString::Utf8),
            (0x12, b"1-2", BadString::Numeric),
            (0x16, b"\xe4", BadString::Ia5),
            (0x1e, b"\0", BadString::Bmp),
            (0x1e, b"\xd8\0", BadString::Bmp),
            (0x1e, b"\xff\xfe", BadString::Bmp),
        ] {
            assert_eq!(text(tag, value), Err(bad), "{tag:x}");
        }
    }
}
