//! The part of Go's text/template that agent paths are made of: fields in
//! double braces, with or without trimming, and `lower` and `upper` on them.

use spire_crypto::x509::Subject;

/// A parsed `agent_path_template` (NA-053).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field { field: Field, functions: Vec<Function> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    PluginName,
    Fingerprint,
    SerialNumberHex,
    TrustDomain,
    CommonName,
    SubjectSerialNumber,
    SvidPathTrimmed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Lower,
    Upper,
    Trim,
}

/// What the fields stand for.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub plugin_name: &'a str,
    pub fingerprint: &'a str,
    pub serial_number_hex: &'a str,
    pub trust_domain: &'a str,
    pub subject: &'a Subject,
    /// Empty unless nodes prove themselves with SVIDs (NA-080).
    pub svid_path_trimmed: &'a str,
}

impl PathTemplate {
    /// `None` for what is no template, or uses more of the language than is built.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let (before, inside) = rest.split_at(open);
            let close = inside.find("}}")?;
            let action = &inside[2..close];
            let (trim_left, action) = match action.strip_prefix("- ") {
                Some(action) => (true, action),
                None => (false, action),
            };
            let (trim_right, action) = match action.strip_suffix(" -") {
                Some(action) => (true, action),
                None => (false, action),
            };
            let before = if trim_left { before.trim_end() } else { before };
            parts.push(Part::Text(before.to_owned()));
            parts.push(field(action)?);
            rest = &inside[close + 2..];
            if trim_right {
                rest = rest.trim_start();
            }
        }
        parts.push(Part::Text(rest.to_owned()));
        Some(Self(parts))
    }

    pub fn render(&self, facts: &Facts<'_>) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Field { field, functions } => {
                    functions.iter().fold(field.value(facts).to_owned(), |text, function| match function {
                        Function::Lower => text.to_lowercase(),
                        Function::Upper => text.to_uppercase(),
                        Function::Trim => text.trim().to_owned(),
                    })
                }
            })
            .collect()
    }
}

impl Field {
    fn value<'a>(self, facts: &Facts<'a>) -> &'a str {
        match self {
            Self::PluginName => facts.plugin_name,
            Self::Fingerprint => facts.fingerprint,
            Self::SerialNumberHex => facts.serial_number_hex,
            Self::TrustDomain => facts.trust_domain,
            Self::CommonName => &facts.subject.common_name,
            Self::SubjectSerialNumber => &facts.subject.serial_number,
            Self::SvidPathTrimmed => facts.svid_path_trimmed,
        }
    }
}

/// `.Field`, `.Field | lower` or `lower .Field`.
fn field(action: &str) -> Option<Part> {
    let mut stages = action.split('|').map(str::trim);
    let first = stages.next()?;
    let (mut functions, name) = match first.split_once(char::is_whitespace) {
        Some((name, argument)) => (vec![function(name)?], argument.trim()),
        None => (Vec::new(), first),
    };
    let field = match name {
        ".PluginName" => Field::PluginName,
        ".Fingerprint" => Field::Fingerprint,
        ".SerialNumberHex" => Field::SerialNumberHex,
        ".TrustDomain" => Field::TrustDomain,
        ".Subject.CommonName" => Field::CommonName,
        ".Subject.SerialNumber" => Field::SubjectSerialNumber,
        ".SVIDPathTrimmed" => Field::SvidPathTrimmed,
        _ => return None,
    };
    for stage in stages {
        functions.push(function(stage)?);
    }
    Some(Part::Field { field, functions })
}

fn function(name: &str) -> Option<Function> {
    Some(match name {
        "lower" => Function::Lower,
        "upper" => Function::Upper,
        "trim" => Function::Trim,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_render_the_fields_of_the_certificate() {
        let subject = Subject { common_name: "Node-1".into(), ..Subject::default() };
        let facts = Facts {
            plugin_name: "x509pop",
            fingerprint: "ff",
            serial_number_hex: "01",
            trust_domain: "td",
            subject: &subject,
            svid_path_trimmed: "",
        };
        for (template, expected) in [
            ("/{{ .PluginName }}/{{ .Fingerprint }}", "/x509pop/ff"),
            ("/{{.PluginName}}/{{ .Subject.CommonName | lower }}", "/x509pop/node-1"),
            ("/cn/{{ upper .Subject.CommonName }}/{{ .SerialNumberHex }}", "/cn/NODE-1/01"),
        ] {
            assert_eq!(PathTemplate::parse(template).unwrap().render(&facts), expected);
        }
        for bad in ["/{{ .Fingerprint", "/{{ .Nothing }}", "/{{ if }}"] {
            assert_eq!(PathTemplate::parse(bad), None, "{bad}");
        }
    }
}
