use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::TRUST_DOMAIN;
use crate::program::{Output, Program, binary, free_port, run, wait_until};

/// What a test wants of its server beyond the ordinary.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub ca_ttl: &'static str,
    pub x509_svid_ttl: &'static str,
    pub agent_ttl: &'static str,
    pub jwt_svid_ttl: &'static str,
    /// More lines of `server { … }`.
    pub extra: String,
    /// More lines of `plugins { … }`.
    pub plugins: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            ca_ttl: "24h",
            x509_svid_ttl: "1h",
            agent_ttl: "1h",
            jwt_svid_ttl: "5m",
            extra: String::new(),
            plugins: String::new(),
        }
    }
}

/// A folder, a configuration, and the process while it runs.
#[derive(Debug)]
pub struct Server {
    dir: TempDir,
    pub port: u16,
    program: Option<Program>,
}

impl Server {
    pub fn start(options: &ServerOptions) -> Result<Self> {
        let mut server = Self::prepare(options)?;
        server.launch()?;
        Ok(server)
    }

    /// Writes the configuration without starting anything.
    pub fn prepare(options: &ServerOptions) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("spire-e2e-server").tempdir()?;
        let port = free_port()?;
        let base = dir.path().display();
        fs::write(
            dir.path().join("server.conf"),
            format!(
                r#"server {{
  bind_address = "127.0.0.1"
  bind_port = {port}
  socket_path = "{base}/private/api.sock"
  trust_domain = "{TRUST_DOMAIN}"
  data_dir = "{base}/data"
  log_level = "DEBUG"
  ca_ttl = "{}"
  default_x509_svid_ttl = "{}"
  default_jwt_svid_ttl = "{}"
  agent_ttl = "{}"
  ratelimit {{ attestation = false }}
{}
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "{base}/data/datastore.sqlite3" }} }}
  KeyManager "disk" {{ plugin_data {{ keys_path = "{base}/data/keys.json" }} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
{}
}}
"#,
                options.ca_ttl,
                options.x509_svid_ttl,
                options.jwt_svid_ttl,
                options.agent_ttl,
                options.extra,
                options.plugins
            ),
        )?;
        fs::create_dir_all(dir.path().join("data"))?;
        Ok(Self { dir, port, program: None })
    }

    /// Starts the process and waits until it answers.
    pub fn launch(&mut self) -> Result<()> {
        self.launch_unchecked()?;
        wait_until(Duration::from_secs(30), "the server's health", || {
            self.program.as_mut().context("it was started")?.must_live()?;
            Ok(self.cli(&["healthcheck"])?.code == Some(0))
        })
    }

    /// Starts the process only; for tests of starts that must fail.
    pub fn launch_unchecked(&mut self) -> Result<&mut Program> {
        let mut command = Command::new(binary("spire-server"));
        command.args(["run", "-config"]).arg(self.config()).current_dir(self.path());
        Ok(self.program.insert(Program::start(
            "spire-server",
            command,
            &self.path().join("server.log"),
            None,
        )?))
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("server.conf")
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("private/api.sock")
    }

    pub fn program(&mut self) -> Result<&mut Program> {
        self.program.as_mut().context("the server does not run")
    }

    pub fn pid(&self) -> Option<u32> {
        self.program.as_ref().map(Program::pid)
    }

    pub fn kill(&mut self) -> Result<()> {
        self.program.take().context("the server does not run")?.kill()
    }

    pub fn stop(&mut self) -> Result<i32> {
        self.program.take().context("the server does not run")?.stop()
    }

    /// A client command against this server.
    pub fn cli(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary("spire-server"));
        command.args(args).arg("-socketPath").arg(self.socket());
        run(command, None)
    }

    /// A client command that must succeed, its answer as JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let args = [args, &["-output", "json"]].concat();
        let output = self.cli(&args)?.ok()?;
        serde_json::from_str(&output.stdout).with_context(|| output.stdout)
    }

    /// An entry for all processes of a user below this agent; returns its id.
    pub fn entry_for_uid(&self, agent_id: &str, path: &str, uid: u32) -> Result<String> {
        self.entry(agent_id, path, &[&format!("unix:uid:{uid}")])
    }

    /// An entry for workloads with all of these selectors below this agent; returns its id.
    pub fn entry(&self, agent_id: &str, path: &str, selectors: &[&str]) -> Result<String> {
        let id = format!("spiffe://{TRUST_DOMAIN}{path}");
        let mut args = vec!["entry", "create", "-parentID", agent_id, "-spiffeID", &id];
        args.extend(selectors.iter().flat_map(|selector| ["-selector", selector]));
        let created = self.json(&args)?;
        let id = created["results"][0]["entry"]["id"].as_str().context("the entry has an id")?;
        Ok(id.to_owned())
    }

    pub fn bundle_pem(&self) -> Result<String> {
        Ok(self.cli(&["bundle", "show"])?.ok()?.stdout)
    }
}
