//! What the documents say of the repository must be so: dependencies, links, names of files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::{layers, root};

pub fn run() -> Result<()> {
    let mut problems = dependencies(&third_party(&root())?, &read("docs/dependencies.md")?);
    for document in documents()? {
        let text = fs::read_to_string(&document).with_context(|| document.display().to_string())?;
        let folder = document.parent().expect("a file lies in a folder");
        problems.extend(dead_links(&document, &text, |target| folder.join(target).exists()));
    }
    let crates = root().join("crates");
    problems.extend(missing_files(&read("docs/flows.md")?, |file| crates.join(file).is_file()));
    if !problems.is_empty() {
        bail!("the documents do not fit the repository:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

fn documents() -> Result<Vec<PathBuf>> {
    let mut found = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    for entry in fs::read_dir(root().join("docs"))? {
        found.push(entry?.path());
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    Ok(found)
}

/// Every crate that some manifest names and that is not ours.
fn third_party(root: &Path) -> Result<BTreeSet<String>> {
    let mut manifests = layers::manifest_paths()?;
    manifests.push(root.join("Cargo.toml"));
    let mut names = BTreeMap::new();
    for path in manifests {
        let manifest: Table = toml::from_str(&fs::read_to_string(&path)?)?;
        let workspace = manifest.get("workspace").and_then(Value::as_table);
        for table in [Some(&manifest), workspace].into_iter().flatten() {
            for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
                let section = table.get(section).and_then(Value::as_table);
                for (name, value) in section.into_iter().flatten() {
                    let ours = value.get("path").is_some();
                    *names.entry(name.clone()).or_insert(false) |= ours;
                }
            }
        }
    }
    Ok(names.into_iter().filter_map(|(name, ours)| (!ours).then_some(name)).collect())
}

/// A line is "- `name`: why".
fn dependencies(used: &BTreeSet<String>, document: &str) -> Vec<String> {
    let lines = document.lines().filter_map(|line| line.strip_prefix("- `")?.split_once("`: "));
    let said: BTreeSet<String> = lines.map(|(name, _)| name.to_owned()).collect();
    let missing = used.difference(&said).map(|name| format!("docs/dependencies.md has no line for {name}"));
    let stale =
        said.difference(used).map(|name| format!("docs/dependencies.md has {name}, which is not used"));
    missing.chain(stale).collect()
}

fn dead_links(document: &Path, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|target| !target.contains("://")).map(|t| t.split('#').next().unwrap_or(t));
    files
        .filter(|target| !target.is_empty() && !exists(target))
        .map(|target| format!("{}: no file {target}", document.display()))
        .collect()
}

/// Names of Rust files in backticks.
fn missing_files(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| name.ends_with(".rs") && !exists(name))
        .map(|name| format!("docs/flows.md: no file {name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_fit_the_repository() {
        run().unwrap();
    }

    #[test]
    fn a_dependency_without_a_line_and_a_line_without_one_are_found() {
        let used = BTreeSet::from(["tokio".to_owned(), "rsa".to_owned()]);
        let problems = dependencies(&used, "- `tokio`: runtime\n- `ring`: no\n");
        assert_eq!(
            problems,
            ["docs/dependencies.md has no line for rsa", "docs/dependencies.md has ring, which is not used"]
        );
    }

    #[test]
    fn links_within_the_repository_and_names_of_files_are_looked_up() {
        let text = "[a](docs/a.md#x) [b](b.md) [c](https://c.example)";
        let found = dead_links(Path::new("README.md"), text, |target| target == "b.md");
        assert_eq!(found, ["README.md: no file docs/a.md"]);
        assert_eq!(missing_files("`a/b.rs` and `c`", |_| false), ["docs/flows.md: no file a/b.rs"]);
    }
}
