//! `spire-agent api watch` (AG-179).

use std::collections::BTreeMap;
use std::time::Duration;

use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Outcome};
use spire_crypto::PrivateKey;
use spire_crypto::x509::{Certificate, KeyUsage, leaf_spiffe_id};
use spire_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use spire_proto::workload::{X509svid, X509svidRequest, X509svidResponse};
use spire_runtime::{SharedClock, SystemClock};
use spire_types::{SpiffeIdError, TrustDomain};
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::identity::Identity;
use super::listing;
use crate::command::sockets;

/// One more second of waiting after each failure, up to this.
const MAX_DELAY: Duration = Duration::from_secs(30);

type Bundles = BTreeMap<TrustDomain, Vec<Certificate>>;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "api watch",
        usage_name: "watch",
        synopsis: "Attaches to the Workload API and prints updates as they're received",
        style: ErrorStyle::Repeated,
        flags: |flags: &mut FlagSet| sockets::public_flags(flags, super::SOCKET_USAGE),
        run: |context| Box::pin(run(context)),
    }
}

/// Ends with an error only: when the user interrupts, or the agent will never accept the call.
async fn run(context: Context<'_>) -> Outcome {
    let client = super::WorkloadApi::of(&context)?.client;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| format!("could not listen for signals: {error}"))?;
    let clock = SystemClock::shared();
    let mut watcher = Watcher { client, last_update: clock.monotonic(), clock, failures: 0 };
    loop {
        let ended = tokio::select! {
            biased;
            _ = interrupt.recv() => Ended::Failed(Status::cancelled("context canceled")),
            ended = watcher.watch(context.env) => ended,
        };
        let text = ended.text();
        context.env.err(&format!("{text}\n"));
        if ended.is_final() {
            return Err(text.into());
        }
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Err("context canceled".into()),
            () = watcher.pause() => {}
        }
    }
}

/// Why a stream is over.
enum Ended {
    Closed,
    Failed(Status),
}

impl Ended {
    fn text(&self) -> String {
        match self {
            Self::Closed => super::END_OF_STREAM.to_owned(),
            Self::Failed(status) => sockets::public_error(status),
        }
    }

    fn is_final(&self) -> bool {
        matches!(self, Self::Failed(status) if matches!(status.code(), Code::Cancelled | Code::InvalidArgument))
    }
}

struct Watcher {
    client: SpiffeWorkloadApiClient<Channel>,
    clock: SharedClock,
    last_update: Duration,
    failures: u32,
}

impl Watcher {
    /// Follows one stream to its end.
    async fn watch(&mut self, env: &mut Env) -> Ended {
        let opened = self.client.fetch_x509svid(super::request(X509svidRequest {})).await;
        let mut stream = match opened {
            Ok(response) => response.into_inner(),
            Err(status) => return Ended::Failed(status),
        };
        loop {
            match stream.message().await {
                Ok(Some(response)) => self.show(&response, env),
                Ok(None) => return Ended::Closed,
                Err(status) => return Ended::Failed(status),
            }
        }
    }

    fn show(&mut self, response: &X509svidResponse, env: &mut Env) {
        self.failures = 0;
        match parse(response) {
            Ok(identities) => {
                let now = self.clock.monotonic();
                env.out(&listing::of(&identities, now.saturating_sub(self.last_update)));
                self.last_update = now;
            }
            Err(reason) => env.err(&format!("{reason}\n")),
        }
    }

    async fn pause(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.clock.sleep(Duration::from_secs(self.failures.into()).min(MAX_DELAY)).await;
    }
}

