//! The regression guard: instruction counts of the inner benches under
//! callgrind, held against committed figures. Time on shared machines is
//! noise; instructions are not.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// How much more is a regression.
const TOLERANCE: f64 = 0.05;

/// `(package, example)`: each example runs one hot function a fixed number of times.
const INNER: &[(&str, &str)] =
    &[("spire-server", "count_index"), ("spire-crypto", "count_certificate"), ("spire-agent", "count_cache")];

pub fn check(bless: bool) -> Result<()> {
    let file = PathBuf::from("bench/results/instructions.json");
    let kept: BTreeMap<String, u64> = match fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => BTreeMap::new(),
    };
    let mut now = BTreeMap::new();
    let mut worse = Vec::new();
    for (package, example) in INNER {
        let count = instructions(package, example)?;
        println!("{example}: {count} instructions");
        if let Some(before) = kept.get(*example) {
            let change = count as f64 / *before as f64 - 1.0;
            if change > TOLERANCE {
                worse.push(format!("{example}: {before} → {count} (+{:.1} %)", change * 100.0));
            }
        } else if !bless {
            worse.push(format!("{example} has no committed figure; run with --bless"));
        }
        now.insert((*example).to_owned(), count);
    }
    if bless {
        fs::write(&file, serde_json::to_vec_pretty(&now)?)?;
        return Ok(());
    }
    if !worse.is_empty() {
        bail!("more instructions than before:\n  {}", worse.join("\n  "));
    }
    Ok(())
}

fn instructions(package: &str, example: &str) -> Result<u64> {
    let built = Command::new("cargo")
        .args(["build", "--release", "-p", package, "--example", example])
        .status()
        .context("cannot start cargo")?;
    anyhow::ensure!(built.success(), "cannot build {example}");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let binary = target.join("release/examples").join(example);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(&binary)
        .output()
        .context("cannot start valgrind (apt-get install valgrind)")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line =
        text.lines().find(|l| l.contains("Collected")).with_context(|| format!("callgrind said: {text}"))?;
    let number = line.rsplit(':').next().context("the line ends with the count")?.trim();
    Ok(number.parse()?)
}
