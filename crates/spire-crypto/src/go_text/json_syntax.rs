//! The first syntax error of a JSON text.

use spire_types::go_text::quote_char;

/// What Go's `encoding/json` says of a text that is no JSON; `None` if it is.
///
/// What it lets pass, `serde_json` may still refuse: texts that are not UTF-8, halves of surrogate pairs, numbers
/// beyond floats, and nesting deeper than 127 levels.
pub fn json_syntax_error(text: &[u8]) -> Option<String> {
    Scanner { text, at: 0 }.document().err()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// A text ends in a space of Go's own, so that a word which is cut off has a wrong character and no early end.
    fn peek(&self) -> Result<u8, String> {
        match self.text.get(self.at) {
            Some(byte) => Ok(*byte),
            None if self.at == self.text.len() => Ok(b' '),
            None => Err("unexpected end of JSON input".to_owned()),
        }
    }

    fn take(&mut self) -> Result<u8, String> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    /// The next byte that is no white space.
    fn token(&mut self) -> Result<u8, String> {
        loop {
            let byte = self.take()?;
            if !is_space(byte) {
                return Ok(byte);
            }
        }
    }

    /// Not recursive: whoever sends the text chooses how deep it is.
    fn document(&mut self) -> Result<(), String> {
        let mut open = Vec::new();
        'value: loop {
            match self.token()? {
                b'{' => {
                    let first = self.token()?;
                    if first != b'}' {
                        self.key(first)?;
                        open.push(b'{');
                        continue;
                    }
                }
                b'[' => {
                    if self.token()? != b']' {
                        self.at -= 1;
                        open.push(b'[');
                        continue;
                    }
                }
                first => self.scalar(first)?,
            }
            // A value has ended, and maybe that which it is the last of.
            loop {
                let Some(bracket) = open.last().copied() else { return self.end() };
                match (bracket, self.token()?) {
                    (b'[', b',') => continue 'value,
                    (b'{', b',') => {
                        let first = self.token()?;
                        self.key(first)?;
                        continue 'value;
                    }
                    (b'[', b']') | (b'{', b'}') => {
                        open.pop();
                    }
                    (b'[', found) => return Err(unexpected(found, "after array element")),
                    (_, found) => return Err(unexpected(found, "after object key:value pair")),
                }
            }
        }
    }

    /// After the one value.
    fn end(&self) -> Result<(), String> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match rest.iter().find(|byte| !is_space(**byte)) {
            None => Ok(()),
            Some(found) => Err(unexpected(*found, "after top-level value")),
        }
    }

    /// The name of a member and its colon.
    fn key(&mut self, first: u8) -> Result<(), String> {
        if first != b'"' {
            return Err(unexpected(first, "looking for beginning of object key string"));
        }
        self.string()?;
        match self.token()? {
            b':' => Ok(()),
            found => Err(unexpected(found, "after object key")),
        }
    }

    fn scalar(&mut self, first: u8) -> Result<(), String> {
        match first {
            b'"' => self.string(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' | b'0'..=b'9' => self.number(first),
            _ => Err(unexpected(first, "looking for beginning of value")),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        for expected in word.chars().skip(1) {
            let found = self.take()?;
            if char::from(found) != expected {
                return Err(unexpected(found, &format!("in literal {word} (expecting {expected:?})")));
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.take()? {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                found @ 0..0x20 => return Err(unexpected(found, "in string literal")),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.take()? {
            b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => Ok(()),
            b'u' => (0..4).try_for_each(|_| match self.take()? {
                digit if digit.is_ascii_hexdigit() => Ok(()),
                found => Err(unexpected(found, "in \\u hexadecimal character escape")),
            }),
            found => Err(unexpected(found, "in string escape code")),
        }
    }

    fn number(&mut self, first: u8) -> Result<(), String> {
        let mut digit = first;
        if first == b'-' {
            digit = self.digit("in numeric literal")?;
        }
        if digit != b'0' {
            self.digits()?;
        }
        if self.peek()? == b'.' {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits()?;
        }
        if matches!(self.peek()?, b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits()?;
        }
        Ok(())
    }

    fn digit(&mut self, place: &str) -> Result<u8, String> {
        let found = self.take()?;
        if found.is_ascii_digit() { Ok(found) } else { Err(unexpected(found, place)) }
    }

    fn digits(&mut self) -> Result<(), String> {
        while self.peek()?.is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn unexpected(found: u8, place: &str) -> String {
    format!("invalid character {} {place}", quoted(found))
}

/// Bytes beyond ASCII are the characters of these numbers to Go, whatever they are part of.
fn quoted(byte: u8) -> String {
    quote_char(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_has_no_error() {
        for text in
            ["{}", " [ ] ", "0", "-0.5e+7 ", r#"{"a":[1,{"b":null}],"c":"\u00e9\n"}"#, "[[[]],true,false]"]
        {
            assert_eq!(json_syntax_error(text.as_bytes()), None, "{text}");
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(json_syntax_error(deep.as_bytes()), None, "no stack is used up");
    }

    #[test]
    fn each_error_is_named_with_its_place() {
        // A user who reads "looking for beginning of value" for all of them looks for the fault in the wrong place.
        for (text, expected) in [
            ("x", "'x' looking for beginning of value"),
            ("[1,]", "']' looking for beginning of value"),
            ("{\"a\":}", "'}' looking for beginning of value"),
            ("{x", "'x' looking for beginning of object key string"),
            ("{\"a\":1,}", "'}' looking for beginning of object key string"),
            ("{\"a\" 1}", "'1' after object key"),
            ("{\"a\":1 \"b\"}", "'\"' after object key:value pair"),
            ("{\"a\":[]]", "']' after object key:value pair"),
            ("[1 2]", "'2' after array element"),
            ("01", "'1' after top-level value"),
            ("{} {", "'{' after top-level value"),
            ("trux", "'x' in literal true (expecting 'e')"),
            ("tru", "' ' in literal true (expecting 'e')"),
            ("[fals3", "'3' in literal false (expecting 'e')"),
            ("nil", "'i' in literal null (expecting 'u')"),
            ("\"a\nb\"", r"'\n' in string literal"),
            ("\"\u{1}\"", r"'\x01' in string literal"),
            (r#""\x""#, "'x' in string escape code"),
            (r#""\u00g""#, r"'g' in \u hexadecimal character escape"),
            ("-", "' ' in numeric literal"),
            ("-a", "'a' in numeric literal"),
            ("1.", "' ' after decimal point in numeric literal"),
            ("1e+", "' ' in exponent of numeric literal"),
            ("'a'", r"'\'' looking for beginning of value"),
            ("\\", r"'\\' looking for beginning of value"),
            ("é", "'Ã' looking for beginning of value"),
        ] {
            let expected = format!("invalid character {expected}");
            assert_eq!(json_syntax_error(text.as_bytes()), Some(expected), "{text:?}");
        }
        for text in ["", " \n", "{", "[", "[1", "\"abc", "{\"a\"", "{\"a\":", "{\"a\":1"] {
            let expected = Some("unexpected end of JSON input".to_owned());
            assert_eq!(json_syntax_error(text.as_bytes()), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_serde_json_reads_has_no_error(text in r#"[\[\]{},:"\\ 0-9a-z.eE+-]{0,12}"#) {
            let read = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            proptest::prop_assert_eq!(json_syntax_error(text.as_bytes()).is_none(), read);
        }
    }
}
