//! Puts the recorded questions of `../shared/conform` to the release binaries.
//!
//! `conform.toml` holds the figures last reached. `--check` fails below them,
//! `--bless` raises them; they never fall.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{root, sh, target_dir};

const SUITES: [&str; 3] = ["cli", "api", "agent"];

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
struct Figure {
    matching: u32,
    of: u32,
}

pub fn run(args: &[String]) -> Result<()> {
    let suite_runner = root().join("../shared/conform/run");
    if !suite_runner.exists() {
        eprintln!("no {}: nothing to compare with", suite_runner.display());
        return Ok(());
    }
    let (flags, selection): (Vec<&String>, Vec<&String>) = args.iter().partition(|a| a.starts_with("--"));
    let has = |flag: &str| flags.iter().any(|f| *f == flag);
    sh("cargo", &["build", "--release", "-p", "spire-server-bin", "-p", "spire-agent-bin"])?;
    let mut reached = BTreeMap::new();
    if selection.is_empty() {
        for suite in SUITES {
            reached.insert(suite.to_owned(), ask(&suite_runner, &[suite.to_owned()])?);
        }
    } else {
        let words: Vec<String> = selection.into_iter().cloned().collect();
        ask(&suite_runner, &words)?;
        return Ok(());
    }
    let kept = read_kept()?;
    for (suite, figure) in &reached {
        let share = f64::from(figure.matching) * 100.0 / f64::from(figure.of.max(1));
        println!("{suite}: {} of {} match ({share:.1} %)", figure.matching, figure.of);
    }
    if has("--bless") {
        write_kept(&kept, &reached)?;
    }
    if has("--check") {
        ask_again(&suite_runner, &kept, &mut reached)?;
        check(&kept, &reached)?;
    }
    Ok(())
}

/// A few cases are races against a clock: what fell short is asked once more before it counts.
fn ask_again(
    runner: &PathBuf,
    kept: &BTreeMap<String, Figure>,
    reached: &mut BTreeMap<String, Figure>,
) -> Result<()> {
    for (suite, now) in reached {
        if kept.get(suite).is_some_and(|before| now.matching < before.matching) {
            println!("{suite}: {} of {} match, asking again", now.matching, now.of);
            let again = ask(runner, std::slice::from_ref(suite))?;
            if again.matching > now.matching {
                *now = again;
            }
        }
    }
    Ok(())
}

fn check(kept: &BTreeMap<String, Figure>, reached: &BTreeMap<String, Figure>) -> Result<()> {
    for (suite, before) in kept {
        let now = reached.get(suite).context("every suite was asked")?;
        if now.matching < before.matching {
            bail!("{suite} fell from {} to {} of {}", before.matching, now.matching, now.of);
        }
    }
    Ok(())
}

/// Streams the runner's lines and reads its last one.
fn ask(runner: &PathBuf, words: &[String]) -> Result<Figure> {
    let mut child = Command::new(runner)
        .args(words)
        .env("SPIRE_BIN", target_dir().join("release"))
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", runner.display()))?;
    let output = child.stdout.take().context("stdout is piped")?;
    let mut last = String::new();
    for line in BufReader::new(output).lines() {
        last = line?;
        println!("{last}");
    }
    child.wait()?;
    let numbers: Vec<u32> = last.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [matching, of] => Ok(Figure { matching, of }),
        _ => bail!("the runner ended with {last:?} instead of its figure"),
    }
}

fn kept_path() -> PathBuf {
    root().join("conform.toml")
}

fn read_kept() -> Result<BTreeMap<String, Figure>> {
    match fs::read_to_string(kept_path()) {
        Ok(text) => Ok(toml::from_str(&text)?),
        Err(_) => Ok(BTreeMap::new()),
    }
}

fn write_kept(kept: &BTreeMap<String, Figure>, reached: &BTreeMap<String, Figure>) -> Result<()> {
    let mut next = kept.clone();
    for (suite, figure) in reached {
        if kept.get(suite).is_none_or(|before| figure.matching > before.matching) {
            next.insert(suite.clone(), *figure);
        }
    }
    let body = toml::to_string(&next)?;
    fs::write(
        kept_path(),
        format!("# Figures last reached; `cargo xtask conform --bless` raises them.\n\n{body}"),
    )?;
    Ok(())
}
