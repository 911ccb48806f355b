//! DER as Go reads it: element after element, and what stands behind the last one that is asked for is passed over.

use std::borrow::Cow;

use der::{Decode, ErrorKind, Length, Reader, SliceReader};

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// A context-specific tag in its primitive form.
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// A context-specific tag in its constructed form.
pub(crate) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// Why some DER cannot be read, in the words of Go's `encoding/asn1`.
#[derive(Debug, thiserror::Error)]
#[error("asn1: {0}")]
pub struct Asn1Error(pub(crate) Cow<'static, str>);

impl Asn1Error {
    pub(crate) const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// With tag and length.
    pub whole: &'a [u8],
}

impl<'a> Element<'a> {
    pub fn inside(&self) -> Elements<'a> {
        Elements::of(self.content)
    }
}

/// Elements in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
}

struct Header {
    tag: u8,
    size: usize,
    length: usize,
}

impl<'a> Elements<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub fn next_is(&self, tag: u8) -> bool {
        self.bytes.get(self.at) == Some(&tag)
    }

    /// The next element, whatever it is.
    pub fn any(&mut self) -> Option<Element<'a>> {
        let header = self.header().ok()?;
        self.take(&header)
    }

    /// The next element, if it has this tag.
    pub fn element(&mut self, tag: u8) -> Option<Element<'a>> {
        self.any().filter(|element| element.tag == tag)
    }

    pub fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element(tag).map(|element| element.content)
    }

    pub fn inside(&mut self, tag: u8) -> Option<Elements<'a>> {
        self.content(tag).map(Elements::of)
    }

    /// Like [`inside`](Self::inside) of something that may be missing: `Some(None)`.
    pub fn optional(&mut self, tag: u8) -> Option<Option<Elements<'a>>> {
        if self.next_is(tag) { self.inside(tag).map(Some) } else { Some(None) }
    }

    pub fn boolean(&mut self) -> Option<bool> {
        match self.content(BOOLEAN)? {
            [0] => Some(false),
            [0xff] => Some(true),
            _ => None,
        }
    }

    /// The bytes of an INTEGER: two's complement, as short as possible.
    pub fn integer(&mut self) -> Option<&'a [u8]> {
        self.content(INTEGER).filter(|bytes| is_integer(bytes))
    }

    pub fn object_identifier(&mut self) -> Option<&'a [u8]> {
        self.content(OBJECT_IDENTIFIER).filter(|bytes| is_object_identifier(bytes))
    }

    /// The next field of a structure. `kind` is the name of its type in Go, which stands in the error.
    pub fn expect(&mut self, tag: u8, kind: &str) -> Result<Element<'a>, Asn1Error> {
        let header = self.header()?;
        if header.tag != tag {
            let (class, number, compound) = (header.tag >> 6, header.tag & 0x1f, header.tag & 0x20 != 0);
            return Err(Asn1Error(Cow::Owned(format!(
                "structure error: tags don't match ({} vs {{class:{class} tag:{number} length:{} \
                 isCompound:{compound}}}) {{optional:false explicit:false application:false private:false \
                 defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false}} {kind} @{}",
                tag & 0x1f,
                header.length,
                self.at + header.size,
            ))));
        }
        self.take(&header).ok_or(Asn1Error::new("syntax error: data truncated"))
    }

    /// The next field, whatever it is.
    pub fn expect_any(&mut self) -> Result<Element<'a>, Asn1Error> {
        let header = self.header()?;
        self.take(&header).ok_or(Asn1Error::new("syntax error: data truncated"))
    }

    /// The next member of a list.
    pub fn member(&mut self, tag: Option<u8>) -> Result<Element<'a>, Asn1Error> {
        let header = self.header()?;
        if tag.is_some_and(|tag| tag != header.tag) {
            return Err(Asn1Error::new("structure error: sequence tag mismatch"));
        }
        self.take(&header).ok_or(Asn1Error::new("syntax error: truncated sequence"))
    }

    fn header(&self) -> Result<Header, Asn1Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (tag, rest) = rest.split_first().ok_or(Asn1Error::new("syntax error: sequence truncated"))?;
        if tag & 0x1f == 0x1f {
            return Err(Asn1Error::new("structure error: tag number too large"));
        }
        let unusable = |error: der::Error| {
            Asn1Error::new(match error.kind() {
                ErrorKind::Incomplete { .. } => "syntax error: truncated tag or length",
                ErrorKind::IndefiniteLength => "syntax error: indefinite length found (not DER)",
                _ => "structure error: non-minimal length",
            })
        };
        let mut reader = SliceReader::new(rest).map_err(unusable)?;
        let length = Length::decode(&mut reader).map_err(unusable)?;
        let size = usize::try_from(reader.position()).map_err(unusable)?;
        Ok(Header { tag: *tag, size: size + 1, length: usize::try_from(length).map_err(unusable)? })
    }

    fn take(&mut self, header: &Header) -> Option<Element<'a>> {
        let end = self.at.checked_add(header.size)?.checked_add(header.length)?;
        let whole = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(Element { tag: header.tag, content: whole.get(header.size..)?, whole })
    }
}

