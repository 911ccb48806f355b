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

/// Cuts a text into tokens (SC-020).
///
/// A mistake does not end it: as in upstream the reading goes on, and the last mistake is what is reported.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    at: Position,
    /// Where the character stands that was taken last.
    last: Position,
    mistake: Option<ParseError>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let at = Position { line: 1, column: 1 };
        Self { rest: text, at, last: at, mistake: None }
    }

    /// The last mistake so far.
    pub(super) fn mistake(&mut self) -> Option<ParseError> {
        self.mistake.take()
    }

    /// At the character that was taken last.
    fn error(&mut self, message: impl Into<String>) {
        self.mistake = Some(ParseError::Hcl(self.last, message.into()));
    }

    fn error_at_end(&mut self, message: impl Into<String>) {
        self.mistake = Some(ParseError::Hcl(self.at, message.into()));
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.last = self.at;
        if c == '\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(c)
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
        let at = self.at;
        let Some(c) = self.peek() else { return (Token::End, at) };
        if is_letter(c) {
            let word = self.take_while(|c| is_letter(c) || is_digit(c) || matches!(c, '-' | '.'));
            return match word {
                "true" | "false" => (Token::Bool(word == "true"), at),
                _ => (Token::Ident(word.to_owned()), at),
            };
        }
        let number = self.rest.strip_prefix('-').unwrap_or(self.rest);
        if number.starts_with(|c: char| c.is_ascii_digit()) {
            return (Token::Number(self.number()), at);
        }
        if c == '.' && self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return (Token::Number(self.fraction().to_owned()), at);
        }
        self.advance();
        let token = match c {
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
        };
        (token, at)
    }

    fn skip_blank(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r' | '\n') => {
                    self.advance();
                }
                Some('/') if self.rest.starts_with("/*") => self.skip_block_comment(),
                Some('#' | '/') if !self.rest.starts_with('/') || self.rest.starts_with("//") => {
                    self.take_while(|c| c != '\n');
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
        match self.rest[2..].find("*/") {
            Some(end) => {
                self.take(end + 4);
            }
            None => {
                self.take(self.rest.len());
                self.error_at_end("comment not terminated");
            }
        }
    }

    /// Ends where a number cannot go on: `24h` is the number 24 and a word.
    fn number(&mut self) -> String {
        let whole = self.rest;
        self.take_while(|c| c == '-');
        if self.rest.starts_with("0x") || self.rest.starts_with("0X") {
            self.advance();
            self.advance();
            if self.take_while(|c| c.is_ascii_hexdigit()).is_empty() {
                self.error("illegal hexadecimal number");
            }
        } else {
            let digits = self.take_while(|c| c.is_ascii_digit());
            if self.fraction().is_empty()
                && digits.starts_with('0')
                && digits[1..].contains(['8', '9'])
                && digits.len() > 2
            {
                self.error("illegal octal number");
            }
        }
        whole[..whole.len() - self.rest.len()].to_owned()
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
        let mut out = String::new();
        let mut depth = 0usize;
        loop {
            if depth == 0 && self.rest.starts_with("${") {
                self.advance();
                self.advance();
                depth = 1;
                out.push_str("${");
                continue;
            }
            match self.advance() {
                None => {
                    self.error_at_end("literal not terminated");
                    return out;
                }
                Some('\n') if depth == 0 => {
                    self.error("literal not terminated");
                    return out;
                }
                Some('"') if depth == 0 => return out,
                Some('\\') if depth == 0 => out.extend(self.escape()),
                Some(c) => {
                    match c {
                        '{' => depth += usize::from(depth > 0),
                        '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let c = self.advance();
        Some(match c {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some('\\') => '\\',
            Some('"') => '"',
            Some('x') => return self.code_point(2, 16, 0),
            Some('u') => return self.code_point(4, 16, 0),
            Some('U') => return self.code_point(8, 16, 0),
            Some(octal @ '0'..='7') => return self.code_point(2, 8, octal as u32 - '0' as u32),
            _ => {
                self.error("illegal char escape");
                return None;
            }
        })
    }

    fn code_point(&mut self, digits: usize, base: u32, start: u32) -> Option<char> {
        let mut value = start;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(base)) else {
                self.error("illegal char escape");
                return None;
            };
            self.advance();
            value = value.saturating_mul(base).saturating_add(digit);
        }
        let c = char::from_u32(value);
        if c.is_none() {
            self.error("escape sequence is no character");
        }
        c
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
            None => self.error_at_end("heredoc not terminated"),
            Some('\n') if anchor.is_empty() => self.error("zero-length heredoc anchor"),
            Some('\n') => return self.heredoc_lines(anchor, indented),
            Some(_) => self.error("invalid characters in heredoc anchor"),
        }
        String::new()
    }

    fn heredoc_lines(&mut self, anchor: &str, indented: bool) -> String {
        let mut lines: Vec<&str> = Vec::new();
        loop {
            let line = self.take_while(|c| c != '\n');
            if self.advance().is_none() {
                self.error_at_end("heredoc not terminated");
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
