//! Collects figures over the rounds, compares them, judges the targets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::physical::Physical;
use crate::plot;
use crate::scenario::Measure;

mod targets;

/// The values of one measure of one build, one a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    pub scenario: String,
    pub measure: String,
    pub unit: String,
    pub build: String,
    pub less_is_better: bool,
    pub values: Vec<f64>,
}

impl Series {
    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn spread(&self) -> (f64, f64) {
        let low = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    machine: String,
    rounds: u32,
    builds: Vec<String>,
    physical: Physical,
    series: Vec<Series>,
    failures: Vec<String>,
}

impl Report {
    pub fn new(options: &Options, physical: Physical) -> Self {
        Self {
            machine: machine(),
            rounds: options.rounds,
            builds: options.builds.iter().map(|b| b.label.clone()).collect(),
            physical,
            series: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The figures of an earlier run, as [`Report::write`] left them.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds no figures", file.display()))
    }

    pub fn add(&mut self, scenario: &str, build: &str, measures: Vec<Measure>) {
        for measure in measures {
            eprintln!("  {:<60} {:>12.3} {}", measure.name, measure.value, measure.unit);
            let known = self
                .series
                .iter_mut()
                .find(|s| s.scenario == scenario && s.measure == measure.name && s.build == build);
            match known {
                Some(series) => series.values.push(measure.value),
                None => self.series.push(Series {
                    scenario: scenario.to_owned(),
                    measure: measure.name,
                    unit: measure.unit.to_owned(),
                    build: build.to_owned(),
                    less_is_better: measure.less_is_better,
                    values: vec![measure.value],
                }),
            }
        }
    }

    pub fn failed(&mut self, scenario: &str, build: &str, error: &str) {
        self.failures.push(format!("{scenario} on {build}: {error}"));
    }

    /// Prints everything; fails if a scenario did.
    pub fn conclude(&self) -> Result<()> {
        println!("{}", self.text());
        anyhow::ensure!(self.failures.is_empty(), "scenarios failed:\n  {}", self.failures.join("\n  "));
        Ok(())
    }

    /// Writes the files, with so many rounds done.
    pub fn write(&mut self, options: &Options, rounds: u32) -> Result<()> {
        self.rounds = rounds;
        if let Some(dir) = options.out.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(&options.out, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", options.out.display()))?;
        options.docs.as_deref().map_or(Ok(()), |docs| self.write_docs(docs))
    }

    pub fn write_docs(&self, docs: &Path) -> Result<()> {
        fs::create_dir_all(docs)?;
        plot::growth(&self.series, docs)?;
        fs::write(docs.join("performance.md"), self.markdown())?;
        Ok(())
    }

    /// Rows of scenario and measure, a column for each build.
    fn rows(&self) -> Vec<(&str, &str, &str, Vec<Option<&Series>>)> {
        let mut rows: Vec<(&str, &str, &str, Vec<Option<&Series>>)> = Vec::new();
        for series in &self.series {
            let column = self.builds.iter().position(|b| *b == series.build).unwrap_or(0);
            let row = match rows.iter().position(|r| r.0 == series.scenario && r.1 == series.measure) {
                Some(index) => &mut rows[index],
                None => {
                    let columns = vec![None; self.builds.len()];
                    rows.push((&series.scenario, &series.measure, &series.unit, columns));
                    let last = rows.len() - 1;
                    &mut rows[last]
                }
            };
            row.3[column] = Some(series);
        }
        rows
    }

    /// The first build's CPU time as a multiple of what the cores can do at all.
    fn times_limit(
        &self,
        scenario: &str,
        measure: &str,
        columns: &[Option<&Series>],
    ) -> Option<(&'static str, f64)> {
        let first = columns.first().copied().flatten()?;
        let is_cpu_of_one = measure.ends_with(": CPU") && first.unit == "ms";
        let (name, limit) = self.physical.limit_of(scenario)?;
        is_cpu_of_one.then(|| (name, first.median() / limit))
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let p = &self.physical;
        let _ = writeln!(
            out,
            "limits of this machine: P-256 sign {:.4} ms, verify {:.4} ms; SQLite commit {:.4} ms, PostgreSQL {}; gRPC echo {:.4} ms",
            p.p256_sign_ms,
            p.p256_verify_ms,
            p.sqlite_commit_ms,
            p.postgres_commit_ms.map_or_else(|| "not installed".to_owned(), |ms| format!("{ms:.4} ms")),
            p.grpc_echo_ms
        );
        for (scenario, measure, unit, columns) in self.rows() {
            let _ = write!(out, "{scenario:<11} {measure:<58}");
            for column in &columns {
                match column {
                    Some(series) => {
                        let (low, high) = series.spread();
                        let _ =
                            write!(out, " {:>11} ({}–{})", short(series.median()), short(low), short(high));
                    }
                    None => out.push_str("           –"),
                }
            }
            let _ = write!(out, " {unit}");
            if let Some(ratio) = ratio(&columns) {
                let _ = write!(out, "  {ratio:.2}×");
            }
            if let Some((limit, times)) = self.times_limit(scenario, measure, &columns) {
                let _ = write!(out, "  ({times:.1} × {limit})");
            }
            out.push('\n');
        }
        for verdict in targets::judge(&self.series, &self.physical, &self.builds) {
            let _ = writeln!(out, "{verdict}");
        }
        out
    }

    fn markdown(&self) -> String {
        let mut out = String::from(include_str!("report/preface.md"));
        let p = &self.physical;
        let _ = writeln!(
            out,
            "\n## The machine\n\n{}; {} rounds, builds interleaved, median (lowest–highest).\n\n| limit | ms |\n|---|---|\n| P-256 sign | {:.4} |\n| P-256 verify | {:.4} |\n| SQLite commit (WAL, NORMAL) | {:.4} |\n| PostgreSQL commit | {} |\n| CPU of a bare tonic server for one call over a Unix socket (\"gRPC echo\") | {:.4} |",
            self.machine,
            self.rounds,
            p.p256_sign_ms,
            p.p256_verify_ms,
            p.sqlite_commit_ms,
            p.postgres_commit_ms.map_or_else(|| "not installed".to_owned(), |ms| format!("{ms:.4}")),
            p.grpc_echo_ms
        );
        out.push_str("\n## Targets\n\n| measure | target | reached | verdict |\n|---|---|---|---|\n");
        for verdict in targets::judge(&self.series, &self.physical, &self.builds) {
            let _ = writeln!(out, "{}", verdict.markdown());
        }
        out.push_str("\n## Growth\n\n");
        for (file, title) in plot::files() {
            let _ = writeln!(out, "![{title}]({file})");
        }
        let _ = writeln!(
            out,
            "\n## All figures\n\n| scenario | measure | unit | {} | ratio | first over limit |",
            self.builds.join(" | ")
        );
        let _ = writeln!(out, "|---|---|---|{}---|---|", "---|".repeat(self.builds.len()));
        for (scenario, measure, unit, columns) in self.rows() {
            let _ = write!(out, "| {scenario} | {measure} | {unit} |");
            for column in &columns {
                match column {
                    Some(series) => {
                        let (low, high) = series.spread();
                        let _ = write!(out, " {} ({}–{}) |", short(series.median()), short(low), short(high));
                    }
                    None => out.push_str(" – |"),
                }
            }
            let times = self.times_limit(scenario, measure, &columns);
            let _ = writeln!(
                out,
                " {} | {} |",
                ratio(&columns).map_or_else(String::new, |r| format!("{r:.2}")),
                times.map_or_else(String::new, |(limit, times)| format!("{times:.1} × {limit}"))
            );
        }
        if !self.failures.is_empty() {
            let _ = writeln!(out, "\n## What failed\n\n- {}", self.failures.join("\n- "));
        }
        out
    }
}

/// First build over the second.
fn ratio(columns: &[Option<&Series>]) -> Option<f64> {
    match columns {
        [Some(a), Some(b), ..] if b.median() > 0.0 => Some(a.median() / b.median()),
        _ => None,
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            text.lines().find_map(|l| {
                l.strip_prefix("model name").map(|v| v.trim_start_matches([' ', '\t', ':']).to_owned())
            })
        })
        .unwrap_or_else(|| "unknown CPU".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {cpu}")
}

/// All series in one map, for the judges.
pub fn medians<'a>(series: &'a [Series], build: &str) -> BTreeMap<(&'a str, &'a str), f64> {
    series
        .iter()
        .filter(|s| s.build == build)
        .map(|s| ((s.scenario.as_str(), s.measure.as_str()), s.median()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_show_the_committed_figures() {
        let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
        let report = Report::read(&bench.join("results/latest.json")).unwrap();
        let shown = fs::read_to_string(bench.join("../docs/performance.md")).unwrap();
        assert!(shown == report.markdown(), "run spire-bench --from bench/results/latest.json --docs docs");
    }
}
