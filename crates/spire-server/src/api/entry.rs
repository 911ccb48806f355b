use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use spire_datastore::ListEntries;
use spire_proto::convert::entry::{entry, entry_mask, entry_to_wire};
use spire_proto::convert::id::{member_id, spiffe_id, workload_id};
use spire_proto::convert::selector::{
    federates_with_match_behavior, selector_match_behavior, selectors, trust_domains,
};
use spire_proto::server::entry::v1::entry_server::Entry as EntryService;
use spire_proto::server::entry::v1::{
    BatchCreateEntryRequest, BatchCreateEntryResponse, BatchDeleteEntryRequest, BatchDeleteEntryResponse,
    BatchUpdateEntryRequest, BatchUpdateEntryResponse, CountEntriesRequest, CountEntriesResponse,
    EntryRevision, GetAuthorizedEntriesRequest, GetAuthorizedEntriesResponse, GetEntryRequest,
    ListEntriesRequest, ListEntriesResponse, SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse,
    batch_create_entry_response, batch_delete_entry_response, batch_update_entry_response,
    count_entries_request, list_entries_request,
};
use spire_proto::types;
use spire_proto::wire_error::ConvertError;
use spire_types::{Entry, EntryMask, SpiffeId};
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status, Streaming};

use super::agent::{go_rune, selector_fields, selector_list};
use super::page;
use super::task::{apart, conversation};
use crate::access::{AuditFields, Call};
use crate::core::Core;
use crate::entries::AuthorizedEntries;
use crate::status::{ApiError, ok_item};

/// Entries on a page of a sync (SA-087).
const SYNC_PAGE: usize = 500;

/// `spire.api.server.entry.v1.Entry` (SA-066 to SA-089).
#[derive(Debug, Clone)]
pub struct EntryApi(pub Arc<Core>);

/// The same filter comes as two messages.
struct Filter {
    spiffe_id: Option<types::Spiffeid>,
    parent_id: Option<types::Spiffeid>,
    selectors: Option<types::SelectorMatch>,
    federates_with: Option<types::FederatesWithMatch>,
    hint: Option<String>,
    downstream: Option<bool>,
}

impl From<count_entries_request::Filter> for Filter {
    fn from(f: count_entries_request::Filter) -> Self {
        Self {
            spiffe_id: f.by_spiffe_id,
            parent_id: f.by_parent_id,
            selectors: f.by_selectors,
            federates_with: f.by_federates_with,
            hint: f.by_hint,
            downstream: f.by_downstream,
        }
    }
}

impl From<list_entries_request::Filter> for Filter {
    fn from(f: list_entries_request::Filter) -> Self {
        Self {
            spiffe_id: f.by_spiffe_id,
            parent_id: f.by_parent_id,
            selectors: f.by_selectors,
            federates_with: f.by_federates_with,
            hint: f.by_hint,
            downstream: f.by_downstream,
        }
    }
}

