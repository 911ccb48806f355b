use super::{ParseError, Position};

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
    End,
}

impl Token {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ident(_) => "IDENT",
            Self::String(_) => "STRING",
            Self::Heredoc(_) => "HEREDOC",
            Self::Number(_) => "NUMBER",
            Self::Bool(_) => "BOOL",
            Self::LBrace => "LBRACE",
            Self::RBrace => "RBRACE",
            Self::LBracket => "LBRACK",
            Self::RBracket => "RBRACK",
            Self::Assign => "ASSIGN",
            Self::Comma => "COMMA",
            Self::End => "EOF",
        }
    }
}

/// Cuts a text into tokens (SC-020).
pub(super) struct Lexer<'a> {
    rest: &'a str,
    at: Position,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // A byte order mark is not part of the text.
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), at: Position { line: 1, column: 1 } }
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::Hcl(self.at, message.into())
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.peek().filter(|c| wanted(*c)) {
            taken.push(c);
            self.advance();
        }
        taken
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(Token, Position), ParseError> {
        self.skip_blank()?;
        let at = self.at;
        let Some(c) = self.peek() else { return Ok((Token::End, at)) };
        let token = match c {
            '{' => self.single(Token::LBrace),
            '}' => self.single(Token::RBrace),
            '[' => self.single(Token::LBracket),
            ']' => self.single(Token::RBracket),
            '=' => self.single(Token::Assign),
            ',' => self.single(Token::Comma),
            '"' => Token::String(self.string()?),
            '<' => Token::Heredoc(self.heredoc()?),
            '-' | '0'..='9' => Token::Number(self.number()?),
            c if c.is_alphabetic() || c == '_' => {
                let word = self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
                match word.as_str() {
                    "true" => Token::Bool(true),
                    "false" => Token::Bool(false),
                    _ => Token::Ident(word),
                }
            }
            other => return Err(self.error(format!("illegal character {other:?}"))),
        };
        Ok((token, at))
    }

    fn single(&mut self, token: Token) -> Token {
        self.advance();
        token
    }

    fn skip_blank(&mut self) -> Result<(), ParseError> {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r' | '\n') => {
                    self.advance();
                }
                Some('#') => {
                    self.take_while(|c| c != '\n');
                }
                Some('/') if self.rest.starts_with("//") => {
                    self.take_while(|c| c != '\n');
                }
                Some('/') if self.rest.starts_with("/*") => {
                    self.advance();
                    self.advance();
                    while !self.rest.starts_with("*/") {
                        if self.advance().is_none() {
                            return Err(self.error("comment not terminated"));
                        }
                    }
                    self.advance();
                    self.advance();
                }
                Some('/') => return Err(self.error("expected '/' for comment")),
                _ => return Ok(()),
            }
        }
    }

    fn number(&mut self) -> Result<String, ParseError> {
        let text = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'));
        let unsigned = text.strip_prefix('-').unwrap_or(&text);
        let hex = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X"));
        let good = match hex {
            Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()),
            None if unsigned.len() > 1
                && unsigned.starts_with('0')
                && unsigned.bytes().all(|b| b.is_ascii_digit()) =>
            {
                unsigned.bytes().all(|b| b < b'8')
            }
            None => unsigned.starts_with(|c: char| c.is_ascii_digit()) && unsigned.parse::<f64>().is_ok(),
        };
        if good { Ok(text) } else { Err(self.error(format!("illegal number {text:?}"))) }
    }

    /// A quoted string; within `${…}` quotes may nest and nothing is unescaped.
    fn string(&mut self) -> Result<String, ParseError> {
        self.advance();
        let mut out = String::new();
        let mut depth = 0usize;
        loop {
            if depth == 0 && self.rest.starts_with("${") {
                depth = 1;
                out.push_str("${");
                self.advance();
                self.advance();
                continue;
            }
            if depth == 0 && self.peek() == Some('\n') {
                return Err(self.error("literal not terminated"));
            }
            match self.advance() {
                None => return Err(self.error("literal not terminated")),
                Some('"') if depth == 0 => return Ok(out),
                Some('\\') if depth == 0 => out.push(self.escape()?),
                Some(c) => {
                    match c {
                        '{' if depth > 0 => depth += 1,
                        '}' if depth > 0 => depth -= 1,
                        _ => {}
                    }
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        let c = self.advance().ok_or_else(|| self.error("escape sequence not terminated"))?;
        Ok(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            '"' => '"',
            'x' => self.code_point(2, 16, 0)?,
            'u' => self.code_point(4, 16, 0)?,
            'U' => self.code_point(8, 16, 0)?,
            '0'..='7' => self.code_point(2, 8, c as u32 - '0' as u32)?,
            other => return Err(self.error(format!("illegal char escape {other:?}"))),
        })
    }

    fn code_point(&mut self, digits: usize, base: u32, start: u32) -> Result<char, ParseError> {
        let mut value = start;
        for _ in 0..digits {
            let digit = self.peek().and_then(|c| c.to_digit(base));
            let digit = digit.ok_or_else(|| self.error("illegal char escape"))?;
            self.advance();
            value = value.saturating_mul(base).saturating_add(digit);
        }
        char::from_u32(value).ok_or_else(|| self.error("escape sequence is no character"))
    }

    /// `<<EOF` keeps lines as they are; `<<-EOF` takes the common indentation away.
    fn heredoc(&mut self) -> Result<String, ParseError> {
        if !self.rest.starts_with("<<") {
            return Err(self.error("heredoc expected second '<'"));
        }
        self.advance();
        self.advance();
        let indented = self.peek() == Some('-');
        if indented {
            self.advance();
        }
        let anchor = self.take_while(|c| c.is_alphanumeric() || c == '_');
        if anchor.is_empty() {
            return Err(self.error("zero-length heredoc anchor"));
        }
        self.take_while(|c| c == '\r');
        if self.advance() != Some('\n') {
            return Err(self.error("invalid characters in heredoc anchor"));
        }
        let mut lines: Vec<String> = Vec::new();
        loop {
            let line = self.take_while(|c| c != '\n');
            if line.trim() == anchor && (indented || line.trim_end() == anchor) {
                break;
            }
            if self.advance().is_none() {
                return Err(self.error("heredoc not terminated"));
            }
            lines.push(line);
        }
        if indented {
            let blank = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
            let common = lines.iter().map(|line| blank(line)).min().unwrap_or_default();
            for line in &mut lines {
                line.drain(..common.min(line.len()));
            }
        }
        Ok(lines.into_iter().map(|line| line + "\n").collect())
    }
}
