//! The JSON form (SC-025, SC-026): `null` is the empty string, and much that is no JSON is read as upstream's reader
//! reads it: a file that it accepts must not be refused here.

mod flatten;

use super::{Item, Key, MAX_DEPTH, Object, ParseError, Position, Value};
use flatten::flatten;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    String(String),
    /// Whether it has a fraction or an exponent.
    Number(bool),
    Bool(bool),
    /// By upstream's name: braces, brackets, comma, colon, and what has no place in JSON.
    Other(&'static str),
    End,
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Self::String(_) => "STRING",
            Self::Number(false) => "NUMBER",
            Self::Number(true) => "FLOAT",
            Self::Bool(_) => "BOOL",
            Self::Other(name) => name,
            Self::End => "EOF",
        }
    }
}

const OPEN: Token = Token::Other("LBRACE");
const CLOSE: Token = Token::Other("RBRACE");
const OPEN_LIST: Token = Token::Other("LBRACK");
const CLOSE_LIST: Token = Token::Other("RBRACK");
const COMMA: Token = Token::Other("COMMA");
const COLON: Token = Token::Other("COLON");
const NULL: Token = Token::Other("NULL");

/// Why the reading of an object ended early.
enum Stop {
    /// The text is over. That is no mistake.
    End,
    Mistake(ParseError),
}

impl Stop {
    fn mistake(text: String) -> Self {
        Self::Mistake(ParseError::JsonOrder(text))
    }
}

struct Reader<'a> {
    rest: &'a str,
    at: Position,
    /// Where the character stands that was taken last.
    last: Position,
    /// What was read last: the token, its text, and where it begins.
    token: Token,
    text: &'a str,
    begin: Position,
    /// The last mistake in a token; it goes before mistakes in their order.
    mistake: Option<ParseError>,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Object, ParseError> {
    let at = Position { line: 1, column: 1 };
    let (token, mistake) = (Token::End, None);
    let mut reader = Reader { rest: text, at, last: at, token, text: "", begin: at, mistake, depth: 0 };
    reader.scan();
    // What follows is never looked at.
    let object = reader.object();
    match (reader.mistake, object) {
        (Some(mistake), _) | (None, Err(Stop::Mistake(mistake))) => Err(mistake),
        (None, Err(Stop::End)) => Ok(Object::default()),
        (None, Ok(object)) => Ok(flatten(object)),
    }
}

impl<'a> Reader<'a> {
    fn error(&mut self, place: Position, message: impl Into<String>) {
        self.mistake = Some(ParseError::Json(place, message.into()));
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.last = self.at;
        match c {
            '\n' => self.at = Position { line: self.at.line + 1, column: 1 },
            _ => self.at.column += 1,
        }
        Some(c)
    }

    /// Takes what `wanted` wants; returns how many.
    fn skip(&mut self, wanted: impl Fn(char) -> bool) -> usize {
        let mut count = 0;
        while self.peek().is_some_and(&wanted) {
            self.advance();
            count += 1;
        }
        count
    }

    fn scan(&mut self) {
        self.skip(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
        self.begin = self.at;
        let whole = self.rest;
        self.token = self.next_token();
        self.text = &whole[..whole.len() - self.rest.len()];
    }

    fn next_token(&mut self) -> Token {
        let number = self.rest.strip_prefix(['-', '.']).unwrap_or(self.rest);
        if number.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number();
        }
        let Some(c) = self.advance() else { return Token::End };
        if c.is_alphabetic() || c == '_' {
            return self.word(c);
        }
        match c {
            // Upstream takes it for the end.
            '\0' => Token::End,
            '"' => Token::String(self.string()),
            '{' => OPEN,
            '}' => CLOSE,
            '[' => OPEN_LIST,
            ']' => CLOSE_LIST,
            ',' => COMMA,
            ':' => COLON,
            '.' => Token::Other("PERIOD"),
            '-' => {
                self.error(self.last, "illegal char");
                Token::Other("ILLEGAL")
            }
            other => {
                self.error(self.last, format!("illegal char: {other}"));
                Token::Other("ILLEGAL")
            }
        }
    }

