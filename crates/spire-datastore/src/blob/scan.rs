//! Walks the fields of an encoded message without knowing its type.

use super::BlobError;

/// One field of a message.
pub(super) struct Field<'a> {
    pub(super) number: u32,
    /// Key and value as they are.
    pub(super) raw: &'a [u8],
    /// What a length-delimited field holds; empty for others.
    pub(super) content: &'a [u8],
}

/// The fields in order of appearance; stops after the first error.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, BlobError>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next(rest);
        rest = match &field {
            Some(field) => &rest[field.raw.len()..],
            None => &[],
        };
        Some(field.ok_or_else(|| BlobError("message is cut short or malformed".to_owned())))
    })
}

fn next(message: &[u8]) -> Option<Field<'_>> {
    let (key, key_len) = varint(message)?;
    let number = u32::try_from(key >> 3).ok().filter(|number| *number != 0)?;
    let body = message.get(key_len..)?;
    let (skip, content) = value(key & 7, number, body)?;
    Some(Field { number, raw: message.get(..key_len + skip)?, content })
}

/// How long a value is, and its content if it is length-delimited.
fn value(wire_type: u64, number: u32, body: &[u8]) -> Option<(usize, &[u8])> {
    match wire_type {
        0 => Some((varint(body)?.1, &[])),
        1 => body.get(..8).map(|_| (8, &[][..])),
        2 => {
            let (length, at) = varint(body)?;
            let end = at.checked_add(usize::try_from(length).ok()?)?;
            Some((end, body.get(at..end)?))
        }
        // A group ends with its own number; nobody writes them any more, but they are legal.
        3 => {
            let mut at = 0;
            loop {
                let (key, key_len) = varint(body.get(at..)?)?;
                at += key_len;
                if key & 7 == 4 {
                    return (u64::from(number) == key >> 3).then_some((at, &[][..]));
                }
                at += value(key & 7, u32::try_from(key >> 3).ok()?, body.get(at..)?)?.0;
            }
        }
        5 => body.get(..4).map(|_| (4, &[][..])),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(index * 7).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}
