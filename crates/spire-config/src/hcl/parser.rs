use super::lexer::{Lexer, Token};
use super::{Item, Key, MAX_DEPTH, Object, ParseError, Position, Value};

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The token under consideration.
    token: Token,
    /// As it is written.
    text: &'a str,
    at: Position,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Object, ParseError> {
    let text = text.replace("\r\n", "\n");
    let mut lexer = Lexer::new(&text);
    let (token, at) = lexer.next();
    let text = lexer.text();
    let mut parser = Parser { lexer, token, text, at, depth: 0 };
    let object = parser.items(&Token::End);
    match parser.lexer.mistake() {
        Some(mistake) => Err(mistake),
        None => object,
    }
}

impl<'a> Parser<'a> {
    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::Hcl(self.at, message.into())
    }

    fn next(&mut self) {
        (self.token, self.at) = self.lexer.next();
        self.text = self.lexer.text();
    }

    fn items(&mut self, end: &Token) -> Result<Object, ParseError> {
        let mut object = Object::default();
        while self.token != *end && self.token != Token::End {
            let keys = self.keys()?;
            if self.token == Token::Assign {
                self.next();
                // A key without value at the end of the text is no mistake, and no item either.
                if self.token == Token::End {
                    break;
                }
            }
            let value = self.value()?;
            object.items.push(Item { keys, value });
            if self.token == Token::Comma {
                self.next();
            }
        }
        if self.token == *end {
            return Ok(object);
        }
        // Upstream reads the end once more.
        self.next();
        Err(self.error("object expected closing RBRACE got: EOF"))
    }

    /// One or more keys, up to `=` or `{`. Several keys want a block (SC-021).
    fn keys(&mut self) -> Result<Vec<Key>, ParseError> {
        let mut keys: Vec<Key> = Vec::new();
        let mut written: Vec<&'a str> = Vec::new();
        loop {
            let (name, bare) = match &self.token {
                Token::Ident(name) => (name.clone(), true),
                Token::String(name) => (name.clone(), false),
                Token::Assign if keys.len() == 1 => return Ok(keys),
                Token::Assign if keys.is_empty() => return Err(self.error("no object keys found!")),
                Token::Assign => return Err(self.error("nested object expected: LBRACE got: ASSIGN")),
                Token::LBrace if !keys.is_empty() => return Ok(keys),
                Token::LBrace => return Err(self.error("expected: IDENT | STRING got: LBRACE")),
                Token::End | Token::RBrace if !keys.is_empty() => {
                    return Err(self.error(format!(
                        "key '{}' expected start of object ('{{') or assignment ('=')",
                        written.join(" ")
                    )));
                }
                other => {
                    return Err(self
                        .error(format!("expected: IDENT | STRING | ASSIGN | LBRACE got: {}", other.name())));
                }
            };
            keys.push(Key { name, bare, position: self.at });
            written.push(self.text);
            self.next();
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
                let name = self.token.name();
                return Err(self.error(format!("Unknown token: {} {name} {}", self.at, self.text)));
            }
        };
        self.next();
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
        self.next();
        let object = self.nested(|parser| parser.items(&Token::RBrace))?;
        self.next();
        Ok(Value::Object(object, at))
    }

    /// A mistake within an object or a list of a list is reported where that begins.
    fn element(&mut self) -> Result<Value, ParseError> {
        let at = self.at;
        let what = match &self.token {
            Token::LBrace => "object",
            Token::LBracket => "list",
            Token::String(_) | Token::Heredoc(_) | Token::Number(_) | Token::Bool(_) => return self.value(),
            other => {
                let name = other.name();
                return Err(self.error(format!("unexpected token while parsing list: {name}")));
            }
        };
        self.value().map_err(|error| {
            ParseError::Hcl(at, format!("error while trying to parse {what} within list: {error}"))
        })
    }

    fn list(&mut self) -> Result<Value, ParseError> {
        let at = self.at;
        self.next();
        let list = self.nested(|parser| {
            let mut list = Vec::new();
            loop {
                match parser.token {
                    Token::RBracket => return Ok(list),
                    // Commas too many are no mistake.
                    Token::Comma => {
                        parser.next();
                        continue;
                    }
                    _ => list.push(parser.element()?),
                }
                // Behind a list none is needed.
                match (&parser.token, list.last()) {
                    (Token::Comma, _) => parser.next(),
                    (Token::RBracket, _) | (_, Some(Value::List(..))) => {}
                    (other, _) => {
                        let name = other.name();
                        return Err(parser
                            .error(format!("error parsing list, expected comma or list end, got: {name}")));
                    }
                }
            }
        })?;
        self.next();
        Ok(Value::List(list, at))
    }
}