impl EntryApi {
    /// SA-066
    fn filter(&self, call: &Call, filter: Filter, failure: &str) -> Result<ListEntries, ApiError> {
        let trust_domain = &self.0.settings.trust_domain;
        let parent_id = filter.parent_id.as_ref().map(|id| member_id(trust_domain, Some(id)));
        let spiffe_id = filter.spiffe_id.as_ref().map(|id| workload_id(trust_domain, Some(id)));
        call.note(|| filter_fields(&filter, &parent_id, &spiffe_id));
        let malformed = |what: &str| {
            let message = format!("malformed {what} filter");
            move |cause: ConvertError| ApiError::invalid_because(message.as_str(), cause)
        };
        let mut list = ListEntries {
            by_hint: filter.hint.filter(|hint| !hint.is_empty()),
            by_parent_id: parent_id.transpose().map_err(malformed("parent ID"))?,
            by_spiffe_id: spiffe_id.transpose().map_err(malformed("SPIFFE ID"))?,
            by_downstream: filter.downstream,
            ..ListEntries::default()
        };
        let wanted_selectors = match &filter.selectors {
            None => None,
            Some(wanted) => {
                let found = selectors(&wanted.selectors).and_then(|list| not_empty(list, "selector"));
                Some((found.map_err(malformed("selectors"))?, wanted.r#match))
            }
        };
        let wanted_domains = match &filter.federates_with {
            None => None,
            Some(wanted) => {
                let found =
                    trust_domains(&wanted.trust_domains).and_then(|list| not_empty(list, "trust domain"));
                Some((found.map_err(malformed("federates with"))?, wanted.r#match))
            }
        };
        // SPIRE's datastore finds out about these, after everything else was read (SA-028).
        let unhandled = |what: &str, number: i32| {
            let cause = format!("datastore-sql: unhandled {what} match behavior {}", go_rune(number));
            ApiError::internal(failure, cause)
        };
        if let Some((selectors, number)) = wanted_selectors {
            let behavior = selector_match_behavior(number).ok_or_else(|| unhandled("selectors", number))?;
            list.by_selectors = Some((selectors, behavior));
        }
        if let Some((domains, number)) = wanted_domains {
            let behavior = federates_with_match_behavior(number);
            let behavior = behavior.ok_or_else(|| unhandled("federates with", number))?;
            list.by_federates_with = Some((domains, behavior));
        }
        Ok(list)
    }

    async fn count(
        &self,
        call: &Call,
        request: CountEntriesRequest,
    ) -> Result<CountEntriesResponse, ApiError> {
        let failure = "failed to count entries";
        let filter = request.filter.map(|filter| self.filter(call, filter.into(), failure)).transpose()?;
        let count = self.0.datastore.count_entries(&filter.unwrap_or_default()).await;
        let count = count.map_err(|error| ApiError::internal(failure, error))?;
        Ok(CountEntriesResponse { count: i32::try_from(count).unwrap_or(i32::MAX) })
    }

    async fn list(&self, call: &Call, request: ListEntriesRequest) -> Result<ListEntriesResponse, ApiError> {
        let failure = "failed to list entries";
        let filter = request.filter.map(|filter| self.filter(call, filter.into(), failure)).transpose()?;
        let query =
            ListEntries { page: page(request.page_size, request.page_token), ..filter.unwrap_or_default() };
        let (entries, next_page_token) = self
            .0
            .datastore
            .list_entries(&query)
            .await
            .map_err(|error| ApiError::internal(failure, error))?;
        let mask = entry_mask(request.output_mask.as_ref());
        let entries = entries.iter().map(|entry| entry_to_wire(entry, &mask)).collect();
        Ok(ListEntriesResponse { entries, next_page_token })
    }

    async fn get(&self, call: &Call, request: GetEntryRequest) -> Result<types::Entry, ApiError> {
        if request.id.is_empty() {
            return Err(ApiError::invalid("missing ID"));
        }
        call.note(|| AuditFields::new().with("entry_id", request.id.as_str()));
        let found = self.0.datastore.fetch_entry(&request.id).await;
        let found = found.map_err(|error| {
            ApiError::internal("failed to fetch entry", error).about("entry_id", &request.id)
        })?;
        let entry =
            found.ok_or_else(|| ApiError::not_found("entry not found").about("entry_id", &request.id))?;
        Ok(entry_to_wire(&entry, &entry_mask(request.output_mask.as_ref())))
    }

    fn converted(&self, wire: &types::Entry, mask: &EntryMask) -> Result<Entry, ApiError> {
        let dns = |name: &str| spire_crypto::x509::validate_dns_name(name).map_err(|error| error.to_string());
        entry(&self.0.settings.trust_domain, wire, mask, &dns)
            .map_err(|error| ApiError::invalid_because("failed to convert entry", error))
    }

    /// All good ones go to the datastore together; results keep their order.
    async fn create(&self, call: &Call, request: BatchCreateEntryRequest) -> BatchCreateEntryResponse {
        type Outcome = batch_create_entry_response::Result;
        let mask = entry_mask(request.output_mask.as_ref());
        let mut results: Vec<Option<Outcome>> = Vec::with_capacity(request.entries.len());
        let mut good = Vec::with_capacity(request.entries.len());
        for wire in &request.entries {
            match self.converted(wire, &EntryMask::ALL) {
                Ok(entry) => {
                    good.push(entry);
                    results.push(None);
                }
                Err(error) => {
                    results.push(Some(Outcome { status: Some(call.refuse_item(&error)), entry: None }))
                }
            }
        }
        let mut created = self.0.datastore.create_entries_batch(&good).await.into_iter();
        let mut all = Vec::with_capacity(results.len());
        for (result, wire) in results.into_iter().zip(&request.entries) {
            let outcome = match result {
                Some(refused) => refused,
                None => match created.next() {
                    Some(Ok(created)) if created.existing => Outcome {
                        status: Some(types::Status {
                            code: Code::AlreadyExists.into(),
                            message: "similar entry already exists".to_owned(),
                        }),
                        entry: Some(entry_to_wire(&created.entry, &mask)),
                    },
                    Some(Ok(created)) => {
                        Outcome { status: Some(ok_item()), entry: Some(entry_to_wire(&created.entry, &mask)) }
                    }
                    Some(Err(error)) => {
                        let error = ApiError::from_store("failed to create entry", &error)
                            .about("spiffe_id", id_text(wire.spiffe_id.as_ref()));
                        Outcome { status: Some(call.refuse_item(&error)), entry: None }
                    }
                    None => {
                        let error = ApiError::new(Code::Internal, "failed to create entry: no result");
                        Outcome { status: Some(call.refuse_item(&error)), entry: None }
                    }
                },
            };
            call.note_item(outcome.status.as_ref(), || entry_fields(wire, None));
            all.push(outcome);
        }
        BatchCreateEntryResponse { results: all }
    }

    async fn update(&self, call: &Call, request: BatchUpdateEntryRequest) -> BatchUpdateEntryResponse {
        type Outcome = batch_update_entry_response::Result;
        let input = entry_mask(request.input_mask.as_ref());
        let output = entry_mask(request.output_mask.as_ref());
        let mut results = Vec::with_capacity(request.entries.len());
        for wire in &request.entries {
            let updated = match self.converted(wire, &input) {
                Ok(entry) => match self.0.datastore.update_entry(&entry, &input).await {
                    Ok(entry) => Ok(entry),
                    Err(error) => Err(ApiError::from_store("failed to update entry", &error)),
                },
                Err(error) => Err(error),
            };
            let outcome = match updated {
                Ok(entry) => Outcome { status: Some(ok_item()), entry: Some(entry_to_wire(&entry, &output)) },
                Err(error) => {
                    let error = error.about("entry_id", &wire.id);
                    Outcome { status: Some(call.refuse_item(&error)), entry: None }
                }
            };
            call.note_item(outcome.status.as_ref(), || entry_fields(wire, request.input_mask.as_ref()));
            results.push(outcome);
        }
        BatchUpdateEntryResponse { results }
    }

    async fn delete(&self, call: &Call, request: BatchDeleteEntryRequest) -> BatchDeleteEntryResponse {
        let mut results = Vec::with_capacity(request.ids.len());
        for id in request.ids {
            let deleted = match id.is_empty() {
                true => Err(ApiError::invalid("missing entry ID")),
                false => match self.0.datastore.delete_entry(&id).await {
                    Ok(_) => Ok(()),
                    Err(error) if error.is_not_found() => {
                        Err(ApiError::not_found("entry not found").about("entry_id", &id))
                    }
                    Err(error) => {
                        Err(ApiError::internal("failed to delete entry", error).about("entry_id", &id))
                    }
                },
            };
            let status = match deleted {
                Ok(()) => ok_item(),
                Err(error) => call.refuse_item(&error),
            };
            call.note_item(Some(&status), || AuditFields::new().with("entry_id", id.as_str()));
            results.push(batch_delete_entry_response::Result { status: Some(status), id });
        }
        BatchDeleteEntryResponse { results }
    }

    fn authorized(&self, call: &Call) -> Result<AuthorizedEntries, ApiError> {
        let id: Option<&SpiffeId> = call.caller().id.as_ref();
        let id = id.ok_or_else(|| ApiError::new(Code::Internal, "caller ID missing from request context"))?;
        Ok(self.0.entries.authorized_entries(id))
    }
}

fn not_empty<T>(list: Vec<T>, what: &str) -> Result<Vec<T>, ConvertError> {
    if list.is_empty() { Err(ConvertError::message(format!("empty {what} set"))) } else { Ok(list) }
}

/// An ID as SPIRE writes it; one that is none is not written down.
fn id_text(id: Option<&types::Spiffeid>) -> String {
    id.and_then(|id| spiffe_id(Some(id)).ok()).map(|id| id.to_string()).unwrap_or_default()
}

type Converted = Option<Result<SpiffeId, ConvertError>>;

fn filter_fields(filter: &Filter, parent_id: &Converted, spiffe_id: &Converted) -> AuditFields {
    let mut fields = AuditFields::new();
    if let Some(hint) = &filter.hint {
        fields = fields.with("hint", hint.as_str());
    }
    for (name, id) in [("parent_id", parent_id), ("spiffe_id", spiffe_id)] {
        if let Some(Ok(id)) = id {
            fields = fields.with(name, id.to_string());
        }
    }
    if let Some(wanted) = &filter.selectors {
        fields = selector_fields(fields, wanted);
    }
    if let Some(wanted) = &filter.federates_with {
        let behavior = types::federates_with_match::MatchBehavior::try_from(wanted.r#match);
        let name = behavior.map_or_else(|_| wanted.r#match.to_string(), |b| b.as_str_name().to_owned());
        fields =
            fields.with("federates_with_match", name).with("federates_with", wanted.trust_domains.join(","));
    }
    if let Some(downstream) = filter.downstream {
        fields = fields.with("downstream", downstream);
    }
    fields
}

/// SA-199
fn entry_fields(wire: &types::Entry, mask: Option<&types::EntryMask>) -> AuditFields {
    let wants = |pick: fn(&types::EntryMask) -> bool| mask.is_none_or(pick);
    let mut fields = AuditFields::new().text("entry_id", wire.id.as_str());
    if wants(|m| m.spiffe_id) {
        fields = fields.text("spiffe_id", id_text(wire.spiffe_id.as_ref()));
    }
    if wants(|m| m.parent_id) {
        fields = fields.text("parent_id", id_text(wire.parent_id.as_ref()));
    }
    if wants(|m| m.selectors) {
        fields = fields.text("selectors", selector_list(&wire.selectors));
    }
    if wants(|m| m.x509_svid_ttl) {
        fields = fields.with("x509_svid_ttl", wire.x509_svid_ttl);
    }
    if wants(|m| m.jwt_svid_ttl) {
        fields = fields.with("jwt_svid_ttl", wire.jwt_svid_ttl);
    }
    if wants(|m| m.federates_with) {
        fields = fields.text("federates_with", wire.federates_with.join(","));
    }
    if wants(|m| m.admin) {
        fields = fields.with("admin", wire.admin);
    }
    if wants(|m| m.downstream) {
        fields = fields.with("downstream", wire.downstream);
    }
    if wants(|m| m.expires_at) {
        fields = fields.with("expires_at", wire.expires_at);
    }
    if wants(|m| m.dns_names) {
        fields = fields.text("dns_name", wire.dns_names.join(","));
    }
    if wants(|m| m.revision_number) {
        fields = fields.with("revision_number", wire.revision_number);
    }
    if wants(|m| m.store_svid) {
        fields = fields.with("store_svid", wire.store_svid);
    }
    if wants(|m| m.hint) {
        fields = fields.with("hint", wire.hint.as_str());
    }
    if wants(|m| m.created_at) {
        fields = fields.with("created_at", wire.created_at);
    }
    fields
}

type SyncReply = Result<SyncAuthorizedEntriesResponse, Status>;

/// Answers from one snapshot for the whole stream (SA-084 to SA-089).
async fn sync(
    authorized: AuthorizedEntries,
    mut requests: Streaming<SyncAuthorizedEntriesRequest>,
    replies: &mpsc::Sender<SyncReply>,
) -> Result<(), ApiError> {
    let Some(first) = next(&mut requests).await? else { return Err(ApiError::new(Code::Unknown, "EOF")) };
    if !first.ids.is_empty() {
        return Err(ApiError::invalid("specifying IDs on initial request is not supported"));
    }
    if first.output_mask.as_ref().is_some_and(|mask| !mask.revision_number) {
        return Err(ApiError::invalid("revision number cannot be masked"));
    }
    let mask = entry_mask(first.output_mask.as_ref());
    let entries = authorized.as_slice();
    if entries.len() <= SYNC_PAGE {
        let entries = entries.iter().map(|entry| entry.encoded(&mask)).collect();
        let _ = replies.send(Ok(entries_page(entries, false))).await;
        return Ok(());
    }
    let pages = entries.len().div_ceil(SYNC_PAGE);
    for (number, chunk) in entries.chunks(SYNC_PAGE).enumerate() {
        let revision = |entry: &Arc<crate::entries::IndexedEntry>| EntryRevision {
            id: entry.id().to_owned(),
            revision_number: entry.revision(),
            created_at: entry.created_at(),
        };
        let page = SyncAuthorizedEntriesResponse {
            entry_revisions: chunk.iter().map(revision).collect(),
            entries: Vec::new(),
            more: number + 1 < pages,
        };
        if replies.send(Ok(page)).await.is_err() {
            return Ok(());
        }
    }
    let by_id: std::collections::HashMap<&str, _> = entries.iter().map(|entry| (entry.id(), entry)).collect();
    while let Some(mut request) = next(&mut requests).await? {
        request.ids.sort_unstable();
        let mut page = Vec::new();
        for entry in request.ids.iter().filter_map(|id| by_id.get(id.as_str())) {
            if page.len() == SYNC_PAGE {
                let full = std::mem::take(&mut page);
                if replies.send(Ok(entries_page(full, true))).await.is_err() {
                    return Ok(());
                }
            }
            page.push(entry.encoded(&mask));
        }
        if replies.send(Ok(entries_page(page, false))).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Concludes the call of an agent that has read enough and went away, as it concludes any that came to its end.
struct Ending(Option<Call>);

impl Ending {
    fn conclude(mut self, outcome: Result<(), ApiError>) -> Result<(), Status> {
        self.0.take().map_or(Ok(()), |call| call.conclude(outcome).map(drop))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            drop(call.conclude(Ok(())));
        }
    }
}

fn entries_page(entries: Vec<Bytes>, more: bool) -> SyncAuthorizedEntriesResponse {
    SyncAuthorizedEntriesResponse { entry_revisions: Vec::new(), entries, more }
}

async fn next(
    requests: &mut Streaming<SyncAuthorizedEntriesRequest>,
) -> Result<Option<SyncAuthorizedEntriesRequest>, ApiError> {
    match requests.message().await {
        Ok(request) => Ok(request),
        Err(status) if status.code() == Code::Cancelled => Ok(None),
        Err(status) => Err(ApiError::new(status.code(), status.message())),
    }
}

#[tonic::async_trait]
impl EntryService for EntryApi {
    async fn count_entries(
        &self,
        request: Request<CountEntriesRequest>,
    ) -> Result<Response<CountEntriesResponse>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.count(&call, request.into_inner()).await)
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let call = Call::of(&request)?;
        let (api, request) = (self.clone(), request.into_inner());
        let everything = request.filter.is_none() && request.page_size == 0;
        let work = async move { call.conclude(api.list(&call, request).await) };
        if everything { apart(work).await } else { work.await }
    }

    async fn get_entry(&self, request: Request<GetEntryRequest>) -> Result<Response<types::Entry>, Status> {
        let call = Call::of(&request)?;
        call.conclude(self.get(&call, request.into_inner()).await)
    }

    async fn batch_create_entry(
        &self,
        request: Request<BatchCreateEntryRequest>,
    ) -> Result<Response<BatchCreateEntryResponse>, Status> {
        let call = Call::of(&request)?;
        let response = self.create(&call, request.into_inner()).await;
        call.conclude_batch(Ok(response))
    }

    async fn batch_update_entry(
        &self,
        request: Request<BatchUpdateEntryRequest>,
    ) -> Result<Response<BatchUpdateEntryResponse>, Status> {
        let call = Call::of(&request)?;
        let response = self.update(&call, request.into_inner()).await;
        call.conclude_batch(Ok(response))
    }

    async fn batch_delete_entry(
        &self,
        request: Request<BatchDeleteEntryRequest>,
    ) -> Result<Response<BatchDeleteEntryResponse>, Status> {
        let call = Call::of(&request)?;
        let response = self.delete(&call, request.into_inner()).await;
        call.conclude_batch(Ok(response))
    }

    async fn get_authorized_entries(
        &self,
        request: Request<GetAuthorizedEntriesRequest>,
    ) -> Result<Response<GetAuthorizedEntriesResponse>, Status> {
        let call = Call::of(&request)?;
        let mask = entry_mask(request.into_inner().output_mask.as_ref());
        let answer = self.authorized(&call).map(|authorized| GetAuthorizedEntriesResponse {
            entries: authorized.iter().map(|entry| entry.encoded(&mask)).collect(),
        });
        call.conclude(answer)
    }

    type SyncAuthorizedEntriesStream = BoxStream<'static, SyncReply>;

    async fn sync_authorized_entries(
        &self,
        request: Request<Streaming<SyncAuthorizedEntriesRequest>>,
    ) -> Result<Response<Self::SyncAuthorizedEntriesStream>, Status> {
        let call = Call::of(&request)?;
        let authorized = match self.authorized(&call) {
            Ok(authorized) => authorized,
            Err(error) => return call.conclude(Err(error)),
        };
        let ending = Ending(Some(call));
        Ok(Response::new(conversation(|replies| async move {
            let outcome = sync(authorized, request.into_inner(), &replies).await;
            if let Err(status) = ending.conclude(outcome) {
                let _ = replies.send(Err(status)).await;
            }
        })))
    }
}
