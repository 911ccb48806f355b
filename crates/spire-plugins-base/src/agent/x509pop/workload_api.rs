//! A Workload API as the source of the node's certificate (NA-061).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use spire_crypto::PrivateKey;
use spire_crypto::x509::Certificate;
use spire_net::{channel, rpc_error_text};
use spire_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use spire_proto::workload::{X509svidRequest, X509svidResponse};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

/// Where a Workload API listens, by the rules of the SPIFFE Workload Endpoint section 4.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("unix:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path.starts_with('/') && !path.contains(['?', '#']) {
                true => Ok(Self::Unix(path.into())),
                false => Err("workload endpoint unix socket URI must be an absolute path only".to_owned()),
            };
        }
        let Some(rest) = text.strip_prefix("tcp://") else {
            return Err("workload endpoint socket URI must have a \"tcp\" or \"unix\" scheme".to_owned());
        };
        rest.parse()
            .map(Self::Tcp)
            .map_err(|_| "workload endpoint tcp socket URI host component must be an IP:port".to_owned())
    }
}

/// The first SVID of the first answer.
pub(super) async fn fetch_svid(address: &Address) -> Result<(PrivateKey, Vec<Certificate>), String> {
    let channel = match address {
        Address::Unix(path) => channel::uds(path),
        Address::Tcp(address) => channel::tcp(*address),
    };
    let mut request = Request::new(X509svidRequest::default());
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    let failed = |status: Status| rpc_error_text(&status);
    let mut stream =
        SpiffeWorkloadApiClient::new(channel).fetch_x509svid(request).await.map_err(failed)?.into_inner();
    let answer = stream.message().await.map_err(failed)?.ok_or("EOF")?;
    identity(answer)
}

fn identity(answer: X509svidResponse) -> Result<(PrivateKey, Vec<Certificate>), String> {
    let svid = answer.svids.into_iter().next().ok_or("no SVIDs in response")?;
    let chain = Certificate::parse_many(&svid.x509_svid).map_err(|error| error.to_string())?;
    let leaf = chain.first().ok_or("x509svid: certificate bundle is empty")?;
    let key = PrivateKey::from_pkcs8(&svid.x509_svid_key).map_err(|error| error.to_string())?;
    match leaf.public_key() {
        Ok(public) if public == *key.public_key() => Ok((key, chain)),
        _ => Err("x509svid: leaf certificate does not match private key".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use spire_crypto::KeyType;
    use spire_crypto::x509::{CertificateTemplate, Issuer, Subject, Usage, sign_certificate};
    use spire_proto::workload::X509svid;

    use super::*;

    #[test]
    fn addresses_are_those_of_the_workload_endpoint() {
        assert_eq!("unix:///run/a.sock".parse(), Ok(Address::Unix("/run/a.sock".into())));
        assert_eq!("unix:/run/a.sock".parse(), Ok(Address::Unix("/run/a.sock".into())));
        assert_eq!("tcp://[::1]:80".parse(), Ok(Address::Tcp("[::1]:80".parse().unwrap())));
        for bad in ["", "/run/a.sock", "unix:run/a.sock", "unix://", "tcp://localhost:80", "tcp://127.0.0.1"]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_first_svid_is_the_nodes_certificate() {
        // NA-061
        let key = PrivateKey::generate(KeyType::EcP384).unwrap();
        let other = PrivateKey::generate(KeyType::EcP256).unwrap();
        let name = Subject { common_name: "node".into(), ..Subject::default() }.to_name().unwrap();
        let now = spire_runtime::SystemClock::shared().now();
        let template = CertificateTemplate {
            serial: 7u128.to_be_bytes(),
            subject: name.clone(),
            not_before: now,
            not_after: now,
            uri_san: "spiffe://td/node".to_owned(),
            dns_sans: Vec::new(),
            usage: Usage::Svid,
            extra_extensions: Vec::new(),
        };
        let issuer = Issuer { name, key_id: None };
        let der = sign_certificate(&template, key.public_key(), &issuer, &key).await.unwrap();
        let svid = |key: &PrivateKey| X509svid {
            x509_svid: der.clone().into(),
            x509_svid_key: key.to_pkcs8().unwrap().to_vec().into(),
            ..X509svid::default()
        };
        let answer = |svids| X509svidResponse { svids, ..X509svidResponse::default() };
        let (got, chain) = identity(answer(vec![svid(&key), X509svid::default()])).unwrap();
        assert_eq!((got.public_key(), chain.len()), (key.public_key(), 1));
        let error = identity(answer(vec![svid(&other)])).unwrap_err();
        assert_eq!(error, "x509svid: leaf certificate does not match private key");
        assert_eq!(identity(answer(Vec::new())).unwrap_err(), "no SVIDs in response");
    }
}
