//! As much of HPACK's Huffman code (RFC 7541, appendix B) as it takes to find symbols.

/// The codes of one length are consecutive: length, first code, last code.
const LENGTHS: [(u32, u32, u32); 10] = [
    (5, 0x0, 0x9),
    (6, 0x14, 0x2d),
    (7, 0x5c, 0x7b),
    (8, 0xf8, 0xfd),
    (10, 0x3f8, 0x3fc),
    (11, 0x7fa, 0x7fc),
    (12, 0xffa, 0xffb),
    (13, 0x1ff8, 0x1ffd),
    (14, 0x3ffc, 0x3ffd),
    (15, 0x7ffc, 0x7ffe),
];

const PERCENT: u32 = 0x15;
const DASH: u32 = 0x16;
const DOT: u32 = 0x17;
const SLASH: u32 = 0x18;

/// Makes `%` a `-` and `/` a `.`; all four have codes of six bits.
pub(super) fn substitute(text: &mut [u8]) {
    let mut at = 0;
    // Ends at the filling, or at a code longer than that of any character of a path.
    while let Some((length, code)) = symbol(text, at) {
        match code {
            PERCENT if length == 6 => put(text, at, DASH),
            SLASH if length == 6 => put(text, at, DOT),
            _ => {}
        }
        at += length as usize;
    }
}

/// Length and code of the symbol that begins at this bit.
fn symbol(text: &[u8], at: usize) -> Option<(u32, u32)> {
    LENGTHS.into_iter().find_map(|(length, first, last)| {
        let code = bits(text, at, length)?;
        (first..=last).contains(&code).then_some((length, code))
    })
}

fn bits(text: &[u8], at: usize, count: u32) -> Option<u32> {
    (at..at + count as usize).try_fold(0, |value, bit| {
        let byte = text.get(bit / 8)?;
        Some(value << 1 | u32::from(byte >> (7 - bit % 8) & 1))
    })
}

/// Writes a code of six bits.
fn put(text: &mut [u8], at: usize, code: u32) {
    for offset in 0..6 {
        let bit = at + offset;
        let mask = 1 << (7 - bit % 8);
        if code >> (5 - offset) & 1 == 1 {
            text[bit / 8] |= mask;
        } else {
            text[bit / 8] &= !mask;
        }
    }
}