fn is_integer(bytes: &[u8]) -> bool {
    match bytes {
        [] => false,
        [0, second, ..] => second & 0x80 != 0,
        [0xff, second, ..] => second & 0x80 == 0,
        _ => true,
    }
}

/// Numbers of at most 31 bits, each as short as possible.
pub(crate) fn is_object_identifier(bytes: &[u8]) -> bool {
    let (mut number, mut first) = (0u32, true);
    for byte in bytes {
        if (first && *byte == 0x80) || number >= 1 << 24 {
            return false;
        }
        first = byte & 0x80 == 0;
        number = if first { 0 } else { (number << 7) | u32::from(byte & 0x7f) };
    }
    first && !bytes.is_empty()
}

/// The bytes of a BIT STRING, and how many bits at their end do not count.
pub(crate) fn bit_string(content: &[u8]) -> Option<(&[u8], u8)> {
    let (unused, bytes) = content.split_first()?;
    let fits = match bytes.last() {
        Some(last) => *unused < 8 && last.trailing_zeros() >= u32::from(*unused),
        None => *unused == 0,
    };
    fits.then_some((bytes, *unused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_one_by_one() {
        let mut elements = Elements::of(&[0x02, 1, 5, 0x30, 2, 0x05, 0]);
        assert_eq!(elements.integer(), Some(&[5][..]));
        assert!(elements.next_is(SEQUENCE));
        assert_eq!(elements.element(SEQUENCE).map(|inner| inner.whole), Some(&[0x30, 2, 5, 0][..]));
        assert!(elements.is_empty() && elements.any().is_none());
    }

    #[test]
    fn what_cannot_be_read_is_described_as_go_does() {
        let text =
            |der: &[u8]| Elements::of(der).expect(SEQUENCE, "certificateRequest").unwrap_err().to_string();
        assert_eq!(text(&[]), "asn1: syntax error: sequence truncated");
        assert_eq!(text(&[0x30]), "asn1: syntax error: truncated tag or length");
        assert_eq!(text(&[0x30, 3, 0]), "asn1: syntax error: data truncated");
        assert_eq!(text(&[0x30, 0x80]), "asn1: syntax error: indefinite length found (not DER)");
        assert_eq!(text(&[0x30, 0x81, 3, 0, 0, 0]), "asn1: structure error: non-minimal length");
        assert_eq!(
            text(b"malformed"),
            "asn1: structure error: tags don't match (16 vs {class:1 tag:13 length:97 isCompound:true}) \
             {optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> \
             stringType:0 timeType:0 set:false omitEmpty:false} certificateRequest @2"
        );
    }

    #[test]
    fn numbers_and_bits_must_be_in_their_shortest_form() {
        assert!(is_integer(&[0]) && is_integer(&[0, 0x80]) && is_integer(&[0xff, 0x7f]));
        assert!(!is_integer(&[]) && !is_integer(&[0, 1]) && !is_integer(&[0xff, 0x80]));
        assert!(is_object_identifier(&[0x2a, 0x86, 0x48]));
        assert!(is_object_identifier(&[0x2a, 0x87, 0xff, 0xff, 0xff, 0x7f]));
        assert!(!is_object_identifier(&[0x2a, 0x88, 0x80, 0x80, 0x80, 0]), "more than 31 bits");
        assert!(!is_object_identifier(&[]) && !is_object_identifier(&[0x2a, 0x80, 1]));
        assert!(!is_object_identifier(&[0x2a, 0x86]), "not finished");
        assert_eq!(bit_string(&[3, 0xf8]), Some((&[0xf8][..], 3)));
        assert_eq!(bit_string(&[0]), Some((&[][..], 0)));
        assert!(bit_string(&[]).is_none() && bit_string(&[1]).is_none() && bit_string(&[8, 0]).is_none());
        assert!(bit_string(&[4, 0xf8]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let mut elements = Elements::of(&bytes);
            while elements.any().is_some() {}
        }
    }
}
