use std::iter::Peekable;
use std::ops::Range;
use std::vec::IntoIter;

use super::TemplateError;
use super::functions::{self, Function, Lookup};
use super::lexer::{Spanned, Token, malformed, not_built, tokens};

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    Branch { kind: Kind, pipeline: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    If,
    With,
    Range,
}

/// Commands, each of which gets what the one before it made.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub sets: Vec<String>,
    /// `:=` and not `=`
    pub declares: bool,
    pub commands: Vec<Command>,
}

/// A value, or a function with its arguments.
#[derive(Debug)]
pub(super) struct Command(pub Vec<Term>);

#[derive(Debug)]
pub(super) struct Term {
    pub operand: Operand,
    /// `.A.B` behind the operand.
    pub fields: Vec<String>,
    pub span: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Operand {
    Dot,
    Variable(String),
    Function(Function),
    Text(String),
    Int(i64),
    Bool(bool),
    Nil,
    Nested(Box<Pipeline>),
}

impl Operand {
    fn is_literal(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Int(_) | Self::Bool(_) | Self::Nil)
    }
}

/// Templates come from the administrator; this only keeps a slip from using up the stack.
const DEEPEST: usize = 100;

pub(super) fn parse(text: &str, missing: &[&str]) -> Result<Vec<Node>, TemplateError> {
    let tokens = tokens(text)?.into_iter().peekable();
    let mut parser = Parser { tokens, missing, variables: vec!["$".to_owned()], depth: 0 };
    match parser.list()? {
        (nodes, Stop::End) => Ok(nodes),
        (_, Stop::Word(word)) => malformed(format!("unexpected {{{{{word}}}}}")),
    }
}

/// Where a list of nodes ends.
enum Stop {
    End,
    /// `end` or `else`; what follows `else` is not read yet.
    Word(String),
}

