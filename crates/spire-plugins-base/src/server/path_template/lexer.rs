use super::TemplateError;

/// A piece of a template; pieces other than `Text` and `Open` come between `{{` and `}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Text(String),
    Open,
    Close,
    Space,
    /// A function or a keyword.
    Word(String),
    /// `.` alone.
    Dot,
    /// `.Name`
    Field(String),
    /// `$` and what follows it.
    Variable(String),
    Quoted(String),
    Int(i64),
    /// `|`, `(`, `)`, `=`, `,`
    Sign(char),
    /// `:=`
    Declare,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spanned {
    pub token: Token,
    pub start: usize,
    pub end: usize,
}

pub(super) fn malformed<T>(reason: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError::Malformed(reason.into()))
}

pub(super) fn not_built<T>(what: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError::NotBuilt(what.into()))
}

pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, TemplateError> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    lexer.template()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Spanned>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push(&mut self, token: Token, length: usize) {
        self.tokens.push(Spanned { token, start: self.at, end: self.at + length });
        self.at += length;
    }

    fn template(&mut self) -> Result<(), TemplateError> {
        let mut trim_next = false;
        loop {
            let length = self.rest().find("{{").unwrap_or(self.rest().len());
            let mut text = &self.rest()[..length];
            let action = &self.rest()[length..];
            if trim_next {
                text = text.trim_start_matches(is_space);
            }
            let trims = action.strip_prefix("{{-").is_some_and(|rest| rest.starts_with(is_space));
            if trims {
                text = text.trim_end_matches(is_space);
            }
            if !text.is_empty() {
                self.push(Token::Text(text.to_owned()), 0);
            }
            self.at += length;
            if action.is_empty() {
                return Ok(());
            }
            let open = if trims { 3 } else { 2 };
            trim_next = match self.comment(open)? {
                Some(trims) => trims,
                None => {
                    self.push(Token::Open, open);
                    self.action()?
                }
            };
        }
    }

    /// Passes over a comment behind the opening braces; says whether it trims what follows.
    fn comment(&mut self, open: usize) -> Result<Option<bool>, TemplateError> {
        let inside = self.rest()[open..].trim_start_matches(|c| open == 3 && is_space(c));
        let Some(comment) = inside.strip_prefix("/*") else { return Ok(None) };
        let Some(end) = comment.find("*/") else { return malformed("unclosed comment") };
        let after = &comment[end + 2..];
        let Some((trims, length)) = closing(after) else {
            return malformed("comment ends before closing delimiter");
        };
        self.at = self.text.len() - after.len() + length;
        Ok(Some(trims))
    }

    /// Everything up to the closing braces; says whether they trim what follows.
    fn action(&mut self) -> Result<bool, TemplateError> {
        loop {
            let rest = self.rest();
            if let Some((trims, length)) = closing(rest) {
                self.push(Token::Close, length);
                return Ok(trims);
            }
            let Some(first) = rest.chars().next() else { return malformed("unclosed action") };
            match first {
                c if is_space(c) => {
                    // A trimming close owns the space in front of it.
                    let spaces = rest.len() - rest.trim_start_matches(is_space).len();
                    let closes = closing(&rest[spaces - 1..]).is_some_and(|(trims, _)| trims);
                    self.push(Token::Space, if closes { spaces - 1 } else { spaces });
                }
                ':' if rest.starts_with(":=") => self.push(Token::Declare, 2),
                '|' | '(' | ')' | '=' | ',' => self.push(Token::Sign(first), 1),
                '"' | '`' => self.quoted(first)?,
                '\'' => return not_built("a character in single quotes"),
                '$' => {
                    let name = name_length(&rest[1..]);
                    self.push(Token::Variable(rest[..=name].to_owned()), name + 1);
                    self.end_of_word()?;
                }
                '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                    let name = name_length(&rest[1..]);
                    let token = match name {
                        0 => Token::Dot,
                        _ => Token::Field(rest[1..=name].to_owned()),
                    };
                    self.push(token, name + 1);
                    self.end_of_word()?;
                }
                c if c == '.' || c == '+' || c == '-' || c.is_ascii_digit() => self.number()?,
                c if is_name(c) => {
                    let length = name_length(rest);
                    self.push(Token::Word(rest[..length].to_owned()), length);
                    self.end_of_word()?;
                }
                other => return malformed(format!("unexpected {other:?} in an action")),
            }
        }
    }

    fn end_of_word(&self) -> Result<(), TemplateError> {
        let rest = self.rest();
        match rest.chars().next() {
            None => Ok(()),
            Some(c) if is_space(c) || ".,|:)(".contains(c) || rest.starts_with("}}") => Ok(()),
            Some(c) => malformed(format!("bad character {c:?}")),
        }
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest();
        let unsigned = rest.trim_start_matches(['+', '-']);
        let digits = &unsigned[..unsigned.find(|c| !is_name(c) && c != '.').unwrap_or(unsigned.len())];
        let length = rest.len() - unsigned.len() + digits.len();
        // Zeros in front make other bases.
        let based = digits.len() > 1 && digits.starts_with('0');
        match rest[..length].parse::<i64>() {
            Ok(number) if !based => {
                self.push(Token::Int(number), length);
                Ok(())
            }
            _ if based || digits.parse::<f64>().is_ok() => not_built("a number other than a decimal integer"),
            _ => malformed(format!("bad number syntax: {:?}", &rest[..length])),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<(), TemplateError> {
        let inside = &self.rest()[1..];
        if quote == '`' {
            let Some(end) = inside.find('`') else { return malformed("unterminated raw quoted string") };
            self.push(Token::Quoted(inside[..end].to_owned()), end + 2);
            return Ok(());
        }
        let mut content = String::new();
        let mut chars = inside.char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    self.push(Token::Quoted(content), index + 2);
                    return Ok(());
                }
                '\n' => break,
                '\\' => match chars.next().map(|(_, escape)| escape) {
                    Some(c @ ('\\' | '"')) => content.push(c),
                    Some('n') => content.push('\n'),
                    Some('t') => content.push('\t'),
                    Some('r') => content.push('\r'),
                    Some('a' | 'b' | 'f' | 'v' | 'x' | 'u' | 'U' | '0'..='7') => {
                        return not_built("an escape of a character by its number");
                    }
                    Some(_) => return malformed("invalid syntax in a quoted string"),
                    None => break,
                },
                c => content.push(c),
            }
        }
        malformed("unterminated quoted string")
    }
}

/// Whether closing braces stand here: if they trim, and how long they are.
fn closing(text: &str) -> Option<(bool, usize)> {
    let trims = text.strip_prefix(is_space).is_some_and(|rest| rest.starts_with("-}}"));
    match trims {
        true => Some((true, 4)),
        false => text.starts_with("}}").then_some((false, 2)),
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn name_length(text: &str) -> usize {
    text.find(|c| !is_name(c)).unwrap_or(text.len())
}
