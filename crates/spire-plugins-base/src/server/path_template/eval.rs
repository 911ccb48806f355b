use super::functions::{Args, Lazy};
use super::parser::{Command, Kind, Node, Operand, Pipeline, Term};
use super::value::Value;

/// A template may repeat and join; an agent's path stays far below this.
const LONGEST: usize = 64 * 1024;

pub(super) fn render(text: &str, nodes: &[Node], data: &Value) -> Result<String, String> {
    let mut run = Run { text, variables: vec![("$".to_owned(), data.clone())], out: String::new() };
    run.nodes(nodes, data)?;
    Ok(run.out)
}

struct Run<'a> {
    /// The template, for the place of an error.
    text: &'a str,
    variables: Vec<(String, Value)>,
    out: String,
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.print(text)?,
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    match value {
                        _ if !pipeline.sets.is_empty() => {}
                        Value::Nil => self.print("<no value>")?,
                        value => self.print(&value.to_string())?,
                    }
                }
                Node::Branch { kind, pipeline, body, otherwise } => {
                    let known = self.variables.len();
                    self.branch(*kind, pipeline, body, otherwise, dot)?;
                    self.variables.truncate(known);
                }
            }
        }
        Ok(())
    }

    fn print(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > LONGEST {
            return Err("the path is too long".to_owned());
        }
        self.out.push_str(text);
        Ok(())
    }

    fn branch(
        &mut self,
        kind: Kind,
        pipeline: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<(), String> {
        if kind == Kind::Range {
            return self.range(pipeline, body, otherwise, dot);
        }
        let value = self.pipeline(pipeline, dot)?;
        match (value.is_true(), kind) {
            (true, Kind::With) => self.nodes(body, &value),
            (true, _) => self.nodes(body, dot),
            (false, _) => self.nodes(otherwise, dot),
        }
    }

    fn range(
        &mut self,
        pipeline: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<(), String> {
        let items: Vec<(Value, Value)> = match self.commands(pipeline, dot)? {
            Value::List(items) => (0..).map(Value::Int).zip(items).collect(),
            Value::Map(entries) => {
                entries.into_iter().map(|(key, value)| (Value::Text(key), value)).collect()
            }
            other => return Err(format!("range can't iterate over {other}")),
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, item) in items {
            let known = self.variables.len();
            match &pipeline.sets[..] {
                [] => {}
                [one] => self.set(one, item.clone(), pipeline.declares)?,
                [first, second, ..] => {
                    self.set(first, key, pipeline.declares)?;
                    self.set(second, item.clone(), pipeline.declares)?;
                }
            }
            self.nodes(body, &item)?;
            self.variables.truncate(known);
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, declares: bool) -> Result<(), String> {
        if declares {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let known = self.variables.iter_mut().rfind(|(known, _)| known == name);
        let (_, known) = known.ok_or_else(|| format!("undefined variable: {name}"))?;
        *known = value;
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.sets {
            self.set(name, value.clone(), pipeline.declares)?;
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped)?);
        }
        Ok(piped.unwrap_or(Value::Nil))
    }

    fn command(&mut self, command: &Command, dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        let [first, arguments @ ..] = &command.0[..] else { return Ok(Value::Nil) };
        if let Operand::Function(_) = first.operand {
            return self.call(first, arguments, dot, piped);
        }
        if !arguments.is_empty() || piped.is_some() {
            return Err(self.at(first, "can't give argument to non-function"));
        }
        if let Operand::Nil = first.operand {
            return Err(self.at(first, "nil is not a command"));
        }
        self.term(first, dot)
    }

    fn call(
        &mut self,
        term: &Term,
        arguments: &[Term],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let Operand::Function(function) = &term.operand else { return Ok(Value::Nil) };
        let mut values = Vec::with_capacity(arguments.len() + 1);
        let mut decided = None;
        for argument in arguments {
            let value = self.term(argument, dot)?;
            // `and` and `or` do not look further than they need.
            if function.lazy.is_some_and(|lazy| value.is_true() == (lazy == Lazy::Or)) {
                decided = Some(value);
                break;
            }
            values.push(value);
        }
        let value = match decided {
            Some(value) => value,
            None => {
                values.extend(piped);
                let name = &function.name;
                Args::call(function, values)
                    .map_err(|reason| self.at(term, &format!("error calling {name}: {reason}")))?
            }
        };
        self.fields(term, value)
    }

    fn term(&mut self, term: &Term, dot: &Value) -> Result<Value, String> {
        let value = match &term.operand {
            Operand::Dot => dot.clone(),
            Operand::Variable(name) => {
                let found = self.variables.iter().rfind(|(known, _)| known == name);
                found.map_or(Value::Nil, |(_, value)| value.clone())
            }
            Operand::Function(_) => return self.call(term, &[], dot, None),
            Operand::Text(text) => Value::Text(text.clone()),
            Operand::Int(number) => Value::Int(*number),
            Operand::Bool(value) => Value::Bool(*value),
            Operand::Nil => Value::Nil,
            Operand::Nested(pipeline) => self.pipeline(pipeline, dot)?,
        };
        self.fields(term, value)
    }

    fn fields(&self, term: &Term, value: Value) -> Result<Value, String> {
        term.fields
            .iter()
            .try_fold(value, |value, name| value.field(name))
            .map_err(|reason| self.at(term, &reason))
    }

    /// The error with its place, as Go words it.
    fn at(&self, term: &Term, reason: &str) -> String {
        let before = &self.text[..term.span.start];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        let shown = &self.text[term.span.clone()];
        format!("template: agent-path:{line}:{column}: executing \"agent-path\" at <{shown}>: {reason}")
    }
}
