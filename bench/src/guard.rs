//! The regression guard: instruction counts of the inner benches under
//! callgrind, held against committed figures. Time on shared machines is
//! noise; instructions are not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// How much more is a regression.
const TOLERANCE: f64 = 0.05;

/// `(package, bench)`: with `--count` each runs its hot functions a fixed number of times.
const INNER: &[(&str, &str)] =
    &[("spire-server", "index"), ("spire-crypto", "certificate"), ("spire-agent", "cache")];

pub fn check(bless: bool) -> Result<()> {
    let file = PathBuf::from("bench/results/instructions.json");
    let kept: BTreeMap<String, u64> = match fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => BTreeMap::new(),
    };
    let mut now = BTreeMap::new();
    let mut worse = Vec::new();
    for (package, bench) in INNER {
        let count = instructions(&build(package, bench)?)?;
        println!("{bench}: {count} instructions");
        if let Some(before) = kept.get(*bench) {
            let change = count as f64 / *before as f64 - 1.0;
            if change > TOLERANCE {
                worse.push(format!("{bench}: {before} → {count} (+{:.1} %)", change * 100.0));
            }
        } else if !bless {
            worse.push(format!("{bench} has no committed figure; run with --bless"));
        }
        now.insert((*bench).to_owned(), count);
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

/// The executable of a bench, as released.
fn build(package: &str, bench: &str) -> Result<PathBuf> {
    let features: &[&str] = if package == "spire-crypto" { &[] } else { &["--features", "bench"] };
    let output = Command::new("cargo")
        .args(["bench", "--quiet", "--no-run", "--message-format=json", "-p", package, "--bench", bench])
        .args(features)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    anyhow::ensure!(output.status.success(), "cannot build {bench}");
    let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<serde_json::Value>();
    for message in messages {
        let message = message.context("cargo's messages are JSON")?;
        if let (Some(program), true) = (message["executable"].as_str(), message["target"]["name"] == bench) {
            return Ok(program.into());
        }
    }
    bail!("cargo did not name the executable of {bench}")
}

/// Instructions of the function `counted` and all it calls; its preparation is left out.
fn instructions(program: &Path) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted*"])
        .arg(program)
        .arg("--count")
        .output()
        .context("cannot start valgrind (apt-get install valgrind)")?;
    let text = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "callgrind said: {text}");
    let line =
        text.lines().find(|l| l.contains("Collected")).with_context(|| format!("callgrind said: {text}"))?;
    let number = line.rsplit(':').next().context("the line ends with the count")?.trim();
    let count = number.parse()?;
    anyhow::ensure!(count > 0, "nothing was counted in {}", program.display());
    Ok(count)
}
