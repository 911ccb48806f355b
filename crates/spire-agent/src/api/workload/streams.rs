use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use spire_net::local::LocalPeer;
use spire_runtime::logging::{LogLevel, LogValue};
use spire_runtime::{Backoff, BackoffOptions, SystemRandom};
use spire_types::Selector;
use tonic::Status;

use super::{Call, Fetch, WorkloadApi};
use crate::attestation::shown;
use crate::cache::{Subscription, View};

/// Encoded messages.
pub type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Between lines about a caller who waits for its SVID (AG-345).
const FIRST_LINE: Duration = Duration::from_millis(500);
const LAST_LINE: Duration = Duration::from_secs(12);

/// An open stream; dropped when the caller goes away.
struct Watch {
    api: Arc<WorkloadApi>,
    call: Call,
    fetch: Fetch,
    selectors: Vec<Selector>,
    subscription: Subscription,
    sent: Bytes,
}

impl WorkloadApi {
    /// The first answer as soon as it is complete, then one for each change (AG-483, AG-487).
    pub(super) async fn watch(
        self: Arc<Self>,
        fetch: Fetch,
        peer: Option<LocalPeer>,
    ) -> Result<Answers, Status> {
        let call = self.call(fetch.name(), peer.as_ref());
        let selectors = self.attest(&call, peer.as_ref()).await?;
        self.limit(&call, fetch, &selectors)?;
        let subscription = self.cache.subscribe(selectors.clone());
        let mut watch = Watch { api: self, call, fetch, selectors, subscription, sent: Bytes::new() };
        let view = watch.first().await?;
        let first = watch.answer(&view)?;
        watch.sent(&view, &first);
        let later = futures::stream::unfold(Some(watch), |watch| async move {
            let mut watch = watch?;
            let next = watch.next().await;
            let open = next.is_ok();
            Some((next, open.then_some(watch)))
        });
        let first = futures::stream::once(std::future::ready(Ok(first)));
        Ok(Box::pin(futures::StreamExt::chain(first, later)))
    }
}

impl Watch {
    async fn first(&mut self) -> Result<Arc<View>, Status> {
        let mut waiting = Waiting { call: &self.call, over: false };
        let options = BackoffOptions { max_interval: Some(LAST_LINE), ..BackoffOptions::default() };
        let mut lines = Backoff::with(FIRST_LINE, options, self.api.clock.clone(), Arc::new(SystemRandom));
        let settled = self.subscription.settled();
        tokio::pin!(settled);
        let view = loop {
            let pause = self.api.clock.sleep(lines.next().unwrap_or(LAST_LINE));
            tokio::select! {
                biased;
                view = &mut settled => break Ok(view),
                () = self.api.shutdown.cancelled() => break Err(stopping()),
                () = pause => tracing::info!(
                    selectors = shown(&self.selectors).as_value(),
                    subsystem_name = "cache_manager",
                    "Waiting for SVID to get cached"
                ),
            }
        };
        waiting.over = true;
        view
    }

    /// Changes that do not change the answer are passed over.
    async fn next(&mut self) -> Result<Bytes, Status> {
        loop {
            let view = tokio::select! {
                view = self.subscription.changed() => view,
                () = self.api.shutdown.cancelled() => return Err(stopping()),
            };
            let answer = self.answer(&view)?;
            if answer != self.sent {
                self.sent(&view, &answer);
                return Ok(answer);
            }
        }
    }

    fn answer(&self, view: &View) -> Result<Bytes, Status> {
        let verifier = self.fetch != Fetch::X509Svid && self.api.allow_unauthenticated_verifiers;
        if !view.has_identity() && !verifier {
            return Err(self.api.no_identity(&self.call, &self.selectors));
        }
        match self.fetch {
            Fetch::X509Bundles => Ok(view.x509_bundles()),
            Fetch::JwtBundles => Ok(view.jwt_bundles()),
            Fetch::X509Svid | Fetch::JwtSvid => Ok(view.x509_svids()),
        }
    }

    fn sent(&mut self, view: &View, answer: &Bytes) {
        self.sent = answer.clone();
        if self.fetch == Fetch::X509Svid {
            WorkloadApi::log_ignored(&self.call, view.ignored_svids(), &[]);
            self.log_svids(view);
        }
    }

    /// AG-499
    fn log_svids(&self, view: &View) {
        if self.call.is_own() || !spire_runtime::logging::enabled(LogLevel::Debug) {
            return;
        }
        let now = self.api.clock.now();
        let count = LogValue::Int(i64::try_from(view.svids().len()).unwrap_or(i64::MAX));
        for svid in view.svids() {
            let fields = [
                ("count", count.clone()),
                ("registered", LogValue::Bool(true)),
                ("spiffe_id", svid.entry.spiffe_id.to_string().into()),
                ("ttl", LogValue::Float((svid.not_after - now).as_seconds_f64())),
            ];
            self.call.log(LogLevel::Debug, "Fetched X.509 SVID", &fields);
        }
    }
}

/// What callers see when the agent stops (AG-498).
fn stopping() -> Status {
    Status::unavailable("the agent is shutting down")
}

/// Notices a caller who gave up before there was an answer.
struct Waiting<'a> {
    call: &'a Call,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            let fields = [
                ("duration_ms", LogValue::Int(self.call.duration_ms())),
                ("error", "rpc error: code = Canceled desc = context canceled".into()),
            ];
            self.call.log(LogLevel::Error, "Subscribe to cache changes failed", &fields);
        }
    }
}
