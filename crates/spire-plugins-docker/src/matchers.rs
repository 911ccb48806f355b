//! The legacy locator: patterns of cgroup paths that the operator wrote (PL-079 to PL-081).

use spire_runtime::logging::go_quote;

const ANY: &str = "*";
const ID: &str = "<id>";

/// Patterns that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMatchers {
    #[error("pattern {} must contain the container id token \"<id>\" exactly once", go_quote(.0))]
    Token(String),
    /// A path could match more than one of these.
    #[error("dockerfinder: patterns must not be ambiguous: [{}]", quoted(.0))]
    Ambiguous(Vec<String>),
}

/// A process is in a container, but in which one?
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    #[error("workloadattestor/docker: multiple container IDs found in cgroups ({0}, {1})")]
    Several(String, String),
    #[error("workloadattestor/docker: a pattern matched, but no container id was found")]
    Empty,
}

/// Patterns of which at most one matches any path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matchers(Vec<Pattern>);

/// Components of a path; `*` stands for any, `<id>` for any that is the container ID, the rest for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(Vec<String>);

impl Matchers {
    pub fn new(patterns: &[String]) -> Result<Self, BadMatchers> {
        let parsed: Vec<Pattern> = patterns.iter().map(|text| Pattern::new(text)).collect();
        let mut ambiguous: Vec<String> = Vec::new();
        for (index, pattern) in parsed.iter().enumerate() {
            let others = parsed.iter().enumerate().filter(|(other, _)| *other != index);
            let overlaps = others.into_iter().any(|(_, other)| pattern.overlaps(other));
            if overlaps && !ambiguous.contains(&patterns[index]) {
                ambiguous.push(patterns[index].clone());
            }
        }
        if !ambiguous.is_empty() {
            return Err(BadMatchers::Ambiguous(ambiguous));
        }
        match parsed.iter().position(|pattern| pattern.0.iter().filter(|part| *part == ID).count() != 1) {
            Some(bad) => Err(BadMatchers::Token(patterns[bad].clone())),
            None => Ok(Self(parsed)),
        }
    }

    /// The container of a process with these cgroups, if it is in one (PL-081).
    pub fn container_id(&self, cgroups: &[String]) -> Result<Option<String>, Unclear> {
        let mut found: Option<&str> = None;
        for path in cgroups {
            let Some(id) = self.0.iter().find_map(|pattern| pattern.capture(path)) else { continue };
            match found {
                None | Some("") => found = Some(id),
                Some(other) if other == id => {}
                Some(other) => return Err(Unclear::Several(other.to_owned(), id.to_owned())),
            }
        }
        match found {
            Some("") => Err(Unclear::Empty),
            found => Ok(found.map(str::to_owned)),
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self(text.split('/').map(str::to_owned).collect())
    }

    /// The ID in a path that matches as a whole.
    fn capture<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut parts = path.split('/');
        let mut id = None;
        for wanted in &self.0 {
            let part = parts.next()?;
            match wanted.as_str() {
                ID => id = Some(part),
                ANY => {}
                literal if literal == part => {}
                _ => return None,
            }
        }
        if parts.next().is_some() { None } else { id }
    }

    /// Whether some path could match both.
    fn overlaps(&self, other: &Self) -> bool {
        let open = |part: &str| part == ANY || part == ID;
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(one, two)| one == two || open(one) || open(two))
    }
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| go_quote(text)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matchers(patterns: &[&str]) -> Result<Matchers, String> {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        Matchers::new(&patterns).map_err(|error| error.to_string())
    }

    fn find(patterns: &[&str], paths: &[&str]) -> Result<Option<String>, String> {
        let paths: Vec<String> = paths.iter().map(|text| (*text).to_owned()).collect();
        matchers(patterns).unwrap().container_id(&paths).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_components_match() {
        // PL-079
        for (pattern, path, id) in [
            ("/docker/<id>", "/docker/abc", Some("abc")),
            ("/docker/<id>", "/docker/abc/def", None),
            ("/docker/<id>", "docker/abc", None),
            ("/my.slice/*/<id>/*", "/my.slice/foo/abc/bar", Some("abc")),
            ("/my.slice/*/<id>/*", "/my.slice//abc/", Some("abc")),
            ("/my.slice/*/<id>/*", "/myxslice/foo/abc/bar", None),
            ("/a*/<id>", "/a*/b", Some("b")),
            ("/a*/<id>", "/ab/b", None),
            ("<id>", "abc", Some("abc")),
        ] {
            assert_eq!(find(&[pattern], &[path]).unwrap().as_deref(), id, "{pattern} {path}");
        }
    }

    #[test]
    fn the_id_stands_in_a_pattern_once() {
        // PL-079
        for pattern in ["", "/docker/", "/<id>/<id>", "/docker-<id>"] {
            let error = matchers(&[pattern]).unwrap_err();
            assert!(error.ends_with("must contain the container id token \"<id>\" exactly once"), "{error}");
        }
    }

    #[test]
    fn patterns_that_could_match_one_path_are_refused() {
        // PL-080
        let error = matchers(&["/docker/<id>", "/*/<id>", "/q/r/<id>"]).unwrap_err();
        assert_eq!(error, r#"dockerfinder: patterns must not be ambiguous: ["/docker/<id>" "/*/<id>"]"#);
        let error = matchers(&["/<id>", "/<id>"]).unwrap_err();
        assert_eq!(error, r#"dockerfinder: patterns must not be ambiguous: ["/<id>"]"#);
        assert!(matchers(&["/a/<id>", "/b/<id>", "/a/b/<id>"]).is_ok());
    }

    #[test]
    fn all_cgroups_name_one_container() {
        // PL-081
        let patterns = &["/docker/<id>"];
        assert_eq!(find(patterns, &["/", "/docker/a", "/docker/a", "/x"]).unwrap().as_deref(), Some("a"));
        assert_eq!(find(patterns, &["/", "/x/y/z"]).unwrap(), None);
        assert_eq!(
            find(patterns, &["/docker/a", "/docker/b"]).unwrap_err(),
            "workloadattestor/docker: multiple container IDs found in cgroups (a, b)"
        );
        assert_eq!(
            find(patterns, &["/docker/"]).unwrap_err(),
            "workloadattestor/docker: a pattern matched, but no container id was found"
        );
        assert_eq!(find(patterns, &["/docker/", "/docker/a"]).unwrap().as_deref(), Some("a"));
    }
}
