//! What the HTTP probes look at (SA-221 to SA-225, CA-121, CA-122).

use std::sync::Arc;

use spire_authority::WorkloadSvidParams;
use spire_crypto::{KeyType, PrivateKey};
use spire_runtime::health::{Checks, State};
use spire_types::SpiffeId;

use crate::core::Core;

/// More failed rotations than this are a failure (CA-012).
const ROTATIONS: u32 = 10;

pub fn checks(core: &Arc<Core>) -> Checks {
    let checks = Checks::new(core.clock.clone());
    let probes: [(&'static str, MakeProbe); 4] = [
        ("catalog.datastore", |core| Box::pin(datastore(core))),
        ("server", |core| Box::pin(server(core))),
        ("server.ca", |core| Box::pin(authority(core))),
        ("server.ca.rotator", |core| Box::pin(rotator(core))),
    ];
    for (name, probe) in probes {
        let core = core.clone();
        if let Err(error) = checks.register(name, move || probe(core.clone())) {
            tracing::error!(error = ?error, subsystem_name = "health", "A health check is registered twice");
        }
    }
    checks
}

type MakeProbe = fn(Arc<Core>) -> Probe;
type Probe = std::pin::Pin<Box<dyn Future<Output = State> + Send>>;

async fn datastore(core: Arc<Core>) -> State {
    match core.datastore.ping().await {
        Ok(()) => State::healthy(),
        Err(error) => State::failed("list_bundle_err", error),
    }
}

/// The socket answers, and with the bundle.
async fn server(core: Arc<Core>) -> State {
    use spire_proto::server::bundle::v1::GetBundleRequest;
    use spire_proto::server::bundle::v1::bundle_client::BundleClient;
    let channel = spire_net::channel::uds(&core.settings.socket_path);
    match BundleClient::new(channel).get_bundle(GetBundleRequest::default()).await {
        Ok(_) => State::healthy(),
        Err(status) => State::failed("get_bundle_err", spire_net::rpc_error_text(&status)),
    }
}

/// Signs an SVID that is thrown away.
async fn authority(core: Arc<Core>) -> State {
    let signed = async {
        let key = PrivateKey::generate(KeyType::EcP256).map_err(|error| error.to_string())?;
        let id = SpiffeId::from_path(core.settings.trust_domain.clone(), "/for/health/check/only")
            .map_err(|error| error.to_string())?;
        let params = WorkloadSvidParams {
            spiffe_id: id,
            public_key: key.public_key().clone(),
            ttl: std::time::Duration::ZERO,
            dns_names: Vec::new(),
            subject: None,
        };
        core.authorities.authority().sign_workload_svid(params).await.map_err(|error| error.to_string())
    };
    match signed.await {
        Ok(_) => State::healthy(),
        Err(error) => State::failed("sign_x509_svid_err", error),
    }
}

async fn rotator(core: Arc<Core>) -> State {
    match core.authorities.failed_rotations() > ROTATIONS {
        false => State::healthy(),
        true => State::failed("rotation_err", "rotations exceed the threshold number of failures"),
    }
}
