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

/// What differs between the servers of the scenarios.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub ca_ttl: &'static str,
    pub x509_svid_ttl: &'static str,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { ca_ttl: "24h", x509_svid_ttl: "1h" }
    }
}

#[derive(Debug)]
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    pub local: Channel,
    /// Process start to the first answer.
    pub ready_after: Duration,
    dir: TempDir,
    build: Build,
    options: ServerOptions,
}

impl Server {
    pub async fn start(build: &Build, options: ServerOptions) -> Result<Self> {
        Self::start_in(build, options, tempfile::Builder::new().prefix("spire-bench").tempdir()?).await
    }

    async fn start_in(build: &Build, options: ServerOptions, dir: TempDir) -> Result<Self> {
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
  ca_ttl = "{}"
  default_x509_svid_ttl = "{}"
  ratelimit {{ attestation = false signing = false }}
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "{base}/datastore.sqlite3" }} }}
  KeyManager "disk" {{ plugin_data {{ keys_path = "{base}/keys.json" }} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
"#,
                options.ca_ttl, options.x509_svid_ttl
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
        Ok(Self {
            process,
            address: ([127, 0, 0, 1], port).into(),
            local,
            ready_after: begun.elapsed(),
            dir,
            build: build.clone(),
            options,
        })
    }

    /// Stops the process and starts it again on the same database and keys.
    pub async fn restart(self) -> Result<Self> {
        let Self { process, dir, build, options, .. } = self;
        process.stop()?;
        Self::start_in(&build, options, dir).await
    }

    pub async fn join_token(&self) -> Result<String> {
        let request = agent_api::CreateJoinTokenRequest { ttl: 3600, ..Default::default() };
        Ok(AgentClient::new(self.local.clone()).create_join_token(request).await?.into_inner().value)
    }

    /// Attests a node of the harness and returns its identity and path.
    pub async fn attested_node(&self) -> Result<(Identity, String)> {
        let token = self.join_token().await?;
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
        let dir = tempfile::Builder::new().prefix("spire-bench").tempdir()?;
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
