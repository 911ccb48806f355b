use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use spire_net::local::LocalPeer;
use spire_runtime::logging::{LogLevel, LogValue};
use spire_runtime::{Backoff, BackoffOptions, SystemRandom};
use tonic::Status;

use super::{Call, Fetch, WorkloadApi};
use crate::attestation::shown;
use crate::cache::{Subscription, View};

/// Between lines about a caller who waits for its SVID (AG-345).
const FIRST_LINE: Duration = Duration::from_millis(500);
const LAST_LINE: Duration = Duration::from_secs(12);

/// An open stream; dropped when the caller goes away.
struct Watch {
    api: Arc<WorkloadApi>,
    call: Call,
    fetch: Fetch,
    subscription: Subscription,
    last: Bytes,
    /// `last` is the first answer and was not sent yet.
    is_new: bool,
}

impl WorkloadApi {
    /// The first answer as soon as it is complete, then one for each change (AG-483, AG-487). They are framed; the
    /// last item is an error.
    pub(super) async fn watch(
        self: Arc<Self>,
        fetch: Fetch,
        peer: Option<LocalPeer>,
    ) -> Result<impl Stream<Item = Result<Bytes, Status>> + Send + use<>, Status> {
        let call = self.call(fetch.name(), peer.as_ref());
        let selectors = self.attest(&call, peer.as_ref()).await?;
        self.limit(&call, fetch, &selectors)?;
        let subscription = self.cache.subscribe(selectors);
        let mut watch = Watch { api: self, call, fetch, subscription, last: Bytes::new(), is_new: true };
        let view = watch.first().await?;
        let first = watch.answer(&view)?;
        watch.keep(&view, first);
        // Borrowed while it waits: what was moved would take its room twice, for each stream.
        Ok(futures::stream::unfold(Some(watch), |mut watch| async move {
            let next = watch.as_mut()?.next().await;
            if next.is_err() {
                watch = None;
            }
            Some((next, watch))
        }))
    }
}

impl Watch {
    async fn first(&mut self) -> Result<Arc<View>, Status> {
        let mut waiting = Waiting { call: &self.call, over: false };
        let options = BackoffOptions { max_interval: Some(LAST_LINE), ..BackoffOptions::default() };
        let mut lines = Backoff::with(FIRST_LINE, options, self.api.clock.clone(), Arc::new(SystemRandom));
        let view = loop {
            let pause = self.api.clock.sleep(lines.next().unwrap_or(LAST_LINE));
            tokio::select! {
                biased;
                view = self.subscription.settled() => break Ok(view),
                () = self.api.shutdown.cancelled() => break Err(stopping()),
                () = pause => tracing::info!(
                    selectors = shown(self.subscription.selectors()).as_value(),
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
        if std::mem::take(&mut self.is_new) {
            return Ok(self.last.clone());
        }
        loop {
            let view = tokio::select! {
                view = self.subscription.changed() => view,
                () = self.api.shutdown.cancelled() => return Err(stopping()),
            };
            let answer = self.answer(&view)?;
            if answer != self.last {
                self.keep(&view, answer.clone());
                return Ok(answer);
            }
        }
    }

    fn answer(&self, view: &View) -> Result<Bytes, Status> {
        let verifier = self.fetch != Fetch::X509Svid && self.api.allow_unauthenticated_verifiers;
        if !view.has_identity() && !verifier {
            return Err(self.api.no_identity(&self.call, self.subscription.selectors()));
        }
        match self.fetch {
            Fetch::X509Bundles => Ok(view.x509_bundles()),
            Fetch::JwtBundles => Ok(view.jwt_bundles()),
            Fetch::X509Svid | Fetch::JwtSvid => Ok(view.x509_svids()),
        }
    }

    fn keep(&mut self, view: &View, answer: Bytes) {
        self.last = answer;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What `watch` gives back.
    fn stream_size<W, F, S>(_: W) -> usize
    where
        W: FnOnce(Arc<WorkloadApi>, Fetch, Option<LocalPeer>) -> F,
        F: Future<Output = Result<S, Status>>,
    {
        size_of::<S>()
    }

    #[test]
    fn an_open_stream_is_small() {
        // Each workload has one, for as long as it lives.
        let size = stream_size(WorkloadApi::watch);
        assert!(size <= 512, "{size}");
    }
}
