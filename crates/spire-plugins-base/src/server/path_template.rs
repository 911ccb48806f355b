//! The language of `agent_path_template`: Go's text/template with the functions that SPIRE lets in (NA-290 to NA-306),
//! as far as paths are made with it.
//!
//! [`lexer`] cuts the text into tokens, [`parser`] makes a tree of them and [`eval`] runs it over [`Value`]s with the
//! [`functions`]. What Go has and this has not is told apart from what is no template at all.

mod eval;
mod functions;
mod lexer;
mod parser;
mod value;

pub use value::{Record, Value};

use parser::Node;

/// A parsed template.
#[derive(Debug)]
pub struct PathTemplate {
    text: String,
    nodes: Vec<Node>,
}

/// Why a text cannot be used as a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    Malformed(String),
    /// Fine for SPIRE, but uses this.
    NotBuilt(String),
}

impl PathTemplate {
    /// `missing` are fields that SPIRE's data has and ours has not.
    pub fn parse(text: &str, missing: &[&str]) -> Result<Self, TemplateError> {
        let nodes = parser::parse(text, missing)?;
        Ok(Self { text: text.to_owned(), nodes })
    }

    /// The text that the template makes of the data; the error reads like Go's.
    pub fn render(&self, data: &Value) -> Result<String, String> {
        eval::render(&self.text, &self.nodes, data)
    }
}

#[cfg(test)]
mod tests;
