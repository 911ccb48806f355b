//! How far one event table was read, and which ids are still missing (SA-241..244).
//!
//! Ids come from auto-increment: a transaction may commit after one with a higher id, so a skipped id is asked for
//! again until it appears or it is certain that it never will.

use std::collections::BTreeMap;
use std::time::Duration;

/// A jump this large is no gap between transactions but another database: read everything anew.
const MAX_GAP: u64 = 100_000;

/// The state of one event table. Times are of the monotonic clock.
#[derive(Debug)]
pub(super) struct EventFeed {
    first: u64,
    last: u64,
    /// Missing id to when it was noticed.
    missing: BTreeMap<u64, Duration>,
    started: Duration,
    timeout: Duration,
    /// Late events below `first` that were seen already.
    seen_before_first: std::collections::HashSet<u64>,
}

/// The table cannot be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

impl EventFeed {
    /// Starts after everything that is there. `present` are the ids in between, if some are missing.
    pub(super) fn start(
        bounds: (u64, u64),
        present: Option<&[u64]>,
        now: Duration,
        timeout: Duration,
    ) -> Self {
        let (first, last) = bounds;
        let mut feed = Self {
            first,
            last: first,
            missing: BTreeMap::new(),
            started: now,
            timeout,
            seen_before_first: Default::default(),
        };
        match present {
            Some(present) => drop(feed.advance(present.iter().copied(), now)),
            None => feed.last = last,
        }
        feed.last = feed.last.max(last);
        feed
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Takes note of events that were read, ids ascending. An empty table has no gap before its first event
    /// (SA-244).
    pub(super) fn advance(&mut self, ids: impl IntoIterator<Item = u64>, now: Duration) -> Result<(), Lost> {
        for id in ids {
            if self.last == 0 {
                (self.first, self.last) = (id, id);
                continue;
            }
            if id > self.last.saturating_add(MAX_GAP) {
                self.last = id;
                self.missing.clear();
                return Err(Lost);
            }
            for skipped in self.last + 1..id {
                self.missing.insert(skipped, now);
            }
            self.last = self.last.max(id);
        }
        Ok(())
    }

    /// Ids to ask for, after dropping those that were missing for too long (SA-243).
    pub(super) fn missing(&mut self, now: Duration) -> Vec<u64> {
        let timeout = self.timeout;
        self.missing.retain(|_, since| now.saturating_sub(*since) <= timeout);
        self.missing.keys().copied().collect()
    }

    pub(super) fn found(&mut self, id: u64) {
        self.missing.remove(&id);
    }

    /// The id below which late events may still appear, if it is early enough to ask.
    pub(super) fn before_first(&self, now: Duration) -> Option<u64> {
        (self.first > 1 && now.saturating_sub(self.started) <= self.timeout).then_some(self.first)
    }

    /// Whether a late event is new.
    pub(super) fn is_news(&mut self, id: u64) -> bool {
        self.seen_before_first.insert(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(900);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn skipped_ids_are_asked_for_until_found_or_too_old() {
        // SA-242, SA-243
        let mut feed = EventFeed::start((5, 9), Some(&[5, 6, 9]), at(0), TIMEOUT);
        assert_eq!((feed.last(), feed.missing(at(1))), (9, vec![7, 8]));
        feed.advance([10, 13], at(100)).unwrap();
        assert_eq!(feed.missing(at(900)), [7, 8, 11, 12]);
        feed.found(8);
        assert_eq!(feed.missing(at(901)), [11, 12]);
        assert!(feed.missing(at(1001)).is_empty());
    }

    #[test]
    fn first_event_ever_leaves_no_gap() {
        // SA-244
        let mut feed = EventFeed::start((0, 0), None, at(0), TIMEOUT);
        feed.advance([17], at(1)).unwrap();
        assert_eq!((feed.last(), feed.missing(at(1))), (17, vec![]));
        feed.advance([19], at(1)).unwrap();
        assert_eq!(feed.missing(at(1)), [18]);
    }

    #[test]
    fn late_events_before_the_first_are_looked_for_only_at_the_beginning() {
        // SA-242
        let mut feed = EventFeed::start((5, 9), None, at(0), TIMEOUT);
        assert_eq!(feed.before_first(at(900)), Some(5));
        assert_eq!(feed.before_first(at(901)), None);
        assert!(feed.is_news(3));
        assert!(!feed.is_news(3));
        assert_eq!(EventFeed::start((1, 9), None, at(0), TIMEOUT).before_first(at(1)), None);
    }

    #[test]
    fn absurd_jump_means_another_database() {
        let mut feed = EventFeed::start((1, 9), None, at(0), TIMEOUT);
        assert_eq!(feed.advance([4_000_000_000], at(1)), Err(Lost));
        assert_eq!((feed.last(), feed.missing(at(1))), (4_000_000_000, vec![]));
    }
}
