//! Repository chores, run as `cargo xtask <chore>`.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a command line tool speaks to its terminal")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

mod bench;
mod ci;
mod codegen;
mod conform;
mod docs;
mod install;
mod layers;

const USAGE: &str = "usage: cargo xtask <chore>

  ci                       what CI runs: install, fmt, clippy, layers, docs, deny, codegen --check, all tests
  codegen [--check]        compile proto/ into crates/spire-proto/src/gen
  layers                   check that crates depend downwards only
  docs                     check what the documents say of dependencies and files
  conform [--check|--bless] [suite] [glob…]
                           ask the release binaries what SPIRE was asked
  bench [--check] [scenario…]
                           measure the release binaries";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let chore = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match chore.as_str() {
        "ci" => ci::run(),
        "codegen" => codegen::run(&rest),
        "layers" => layers::run(),
        "docs" => docs::run(),
        "conform" => conform::run(&rest),
        "bench" => bench::run(&rest),
        "" | "help" | "-h" | "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => Err(anyhow::anyhow!("unknown chore {other:?}\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {chore}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
        .to_path_buf()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a command in the root, shows it first, and fails when it does.
pub fn sh(program: &str, args: &[&str]) -> Result<()> {
    eprintln!("+ {program} {}", args.join(" "));
    let status = Command::new(program)
        .args(args)
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("`{program} {}` failed: {status}", args.join(" "));
    }
    Ok(())
}
