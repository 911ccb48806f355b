//! Go's `path/filepath`.

/// The shortest way to spell a path, by its text alone.
pub fn clean(path: &str) -> String {
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
pub fn absolute(path: &str) -> std::io::Result<String> {
    if path.starts_with('/') {
        return Ok(clean(path));
    }
    Ok(clean(&format!("{}/{path}", std::env::current_dir()?.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_in_the_shortest_way() {
        // SC-002, SC-332, AG-019, AG-173
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
