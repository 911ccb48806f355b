//! A daemon of Docker of the test's own, whose containers borrow the files of this machine.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;

use crate::Agent;
use crate::program::{Output, Program, binary, run, wait_until};

/// What a program of this machine needs beside itself.
const LIBRARIES: [&str; 3] = ["/usr", "/lib", "/lib64"];

#[derive(Debug)]
pub struct Docker {
    dir: TempDir,
    program: Option<Program>,
}

impl Docker {
    /// `None`, and a line that says why, where no container can run. In CI a missing daemon is an error.
    pub fn start() -> Result<Option<Self>> {
        for program in ["dockerd", "docker"] {
            let mut version = Command::new(program);
            version.arg("--version");
            if run(version, None).is_err() {
                let ci = std::env::var("CI").is_ok_and(|value| value == "true");
                ensure!(!ci, "there is no {program}, which `cargo xtask ci` installs");
                return skipped(&format!("there is no {program} on this machine"));
            }
        }
        if let Err(obstacle) = containers_are_possible() {
            return skipped(&format!("the kernel allows no containers here: {obstacle:#}"));
        }
        let mut docker =
            Self { dir: tempfile::Builder::new().prefix("spire-e2e-docker").tempdir()?, program: None };
        docker.launch()?;
        Ok(Some(docker))
    }

    fn launch(&mut self) -> Result<()> {
        let base = self.path().to_owned();
        let settings = json!({
            "hosts": [self.address()],
            "data-root": base.join("data"),
            "exec-root": base.join("exec"),
            "pidfile": base.join("pid"),
            // Another containerd may run already.
            "containerd-namespace": format!("spire-e2e-{}", std::process::id()),
            "storage-driver": "vfs",
            "bridge": "none",
            "iptables": false,
            "ip6tables": false,
            "ip-forward": false,
            "ip-masq": false,
        });
        fs::write(base.join("daemon.json"), settings.to_string())?;
        // An image without a single file.
        fs::write(base.join("empty.tar"), [0; 1024])?;
        let mut command = Command::new("dockerd");
        command.arg("--config-file").arg(base.join("daemon.json"));
        self.program = Some(Program::start("dockerd", command, &base.join("dockerd.log"), None)?);
        wait_until(Duration::from_secs(60), "the daemon of Docker", || {
            self.program.as_mut().context("it was started")?.must_live()?;
            Ok(self.cli(&["version"])?.code == Some(0))
        })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// As the agent's configuration wants it.
    pub fn address(&self) -> String {
        format!("unix://{}", self.path().join("docker.sock").display())
    }

    /// `docker …` with this daemon and without the user's settings.
    fn cli(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new("docker");
        command.arg("--config").arg(self.path().join("cli")).args(["--host", &self.address()]).args(args);
        run(command, None)
    }

    /// Makes an image; returns the digest of its configuration.
    pub fn image(&self, name: &str) -> Result<String> {
        let files = self.path().join("empty.tar").display().to_string();
        let imported = self.cli(&["import", &files, name])?.ok()?;
        Ok(imported.stdout.trim().to_owned())
    }

    /// `spire-agent api …` as a workload in a new container, which `options` of `docker run` describe.
    pub fn api(&self, agent: &Agent, image: &str, options: &[&str], args: &[&str]) -> Result<Output> {
        let program = binary("spire-agent").canonicalize()?;
        let sockets = agent.socket();
        let sockets = sockets.parent().context("a socket lies in a folder")?;
        let mut mounts = vec![
            format!("{}:/spire-agent:ro", program.display()),
            format!("{}:/sockets:ro", sockets.display()),
        ];
        let libraries = LIBRARIES.into_iter().filter(|folder| Path::new(folder).exists());
        mounts.extend(libraries.map(|folder| format!("{folder}:{folder}:ro")));
        let mut run = vec!["run", "--rm", "--network", "none"];
        run.extend(mounts.iter().flat_map(|mount| ["--volume", mount]));
        run.extend(options);
        run.extend([image, "/spire-agent", "api"]);
        run.extend(args);
        run.extend(["-socketPath", "/sockets/api.sock"]);
        self.cli(&run)
    }
}

impl Drop for Docker {
    /// In order, because a daemon that is killed leaves mounts behind.
    fn drop(&mut self) {
        if let Some(program) = self.program.take() {
            let _ = program.stop();
        }
    }
}

/// Past the test runner, which keeps what a passing test prints to itself.
fn skipped(why: &str) -> Result<Option<Docker>> {
    writeln!(std::io::stderr(), "SKIPPED, no test with Docker: {why}")?;
    Ok(None)
}

/// Namespaces and a cgroup are what a container is made of.
fn containers_are_possible() -> Result<()> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "true"]);
    run(unshare, None)?.ok().context("new namespaces")?;
    let unified = Path::new("/sys/fs/cgroup");
    let hierarchy = if unified.join("cgroup.controllers").exists() {
        unified.to_owned()
    } else {
        unified.join("devices")
    };
    let group = hierarchy.join(format!("spire-e2e-{}", std::process::id()));
    fs::create_dir(&group).with_context(|| format!("a new cgroup {}", group.display()))?;
    Ok(fs::remove_dir(&group)?)
}
