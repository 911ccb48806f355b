//! Which entries the agent is authorized for (AG-309 to AG-319).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use spire_proto::server::entry::v1::entry_client::EntryClient;
use spire_proto::server::entry::v1::{
    EntryRevision, GetAuthorizedEntriesRequest, SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse,
};
use spire_proto::types::{self, EntryMask};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::cache::{AgentEntry, EntryUpdate};
use crate::fault::Fault;
use crate::link::MAX_MESSAGE;

/// The entries as of the last sync.
pub(super) type Known = HashMap<Arc<str>, Arc<AgentEntry>>;

fn mask() -> EntryMask {
    EntryMask {
        spiffe_id: true,
        selectors: true,
        federates_with: true,
        admin: true,
        downstream: true,
        revision_number: true,
        store_svid: true,
        hint: true,
        additional_attributes: true,
        created_at: true,
        ..EntryMask::default()
    }
}

/// One sync: what of the known entries is seen again, and what is new.
#[derive(Debug)]
struct Pull<'a> {
    known: &'a Known,
    seen: HashSet<Arc<str>>,
    changed: Vec<Arc<AgentEntry>>,
    /// Must be fetched in full.
    missing: Vec<String>,
}

impl<'a> Pull<'a> {
    fn new(known: &'a Known) -> Self {
        Self { known, seen: HashSet::new(), changed: Vec::new(), missing: Vec::new() }
    }

    fn entries(&mut self, entries: &[Bytes]) -> Result<(), Fault> {
        for encoded in entries {
            let wire = types::Entry::decode(encoded.clone()).map_err(undecodable)?;
            match AgentEntry::from_wire(&wire) {
                Ok(entry) => {
                    self.seen.insert(entry.id.clone());
                    if self.known.get(&entry.id).is_none_or(|known| **known != entry) {
                        self.changed.push(Arc::new(entry));
                    }
                }
                Err(error) => log_malformed(&wire, &error),
            }
        }
        Ok(())
    }

    fn revisions(&mut self, revisions: &[EntryRevision]) {
        for revision in revisions {
            if revision.id.is_empty() || revision.revision_number < 0 {
                tracing::warn!(
                    registration_id = revision.id,
                    revision_number = revision.revision_number,
                    subsystem_name = "manager",
                    "Received malformed entry revision from SPIRE server; are the server and agent versions compatible?"
                );
                continue;
            }
            let known = self.known.get_key_value(revision.id.as_str());
            if let Some((id, _)) = known {
                self.seen.insert(id.clone());
            }
            let outdated = known
                .is_none_or(|(_, entry)| entry.is_outdated(revision.revision_number, revision.created_at));
            if outdated {
                self.missing.push(revision.id.clone());
            }
        }
    }

    /// Only a sync that came to its end may remove anything (AG-314).
    fn finish(self) -> EntryUpdate {
        let gone = self.known.keys().filter(|id| !self.seen.contains(*id));
        EntryUpdate { removed: gone.cloned().collect(), changed: self.changed }
    }
}

fn log_malformed(wire: &types::Entry, error: &str) {
    tracing::warn!(
        error,
        registration_id = wire.id,
        revision_number = wire.revision_number,
        selectors = ?wire.selectors,
        spiffe_id = ?wire.spiffe_id,
        subsystem_name = "manager",
        "Received malformed entry from SPIRE server; are the server and agent versions compatible?"
    );
}

/// As of a whole message that cannot be read.
fn undecodable(error: prost::DecodeError) -> Fault {
    broken(Status::internal(error.to_string()))
}

fn broken(status: Status) -> Fault {
    Fault::rpc(&status)
}

async fn next(
    answers: &mut Streaming<SyncAuthorizedEntriesResponse>,
) -> Result<SyncAuthorizedEntriesResponse, Fault> {
    answers.message().await.map_err(broken)?.ok_or_else(|| Fault::new("EOF"))
}

