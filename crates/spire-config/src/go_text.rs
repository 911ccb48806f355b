//! Text as Go's library prints it.

use std::fmt::Write as _;

/// Go's `%q`.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let letter = match c {
            '"' | '\\' => c,
            '\x07' => 'a',
            '\x08' => 'b',
            '\x0c' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\x0b' => 'v',
            _ => {
                push(&mut out, c);
                continue;
            }
        };
        out.extend(['\\', letter]);
    }
    out.push('"');
    out
}

fn push(out: &mut String, c: char) {
    let code = u32::from(c);
    // Writing to a String cannot fail.
    let _ = match c {
        ' '..='~' => write!(out, "{c}"),
        '\0'..='\x7f' => write!(out, "\\x{code:02x}"),
        _ if is_printable(c) => write!(out, "{c}"),
        '\u{80}'..='\u{ffff}' => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Rust escapes in debug output what is not printable; of combining marks only those that begin a text.
fn is_printable(c: char) -> bool {
    format!("a{c}").escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        for (text, quoted) in [
            ("plain 'x'", r#""plain 'x'""#),
            ("a \"b\" \\", r#""a \"b\" \\""#),
            ("\t\n\r\x07\x08\x0b\x0c\x01\x7f\0", r#""\t\n\r\a\b\v\f\x01\x7f\x00""#),
            ("grüße 世界 e\u{301}", "\"grüße 世界 e\u{301}\""),
            ("\u{a0}\u{feff}\u{e0001}", r#""\u00a0\ufeff\U000e0001""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }
}
