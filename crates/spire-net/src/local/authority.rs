//! Makes `:authority` of local callers something that an HTTP library accepts.
//!
//! gRPC's C core (C++, Python, Ruby, PHP, Swift) names a unix socket in `:authority` by its percent-encoded path and
//! older Go and Java clients by the path itself. Neither is an authority by RFC 3986, and `h2` resets such requests with
//! PROTOCOL_ERROR where every other gRPC server serves them. The bytes are put right before `h2` sees them: `%` becomes
//! `-` and `/` becomes `.`. Each pair has codes of one length, plain and in HPACK's Huffman code, so no length changes:
//! not of the string, not of the frame, not of an entry in the compression tables of both sides.

use super::huffman;

const PREFACE: u32 = 24;
const HEADER: usize = 9;
/// Longer frames break HTTP/2's default limit, which is what this side announces.
const MAX_FRAME: u32 = 16_384;
const TYPE_HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Follows the frames of one connection.
#[derive(Debug)]
pub(super) struct AuthorityFilter {
    /// Bytes that pass before the next frame header.
    skip: u32,
    header: [u8; HEADER],
    header_filled: u8,
    /// The payload of a HEADERS frame that has not arrived whole.
    held: Option<Box<Held>>,
}

#[derive(Debug)]
struct Held {
    length: usize,
    flags: u8,
    payload: Vec<u8>,
    delivered: usize,
}

impl AuthorityFilter {
    pub(super) fn new() -> Self {
        Self { skip: PREFACE, header: [0; HEADER], header_filled: 0, held: None }
    }

    /// Takes bytes that were held back and are due now; returns how many.
    pub(super) fn deliver(&mut self, out: &mut [u8]) -> usize {
        let Some(held) = self.held.as_mut().filter(|held| held.payload.len() == held.length) else {
            return 0;
        };
        let due = &held.payload[held.delivered..];
        let count = due.len().min(out.len());
        out[..count].copy_from_slice(&due[..count]);
        held.delivered += count;
        if held.delivered == held.length {
            self.held = None;
        }
        count
    }

    /// How many bytes of a held frame may be read next, when one is held.
    pub(super) fn wanted(&self) -> Option<usize> {
        self.held.as_ref().map(|held| held.length - held.payload.len())
    }

    /// More of the held frame; no more than was [wanted](Self::wanted).
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        if let Some(held) = &mut self.held {
            held.payload.extend_from_slice(bytes);
            if held.payload.len() == held.length {
                correct(&mut held.payload, held.flags);
            }
        }
    }

    /// Looks through fresh bytes; returns how many of them may go on, the rest is held.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let left = bytes.len() - at;
            if self.skip > 0 {
                let count = left.min(self.skip as usize);
                self.skip -= count as u32;
                at += count;
                continue;
            }
            let filled = usize::from(self.header_filled);
            let count = left.min(HEADER - filled);
            self.header[filled..filled + count].copy_from_slice(&bytes[at..at + count]);
            self.header_filled += count as u8;
            at += count;
            if usize::from(self.header_filled) < HEADER {
                break;
            }
            self.header_filled = 0;
            let [a, b, c, kind, flags, ..] = self.header;
            let length = u32::from_be_bytes([0, a, b, c]);
            let whole = kind == TYPE_HEADERS && flags & END_HEADERS != 0 && (1..=MAX_FRAME).contains(&length);
            if !whole {
                self.skip = length;
                continue;
            }
            let length = length as usize;
            if bytes.len() - at < length {
                let payload = bytes[at..].to_vec();
                self.held = Some(Box::new(Held { length, flags, payload, delivered: 0 }));
                return at;
            }
            correct(&mut bytes[at..at + length], flags);
            at += length;
        }
        at
    }
}

/// Corrects `:authority` in the payload of a HEADERS frame; leaves alone what it does not understand.
fn correct(payload: &mut [u8], flags: u8) {
    let mut block = payload;
    if flags & PADDED != 0 {
        let Some((&mut padding, rest)) = block.split_first_mut() else { return };
        let Some(end) = rest.len().checked_sub(usize::from(padding)) else { return };
        block = &mut rest[..end];
    }
    if flags & PRIORITY != 0 {
        let Some((_, rest)) = block.split_at_mut_checked(5) else { return };
        block = rest;
    }
    let mut at = 0;
    while at < block.len() {
        let Some(next) = field(block, at) else { return };
        at = next;
    }
}

/// The static table's index of `:authority`; some spell the name out instead, plain or in Huffman code.
const AUTHORITY: usize = 1;
const AUTHORITY_PLAIN: &[u8] = b":authority";
const AUTHORITY_ENCODED: &[u8] = &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// Passes one field representation of RFC 7541, section 6; returns where the next begins.
fn field(block: &mut [u8], at: usize) -> Option<usize> {
    let first = block[at];
    let name_bits = match first {
        0x80.. => return Some(integer(block, at, 7)?.1),
        0x40.. => 6,
        0x20.. => return Some(integer(block, at, 5)?.1),
        _ => 4,
    };
    let (name, mut next) = integer(block, at, name_bits)?;
    let mut is_authority = name == AUTHORITY;
    if name == 0 {
        let literal = string(block, next)?;
        let spelt = if block[next] & 0x80 == 0 { AUTHORITY_PLAIN } else { AUTHORITY_ENCODED };
        is_authority = block[literal.clone()] == *spelt;
        next = literal.end;
    }
    let value = string(block, next)?;
    if is_authority {
        let encoded = block[next] & 0x80 != 0;
        let text = &mut block[value.clone()];
        if encoded {
            huffman::substitute(text);
        } else {
            for byte in text {
                *byte = match *byte {
                    b'%' => b'-',
                    b'/' => b'.',
                    other => other,
                };
            }
        }
    }
    Some(value.end)
}