/// Learns the revisions and fetches in full only what is not known.
pub(super) async fn sync(channel: Channel, known: &Known) -> Result<EntryUpdate, Fault> {
    let (requests, stream) = mpsc::channel(1);
    let closed = |_| Fault::new("EOF");
    let first = SyncAuthorizedEntriesRequest { output_mask: Some(mask()), ids: Vec::new() };
    // The server answers the call itself only after it has seen the first message.
    requests.try_send(first).map_err(|_| Fault::new("EOF"))?;
    let mut client = EntryClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
    let opened = client.sync_authorized_entries(ReceiverStream::new(stream)).await;
    let mut answers = opened.map_err(broken)?.into_inner();
    let mut pull = Pull::new(known);
    let mut answer = next(&mut answers).await?;
    if answer.entry_revisions.is_empty() {
        // It is the complete list already (AG-310).
        pull.entries(&answer.entries)?;
        return Ok(pull.finish());
    }
    let page = answer.entry_revisions.len();
    pull.revisions(&answer.entry_revisions);
    let in_revisions = |fault: Fault| fault.context("failed to receive entry revision page from server");
    while answer.more {
        answer = next(&mut answers).await.map_err(in_revisions)?;
        if !answer.entries.is_empty() {
            return Err(Fault::new("unexpected entry in response receiving entry revisions"));
        }
        pull.revisions(&answer.entry_revisions);
    }
    pull.missing.sort_unstable();
    let missing = std::mem::take(&mut pull.missing);
    for ids in missing.chunks(page) {
        let request = SyncAuthorizedEntriesRequest { ids: ids.to_vec(), output_mask: None };
        requests.send(request).await.map_err(closed)?;
        loop {
            let answer = next(&mut answers).await.map_err(in_revisions)?;
            if !answer.entry_revisions.is_empty() {
                return Err(Fault::new("unexpected entry revisions in response while requesting entries"));
            }
            pull.entries(&answer.entries)?;
            if !answer.more {
                break;
            }
        }
    }
    Ok(pull.finish())
}

/// Everything each time (AG-319).
pub(super) async fn fetch_all(channel: Channel, known: &Known) -> Result<EntryUpdate, Fault> {
    let mut client = EntryClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
    let request = GetAuthorizedEntriesRequest { output_mask: Some(mask()) };
    let answer = client.get_authorized_entries(request).await.map_err(broken)?.into_inner();
    let mut pull = Pull::new(known);
    pull.entries(&answer.entries)?;
    Ok(pull.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(id: &str, revision: i64) -> types::Entry {
        types::Entry {
            id: id.to_owned(),
            spiffe_id: Some(types::Spiffeid {
                trust_domain: "example.org".to_owned(),
                path: "/w".to_owned(),
            }),
            selectors: vec![types::Selector { r#type: "unix".to_owned(), value: "uid:1".to_owned() }],
            revision_number: revision,
            ..types::Entry::default()
        }
    }

    fn encoded(entries: &[types::Entry]) -> Vec<Bytes> {
        entries.iter().map(|entry| entry.encode_to_vec().into()).collect()
    }

    fn known(entries: &[types::Entry]) -> Known {
        let parsed = entries.iter().map(|entry| Arc::new(AgentEntry::from_wire(entry).unwrap()));
        parsed.map(|entry| (entry.id.clone(), entry)).collect()
    }

    #[test]
    fn only_what_is_new_or_changed_is_fetched_and_what_is_gone_is_removed() {
        // AG-312, AG-314: a full fetch each time would cost a large fleet dearly.
        let known = known(&[wire("a", 1), wire("b", 1), wire("c", 1)]);
        let mut pull = Pull::new(&known);
        let revision =
            |id: &str, number| EntryRevision { id: id.to_owned(), revision_number: number, created_at: 0 };
        pull.revisions(&[
            revision("a", 1),
            revision("b", 2),
            revision("d", 0),
            revision("", 1),
            revision("c", -1),
        ]);
        assert_eq!(pull.missing, ["b", "d"]);
        pull.entries(&encoded(&[wire("b", 2), wire("d", 0), types::Entry::default()])).unwrap();
        let update = pull.finish();
        let changed: Vec<&str> = update.changed.iter().map(|entry| &*entry.id).collect();
        assert_eq!((changed, &update.removed[..]), (vec!["b", "d"], &["c".into()][..]));
    }

    #[test]
    fn a_complete_list_that_says_nothing_new_changes_nothing() {
        // AG-310
        let known = known(&[wire("a", 1)]);
        let mut pull = Pull::new(&known);
        pull.entries(&encoded(&[wire("a", 1)])).unwrap();
        let update = pull.finish();
        assert!(update.changed.is_empty() && update.removed.is_empty());
    }
}