struct Parser<'a> {
    tokens: Peekable<IntoIter<Spanned>>,
    missing: &'a [&'a str],
    /// Those that may be used here.
    variables: Vec<String>,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<&Token> {
        self.tokens.peek().map(|spanned| &spanned.token)
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Token::Space) {
            self.tokens.next();
        }
    }

    fn next(&mut self) -> Result<Spanned, TemplateError> {
        self.skip_space();
        self.tokens.next().map_or_else(|| malformed("unexpected end"), Ok)
    }

    fn expect(&mut self, expected: &Token, context: &str) -> Result<(), TemplateError> {
        match self.next()?.token {
            token if token == *expected => Ok(()),
            token => malformed(format!("unexpected {token:?} in {context}")),
        }
    }

    fn list(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(spanned) = self.tokens.next() {
            if let Token::Text(text) = spanned.token {
                nodes.push(Node::Text(text));
                continue;
            }
            self.skip_space();
            let word = match self.peek() {
                Some(Token::Word(word)) => word.clone(),
                _ => String::new(),
            };
            let kind = match &*word {
                "if" => Kind::If,
                "with" => Kind::With,
                "range" => Kind::Range,
                "end" | "else" => {
                    self.tokens.next();
                    return Ok((nodes, Stop::Word(word)));
                }
                "block" | "break" | "continue" | "define" | "template" => {
                    return not_built(format!("{word:?}"));
                }
                _ => {
                    nodes.push(Node::Print(self.pipeline(&Token::Close, false, "command")?));
                    continue;
                }
            };
            self.tokens.next();
            nodes.push(self.branch(kind)?);
        }
        Ok((nodes, Stop::End))
    }

    /// From behind the keyword to its `end`.
    fn branch(&mut self, kind: Kind) -> Result<Node, TemplateError> {
        self.deeper(|parser| {
            let known = parser.variables.len();
            let pipeline = parser.pipeline(&Token::Close, kind == Kind::Range, "a control structure")?;
            let (body, stop) = parser.list()?;
            let otherwise = match stop {
                Stop::Word(word) if word == "else" => parser.otherwise(kind)?,
                Stop::Word(_) => {
                    parser.expect(&Token::Close, "end")?;
                    Vec::new()
                }
                Stop::End => return malformed("unexpected EOF"),
            };
            parser.variables.truncate(known);
            Ok(Node::Branch { kind, pipeline, body, otherwise })
        })
    }

    /// From behind `else` to the `end` of the whole.
    fn otherwise(&mut self, kind: Kind) -> Result<Vec<Node>, TemplateError> {
        self.skip_space();
        let chained = match (self.peek(), kind) {
            (Some(Token::Word(word)), Kind::If) if word == "if" => true,
            (Some(Token::Word(word)), Kind::With) if word == "with" => true,
            _ => false,
        };
        if chained {
            self.tokens.next();
            // Its `end` ends this one, too.
            return Ok(vec![self.branch(kind)?]);
        }
        self.expect(&Token::Close, "else")?;
        match self.list()? {
            (nodes, Stop::Word(word)) if word == "end" => {
                self.expect(&Token::Close, "end")?;
                Ok(nodes)
            }
            (_, Stop::Word(_)) => malformed("expected end; found {{else}}"),
            (_, Stop::End) => malformed("unexpected EOF"),
        }
    }

    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        if self.depth == DEEPEST {
            return malformed("nested too deeply");
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn pipeline(&mut self, end: &Token, ranges: bool, context: &str) -> Result<Pipeline, TemplateError> {
        let (sets, declares) = self.assignment(ranges)?;
        let mut commands: Vec<Command> = Vec::new();
        loop {
            let command = self.command()?;
            let Some(first) = command.0.first() else {
                // Go lets a pipeline end with a pipe.
                if !commands.is_empty() && self.peek() == Some(end) {
                    self.next()?;
                    break;
                }
                return malformed(format!("missing value for {context}"));
            };
            if !commands.is_empty() && (first.operand.is_literal() || first.is_dot()) {
                let stage = commands.len() + 1;
                return malformed(format!("non executable command in pipeline stage {stage}"));
            }
            commands.push(command);
            match self.next()?.token {
                token if token == *end => break,
                Token::Sign('|') => {}
                token => return malformed(format!("unexpected {token:?} in {context}")),
            }
        }
        if declares {
            self.variables.extend(sets.iter().cloned());
        }
        Ok(Pipeline { sets, declares, commands })
    }

    /// `$x :=`, `$x =`, and `$i, $x :=` of a range.
    fn assignment(&mut self, ranges: bool) -> Result<(Vec<String>, bool), TemplateError> {
        self.skip_space();
        let mut ahead =
            self.tokens.clone().map(|spanned| spanned.token).filter(|token| *token != Token::Space);
        let Some(Token::Variable(first)) = ahead.next() else { return Ok((Vec::new(), false)) };
        let mut names = vec![first];
        let mut sign = ahead.next();
        if ranges && sign == Some(Token::Sign(',')) {
            let Some(Token::Variable(second)) = ahead.next() else {
                return malformed("range can only initialize variables");
            };
            names.push(second);
            sign = ahead.next();
        }
        let declares = match sign {
            Some(Token::Declare) => true,
            Some(Token::Sign('=')) => false,
            _ if names.len() > 1 => return malformed("range can only initialize variables"),
            _ => return Ok((Vec::new(), false)),
        };
        // The names, the commas between them and the sign.
        for _ in 0..names.len() * 2 {
            self.next()?;
        }
        Ok((names, declares))
    }

    fn command(&mut self) -> Result<Command, TemplateError> {
        let mut terms = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None | Some(Token::Close | Token::Sign('|' | ')')) => return Ok(Command(terms)),
                _ => terms.push(self.term()?),
            }
            match self.peek() {
                Some(Token::Space | Token::Close | Token::Sign('|' | ')')) => {}
                other => return malformed(format!("unexpected {other:?} in operand")),
            }
        }
    }

    fn term(&mut self) -> Result<Term, TemplateError> {
        let Spanned { token, start, mut end } = self.next()?;
        let mut fields = Vec::new();
        let operand = match token {
            Token::Dot => Operand::Dot,
            Token::Field(name) => {
                fields.push(self.known_field(name)?);
                Operand::Dot
            }
            Token::Variable(name) if self.variables.contains(&name) => Operand::Variable(name),
            Token::Variable(name) => return malformed(format!("undefined variable {name:?}")),
            Token::Quoted(text) => Operand::Text(text),
            Token::Int(number) => Operand::Int(number),
            Token::Word(word) => operand(&word)?,
            Token::Sign('(') => {
                let pipeline = self
                    .deeper(|parser| parser.pipeline(&Token::Sign(')'), false, "parenthesized pipeline"))?;
                Operand::Nested(Box::new(pipeline))
            }
            token => return malformed(format!("unexpected {token:?}")),
        };
        while let Some(Token::Field(name)) = self.peek() {
            let name = name.clone();
            if operand.is_literal() || (matches!(operand, Operand::Dot) && fields.is_empty()) {
                return malformed(format!("unexpected .{name} after a term"));
            }
            end = self.next()?.end;
            // The keys of a map may have any name.
            let of_map = fields.last().is_some_and(|field: &String| field == "URISanSelectors");
            fields.push(if of_map { name } else { self.known_field(name)? });
        }
        Ok(Term { operand, fields, span: start..end })
    }

    fn known_field(&self, name: String) -> Result<String, TemplateError> {
        match self.missing.contains(&&*name) {
            true => not_built(format!("the field {name:?}")),
            false => Ok(name),
        }
    }
}

impl Term {
    fn is_dot(&self) -> bool {
        matches!(self.operand, Operand::Dot) && self.fields.is_empty()
    }
}

fn operand(word: &str) -> Result<Operand, TemplateError> {
    Ok(match word {
        "true" => Operand::Bool(true),
        "false" => Operand::Bool(false),
        "nil" => Operand::Nil,
        name => match functions::find(name) {
            Lookup::Found(function) => Operand::Function(function),
            Lookup::NotBuilt => return not_built(format!("the function {name:?}")),
            Lookup::Unknown => return malformed(format!("function {name:?} not defined")),
        },
    })
}