/// Where the octets of a string literal are.
fn string(block: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let (length, begin) = integer(block, at, 7)?;
    let end = begin.checked_add(length)?;
    (end <= block.len()).then_some(begin..end)
}

/// An integer with a prefix of so many bits, and where it ends.
fn integer(block: &[u8], at: usize, bits: u32) -> Option<(usize, usize)> {
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(*block.get(at)?) & most;
    let mut at = at + 1;
    if value < most {
        return Some((value, at));
    }
    // No string here is longer than a frame.
    for shift in [0, 7, 14] {
        let byte = *block.get(at)?;
        at += 1;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `:path`, `:authority` with incremental indexing, and more.
    fn frame(authority: &[u8], flags: u8) -> Vec<u8> {
        named(&[0x41], authority, flags)
    }

    fn named(name: &[u8], authority: &[u8], flags: u8) -> Vec<u8> {
        let mut block = vec![0x83, 0x86, 0x04, 0x02, b'/', b'x'];
        block.extend_from_slice(name);
        block.push(authority.len() as u8);
        block.extend_from_slice(authority);
        block.extend_from_slice(&[0x40, 0x02, b't', b'e', 0x08]);
        block.extend_from_slice(b"trailers");
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[0, 0, block.len() as u8, 1, flags, 0, 0, 0, 1]);
        bytes.extend_from_slice(&block);
        bytes.extend_from_slice(&[0, 0, 3, 0, 1, 0, 0, 0, 1, b'%', b'/', b'%']);
        bytes
    }

    /// Everything that comes out when it goes in by pieces of `size`.
    fn through(input: &[u8], size: usize) -> Vec<u8> {
        let mut filter = AuthorityFilter::new();
        let mut output = Vec::new();
        let mut rest = input;
        while !rest.is_empty() {
            let count = size.min(filter.wanted().unwrap_or(usize::MAX)).min(rest.len());
            let (piece, after) = rest.split_at(count);
            rest = after;
            if filter.wanted().is_some() {
                filter.hold(piece);
            } else {
                let mut piece = piece.to_vec();
                let passed = filter.pass(&mut piece);
                output.extend_from_slice(&piece[..passed]);
            }
            let mut due = [0; 3];
            loop {
                let count = filter.deliver(&mut due);
                output.extend_from_slice(&due[..count]);
                if count == 0 {
                    break;
                }
            }
        }
        output
    }

    #[test]
    fn a_percent_encoded_path_becomes_an_authority_however_it_is_cut() {
        let input = frame(b"tmp%2Fs.sock", END_HEADERS);
        for size in 1..input.len() {
            assert_eq!(through(&input, size), frame(b"tmp-2Fs.sock", END_HEADERS), "pieces of {size}");
        }
    }

    #[test]
    fn the_name_may_be_spelt_out() {
        // As grpc-python 1.85 does it.
        for name in [[&[0x40, 10], AUTHORITY_PLAIN].concat(), [&[0x40, 0x88], AUTHORITY_ENCODED].concat()] {
            let input = named(&name, b"tmp%2Fs.sock", END_HEADERS);
            assert_eq!(through(&input, 500), named(&name, b"tmp-2Fs.sock", END_HEADERS));
        }
        let other = named(&[0x40, 2, b'x', b'y'], b"tmp%2Fs.sock", END_HEADERS);
        assert_eq!(through(&other, 500), other);
    }

    #[test]
    fn a_plain_path_becomes_an_authority() {
        assert_eq!(through(&frame(b"/run/a.sock", END_HEADERS), 500), frame(b".run.a.sock", END_HEADERS));
    }

    #[test]
    fn an_encoded_path_is_corrected_bit_by_bit() {
        // "a%/b" is 00011 010101 011000 100011, filled up with ones.
        let encoded = [0b0001_1010, 0b1010_1100, 0b0100_0111];
        let corrected = [0b0001_1010, 0b1100_1011, 0b1100_0111];
        let mut text = encoded;
        huffman::substitute(&mut text);
        assert_eq!(text, corrected);
    }

    #[test]
    fn what_is_not_understood_passes_unchanged() {
        for bytes in
            [&b"GET / HTTP/1.1\r\nHost: %/\r\n\r\n and so on and on and on"[..], &[0xff; 100], &[0; 64]]
        {
            for size in [1, 7, 1000] {
                assert_eq!(through(bytes, size), bytes);
            }
        }
        let mut cut = frame(b"tmp%2Fs.sock", END_HEADERS | PADDED);
        assert_eq!(through(&cut, 1000).len(), cut.len());
        cut.truncate(60);
        assert!(through(&cut, 1000).len() <= 60);
    }
}
