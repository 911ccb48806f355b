use super::lexer::{Lexer, Token};
use super::{Item, Key, MAX_DEPTH, Object, ParseError, Position, Value};

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The token under consideration.
    token: Token,
    at: Position,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Object, ParseError> {
    let mut lexer = Lexer::new(text);
    let (token, at) = lexer.next()?;
    let mut parser = Parser { lexer, token, at, depth: 0 };
    let object = parser.items(&Token::End)?;
    match parser.token {
        Token::End => Ok(object),
        _ => Err(parser.error(format!("object expected closing RBRACE got: {}", parser.token.name()))),
    }
}

impl Parser<'_> {
    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::Hcl(self.at, message.into())
    }

    fn next(&mut self) -> Result<(), ParseError> {
        (self.token, self.at) = self.lexer.next()?;
        Ok(())
    }

    fn items(&mut self, end: &Token) -> Result<Object, ParseError> {
        let mut object = Object::default();
        while self.token != *end {
            if self.token == Token::End {
                return Err(self.error("object expected closing RBRACE got: EOF"));
            }
            object.items.push(self.item()?);
            if self.token == Token::Comma {
                self.next()?;
            }
        }
        Ok(object)
    }

    fn item(&mut self) -> Result<Item, ParseError> {
        let keys = self.keys()?;
        let value = match self.token {
            Token::Assign => {
                self.next()?;
                self.value()?
            }
            _ => self.object()?,
        };
        Ok(Item { keys, value })
    }

    /// One or more keys, up to `=` or `{`. Several keys want a block (SC-021).
    fn keys(&mut self) -> Result<Vec<Key>, ParseError> {
        let mut keys = Vec::new();
        loop {
            let (name, bare) = match &self.token {
                Token::Ident(name) => (name.clone(), true),
                Token::String(name) => (name.clone(), false),
                // `true = 1` reads as a key of that name.
                Token::Bool(value) if keys.is_empty() => (value.to_string(), true),
                Token::Assign if keys.len() == 1 => return Ok(keys),
                Token::Assign if keys.len() > 1 => {
                    return Err(self.error("nested object expected: LBRACE got: ASSIGN"));
                }
                Token::LBrace if !keys.is_empty() => return Ok(keys),
                Token::LBrace => return Err(self.error("expected: IDENT | STRING got: LBRACE")),
                other => {
                    return Err(self
                        .error(format!("expected: IDENT | STRING | ASSIGN | LBRACE got: {}", other.name())));
                }
            };
            keys.push(Key { name, bare, position: self.at });
            self.next()?;
        }
    }

    fn value(&mut self) -> Result<Value, ParseError> {
        let at = self.at;
        let value = match std::mem::replace(&mut self.token, Token::End) {
            Token::String(text) | Token::Heredoc(text) => Value::String(text, at),
            Token::Number(text) => Value::Number(text, at),
            Token::Bool(value) => Value::Bool(value, at),
            token @ Token::LBrace => {
                self.token = token;
                return self.object();
            }
            token @ Token::LBracket => {
                self.token = token;
                return self.list();
            }
            other => {
                self.token = other;
                return Err(self.error(format!("unknown token: {}", self.token.name())));
            }
        };
        self.next()?;
        Ok(value)
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.depth += 1;
        let out = read(self);
        self.depth -= 1;
        out
    }

    fn object(&mut self) -> Result<Value, ParseError> {
        let at = self.at;
        self.next()?;
        let object = self.nested(|parser| parser.items(&Token::RBrace))?;
        self.next()?;
        Ok(Value::Object(object, at))
    }

    fn list(&mut self) -> Result<Value, ParseError> {
        let at = self.at;
        self.next()?;
        let list = self.nested(|parser| {
            let mut list = Vec::new();
            while parser.token != Token::RBracket {
                list.push(parser.value()?);
                match parser.token {
                    Token::Comma => parser.next()?,
                    Token::RBracket => {}
                    _ => {
                        return Err(parser.error(format!(
                            "error parsing list, expected comma or list end, got: {}",
                            parser.token.name()
                        )));
                    }
                }
            }
            Ok(list)
        })?;
        self.next()?;
        Ok(Value::List(list, at))
    }
}
