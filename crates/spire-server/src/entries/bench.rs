//! The index as its inner bench drives it: snapshots without a store behind them.

use spire_types::{Entry, Selector, SpiffeId, TrustDomain};

use super::snapshot::Snapshot;

/// Entries of one agent.
const OWN: usize = 10;

/// An index of `count` entries, ten for each agent.
#[derive(Debug)]
pub struct Index {
    snapshot: Snapshot,
}

impl Index {
    pub fn filled(count: usize) -> Self {
        let trust_domain = TrustDomain::parse("example.org").unwrap();
        let mut snapshot = Snapshot::new(trust_domain);
        for number in 0..count {
            snapshot.put_entry(&entry(number, ""));
        }
        Self { snapshot }
    }

    /// What the feeder does for one changed entry: a new snapshot beside the old one.
    pub fn change(&mut self, number: usize, hint: &str) {
        let mut next = self.snapshot.clone();
        next.put_entry(&entry(number, hint));
        self.snapshot = next;
    }

    /// What a sync of one agent asks.
    pub fn authorized(&self, agent: usize) -> usize {
        self.snapshot.authorized(self.snapshot.keys.path(&agent_path(agent))).len()
    }
}

fn agent_path(agent: usize) -> String {
    format!("/spire/agent/bench/{agent}")
}

fn entry(number: usize, hint: &str) -> Entry {
    let id = |path: String| SpiffeId::from_path(TrustDomain::parse("example.org").unwrap(), &path).unwrap();
    let selectors = ["unix:uid:", "unix:path:/opt/"]
        .iter()
        .map(|text| Selector::parse(&format!("{text}{number}")).unwrap())
        .collect();
    Entry {
        id: format!("00000000-0000-4000-8000-{number:012}"),
        hint: hint.to_owned(),
        ..Entry::new(id(format!("/workload/{number}")), id(agent_path(number / OWN)), selectors)
    }
}
