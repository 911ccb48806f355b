//! All that a change must pass. `.ci/run` calls it, and so does a developer.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{codegen, docs, install, layers, root, sh};

pub fn run() -> Result<()> {
    install::run()?;
    sh("cargo", &["fmt", "--all", "--check"])?;
    layers::run()?;
    docs::run()?;
    codegen::run(&["--check".to_owned()])?;
    sh("cargo", &["deny", "--workspace", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])?;
    sh("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    // The cross-process tests start these.
    sh("cargo", &["build", "-p", "spire-server-bin", "-p", "spire-agent-bin", "-p", "spire-dev"])?;
    test()
}

/// Runs every test and ends with the sum of the runner's summaries.
fn test() -> Result<()> {
    eprintln!("+ cargo test --workspace --no-fail-fast");
    let mut child = Command::new("cargo")
        .args(["test", "--workspace", "--no-fail-fast"])
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo test")?;
    let output = child.stdout.take().context("stdout is piped")?;
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        if line.starts_with("test result:") {
            passed += count(&line, "passed");
            failed += count(&line, "failed");
            ignored += count(&line, "ignored");
        }
    }
    let status = child.wait()?;
    println!("{passed} passed, {failed} failed, {ignored} skipped");
    if !status.success() {
        bail!("tests failed");
    }
    Ok(())
}

/// The number before a word of cargo's summary line.
fn count(line: &str, word: &str) -> u32 {
    let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || c == ';' || c == '.').collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_summary_line_of_cargo_test_is_understood() {
        let line =
            "test result: ok. 12 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(
            (super::count(line, "passed"), super::count(line, "failed"), super::count(line, "ignored")),
            (12, 1, 3)
        );
    }
}
