//! A server, and agents where a scenario needs them, with the files they want.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use spire_proto::server::agent::v1 as agent_api;
use spire_proto::server::agent::v1::agent_client::AgentClient;
use spire_proto::server::bundle::v1 as bundle_api;
use spire_proto::server::bundle::v1::bundle_client::BundleClient;
use spire_proto::server::entry::v1 as entry_api;
use spire_proto::server::entry::v1::entry_client::EntryClient;
use spire_proto::types;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::build::Build;
use crate::node;
use crate::proc::Process;
use crate::tls::Identity;

pub const TRUST_DOMAIN: &str = "bench.test";

const DATABASE: &str = "datastore.sqlite3";

#[derive(Debug)]
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    pub local: Channel,
    /// Process start to the first answer.
    pub ready_after: Duration,
    dir: TempDir,
}

impl Server {
    pub async fn start(build: &Build) -> Result<Self> {
        Self::start_in(build, new_dir()?).await
    }

    /// Starts on a copy of a database.
    pub async fn start_on(build: &Build, database: &Path) -> Result<Self> {
        let dir = new_dir()?;
        fs::copy(database, dir.path().join(DATABASE))?;
        Self::start_in(build, dir).await
    }

    async fn start_in(build: &Build, dir: TempDir) -> Result<Self> {
        let port = free_port()?;
        let base = dir.path().display().to_string();
        fs::write(
            dir.path().join("server.conf"),
            format!(
                r#"server {{
  bind_address = "127.0.0.1"
  bind_port = {port}
  socket_path = "{base}/server.sock"
  trust_domain = "{TRUST_DOMAIN}"
  data_dir = "{base}/data"
  log_level = "WARN"
  ca_ttl = "24h"
  default_x509_svid_ttl = "1h"
  agent_ttl = "12h"
  ratelimit {{ attestation = false signing = false }}
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "{base}/{DATABASE}" }} }}
  KeyManager "disk" {{ plugin_data {{ keys_path = "{base}/keys.json" }} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
"#
            ),
        )?;
        let mut command = Command::new(build.server());
        command.args(["run", "-config"]).arg(dir.path().join("server.conf")).current_dir(dir.path());
        let begun = Instant::now();
        let mut process = Process::start("spire-server", command, &dir.path().join("server.log"))?;
        let socket = dir.path().join("server.sock");
        let local = loop {
            process.must_live().with_context(|| tail(&dir.path().join("server.log")))?;
            if let Ok(channel) = node::uds(&socket).await
                && BundleClient::new(channel.clone())
                    .get_bundle(bundle_api::GetBundleRequest::default())
                    .await
                    .is_ok()
            {
                break channel;
            }
            if begun.elapsed() > Duration::from_secs(120) {
                bail!("the server was not ready after 120 s: {}", tail(&dir.path().join("server.log")));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        Ok(Self { process, address: ([127, 0, 0, 1], port).into(), local, ready_after: begun.elapsed(), dir })
    }

    /// Stops the process and moves its database to that path.
    pub fn stop_and_keep(self, database: &Path) -> Result<()> {
        let Self { process, dir, .. } = self;
        process.stop()?;
        let left = dir.path().join(format!("{DATABASE}-wal"));
        anyhow::ensure!(!left.exists(), "the server left {} behind", left.display());
        fs::copy(dir.path().join(DATABASE), database)?;
        Ok(())
    }

    pub async fn join_token(&self) -> Result<String> {
        self.join_token_of("").await
    }

    /// With a token of the caller's choice, unless that is empty.
    async fn join_token_of(&self, token: &str) -> Result<String> {
        let request =
            agent_api::CreateJoinTokenRequest { ttl: 3600, token: token.to_owned(), ..Default::default() };
        Ok(AgentClient::new(self.local.clone()).create_join_token(request).await?.into_inner().value)
    }

    /// Attests a node of the harness and returns its identity and path.
    pub async fn attested_node(&self) -> Result<(Identity, String)> {
        self.attested_node_of("").await
    }

    /// The node has this token, unless that is empty.
    pub async fn attested_node_of(&self, token: &str) -> Result<(Identity, String)> {
        let token = self.join_token_of(token).await?;
        let (key, csr) = node::csr(None)?;
        let identity = node::attest(self.address, &token, &key, &csr).await?;
        Ok((identity, format!("/spire/agent/join_token/{token}")))
    }

    /// Creates entries in batches of 500.
    pub async fn create_entries(&self, entries: Vec<types::Entry>) -> Result<Vec<String>> {
        let mut client = EntryClient::new(self.local.clone());
        let mut ids = Vec::with_capacity(entries.len());
        for chunk in entries.chunks(500) {
            let request = entry_api::BatchCreateEntryRequest { entries: chunk.to_vec(), output_mask: None };
            for result in client.batch_create_entry(request).await?.into_inner().results {
                let status = result.status.unwrap_or_default();
                if status.code != 0 {
                    bail!("an entry was refused: {}", status.message);
                }
                ids.push(result.entry.unwrap_or_default().id);
            }
        }
        Ok(ids)
    }
}

