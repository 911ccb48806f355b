//! What the fuzz targets do with their bytes. None of it may panic, hang, or take memory without bound.
//!
//! `bin/spire-dev/tests/it/fuzzed.rs` includes this file and feeds it mutated seeds of `seeds/`, so that CI runs the
//! same code without libFuzzer.

use std::sync::OnceLock;

use spire_cli::FlagSet;
use spire_config::duration::GoDuration;
use spire_crypto::bundle_document::{Contents, Reader, marshal, unmarshal};
use spire_crypto::jose::{Claims, sign_jwt_svid, validate_jwt_svid};
use spire_crypto::x509::{Certificate, CertificateRequest, check_authorities, leaf_spiffe_id};
use spire_crypto::{KeyType, PrivateKey, pem};
use spire_types::{GoUrl, TrustDomain};

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    runtime.block_on(future)
}

/// A configuration file: the reader, what plugins are handed of it, and the plugins section.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(file) = spire_config::parse(text) else { return };
    let written = file.to_hcl();
    assert!(spire_config::parse(&written).is_ok(), "what was read is written as something else: {written}");
    let mut fields = spire_config::Fields::new(&file);
    if let Ok(Some(section)) = fields.first_block("plugins") {
        let _ = spire_config::plugins(&section);
    }
    let _ = spire_config::env_expansion::expand(text, |name| (name.len() == 1).then(|| "x".to_owned()));
    let _ = spire_config::duration::parse(text);
}

/// Arguments, separated by zero bytes; each of them as a URL, too.
pub fn flags(data: &[u8]) {
    let mut set = FlagSet::new("fuzz");
    set.string("text", "", "a text");
    set.int("number", 7, "a number");
    set.bool("switch", "a switch");
    set.duration("timeout", GoDuration::from_secs(5), "a duration");
    set.list("selector", "a list");
    set.comma_list("dns", "a list in one text");
    set.output("output");
    let args: Vec<String> = String::from_utf8_lossy(data).split('\0').map(str::to_owned).collect();
    if set.parse(&args).is_ok() {
        let _ = (set.text("text"), set.number("number"), set.is("switch"), set.texts("selector"));
    }
    let _ = set.usage();
    args.iter().for_each(|arg| url(arg));
}

/// What a URL prints as is its one spelling. Go cannot read all that it prints, so it need not be read again.
fn url(text: &str) {
    let Ok(url) = GoUrl::parse(text) else { return };
    let _ = (url.hostname(), url.port(), url.query_keys());
    let printed = url.to_string();
    if let Ok(again) = GoUrl::parse(&printed) {
        assert_eq!(again.to_string(), printed);
    }
}

/// DER of one certificate or several in a row, or PEM.
pub fn certificate(data: &[u8]) {
    let _ = (pem::parse_certificates(data), pem::parse_private_key(data), check_authorities(data));
    for certificate in Certificate::parse_many(data).unwrap_or_default() {
        let _ = (certificate.public_key(), certificate.subject().to_string(), certificate.serial_decimal());
        let _ = leaf_spiffe_id(&certificate);
    }
}

/// DER of a certificate request.
pub fn csr(data: &[u8]) {
    if let Ok(request) = CertificateRequest::parse(data) {
        let _ = request.verify_signature();
        let _ = (request.subject().to_string(), request.uri_sans(), request.dns_sans());
    }
}

/// A token, and a token of which the bytes are the claims.
pub fn jwt_svid(data: &[u8]) {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    let key = KEY.get_or_init(|| PrivateKey::generate(KeyType::EcP256).expect("the crypto library works"));
    let validate = |token: &str| {
        let keys = |_: &TrustDomain| Some(|_: &str| Some(key.public_key()));
        validate_jwt_svid(token, keys, "audience", 1_700_000_000).is_ok()
    };
    if let Ok(token) = std::str::from_utf8(data) {
        assert!(!validate(token), "nobody signed this");
    }
    if let Ok(claims) = serde_json::from_slice::<Claims>(data)
        && let Ok(token) = block_on(sign_jwt_svid(&claims, "kid", key))
    {
        validate(&token);
    }
}

/// A trust bundle as JWK set: what is read is written, and is read again as the same.
pub fn bundle_document(data: &[u8]) {
    let trust_domain = || TrustDomain::from_name("example.org").expect("a valid name");
    let _ = unmarshal(trust_domain(), data, Reader::GoSpiffe);
    let Ok(bundle) = unmarshal(trust_domain(), data, Reader::Spire) else { return };
    let Ok(written) = marshal(&bundle, Contents::SPIFFE) else { return };
    let again = unmarshal(trust_domain(), &written, Reader::Spire).expect("our own document is read");
    assert_eq!(again.x509_authorities, bundle.x509_authorities);
    assert_eq!(again.jwt_authorities.len(), bundle.jwt_authorities.len());
}

/// The first bytes of a connection that a load balancer passes on.
pub fn proxy_protocol(data: &[u8]) {
    let _ = block_on(spire_net::incoming::read_header(data));
}

/// `agent-data.json`.
pub fn agent_data(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    std::fs::write(folder.path().join("agent-data.json"), data).expect("a file of the test");
    if let Ok(storage) = spire_agent::Storage::open(folder.path()) {
        block_on(async { (storage.svid().await, storage.bundle().await, storage.bootstrap_state().await) });
    }
}
