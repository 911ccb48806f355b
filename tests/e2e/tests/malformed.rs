//! Ten thousand malformed requests: no panic, no leak, still serving.

use std::path::Path;

use anyhow::{Result, ensure};
use bytes::{Buf, BufMut, Bytes};
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use spire_e2e::{Agent, AgentOptions, Server, ServerOptions};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::clients::GO;

const REQUESTS: u32 = 10_000;

/// Sends bytes as they are and reads whatever comes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = source.remaining();
        Ok(Some(source.copy_to_bytes(length)))
    }
}

async fn uds(path: &Path) -> Result<Channel> {
    let path = path.to_owned();
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Ok(Endpoint::from_static("http://localhost").connect_with_connector(connector).await?)
}

/// Random bytes, or a field structure that nearly makes sense.
fn nonsense(random: &mut StdRng) -> Bytes {
    let length = random.random_range(0..200);
    let mut bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
    if random.random_bool(0.5) && bytes.len() > 2 {
        bytes[0] = random.random_range(1u8..8) << 3 | random.random_range(0u8..6);
        bytes[1] = random.random_range(0..40);
    }
    bytes.into()
}

async fn storm(channel: Channel, methods: &[&'static str], seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut client = tonic::client::Grpc::new(channel);
    for number in 0..REQUESTS {
        let method = methods[number as usize % methods.len()];
        let mut request = Request::new(nonsense(&mut random));
        if random.random_bool(0.8) {
            request.metadata_mut().insert("workload.spiffe.io", "true".parse()?);
        }
        client.ready().await?;
        let path = tonic::codegen::http::uri::PathAndQuery::from_static(method);
        // Any answer is a good one, as long as it is an answer.
        if let Ok(reply) = client.server_streaming(request, path, Raw).await {
            let mut stream = reply.into_inner();
            let _ = tokio::time::timeout(std::time::Duration::from_secs(5), stream.message()).await;
        }
    }
    Ok(())
}

#[test]
fn nonsense_leaves_server_and_agent_serving() -> Result<()> {
    let mut server = Server::start(&ServerOptions::default())?;
    let mut agent = Agent::start(&server, &AgentOptions::default())?;
    server.entry_for_uid(&agent.id, "/go", GO)?;
    agent.wait_for_identity(GO, "/go")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let before = (resident_kib(server.pid())?, resident_kib(Some(agent.program()?.pid()))?);
    runtime.block_on(async {
        let to_agent = uds(&agent.socket()).await?;
        let to_server = uds(&server.socket()).await?;
        tokio::try_join!(storm(to_agent, WORKLOAD_METHODS, 1), storm(to_server, SERVER_METHODS, 2))
    })?;
    server.program()?.must_live()?;
    agent.program()?.must_live()?;
    agent.wait_for_identity(GO, "/go")?;
    server.json(&["entry", "show"])?;
    for log in [server.program()?.log(), agent.program()?.log()] {
        ensure!(!log.contains("panicked"), "something panicked: {log}");
    }
    let after = (resident_kib(server.pid())?, resident_kib(Some(agent.program()?.pid()))?);
    for (name, before, after) in [("server", before.0, after.0), ("agent", before.1, after.1)] {
        ensure!(after < before * 3 + 30_000, "the {name} grew from {before} to {after} KiB");
    }
    Ok(())
}

fn resident_kib(pid: Option<u32>) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.unwrap_or_default()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).unwrap_or("0").parse()?)
}

const WORKLOAD_METHODS: &[&str] = &[
    "/SpiffeWorkloadAPI/FetchX509SVID",
    "/SpiffeWorkloadAPI/FetchX509Bundles",
    "/SpiffeWorkloadAPI/FetchJWTSVID",
    "/SpiffeWorkloadAPI/FetchJWTBundles",
    "/SpiffeWorkloadAPI/ValidateJWTSVID",
    "/SpiffeWorkloadAPI/NoSuchMethod",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

const SERVER_METHODS: &[&str] = &[
    "/spire.api.server.entry.v1.Entry/ListEntries",
    "/spire.api.server.entry.v1.Entry/BatchUpdateEntry",
    "/spire.api.server.entry.v1.Entry/BatchDeleteEntry",
    "/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries",
    "/spire.api.server.agent.v1.Agent/ListAgents",
    "/spire.api.server.agent.v1.Agent/AttestAgent",
    "/spire.api.server.agent.v1.Agent/CreateJoinToken",
    "/spire.api.server.bundle.v1.Bundle/AppendBundle",
    "/spire.api.server.bundle.v1.Bundle/BatchSetFederatedBundle",
    "/spire.api.server.svid.v1.SVID/MintX509SVID",
    "/spire.api.server.svid.v1.SVID/MintJWTSVID",
    "/spire.api.server.trustdomain.v1.TrustDomain/BatchCreateFederationRelationship",
    "/spire.api.server.localauthority.v1.LocalAuthority/TaintX509Authority",
    "/grpc.health.v1.Health/Check",
];
