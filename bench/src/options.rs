//! What a run is asked to do.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::build::Build;
use crate::scenario::{self, Scenario};

/// How much a scenario does; `Full` is what `docs/performance.md` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Quick,
    Full,
}

#[derive(Debug)]
pub struct Options {
    pub builds: Vec<Build>,
    pub scenarios: Vec<&'static Scenario>,
    pub rounds: u32,
    pub scale: Scale,
    pub out: PathBuf,
    /// Also writes `docs/performance.md` and its plots.
    pub docs: Option<PathBuf>,
    /// Measures nothing: the figures of an earlier run.
    pub from: Option<PathBuf>,
    pub check: bool,
    pub bless: bool,
}

const USAGE: &str = "usage: cargo xtask bench [--bin [LABEL=]DIR]… [--rounds N] [--quick] [--out FILE] [--docs DIR] [scenario…]
       cargo xtask bench --from FILE --docs DIR
       cargo xtask bench --check [--bless]";

impl Options {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            builds: Vec::new(),
            scenarios: Vec::new(),
            rounds: 3,
            scale: Scale::Full,
            out: PathBuf::from("bench/results/latest.json"),
            docs: None,
            from: None,
            check: false,
            bless: false,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value\n{USAGE}"));
            match arg.as_str() {
                "--bin" => options.builds.push(Build::parse(&value()?)?),
                "--rounds" => options.rounds = value()?.parse().context("--rounds takes a number")?,
                "--quick" => options.scale = Scale::Quick,
                "--out" => options.out = value()?.into(),
                "--docs" => options.docs = Some(value()?.into()),
                "--from" => options.from = Some(value()?.into()),
                "--check" => options.check = true,
                "--bless" => options.bless = true,
                flag if flag.starts_with('-') => bail!("unknown flag {flag}\n{USAGE}"),
                name => options.scenarios.push(scenario::find(name)?),
            }
        }
        if options.builds.is_empty() && options.from.is_none() {
            options.builds.push(Build::ours()?);
        }
        if options.scenarios.is_empty() {
            options.scenarios = scenario::ALL.iter().collect();
        }
        Ok(options)
    }
}
