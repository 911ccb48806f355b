use super::{ParseError, Position, is_float};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Ident(String),
    String(String),
    Heredoc(String),
    Number(String),
    Bool(bool),
    LBrace,
    RBrace,
    LBracket,
    RBracket,
    Assign,
    Comma,
    /// Nothing of the language begins here.
    Illegal(&'static str),
    End,
}

impl Token {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ident(_) => "IDENT",
            Self::String(_) => "STRING",
            Self::Heredoc(_) => "HEREDOC",
            Self::Number(text) if is_float(text) => "FLOAT",
            Self::Number(_) => "NUMBER",
            Self::Bool(_) => "BOOL",
            Self::LBrace => "LBRACE",
            Self::RBrace => "RBRACE",
            Self::LBracket => "LBRACK",
            Self::RBracket => "RBRACK",
            Self::Assign => "ASSIGN",
            Self::Comma => "COMMA",
            Self::Illegal(name) => name,
            Self::End => "EOF",
        }
    }
}

/// Upstream keeps this one for itself.
const RESERVED: char = '\u{e123}';

/// Cuts a text into tokens (SC-020).
///
/// A mistake does not end it: as in upstream the reading goes on, and the last mistake is what is reported.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    at: Position,
    /// The same before the character that was taken last.
    before: (&'a str, Position),
    /// The token that was read last, as it is written.
    text: &'a str,
    mistake: Option<ParseError>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let at = Position { line: 1, column: 1 };
        Self { rest: text, at, before: (text, at), text: "", mistake: None }
    }

    /// The token that was read last, as it is written.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The last mistake so far.
    pub(super) fn mistake(&mut self) -> Option<ParseError> {
        self.mistake.take()
    }

    /// At the character that was taken last, or the end if that was.
    fn error(&mut self, message: impl Into<String>) {
        self.mistake = Some(ParseError::Hcl(self.before.1, message.into()));
    }

    /// At the character that comes next.
    fn error_at_next(&mut self, message: &str) {
        let next = self.advance();
        self.error(message);
        if next.is_some() {
            self.unread();
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Nothing at the end of the text, and at a NUL, which upstream takes for an end. In positions the end counts as
    /// often as it is read.
    fn advance(&mut self) -> Option<char> {
        self.before = (self.rest, self.at);
        let next = self.peek();
        self.rest = &self.rest[next.map_or(0, char::len_utf8)..];
        match next {
            Some('\n') => self.at = Position { line: self.at.line + 1, column: 1 },
            _ => self.at.column += 1,
        }
        match next {
            Some('\0') => self.error("unexpected null character (0x00)"),
            Some(RESERVED) => self.error("unicode code point U+E123 reserved for internal use"),
            _ => {}
        }
        next.filter(|c| *c != '\0')
    }

    /// Takes back the last `advance`.
    fn unread(&mut self) {
        (self.rest, self.at) = self.before;
    }

    /// Upstream reads the end together with a word, number or comment before it.
    fn pass_end(&mut self) {
        if matches!(self.peek(), None | Some('\0')) {
            self.advance();
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest[..length];
        for _ in taken.chars() {
            self.advance();
        }
        taken
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> (Token, Position) {
        self.skip_blank();
        let (whole, at) = (self.rest, self.at);
        let token = self.token();
        self.text = &whole[..whole.len() - self.rest.len()];
        (token, at)
    }

    fn token(&mut self) -> Token {
        let Some(c) = self.peek().filter(|c| *c != '\0') else {
            self.advance();
            return Token::End;
        };
        if is_letter(c) {
            let word = self.take_while(|c| is_letter(c) || is_digit(c) || matches!(c, '-' | '.'));
            self.pass_end();
            return match word {
                "true" | "false" => Token::Bool(word == "true"),
                _ => Token::Ident(word.to_owned()),
            };
        }
        let number = self.rest.strip_prefix('-').unwrap_or(self.rest);
        if number.starts_with(|c: char| c.is_ascii_digit()) {
            return Token::Number(self.number().to_owned());
        }
        if c == '.' && self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return Token::Number(self.fraction().to_owned());
        }
        self.advance();
        match c {
            '{' => Token::LBrace,
            '}' => Token::RBrace,
            '[' => Token::LBracket,
            ']' => Token::RBracket,
            '=' => Token::Assign,
            ',' => Token::Comma,
            '.' => Token::Illegal("PERIOD"),
            '+' => Token::Illegal("ADD"),
            '-' => Token::Illegal("SUB"),
            '"' => Token::String(self.string()),
            '<' => Token::Heredoc(self.heredoc()),
            _ => {
                self.error("illegal char");
                Token::Illegal("ILLEGAL")
            }
        }
    }

    fn skip_blank(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r' | '\n') => {
                    self.advance();
                }
                Some('/') if self.rest.starts_with("/*") => self.skip_block_comment(),
                Some('#' | '/') if !self.rest.starts_with('/') || self.rest.starts_with("//") => {
                    self.take_while(|c| c != '\n' && c != '\0');
                    self.pass_end();
                }
                Some('/') => {
                    self.advance();
                    self.error("expected '/' for comment");
                }
                _ => return,
            }
        }
    }

    fn skip_block_comment(&mut self) {
        self.take(2);
        let mut last = self.advance();
        while last.is_some() {
            let next = self.advance();
            if (last, next) == (Some('*'), Some('/')) {
                return;
            }
            last = next;
        }
        self.error("comment not terminated");
    }

    /// Ends where a number cannot go on: `24h` is the number 24 and a word.
    fn number(&mut self) -> &'a str {
        let whole = self.rest;
        self.take_while(|c| c == '-');
        if self.rest.starts_with("0x") || self.rest.starts_with("0X") {
            self.take(2);
            if self.take_while(|c| c.is_ascii_hexdigit()).is_empty() {
                self.error_at_next("illegal hexadecimal number");
            }
        } else {
            let digits = self.take_while(|c| c.is_ascii_digit());
            let float = !self.fraction().is_empty();
            // Upstream does not look at the second digit.
            if !float && digits.starts_with('0') && digits.len() > 2 && digits[2..].contains(['8', '9']) {
                self.error_at_next("illegal octal number");
            } else if !float && !digits.starts_with('0') {
                self.pass_end();
            }
        }
        let number = &whole[..whole.len() - self.rest.len()];
        self.pass_end();
        number
    }

    /// What makes a number a float, if it is there.
    fn fraction(&mut self) -> &'a str {
        let whole = self.rest;
        if self.peek() == Some('.') {
            self.advance();
            self.take_while(|c| c.is_ascii_digit());
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.advance();
            if matches!(self.peek(), Some('+' | '-')) {
                self.advance();
            }
            self.take_while(|c| c.is_ascii_digit());
        }
        &whole[..whole.len() - self.rest.len()]
    }

    /// A quoted string; within `${…}` quotes may nest and nothing is unescaped.
    fn string(&mut self) -> String {
        let mut out = Vec::new();
        let mut depth = 0usize;
        loop {
            if depth == 0 && self.rest.starts_with("${") {
                out.extend_from_slice(self.take(2).as_bytes());
                depth = 1;
                continue;
            }
            let whole = self.rest;
            let Some(c) = self.advance().filter(|c| depth > 0 || *c != '\n') else {
                self.error("literal not terminated");
                break;
            };
            match c {
                '"' if depth == 0 => break,
                '\\' if depth == 0 => {
                    self.escape(&mut out);
                    continue;
                }
                // Has to be well-formed, and stays as it is.
                '\\' => self.escape(&mut Vec::new()),
                '{' => depth += usize::from(depth > 0),
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            out.extend_from_slice(&whole.as_bytes()[..whole.len() - self.rest.len()]);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn escape(&mut self, out: &mut Vec<u8>) {
        let byte = match self.advance() {
            Some('a') => 0x7,
            Some('b') => 0x8,
            Some('f') => 0xc,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 0xb,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('x') => return self.byte(2, 16, out),
            Some('0'..='7') => {
                self.unread();
                return self.byte(3, 8, out);
            }
            Some('u') => return self.code_point(4, out),
            Some('U') => return self.code_point(8, out),
            _ => return self.error("illegal char escape"),
        };
        out.push(byte);
    }

    /// A byte by its number, which may be part of a character only.
    fn byte(&mut self, digits: usize, base: u32, out: &mut Vec<u8>) {
        let Some(value) = self.digits(digits, base) else { return };
        match u8::try_from(value) {
            Ok(byte) => out.push(byte),
            Err(_) => self.error("escape sequence is no byte"),
        }
    }

    fn code_point(&mut self, digits: usize, out: &mut Vec<u8>) {
        let Some(value) = self.digits(digits, 16) else { return };
        let c = match value {
            // Go cannot encode them either.
            0xd800..0xe000 => Some(char::REPLACEMENT_CHARACTER),
            value => char::from_u32(value),
        };
        match c {
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => self.error("escape sequence is no character"),
        }
    }

    /// So many digits. What stands in the place of the first is lost to the string, even its closing quote.
    fn digits(&mut self, count: usize, base: u32) -> Option<u32> {
        let mut value = 0u32;
        for place in 0..count {
            let next = self.advance();
            let Some(digit) = next.and_then(|c| c.to_digit(base)) else {
                self.error("illegal char escape");
                if place > 0 && next.is_some() {
                    self.unread();
                }
                return None;
            };
            value = value.saturating_mul(base).saturating_add(digit);
        }
        Some(value)
    }

    /// `<<EOF` keeps lines as they are; `<<-EOF` takes away the indentation of the closing line if all lines have it.
    fn heredoc(&mut self) -> String {
        if self.advance() != Some('<') {
            self.error("heredoc expected second '<', didn't see it");
            return String::new();
        }
        let indented = self.peek() == Some('-');
        if indented {
            self.advance();
        }
        let anchor = self.take_while(|c| is_letter(c) || is_digit(c));
        match self.advance() {
            None => self.error("heredoc not terminated"),
            Some('\n') if anchor.is_empty() => self.error("zero-length heredoc anchor"),
            Some('\n') => return self.heredoc_lines(anchor, indented),
            Some(_) => self.error("invalid characters in heredoc anchor"),
        }
        String::new()
    }

    fn heredoc_lines(&mut self, anchor: &str, indented: bool) -> String {
        let mut lines: Vec<&str> = Vec::new();
        loop {
            let line = self.take_while(|c| c != '\n' && c != '\0');
            if self.advance().is_none() {
                self.error("heredoc not terminated");
                return String::new();
            }
            let margin = line.strip_suffix(anchor).filter(|margin| margin.trim_ascii_start().is_empty());
            let Some(margin) = margin.filter(|margin| !indented || !margin.is_empty()) else {
                lines.push(line);
                continue;
            };
            let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            if !indented {
                text.push_str(margin);
            } else if lines.iter().all(|line| line.starts_with(margin)) {
                text = lines.iter().map(|line| format!("{}\n", &line[margin.len()..])).collect();
            }
            return text;
        }
    }
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_digit(c: char) -> bool {
    c.is_numeric()
}
