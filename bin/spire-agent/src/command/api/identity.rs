//! X509-SVIDs as the Workload API sends them, parsed and checked (AG-170).

use std::collections::BTreeMap;

use bytes::Bytes;
use spire_crypto::PrivateKey;
use spire_crypto::x509::{Certificate, Roots, X509Error, verify_x509_svid};
use spire_proto::workload::{X509svid, X509svidResponse};
use spire_runtime::logging::go_quote;
use spire_types::SpiffeId;
use time::OffsetDateTime;

/// Bundles of other trust domains, by the name that the listing shows.
pub(super) type FederatedBundles = BTreeMap<String, Vec<Certificate>>;

/// One identity with all that belongs to it.
#[derive(Debug)]
pub(super) struct Identity {
    pub spiffe_id: String,
    pub hint: String,
    /// Leaf first.
    pub chain: Vec<Certificate>,
    pub key: PrivateKey,
    pub bundle: Vec<Certificate>,
    pub federated_bundles: FederatedBundles,
}

/// At least one identity, each of which its own bundle vouches for.
pub(super) fn parse_and_verify(
    response: &X509svidResponse,
    now: OffsetDateTime,
) -> Result<Vec<Identity>, String> {
    if response.svids.is_empty() {
        return Err("workload response contains no svids".to_owned());
    }
    let federated = federated_bundles(response)?;
    let mut identities = Vec::with_capacity(response.svids.len());
    for (index, svid) in response.svids.iter().enumerate() {
        let identity = parse(svid, &federated).map_err(|reason| {
            let id = go_quote(&svid.spiffe_id);
            format!("failed to parse svid entry {index} for spiffe id {id}: {reason}")
        })?;
        identities.push(identity);
    }
    for identity in &identities {
        verify(identity, now)?;
    }
    Ok(identities)
}

fn federated_bundles(response: &X509svidResponse) -> Result<FederatedBundles, String> {
    // In their order, so that one of several damaged ones is always the same.
    let sorted: BTreeMap<&String, &Bytes> = response.federated_bundles.iter().collect();
    let mut bundles = FederatedBundles::new();
    for (id, der) in sorted {
        let domain = go_quote(id);
        let certificates = Certificate::parse_many(der)
            .map_err(|error| format!("failed to parse bundle for federated domain {domain}: {error}"))?;
        if certificates.is_empty() {
            return Err(format!("no certificates in bundle for federated domain {domain}"));
        }
        bundles.insert(id.clone(), certificates);
    }
    Ok(bundles)
}

fn parse(svid: &X509svid, federated: &FederatedBundles) -> Result<Identity, String> {
    let chain = Certificate::parse_many(&svid.x509_svid).map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("no certificates found".to_owned());
    }
    let key = PrivateKey::from_pkcs8(&svid.x509_svid_key)
        .map_err(|error| format!("failed to parse private key: {error}"))?;
    let bundle = Certificate::parse_many(&svid.bundle)
        .map_err(|error| format!("failed to parse trust bundle: {error}"))?;
    if bundle.is_empty() {
        return Err("no certificates in trust bundle".to_owned());
    }
    Ok(Identity {
        spiffe_id: svid.spiffe_id.clone(),
        hint: svid.hint.clone(),
        chain,
        key,
        bundle,
        federated_bundles: federated.clone(),
    })
}

fn verify(identity: &Identity, now: OffsetDateTime) -> Result<(), String> {
    let id: SpiffeId =
        identity.spiffe_id.parse().map_err(|error: spire_types::SpiffeIdError| error.to_string())?;
    let failed = |reason: &dyn std::fmt::Display| {
        format!("{} SVID failed verification against bundle: {reason}", go_quote(&identity.spiffe_id))
    };
    let roots = Roots::new(identity.bundle.clone()).map_err(|error: X509Error| failed(&error))?;
    let roots_of = |domain: &spire_types::TrustDomain| (domain == id.trust_domain()).then(|| roots.clone());
    verify_x509_svid(&identity.chain, roots_of, now).map(drop).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_identities_is_an_error() {
        // AG-170
        let error = parse_and_verify(&X509svidResponse::default(), OffsetDateTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(error, "workload response contains no svids");
    }

    #[test]
    fn a_damaged_identity_is_named() {
        // AG-170
        let svid = X509svid { spiffe_id: "spiffe://example.org/a".into(), ..X509svid::default() };
        let response = X509svidResponse { svids: vec![svid], ..X509svidResponse::default() };
        assert_eq!(
            parse_and_verify(&response, OffsetDateTime::UNIX_EPOCH).unwrap_err(),
            "failed to parse svid entry 0 for spiffe id \"spiffe://example.org/a\": no certificates found"
        );
    }
}
