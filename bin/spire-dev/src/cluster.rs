//! Starts server and agent on a folder, and stops them.

use std::path::Path;
use std::time::Duration;

use spire_net::channel;
use spire_proto::server::bundle::v1::GetBundleRequest;
use spire_proto::server::bundle::v1::bundle_client::BundleClient;
use spire_runtime::Shutdown;
use spire_runtime::logging::LogStream;
use spire_types::TrustDomain;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use crate::folder::{Folder, FolderError};
use crate::{holder, node_identity};

const RETRY: Duration = Duration::from_millis(10);
/// For the server to answer, and for the agent to open its socket.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Why the cluster did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("could not make the identity of this node: {0}")]
    NodeIdentity(String),
    #[error("port {port} of 127.0.0.1 is in use{by}; stop it or choose another {how}")]
    PortInUse { port: u16, by: String, how: &'static str },
    /// The flags of a new folder do not change one that is there.
    #[error("{path} has {key} = {value}; change it there and in agent.conf, or leave out the flag")]
    Settled { path: String, key: &'static str, value: String },
    #[error("{path} is in use{by}; stop it or choose another folder with -dir")]
    SocketInUse { path: String, by: String },
    #[error("the server stopped: {0}")]
    Server(String),
    #[error("the agent stopped: {0}")]
    Agent(String),
    #[error("{0} did not answer within a minute")]
    Silent(&'static str),
}

/// What the configuration of a new folder says.
#[derive(Debug, Clone)]
pub struct Site {
    pub trust_domain: TrustDomain,
    /// Of the server, on 127.0.0.1.
    pub port: u16,
}

type Task = JoinHandle<Result<(), String>>;

/// A server and an agent that run, or are about to.
#[derive(Debug, Default)]
pub struct Cluster {
    server: Option<Part>,
    agent: Option<Part>,
}

#[derive(Debug)]
struct Part {
    shutdown: Shutdown,
    task: Task,
}

impl Part {
    /// What it said when it ended.
    async fn ended(&mut self) -> String {
        outcome((&mut self.task).await).err().unwrap_or_else(|| "without an error".to_owned())
    }

    async fn stop(self) -> Result<(), String> {
        self.shutdown.trigger();
        // Whoever waited for the end has had the result already.
        if self.task.is_finished() { Ok(()) } else { outcome(self.task.await) }
    }
}

fn outcome(joined: Result<Result<(), String>, tokio::task::JoinError>) -> Result<(), String> {
    joined.unwrap_or_else(|error| Err(error.to_string()))
}

impl Cluster {
    /// Starts both; what has been started can be stopped even if this fails or is given up. The folder's configuration
    /// files are written the first time and honoured ever after.
    pub(crate) async fn bring_up(&mut self, folder: &Folder, site: &Site) -> Result<(), ClusterError> {
        folder.make()?;
        for socket in [folder.server_socket(), folder.workload_socket()] {
            if let Some(by) = holder::of_socket(&socket) {
                return Err(ClusterError::SocketInUse { path: socket.display().to_string(), by });
            }
        }
        node_identity::ensure(folder, OffsetDateTime::now_utc()).await?;
        let configured = configured(folder);
        write_configuration(folder, site)?;
        let (port, how) = match configured.port {
            Some(port) => (port, "in server.conf and agent.conf"),
            None => (site.port, "with -port"),
        };
        if let Some(by) = holder::of_port(port) {
            return Err(ClusterError::PortInUse { port, by, how });
        }
        let (server_socket, workload_socket) = (folder.server_socket(), folder.workload_socket());
        let server = self.server.insert(start_server(folder));
        let bundle = tokio::select! {
            reason = server.ended() => return Err(ClusterError::Server(reason)),
            bundle = bundle(&server_socket) => bundle.ok_or(ClusterError::Silent("the server"))?,
        };
        folder.write(&folder.bundle(), &bundle, 0o644)?;
        let agent = self.agent.insert(start_agent(folder));
        tokio::select! {
            reason = agent.ended() => Err(ClusterError::Agent(reason)),
            listening = listening(&workload_socket) => match listening {
                true => Ok(()),
                false => Err(ClusterError::Silent("the agent")),
            },
        }
    }

    /// Completes when one of the two ends by itself.
    pub async fn ended(&mut self) -> ClusterError {
        tokio::select! {
            reason = ended(&mut self.server) => ClusterError::Server(reason),
            reason = ended(&mut self.agent) => ClusterError::Agent(reason),
        }
    }

    /// The agent first: it still talks to the server while it stops.
    pub async fn stop(self) -> Result<(), ClusterError> {
        let agent = stop(self.agent).await.map_err(ClusterError::Agent);
        let server = stop(self.server).await.map_err(ClusterError::Server);
        agent.and(server)
    }
}

async fn ended(part: &mut Option<Part>) -> String {
    match part {
        Some(part) => part.ended().await,
        None => std::future::pending().await,
    }
}

async fn stop(part: Option<Part>) -> Result<(), String> {
    match part {
        Some(part) => part.stop().await,
        None => Ok(()),
    }
}

fn start_server(folder: &Folder) -> Part {
    let (shutdown, conf) = (Shutdown::new(), folder.server_conf().display().to_string());
    let stop = shutdown.clone();
    let task = tokio::spawn(async move { spire_server_bin::serve(&conf, LogStream::Discard, stop).await });
    Part { shutdown, task }
}

fn start_agent(folder: &Folder) -> Part {
    let (shutdown, conf) = (Shutdown::new(), folder.agent_conf().display().to_string());
    let stop = shutdown.clone();
    let task = tokio::spawn(async move { spire_agent_bin::serve(&conf, LogStream::Discard, stop).await });
    Part { shutdown, task }
}

/// The PEM of the server's bundle, as soon as it answers.
async fn bundle(socket: &Path) -> Option<String> {
    let mut client = BundleClient::new(channel::uds(socket));
    let asked = async {
        loop {
            if let Ok(answer) = client.get_bundle(GetBundleRequest::default()).await {
                let roots = answer.into_inner().x509_authorities;
                return roots.iter().map(|root| spire_crypto::pem::encode_certificate(&root.asn1)).collect();
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::time::timeout(START_WITHIN, asked).await.ok()
}

async fn listening(socket: &Path) -> bool {
    let connected = async {
        while tokio::net::UnixStream::connect(socket).await.is_err() {
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::time::timeout(START_WITHIN, connected).await.is_ok()
}

/// Writes what is missing.
fn write_configuration(folder: &Folder, site: &Site) -> Result<(), ClusterError> {
    if !folder.server_conf().exists() {
        folder.write(&folder.server_conf(), &server_conf(folder, site), 0o644)?;
        folder.write(&folder.agent_conf(), &agent_conf(folder, site), 0o644)?;
    }
    if !folder.agent_conf().exists() {
        folder.write(&folder.agent_conf(), &agent_conf(folder, site), 0o644)?;
    }
    Ok(())
}

/// Refuses to start a folder with another port or trust domain than it has, if the user asked for them.
pub(crate) fn check_asked(folder: &Folder, site: &Site, asked: &[&str]) -> Result<(), ClusterError> {
    let configured = configured(folder);
    let settled = [
        ("port", "bind_port", configured.port.map(|port| port.to_string()), site.port.to_string()),
        ("trustDomain", "trust_domain", configured.trust_domain, site.trust_domain.as_str().to_owned()),
    ];
    for (flag, key, held, wanted) in settled {
        if let Some(value) = held
            && value != wanted
            && asked.contains(&flag)
        {
            let path = folder.server_conf().display().to_string();
            return Err(ClusterError::Settled { path, key, value });
        }
    }
    Ok(())
}

/// What the server's file says, as far as it can be read.
#[derive(Debug, Default)]
struct Configured {
    port: Option<u16>,
    trust_domain: Option<String>,
}

fn configured(folder: &Folder) -> Configured {
    let read = || {
        let document = spire_config::parse(&std::fs::read_to_string(folder.server_conf()).ok()?).ok()?;
        let mut server = spire_config::Fields::new(&document).block("server").ok()??;
        let port = server.int("bind_port").ok()?.and_then(|port| u16::try_from(port).ok());
        Some(Configured { port, trust_domain: server.string("trust_domain").ok()? })
    };
    read().unwrap_or_default()
}

/// A path as a string of the configuration language.
fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

fn server_conf(folder: &Folder, site: &Site) -> String {
    let Site { trust_domain, port } = site;
    format!(
        r#"# Written by spire-dev when the folder was new; change it as you like.
server {{
    trust_domain = "{trust_domain}"
    bind_address = "127.0.0.1"
    bind_port = {port}
    data_dir = {data}
    socket_path = {socket}
    log_file = {log}
    log_level = "INFO"
}}

plugins {{
    DataStore "sql" {{
        plugin_data {{
            database_type = "sqlite3"
            connection_string = {database}
        }}
    }}
    KeyManager "disk" {{
        plugin_data {{ keys_path = {keys} }}
    }}
    NodeAttestor "join_token" {{
        plugin_data {{}}
    }}
    NodeAttestor "x509pop" {{
        plugin_data {{ ca_bundle_path = {node} }}
    }}
}}
"#,
        data = quoted(&folder.server_data()),
        socket = quoted(&folder.server_socket()),
        log = quoted(&folder.log_file()),
        database = quoted(&folder.database()),
        keys = quoted(&folder.server_data().join("keys.json")),
        node = quoted(&folder.node_certificate()),
    )
}

fn agent_conf(folder: &Folder, site: &Site) -> String {
    let Site { trust_domain, port } = site;
    format!(
        r#"# Written by spire-dev when the folder was new; change it as you like.
agent {{
    trust_domain = "{trust_domain}"
    server_address = "127.0.0.1"
    server_port = {port}
    data_dir = {data}
    socket_path = {socket}
    admin_socket_path = {admin}
    trust_bundle_path = {bundle}
    log_file = {log}
    log_level = "INFO"
}}

plugins {{
    KeyManager "disk" {{
        plugin_data {{ directory = {data} }}
    }}
    NodeAttestor "x509pop" {{
        plugin_data {{
            private_key_path = {key}
            certificate_path = {certificate}
        }}
    }}
    WorkloadAttestor "unix" {{
        plugin_data {{}}
    }}
}}
"#,
        data = quoted(&folder.agent_data()),
        socket = quoted(&folder.workload_socket()),
        admin = quoted(&folder.admin_socket()),
        bundle = quoted(&folder.bundle()),
        log = quoted(&folder.log_file()),
        key = quoted(&folder.node_key()),
        certificate = quoted(&folder.node_certificate()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_do_not_change_a_folder_that_is_there() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::at(scratch.path().join("d"));
        let site = |name, port| Site { trust_domain: TrustDomain::from_name(name).unwrap(), port };
        check_asked(&folder, &site("a.test", 1), &["port", "trustDomain"]).unwrap();
        folder.make().unwrap();
        write_configuration(&folder, &site("a.test", 1)).unwrap();
        check_asked(&folder, &site("a.test", 1), &["port", "trustDomain"]).unwrap();
        check_asked(&folder, &site("b.test", 2), &[]).unwrap();
        for (asked, text) in [("port", "has bind_port = 1;"), ("trustDomain", "has trust_domain = a.test;")] {
            let error = check_asked(&folder, &site("b.test", 2), &[asked]).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