/// Unlike `fetch`, the chain is not verified, hints are not shown, and of several identities with one hint only the
/// first is.
fn parse(response: &X509svidResponse) -> Result<Vec<Identity>, String> {
    if response.svids.is_empty() {
        return Err("no SVIDs in response".to_owned());
    }
    let mut hints: Vec<&str> = Vec::new();
    let mut parsed = Vec::with_capacity(response.svids.len());
    for svid in &response.svids {
        if !svid.hint.is_empty() && hints.contains(&svid.hint.as_str()) {
            continue;
        }
        hints.push(&svid.hint);
        parsed.push(parse_svid(svid).map_err(|reason| format!("x509svid: {reason}"))?);
    }
    let bundles = parse_bundles(response)?;
    let identities = parsed.into_iter().map(|(id, chain, key)| {
        let own = bundles.get(id.trust_domain()).cloned().unwrap_or_default();
        let federated = bundles.iter().filter(|(domain, _)| *domain != id.trust_domain());
        Identity {
            spiffe_id: id.to_string(),
            hint: String::new(),
            chain,
            key,
            bundle: own,
            federated_bundles: federated
                .map(|(name, found)| (name.as_str().to_owned(), found.clone()))
                .collect(),
        }
    });
    Ok(identities.collect())
}

fn parse_bundles(response: &X509svidResponse) -> Result<Bundles, String> {
    let own = response.svids.iter().map(|svid| (&svid.spiffe_id, &svid.bundle));
    let mut bundles = Bundles::new();
    for (id, der) in own.chain(&response.federated_bundles) {
        let domain = TrustDomain::parse(id).map_err(|error: SpiffeIdError| error.to_string())?;
        let certificates = Certificate::parse_many(der).map_err(|error| error.to_string())?;
        bundles.insert(domain, certificates);
    }
    Ok(bundles)
}

type Parsed = (spire_types::SpiffeId, Vec<Certificate>, PrivateKey);

fn parse_svid(svid: &X509svid) -> Result<Parsed, String> {
    let chain = Certificate::parse_many(&svid.x509_svid)
        .map_err(|error| format!("cannot parse DER encoded certificate: {error}"))?;
    let key = PrivateKey::from_pkcs8(&svid.x509_svid_key)
        .map_err(|error| format!("cannot parse DER encoded private key: {error}"))?;
    let invalid = |reason: &str| format!("certificate validation failed: {reason}");
    let (leaf, signers) = chain.split_first().ok_or_else(|| invalid("no certificates found"))?;
    let id = leaf_spiffe_id(leaf).map_err(|error| {
        let text = error.to_string();
        let reason = text.strip_prefix("x509svid: could not get leaf SPIFFE ID: ").unwrap_or(&text);
        match reason {
            "path is empty" => invalid("leaf certificate SPIFFE ID must have a non-root path"),
            reason => invalid(&format!("cannot get leaf certificate SPIFFE ID: {reason}")),
        }
    })?;
    check_leaf(leaf).and_then(|()| check_signers(signers)).map_err(invalid)?;
    let matches = leaf.public_key().is_ok_and(|public| public == *key.public_key());
    if !matches {
        return Err("private key validation failed: leaf certificate does not match private key".to_owned());
    }
    Ok((id, chain, key))
}

fn check_leaf(leaf: &Certificate) -> Result<(), &'static str> {
    let may = |usage| leaf.key_usage().is_some_and(|usages| usages.contains(usage));
    if leaf.is_ca() {
        return Err("leaf certificate must not have CA flag set to true");
    }
    if !may(KeyUsage::DIGITAL_SIGNATURE) {
        return Err("leaf certificate must have 'digitalSignature' set as key usage");
    }
    if may(KeyUsage::KEY_CERT_SIGN) {
        return Err("leaf certificate must not have 'keyCertSign' set as key usage");
    }
    if may(KeyUsage::CRL_SIGN) {
        return Err("leaf certificate must not have 'cRLSign' set as key usage");
    }
    Ok(())
}

fn check_signers(signers: &[Certificate]) -> Result<(), &'static str> {
    for signer in signers {
        if !signer.is_ca() {
            return Err("signing certificate must have CA flag set to true");
        }
        if !signer.key_usage().is_some_and(|usages| usages.contains(KeyUsage::KEY_CERT_SIGN)) {
            return Err("signing certificate must have 'keyCertSign' set as key usage");
        }
    }
    Ok(())
}
