use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::program::{Output, Program, binary, run, wait_until};
use crate::{Server, TRUST_DOMAIN};

/// What a test wants of its agent beyond the ordinary.
#[derive(Debug, Clone, Default)]
pub struct AgentOptions {
    /// More lines of `agent { … }`.
    pub extra: String,
    /// More lines of `plugins { … }`.
    pub plugins: String,
}

/// A folder, a configuration, and the process while it runs.
#[derive(Debug)]
pub struct Agent {
    dir: TempDir,
    pub id: String,
    program: Option<Program>,
}

impl Agent {
    /// Attests with a join token of `server` and waits for the Workload API.
    pub fn start(server: &Server, options: &AgentOptions) -> Result<Self> {
        let mut agent = Self::prepare(server, options)?;
        agent.launch()?;
        Ok(agent)
    }

    pub fn prepare(server: &Server, options: &AgentOptions) -> Result<Self> {
        Self::prepare_for(server, options, "600")
    }

    /// The same with a join token of so many seconds.
    pub fn prepare_for(server: &Server, options: &AgentOptions, token_ttl: &str) -> Result<Self> {
        let token = server.json(&["token", "generate", "-ttl", token_ttl])?;
        let token = token["value"].as_str().context("a token has a value")?;
        let dir = tempfile::Builder::new().prefix("spire-e2e-agent").tempdir()?;
        // Workloads of other users must reach the socket.
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let base = dir.path().display();
        fs::write(dir.path().join("bundle.pem"), server.bundle_pem()?)?;
        fs::write(
            dir.path().join("agent.conf"),
            format!(
                r#"agent {{
  data_dir = "{base}/data"
  log_level = "DEBUG"
  server_address = "127.0.0.1"
  server_port = {}
  socket_path = "{base}/public/api.sock"
  trust_bundle_path = "{base}/bundle.pem"
  trust_domain = "{TRUST_DOMAIN}"
  join_token = "{token}"
{}
}}
plugins {{
  KeyManager "disk" {{ plugin_data {{ directory = "{base}/data" }} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
{}
}}
"#,
                server.port, options.extra, options.plugins
            ),
        )?;
        Ok(Self { dir, id: format!("spiffe://{TRUST_DOMAIN}/spire/agent/join_token/{token}"), program: None })
    }

    pub fn launch(&mut self) -> Result<()> {
        self.launch_unchecked()?;
        wait_until(Duration::from_secs(30), "the agent's socket", || {
            self.program.as_mut().context("it was started")?.must_live()?;
            Ok(std::os::unix::net::UnixStream::connect(self.socket()).is_ok())
        })
    }

    /// Starts the process only; for tests of starts that must fail.
    pub fn launch_unchecked(&mut self) -> Result<&mut Program> {
        let mut command = Command::new(binary("spire-agent"));
        command.args(["run", "-config"]).arg(self.path().join("agent.conf")).current_dir(self.path());
        Ok(self.program.insert(Program::start("spire-agent", command, &self.path().join("agent.log"), None)?))
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("public/api.sock")
    }

    /// As the SPIFFE Workload API clients want it (CA-452).
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn program(&mut self) -> Result<&mut Program> {
        self.program.as_mut().context("the agent does not run")
    }

    pub fn kill(&mut self) -> Result<()> {
        self.program.take().context("the agent does not run")?.kill()
    }

    pub fn stop(&mut self) -> Result<i32> {
        self.program.take().context("the agent does not run")?.stop()
    }

    /// `spire-agent api …` as a workload of this user.
    pub fn api(&self, args: &[&str], uid: u32) -> Result<Output> {
        let mut command = Command::new(binary("spire-agent"));
        command.arg("api").args(args).arg("-socketPath").arg(self.socket());
        run(command, Some(uid))
    }

    /// Waits until a process of this user has this identity.
    pub fn wait_for_identity(&self, uid: u32, path: &str) -> Result<()> {
        let wanted = format!("spiffe://{TRUST_DOMAIN}{path}");
        let mut last = String::new();
        wait_until(Duration::from_secs(30), &wanted, || {
            let output = self.api(&["fetch", "x509"], uid)?;
            last = format!("{}{}", output.stdout, output.stderr);
            Ok(output.code == Some(0) && output.stdout.contains(&wanted))
        })
        .with_context(|| last)
    }
}
