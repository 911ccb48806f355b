/// How a command prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Pretty,
    Json,
}

impl Format {
    /// In any case; `prettyprint` is `pretty` (SC-226).
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_lowercase().as_str() {
            "pretty" | "prettyprint" => Some(Self::Pretty),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        }
    }
}
