//! `spire-server x509 mint` (SC-330 to SC-333).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Format, Outcome, go_text};
use spire_config::duration::GoDuration;
use spire_crypto::x509::{CertificateRequest, Subject};
use spire_crypto::{KeyType, PrivateKey, pem};
use spire_proto::server::bundle::v1::GetBundleRequest;
use spire_proto::server::bundle::v1::bundle_client::BundleClient;
use spire_proto::server::svid::v1::MintX509svidRequest;
use spire_proto::server::svid::v1::svid_client::SvidClient;
use spire_proto::types::X509svid;
use spire_runtime::SystemClock;
use spire_types::{SpiffeId, SpiffeIdError};
use tonic::transport::Channel;

use super::files::{self, PRIVATE, PUBLIC};
use super::{arguments, client};

pub(super) fn command() -> Command {
    Command {
        path: "x509 mint",
        usage_name: "x509 mint",
        synopsis: "Mints an X509-SVID",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("spiffeID", "", "SPIFFE ID of the X509-SVID");
    flags.duration("ttl", GoDuration(0), "TTL of the X509-SVID");
    flags.list("dns", "DNS name that will be included in SVID. Can be used more than once.");
    flags.string("write", "", "Directory to write output to instead of stdout");
}

/// What was minted, and what belongs to it.
struct Minted {
    chain: Vec<bytes::Bytes>,
    key: PrivateKey,
    roots: Vec<bytes::Bytes>,
}

async fn run(context: Context<'_>) -> Outcome {
    let channel = client::connect(&context)?;
    let (csr, key) = request(context.flags)?;
    let ttl = arguments::seconds(context.flags.time("ttl"));
    let ttl = ttl.map_err(|error| format!("invalid value for TTL: {error}"))?;
    let asked_at = SystemClock::shared().unix();
    let svid = mint(channel.clone(), csr, ttl).await?;
    let roots = roots(channel).await?;
    // The server's clock is not ours, but it may not have stood still since.
    if svid.expires_at < asked_at.saturating_add(ttl.into()) {
        context.env.err(&format!(
            "X509-SVID lifetime was capped shorter than specified ttl; expires \"{}\"\n",
            go_text::rfc3339(svid.expires_at)
        ));
    }
    let minted = Minted { chain: svid.cert_chain, key, roots };
    match (context.flags.text("write"), context.flags.format()) {
        ("", Format::Json) => context.env.out(&minted.json()?),
        ("", Format::Pretty) => context.env.out(&minted.pretty()?),
        (folder, _) => minted.write(folder, context.env)?,
    }
    Ok(())
}

/// A new key, which never leaves this process but for the output, and a request signed with it.
fn request(flags: &FlagSet) -> Result<(Vec<u8>, PrivateKey), String> {
    let id = match flags.text("spiffeID") {
        "" => return Err("spiffeID must be specified".to_owned()),
        text => text.parse::<SpiffeId>().map_err(|error: SpiffeIdError| error.to_string())?,
    };
    let key =
        PrivateKey::generate(KeyType::EcP256).map_err(|error| format!("unable to generate key: {error}"))?;
    let csr = Subject::default().to_name().and_then(|subject| {
        CertificateRequest::create(&subject, &[id.to_string()], flags.texts("dns"), &key)
    });
    Ok((csr.map_err(|error| format!("unable to generate CSR: {error}"))?, key))
}

async fn mint(channel: Channel, csr: Vec<u8>, ttl: i32) -> Result<X509svid, String> {
    let request = MintX509svidRequest { csr: csr.into(), ttl };
    let answer = SvidClient::new(channel).mint_x509svid(request).await;
    let answer = answer.map_err(client::failed("unable to mint SVID"))?.into_inner();
    let svid = answer.svid.filter(|svid| !svid.cert_chain.is_empty());
    svid.ok_or_else(|| "server response missing SVID chain".to_owned())
}

async fn roots(channel: Channel) -> Result<Vec<bytes::Bytes>, String> {
    let answer = BundleClient::new(channel).get_bundle(GetBundleRequest { output_mask: None }).await;
    let bundle = answer.map_err(client::failed("unable to get bundle"))?.into_inner();
    if bundle.x509_authorities.is_empty() {
        return Err("server response missing X509 Authorities".to_owned());
    }
    Ok(bundle.x509_authorities.into_iter().map(|authority| authority.asn1).collect())
}

fn certificates(all: &[bytes::Bytes]) -> String {
    all.iter().map(|der| pem::encode_certificate(der)).collect()
}

impl Minted {
    fn key_der(&self) -> Result<zeroize::Zeroizing<Vec<u8>>, String> {
        self.key.to_pkcs8().map_err(|error| error.to_string())
    }

    fn pretty(&self) -> Result<String, String> {
        Ok(format!(
            "X509-SVID:\n{}\nPrivate key:\n{}\nRoot CAs:\n{}\n",
            certificates(&self.chain),
            &*pem::encode_private_key(&self.key_der()?),
            certificates(&self.roots)
        ))
    }

    fn json(&self) -> Result<String, String> {
        /// The order of the members is upstream's (SC-331).
        #[derive(Serialize)]
        struct Shown {
            x509_svid: Vec<String>,
            private_key: String,
            root_cas: Vec<String>,
        }
        let encode = |all: &[bytes::Bytes]| all.iter().map(|der| STANDARD.encode(der)).collect();
        let shown = Shown {
            x509_svid: encode(&self.chain),
            private_key: STANDARD.encode(&*self.key_der()?),
            root_cas: encode(&self.roots),
        };
        let json = serde_json::to_string(&shown).map_err(|error| error.to_string())?;
        Ok(format!("{json}\n"))
    }

    fn write(&self, folder: &str, env: &mut Env) -> Result<(), String> {
        let key = pem::encode_private_key(&self.key_der()?);
        let (chain, roots) = (certificates(&self.chain), certificates(&self.roots));
        for (file, text, mode, short, name) in [
            ("svid.pem", chain.as_str(), PUBLIC, "SVID", "X509-SVID"),
            ("key.pem", key.as_str(), PRIVATE, "key", "Private key"),
            ("bundle.pem", roots.as_str(), PUBLIC, "bundle", "Root CAs"),
        ] {
            let path = files::clean(&format!("{folder}/{file}"));
            files::write(&path, text.as_bytes(), mode)
                .map_err(|error| format!("unable to write {short}: {error}"))?;
            env.out(&format!("{name} written to {path}\n"));
        }
        Ok(())
    }
}
