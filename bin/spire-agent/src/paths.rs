//! File names in the spelling that upstream gives them: lexical, without a look at the disk.

/// The shortest spelling; an empty path is the working directory.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// The same from the root of the disk on.
pub(crate) fn absolute(path: &str) -> Result<String, String> {
    if path.starts_with('/') {
        return Ok(clean(path));
    }
    let here = std::env::current_dir()
        .map_err(|error| format!("getwd: {}", spire_runtime::logging::os_error_text(&error)))?;
    Ok(clean(&format!("{}/{path}", here.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_in_the_shortest_way() {
        // AG-019, AG-173
        for (path, cleaned) in [
            ("out/f", "out/f"),
            ("./out//x/../f", "out/f"),
            ("./f", "f"),
            ("../a/f", "../a/f"),
            ("/f", "/f"),
            ("/../a/", "/a"),
            ("", "."),
            ("/", "/"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
