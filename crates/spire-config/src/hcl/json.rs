//! The JSON form (SC-025, SC-026): lists of objects are repeated blocks,
//! `null` is the empty string, trailing commas are accepted.

use super::{Item, Key, MAX_DEPTH, Object, ParseError, Position, Value};

struct Reader<'a> {
    rest: &'a str,
    at: Position,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Object, ParseError> {
    let mut reader = Reader { rest: text, at: Position { line: 1, column: 1 }, depth: 0 };
    reader.blank();
    // What follows is never looked at.
    reader.object()
}

impl Reader<'_> {
    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::Json(self.at, message.into())
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        match c {
            '\n' => self.at = Position { line: self.at.line + 1, column: 1 },
            _ => self.at.column += 1,
        }
        Some(c)
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(|c| matches!(c, ' ' | '\t' | '\r' | '\n')) {
            self.advance();
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), ParseError> {
        self.blank();
        match self.peek() {
            Some(c) if c == wanted => {
                self.advance();
                Ok(())
            }
            Some(c) => Err(self.unexpected(c, wanted)),
            None => Err(self.error(format!("expected {wanted:?}, got: EOF"))),
        }
    }

    /// Upstream tells characters that begin nothing from words in the wrong place.
    fn unexpected(&self, c: char, wanted: char) -> ParseError {
        match (word_at(self.rest), word_at(wanted.encode_utf8(&mut [0; 4]))) {
            (Some(found), Some(wanted)) => ParseError::JsonOrder { wanted, found },
            _ if c.is_alphanumeric() => self.error("illegal char"),
            _ => self.error(format!("illegal char: {c}")),
        }
    }

    /// Ends where the text ends, or at whatever stands in the place of a comma: upstream looks for no closing brace,
    /// and a file that it reads must not be refused here.
    fn object(&mut self) -> Result<Object, ParseError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.depth += 1;
        self.expect('{')?;
        let mut object = Object::default();
        loop {
            self.blank();
            match self.peek() {
                None => break,
                Some('}') => {
                    self.advance();
                    break;
                }
                Some('"') => {}
                Some(_) => self.expect('"')?,
            }
            let position = self.at;
            let key = Key { name: self.string()?, bare: true, position };
            if self.at_end() {
                break;
            }
            self.expect(':')?;
            if self.at_end() {
                break;
            }
            flatten(&mut object, key, self.value()?);
            if self.at_end() || !self.skip_word()? {
                break;
            }
        }
        self.depth -= 1;
        Ok(object)
    }

    fn at_end(&mut self) -> bool {
        self.blank();
        self.peek().is_none()
    }

    /// Passes over one word; tells whether it was a comma.
    fn skip_word(&mut self) -> Result<bool, ParseError> {
        match self.peek() {
            Some(c @ (',' | ':' | '{' | '}' | '[' | ']')) => {
                self.advance();
                Ok(c == ',')
            }
            _ => self.value().map(|_| false),
        }
    }

    fn value(&mut self) -> Result<Value, ParseError> {
        let at = self.at;
        match self.peek() {
            Some('{') => Ok(Value::Object(self.object()?, at)),
            Some('[') => self.list(),
            Some('"') => Ok(Value::String(self.string()?, at)),
            Some('-' | '0'..='9') => self.number(),
            Some(c) if c.is_ascii_alphabetic() => self.word(),
            Some(c) => Err(self.error(format!("illegal char: {c}"))),
            None => Err(self.error("unexpected end of file")),
        }
    }

    fn list(&mut self) -> Result<Value, ParseError> {
        let at = self.at;
        if self.depth == MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.depth += 1;
        self.advance();
        let mut list = Vec::new();
        loop {
            self.blank();
            match self.peek() {
                Some(']') => break,
                // Commas are neither needed nor counted.
                Some(',') => {
                    self.advance();
                    continue;
                }
                _ => {}
            }
            match self.value()? {
                // Booleans inside arrays are dropped (SC-026).
                Value::Bool(..) => {}
                value => list.push(value),
            }
        }
        self.advance();
        self.depth -= 1;
        Ok(Value::List(list, at))
    }

    fn word(&mut self) -> Result<Value, ParseError> {
        let at = self.at;
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let word = self.rest[..end].to_owned();
        for _ in 0..word.len() {
            self.advance();
        }
        match word.as_str() {
            "true" => Ok(Value::Bool(true, at)),
            "false" => Ok(Value::Bool(false, at)),
            "null" => Ok(Value::String(String::new(), at)),
            _ => Err(self.error(format!("unknown word {word:?}"))),
        }
    }

    fn number(&mut self) -> Result<Value, ParseError> {
        let at = self.at;
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E')))
            .unwrap_or(self.rest.len());
        let text = self.rest[..end].to_owned();
        for _ in 0..text.len() {
            self.advance();
        }
        match text.parse::<f64>() {
            Ok(_) => Ok(Value::Number(text, at)),
            Err(_) => Err(self.error(format!("illegal number {text:?}"))),
        }
    }

    /// Strings by Go's rules, so `\/` is an error.
    fn string(&mut self) -> Result<String, ParseError> {
        self.advance();
        let mut out = String::new();
        loop {
            match self.advance() {
                None | Some('\n') => return Err(self.error("literal not terminated")),
                Some('"') => return Ok(out),
                Some('\\') => match self.advance() {
                    Some('b') => out.push('\u{8}'),
                    Some('f') => out.push('\u{c}'),
                    Some('n') => out.push('\n'),
                    Some('r') => out.push('\r'),
                    Some('t') => out.push('\t'),
                    Some('\\') => out.push('\\'),
                    Some('"') => out.push('"'),
                    Some('u') => out.push(self.unicode()?),
                    _ => return Err(self.error("illegal char escape")),
                },
                Some(c) => out.push(c),
            }
        }
    }

    fn unicode(&mut self) -> Result<char, ParseError> {
        let high = self.four_digits()?;
        if (0xd800..0xdc00).contains(&high) && self.rest.starts_with("\\u") {
            self.advance();
            self.advance();
            let low = self.four_digits()?;
            let joined = 0x10000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00) % 0x400;
            return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Result<u32, ParseError> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.advance().and_then(|c| c.to_digit(16));
            value = value * 16 + digit.ok_or_else(|| self.error("illegal char escape"))?;
        }
        Ok(value)
    }
}

/// What kind of word begins here, by upstream's name.
fn word_at(text: &str) -> Option<&'static str> {
    Some(match text.chars().next()? {
        '{' => "LBRACE",
        '}' => "RBRACE",
        '[' => "LBRACK",
        ']' => "RBRACK",
        ',' => "COMMA",
        ':' => "COLON",
        '"' => "STRING",
        '-' | '0'..='9' => "NUMBER",
        _ if text.starts_with("true") || text.starts_with("false") => "BOOL",
        _ if text.starts_with("null") => "NULL",
        _ => return None,
    })
}

/// A list of objects is the block repeated.
fn flatten(object: &mut Object, key: Key, value: Value) {
    match value {
        Value::List(list, _) if !list.is_empty() && list.iter().all(|v| matches!(v, Value::Object(..))) => {
            for value in list {
                object.items.push(Item { keys: vec![key.clone()], value });
            }
        }
        value => object.items.push(Item { keys: vec![key], value }),
    }
}
