use std::path::Path;

use spire_crypto::x509::Certificate;
use spire_runtime::logging::read_error_text;
use spire_types::TrustDomain;
use time::format_description::well_known::Rfc3339;
use url::Url;

use super::Bootstrapping;
use super::document::parse;
use super::download::download;
use crate::settings::{ServerAddress, TrustBundleSource};
use crate::storage::{BootstrapState, Purpose, StorageError};

/// What the server must prove to an agent that has no identity yet.
#[derive(Debug, Clone)]
pub enum Anchor {
    /// That it was certified by one of these.
    Bundle(Vec<Certificate>),
    /// Nothing (AG-235).
    Insecure,
}

/// There is no trust bundle to be had.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("{0}")]
    Source(String),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Where the configuration says that the trust bundle is (AG-211).
#[derive(Debug)]
pub struct TrustBundleSources {
    source: TrustBundleSource,
    trust_domain: TrustDomain,
    server: ServerAddress,
}

impl TrustBundleSources {
    pub fn new(source: TrustBundleSource, trust_domain: TrustDomain, server: ServerAddress) -> Self {
        Self { source, trust_domain, server }
    }

    /// One attempt; it is counted and remembered on disk (AG-217).
    pub async fn fetch(&self, bootstrapping: &Bootstrapping) -> Result<Anchor, BootstrapError> {
        let state = bootstrapping.attempt().await?;
        let (document, format) = match &self.source {
            TrustBundleSource::Insecure => return Ok(Anchor::Insecure),
            TrustBundleSource::File { path, format } => (read(path).await?, *format),
            TrustBundleSource::Url { url, format, unix_socket } => {
                log_attempt(&state);
                let (url, shown) = self.address(url, unix_socket.is_some(), &state)?;
                let got = download(&url, &shown, unix_socket.as_deref()).await;
                (got.map_err(BootstrapError::Source)?.to_vec(), *format)
            }
        };
        Ok(Anchor::Bundle(parse(&document, format, &self.trust_domain)?))
    }

    /// The address, and how errors show it. A helper behind a socket is told who asks, and how desperately (AG-214).
    fn address(
        &self,
        text: &str,
        tell: bool,
        state: &BootstrapState,
    ) -> Result<(Url, String), BootstrapError> {
        let mut url = Url::parse(text)
            .map_err(|error| BootstrapError::Source(format!("unable to parse trust bundle URL: {error}")))?;
        if tell {
            let started = state.started.and_then(|time| time.replace_nanosecond(0).ok());
            let told = [
                ("spire-attest-mode", mode(state).to_owned()),
                ("spire-connection-attempts", state.attempts.to_string()),
                (
                    "spire-attest-start-time",
                    started.and_then(|t| t.format(&Rfc3339).ok()).unwrap_or_default(),
                ),
                ("spire-server-address", self.server.host.clone()),
                ("spire-server-port", self.server.port.to_string()),
                ("spiffe-trust-domain", self.trust_domain.as_str().to_owned()),
            ];
            let mut all: Vec<(String, String)> =
                url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
            all.extend(told.map(|(name, value)| (name.to_owned(), value)));
            // Go writes them in the order of their names.
            all.sort_by(|a, b| a.0.cmp(&b.0));
            url.query_pairs_mut().clear().extend_pairs(all);
        }
        // `Url` adds a path where there is none; Go does not.
        let start = text.split(['?', '#']).next().unwrap_or_default();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let shown = format!("{start}{query}");
        Ok((url, shown))
    }
}

fn mode(state: &BootstrapState) -> &'static str {
    match state.purpose {
        Purpose::Rebootstrap => "rebootstrap",
        Purpose::Bootstrap | Purpose::Unset => "bootstrap",
    }
}

fn log_attempt(state: &BootstrapState) {
    let what = match state.purpose {
        Purpose::Rebootstrap => "reattestation",
        Purpose::Bootstrap | Purpose::Unset => "attestation",
    };
    let started = state.started.and_then(|time| time.replace_nanosecond(0).ok()?.format(&Rfc3339).ok());
    tracing::info!(
        Logger = "TrustBundleSources",
        "Server {what} attempt {}. Started {}.",
        state.attempts,
        started.unwrap_or_default()
    );
}

async fn read(path: &Path) -> Result<Vec<u8>, BootstrapError> {
    tokio::fs::read(path).await.map_err(|error| {
        let reason = read_error_text(path, &error);
        BootstrapError::Source(format!("could not parse trust bundle: {reason}"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use spire_runtime::ManualClock;

    use super::*;
    use crate::settings::BundleFormat;
    use crate::storage::Storage;
    use crate::testing::NOW;

    fn sources(source: TrustBundleSource) -> TrustBundleSources {
        let server = ServerAddress { host: "server.test".to_owned(), port: 8081 };
        TrustBundleSources::new(source, TrustDomain::from_name("example.org").unwrap(), server)
    }

    #[tokio::test]
    async fn a_missing_file_is_named_and_the_attempt_counted() {
        // AG-212, AG-217
        let dir = tempfile::tempdir().unwrap();
        let storage = Arc::new(Storage::open(dir.path()).unwrap());
        let bootstrapping = Bootstrapping::load(storage.clone(), ManualClock::at_unix(NOW).shared()).await;
        let source = TrustBundleSource::File { path: "/nonexistent".into(), format: BundleFormat::Pem };
        let error = sources(source).fetch(&bootstrapping).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not parse trust bundle: open /nonexistent: no such file or directory"
        );
        assert_eq!(storage.bootstrap_state().await.attempts, 1);
    }

    #[test]
    fn a_helper_behind_a_socket_is_told_who_asks() {
        // AG-214
        let sources = sources(TrustBundleSource::Insecure);
        let started = time::OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        let state = BootstrapState { purpose: Purpose::Bootstrap, started: Some(started), attempts: 2 };
        let (url, shown) = sources.address("http://localhost/bundle?a=b", true, &state).unwrap();
        assert_eq!(url.as_str(), shown);
        assert_eq!(
            shown,
            "http://localhost/bundle?a=b&spiffe-trust-domain=example.org&spire-attest-mode=bootstrap\
             &spire-attest-start-time=2023-11-14T22%3A13%3A20Z&spire-connection-attempts=2\
             &spire-server-address=server.test&spire-server-port=8081"
        );
        let (url, shown) = sources.address("https://x.test", false, &state).unwrap();
        assert_eq!((url.as_str(), shown.as_str()), ("https://x.test/", "https://x.test"));
    }
}
