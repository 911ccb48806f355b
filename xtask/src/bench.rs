//! Builds the release binaries and runs the benchmark harness on them.

use anyhow::Result;

use crate::{sh, target_dir};

pub fn run(args: &[String]) -> Result<()> {
    sh(
        "cargo",
        &["build", "--release", "-p", "spire-server-bin", "-p", "spire-agent-bin", "-p", "spire-bench"],
    )?;
    let harness = target_dir().join("release/spire-bench");
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    sh(&harness.to_string_lossy(), &words)
}