    fn word(&mut self, first: char) -> Token {
        let mut word = String::from(first);
        while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
            word.push(c);
            self.advance();
        }
        match word.as_str() {
            "true" | "false" => Token::Bool(word == "true"),
            "null" => NULL,
            _ => {
                let place = if self.rest.is_empty() { self.at } else { self.last };
                self.error(place, "illegal char");
                Token::Other("ILLEGAL")
            }
        }
    }

    fn number(&mut self) -> Token {
        self.skip(|c| c == '-');
        let zero = self.peek() == Some('0');
        let digits = self.skip(|c| c.is_ascii_digit());
        let mut float = false;
        if self.peek() == Some('.') {
            self.advance();
            self.skip(|c| c.is_ascii_digit());
            float = true;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.advance();
            if matches!(self.peek(), Some('+' | '-')) {
                self.advance();
            }
            self.skip(|c| c.is_ascii_digit());
            float = true;
        }
        if zero && digits > 1 && !float {
            self.error(self.last, "numbers cannot start with 0");
        }
        Token::Number(float)
    }

    /// Strings by Go's rules, so `\/` is an error.
    fn string(&mut self) -> String {
        let mut out = String::new();
        loop {
            match self.advance() {
                None => {
                    self.error(self.at, "literal not terminated");
                    return out;
                }
                Some('\n' | '\0') => {
                    self.error(self.last, "literal not terminated");
                    return out;
                }
                Some('"') => return out,
                Some('\\') => out.extend(self.escape()),
                Some(c) => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let value = match self.advance() {
            Some('a') => 0x7,
            Some('b') => 0x8,
            Some('f') => 0xc,
            Some('n') => 0xa,
            Some('r') => 0xd,
            Some('t') => 0x9,
            Some('v') => 0xb,
            Some(c @ ('\\' | '"')) => return Some(c),
            Some('x') => self.digits(2, 16)?,
            Some('u') => self.unicode()?,
            Some('U') => self.digits(8, 16)?,
            Some(first @ '0'..='7') => (first as u32 - '0' as u32) * 64 + self.digits(2, 8)?,
            Some(_) => {
                self.error(self.last, "illegal char escape");
                return None;
            }
            None => {
                self.error(self.at, "illegal char escape");
                return None;
            }
        };
        Some(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn unicode(&mut self) -> Option<u32> {
        let high = self.digits(4, 16)?;
        if (0xd800..0xdc00).contains(&high) && self.rest.starts_with("\\u") {
            self.advance();
            self.advance();
            let low = self.digits(4, 16)?;
            return Some(0x10000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00) % 0x400);
        }
        Some(high)
    }

    fn digits(&mut self, count: usize, base: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(base)) else {
                self.error(self.at, "illegal char escape");
                return None;
            };
            self.advance();
            value = value.saturating_mul(base).saturating_add(digit);
        }
        Some(value)
    }

    /// Behind `{`. Ends at whatever stands in the place of a comma: no closing brace is looked for.
    fn object(&mut self) -> Result<Object, Stop> {
        self.deeper()?;
        let mut object = Object::default();
        loop {
            match self.item() {
                Ok((keys, value)) => object.items.push(Item { keys, value }),
                Err(Stop::End) => break,
                // A comma before the brace, and nothing but the brace.
                Err(Stop::Mistake(_)) if self.token == CLOSE => break,
                Err(mistake) => return Err(mistake),
            }
            self.scan();
            if self.token != COMMA {
                break;
            }
        }
        self.depth -= 1;
        Ok(object)
    }

    fn deeper(&mut self) -> Result<(), Stop> {
        if self.depth == MAX_DEPTH {
            return Err(Stop::Mistake(ParseError::Json(self.at, "nested too deeply".to_owned())));
        }
        self.depth += 1;
        Ok(())
    }

    fn item(&mut self) -> Result<(Vec<Key>, Value), Stop> {
        let mut keys = Vec::new();
        loop {
            self.scan();
            match &self.token {
                Token::String(name) => {
                    keys.push(Key { name: name.clone(), bare: true, position: self.begin });
                }
                Token::End => return Err(Stop::End),
                token if *token == COLON && !keys.is_empty() => break,
                token => return Err(Stop::mistake(format!("expected: STRING got: {}", token.name()))),
            }
        }
        self.scan();
        match self.value()? {
            Some(value) => Ok((keys, value)),
            None => Err(Stop::mistake(format!(
                "Expected object value, got unknown token: {} {} {}",
                self.begin,
                self.token.name(),
                self.text
            ))),
        }
    }

    /// The value that begins with the token that was read last, if one does.
    fn value(&mut self) -> Result<Option<Value>, Stop> {
        let at = self.begin;
        Ok(Some(match &self.token {
            Token::String(text) => Value::String(text.clone(), at),
            Token::Number(_) => Value::Number(self.text.to_owned(), at),
            Token::Bool(value) => Value::Bool(*value, at),
            Token::End => return Err(Stop::End),
            token if *token == NULL => Value::String(String::new(), at),
            token if *token == OPEN => Value::Object(self.object()?, at),
            token if *token == OPEN_LIST => self.list()?,
            Token::Other(_) => return Ok(None),
        }))
    }

    /// Behind `[`. Commas are neither needed nor counted; booleans and further opening brackets are passed over.
    fn list(&mut self) -> Result<Value, Stop> {
        self.deeper()?;
        let (at, mut list) = (self.begin, Vec::new());
        loop {
            self.scan();
            let value = match &self.token {
                token if *token == CLOSE_LIST => break,
                token if *token == COMMA || *token == OPEN_LIST => continue,
                Token::Bool(_) => continue,
                token if matches!(token, Token::String(_) | Token::Number(_)) || *token == OPEN => {
                    self.value()?
                }
                _ => None,
            };
            let Some(value) = value else {
                let name = self.token.name();
                return Err(Stop::mistake(format!("unexpected token while parsing list: {name}")));
            };
            list.push(value);
        }
        self.depth -= 1;
        Ok(Value::List(list, at))
    }
}