/// An entry of four strings and two selectors.
pub fn entry(parent_path: &str, number: usize) -> types::Entry {
    entry_for(
        parent_path,
        &format!("/ns/team-{}/sa/service-{number}", number % 50),
        &[("k8s", format!("ns:team-{}", number % 50)), ("k8s", format!("sa:service-{number}"))],
    )
}

pub fn entry_for(parent_path: &str, path: &str, selectors: &[(&str, String)]) -> types::Entry {
    let id = |path: &str| Some(types::Spiffeid { trust_domain: TRUST_DOMAIN.into(), path: path.into() });
    types::Entry {
        parent_id: id(parent_path),
        spiffe_id: id(path),
        selectors: selectors
            .iter()
            .map(|(kind, value)| types::Selector { r#type: (*kind).into(), value: value.clone() })
            .collect(),
        ..Default::default()
    }
}

#[derive(Debug)]
pub struct Agent {
    pub process: Process,
    pub socket: PathBuf,
    pub started: Instant,
    /// The path of its SPIFFE ID.
    pub path: String,
    _dir: TempDir,
}

impl Agent {
    pub async fn start(build: &Build, server: &Server) -> Result<Self> {
        let token = server.join_token().await?;
        Self::start_with(build, server, &token).await
    }

    /// The path of the SPIFFE ID that an agent with this token will have.
    pub fn path_of(token: &str) -> String {
        format!("/spire/agent/join_token/{token}")
    }

    pub async fn start_with(build: &Build, server: &Server, token: &str) -> Result<Self> {
        let dir = new_dir()?;
        let base = dir.path().display().to_string();
        let bundle = BundleClient::new(server.local.clone())
            .get_bundle(bundle_api::GetBundleRequest::default())
            .await?
            .into_inner();
        let pem: String = bundle.x509_authorities.iter().map(|a| pem_of(&a.asn1)).collect();
        fs::write(dir.path().join("bundle.pem"), pem)?;
        fs::write(
            dir.path().join("agent.conf"),
            format!(
                r#"agent {{
  data_dir = "{base}/data"
  log_level = "WARN"
  server_address = "127.0.0.1"
  server_port = {}
  socket_path = "{base}/public/agent.sock"
  trust_bundle_path = "{base}/bundle.pem"
  trust_domain = "{TRUST_DOMAIN}"
  join_token = "{token}"
}}
plugins {{
  KeyManager "memory" {{ plugin_data {{}} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"#,
                server.address.port()
            ),
        )?;
        let mut command = Command::new(build.agent());
        command.args(["run", "-config"]).arg(dir.path().join("agent.conf")).current_dir(dir.path());
        let started = Instant::now();
        let mut process = Process::start("spire-agent", command, &dir.path().join("agent.log"))?;
        let socket = dir.path().join("public/agent.sock");
        while node::uds(&socket).await.is_err() {
            process.must_live().with_context(|| tail(&dir.path().join("agent.log")))?;
            if started.elapsed() > Duration::from_secs(60) {
                bail!("the agent was not ready after 60 s: {}", tail(&dir.path().join("agent.log")));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Self { process, socket, started, path: Self::path_of(token), _dir: dir })
    }
}

fn new_dir() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("spire-bench").tempdir()?)
}

fn pem_of(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", der))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
