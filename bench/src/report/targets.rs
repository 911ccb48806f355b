//! What decides whether anyone moves: ratios to SPIRE 1.15.3, and absolutes.

use std::fmt;

use super::{Series, medians};
use crate::physical::Physical;

/// What a figure is held against.
enum Goal {
    /// At most this share of SPIRE's figure; the second number is SPIRE's
    /// lower end, used when its binaries are not in the run.
    Ratio(f64, f64),
    /// The same of another figure of the scenario, for what must not grow.
    RatioOf(f64, &'static str, f64),
    /// At least this many times SPIRE's figure.
    Times(f64, f64),
    AtMost(f64),
    /// At most this many times (one P-256 verify + one sign).
    Signatures(f64),
}

struct Target {
    scenario: &'static str,
    measure: &'static str,
    goal: Goal,
}

const fn target(scenario: &'static str, measure: &'static str, goal: Goal) -> Target {
    Target { scenario, measure, goal }
}

/// Where SPIRE's sync is cheapest.
const FEW_ENTRIES: &str = "50 agents, 1000 entries, closed loop: CPU";

const TARGETS: &[Target] = &[
    target("sign-x509", "batch of 50: CPU", Goal::Ratio(1.0 / 5.0, 0.6)),
    target("sign-x509", "batch of 50: CPU", Goal::Signatures(1.6)),
    target("sign-x509", "one by one: CPU", Goal::Ratio(1.0 / 6.0, 1.2)),
    target("sign-jwt", "sign: CPU", Goal::Ratio(1.0 / 8.0, 1.05)),
    target("attest", "attest: CPU", Goal::Ratio(1.0 / 4.0, 3.6)),
    target("create", "SQLite, batch of 50: CPU", Goal::Ratio(1.0 / 10.0, 3.6)),
    target("create", "SQLite, batch of 50: rate", Goal::Times(10.0, 290.0)),
    target("create", "SQLite, one by one: CPU", Goal::Ratio(1.0 / 8.0, 5.3)),
    target("sync", FEW_ENTRIES, Goal::Ratio(1.0 / 8.0, 0.75)),
    target(
        "sync",
        "500 agents, 10000 entries, closed loop: CPU",
        Goal::RatioOf(1.0 / 8.0, FEW_ENTRIES, 0.75),
    ),
    target(
        "sync",
        "500 agents, 100000 entries, closed loop: CPU",
        Goal::RatioOf(1.0 / 8.0, FEW_ENTRIES, 0.75),
    ),
    target("sync", "500 agents, 10000 entries, each polls every 5 s", Goal::Ratio(1.0 / 8.0, 0.29)),
    target("sync", "500 agents, 100000 entries, nobody calls", Goal::Ratio(1.0 / 100.0, 0.38)),
    target("restart", "empty: server memory", Goal::AtMost(15.0)),
    target("restart", "100000 entries: server memory", Goal::AtMost(70.0)),
    target("restart", "100000 entries: memory an entry", Goal::AtMost(600.0)),
    target("restart", "100000 entries: ready", Goal::Ratio(1.0 / 8.0, 8.6)),
    target("propagate", "created: p50", Goal::AtMost(15.0)),
    target("propagate", "created: p99", Goal::AtMost(100.0)),
    target("propagate", "deleted: p50", Goal::AtMost(15.0)),
    target("propagate", "deleted: p99", Goal::AtMost(100.0)),
    target("fetch", "X.509, kept connection: CPU", Goal::Ratio(1.0 / 6.0, 0.6)),
    target("fetch", "X.509, new connection: CPU", Goal::Ratio(1.0 / 4.0, 1.0)),
    target("fetch", "JWT from cache: CPU", Goal::Ratio(1.0 / 6.0, 0.41)),
    target("start", "idle agent: memory", Goal::AtMost(9.0)),
    target("start", "agent start to first SVID: p50", Goal::Ratio(1.0 / 2.0, 80.0)),
    target("streams", "1000 streams: memory a stream", Goal::AtMost(14.0)),
    target("streams", "2000 streams: memory a stream", Goal::AtMost(14.0)),
    target("streams", "2000 streams: one change, CPU", Goal::Ratio(1.0 / 5.0, 0.7)),
    target("streams", "2000 streams: one change, until all have it", Goal::AtMost(300.0)),
    target("streams", "2000 streams: memory after all closed, over before", Goal::AtMost(1.25)),
];

#[derive(Debug)]
pub struct Verdict {
    what: String,
    wanted: String,
    reached: String,
    met: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.met { "met    " } else { "NOT MET" };
        write!(f, "{word} {}: {} (wanted {})", self.what, self.reached, self.wanted)
    }
}

impl Verdict {
    pub fn markdown(&self) -> String {
        let word = if self.met { "met" } else { "**not met**" };
        format!("| {} | {} | {} | {word} |", self.what, self.wanted, self.reached)
    }
}

/// Judges the first build of the run; a build labelled `spire` is the measure.
pub fn judge(series: &[Series], physical: &Physical, builds: &[String]) -> Vec<Verdict> {
    let Some(ours) = builds.iter().find(|b| *b != "spire") else { return Vec::new() };
    let own = medians(series, ours);
    let theirs = medians(series, "spire");
    TARGETS
        .iter()
        .filter_map(|target| {
            let key = (target.scenario, target.measure);
            let value = *own.get(&key)?;
            let (wanted, met) = match target.goal {
                Goal::Ratio(share, reference) => at_most_share(share, theirs.get(&key), reference, value),
                Goal::RatioOf(share, measure, reference) => {
                    at_most_share(share, theirs.get(&(target.scenario, measure)), reference, value)
                }
                Goal::Times(times, reference) => {
                    let base = theirs.get(&key).copied().unwrap_or(reference);
                    let limit = base * times;
                    (format!("≥ {limit:.0} ({times:.0} × {base:.0})"), value >= limit)
                }
                Goal::AtMost(limit) => (format!("≤ {limit:.3}"), value <= limit),
                Goal::Signatures(times) => {
                    let limit = times * (physical.p256_sign_ms + physical.p256_verify_ms);
                    (format!("≤ {limit:.3} ({times} × (verify + sign))"), value <= limit)
                }
            };
            Some(Verdict {
                what: format!("{}, {}", target.scenario, target.measure),
                wanted,
                reached: format!("{value:.3}"),
                met,
            })
        })
        .collect()
}

fn at_most_share(share: f64, theirs: Option<&f64>, reference: f64, value: f64) -> (String, bool) {
    let base = theirs.copied().unwrap_or(reference);
    let limit = base * share;
    (format!("≤ {limit:.3} (1/{:.0} of {base:.3})", 1.0 / share), value <= limit)
}
