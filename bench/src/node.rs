//! What an agent does on the wire, without being one: attest, sync, sign.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use spire_proto::server::agent::v1 as agent_api;
use spire_proto::types;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::tls::{self, Identity};

/// A connection over a Unix socket.
pub async fn uds(path: &Path) -> Result<Channel> {
    let path = path.to_owned();
    Endpoint::from_static("http://localhost")
        .connect_with_connector(service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await
        .context("cannot connect to the socket")
}

/// A new TLS connection of its own.
pub async fn tls_channel(address: SocketAddr, config: Arc<ClientConfig>) -> Result<Channel> {
    Endpoint::from_static("http://localhost")
        .connect_with_connector(service_fn(move |_| {
            let config = config.clone();
            async move {
                let tcp = TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
                TlsConnector::from(config).connect(name, tcp).await.map(TokioIo::new)
            }
        }))
        .await
        .context("cannot connect over TLS")
}

/// A P-256 key and a CSR with it, as DER.
pub fn csr(uri: Option<&str>) -> Result<(KeyPair, Vec<u8>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(uri) = uri {
        params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into()?)];
    }
    let request = params.serialize_request(&key)?;
    Ok((key, request.der().to_vec()))
}

/// One join-token attestation on a new connection.
pub async fn attest(address: SocketAddr, token: &str, key: &KeyPair, csr: &[u8]) -> Result<Identity> {
    let channel = tls_channel(address, tls::client(None)?).await?;
    attest_on(channel, token, key, csr).await
}

async fn attest_on(channel: Channel, token: &str, key: &KeyPair, csr: &[u8]) -> Result<Identity> {
    let mut client = agent_api::agent_client::AgentClient::new(channel);
    let request = agent_api::AttestAgentRequest {
        step: Some(agent_api::attest_agent_request::Step::Params(agent_api::attest_agent_request::Params {
            data: Some(types::AttestationData {
                r#type: "join_token".into(),
                payload: token.as_bytes().to_vec().into(),
            }),
            params: Some(agent_api::AgentX509svidParams { csr: csr.to_vec().into() }),
        })),
    };
    let mut replies = client.attest_agent(tokio_stream::once(request)).await?.into_inner();
    let reply = replies.message().await?.context("the server closed the attestation stream")?;
    let Some(agent_api::attest_agent_response::Step::Result(result)) = reply.step else {
        anyhow::bail!("the server sent a challenge for a join token");
    };
    let svid = result.svid.context("the attestation result has no SVID")?;
    Ok(Identity { chain: svid.cert_chain.iter().map(|der| der.to_vec()).collect(), key: key.serialize_der() })
}
