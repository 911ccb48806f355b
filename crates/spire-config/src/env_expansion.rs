//! `-expandEnv`: Go's `os.Expand` (SC-010 to SC-013).

/// Replaces `$NAME` and `${NAME}`; unset variables become empty, `$$` is one `$`.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        let (name, used) = name_of(rest);
        match name {
            Name::Variable("$") => out.push('$'),
            Name::Variable(name) => out.push_str(&lookup(name).unwrap_or_default()),
            Name::Bad => {}
            Name::None => out.push('$'),
        }
        rest = &rest[used..];
    }
    out.push_str(rest);
    out
}

enum Name<'a> {
    Variable(&'a str),
    /// `${}` and `${` without end are eaten.
    Bad,
    /// The dollar stands for itself.
    None,
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9')
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The name behind a dollar, and how much of the text it takes.
fn name_of(rest: &str) -> (Name<'_>, usize) {
    let bytes = rest.as_bytes();
    match bytes.first() {
        None => (Name::None, 0),
        Some(b'{') => {
            if bytes.len() > 2 && is_special(bytes[1]) && bytes[2] == b'}' {
                return (Name::Variable(&rest[1..2]), 3);
            }
            match rest.find('}') {
                Some(1) => (Name::Bad, 2),
                Some(end) => (Name::Variable(&rest[1..end]), end + 1),
                None => (Name::Bad, 1),
            }
        }
        Some(byte) if is_special(*byte) => (Name::Variable(&rest[..1]), 1),
        Some(_) => match bytes.iter().take_while(|b| is_name(**b)).count() {
            0 => (Name::None, 0),
            length => (Name::Variable(&rest[..length]), length),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_gos() {
        // SC-011, SC-012
        let lookup = |name: &str| (name == "A").then(|| "x".to_owned());
        for (text, expected) in [
            ("a $A ${A} b", "a x x b"),
            ("$B${B}", ""),
            ("$$A", "$A"),
            ("${A:-b}", ""),
            ("${}x${A", "xA"),
            ("$ $\" $/", "$ $\" $/"),
            ("$*$1x$", "x$"),
            ("$A_", ""),
        ] {
            assert_eq!(expand(text, lookup), expected, "{text}");
        }
    }
}
