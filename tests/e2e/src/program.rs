use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A program that runs beside the test; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    name: String,
    log: PathBuf,
}

/// What a finished program said.
#[derive(Debug, Clone)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Fails unless the program ended well.
    pub fn ok(self) -> Result<Self> {
        match self.code {
            Some(0) => Ok(self),
            code => bail!("exit {code:?}\nstdout: {}\nstderr: {}", self.stdout, self.stderr),
        }
    }

    /// The lines of standard output, each one JSON object.
    pub fn json_lines(&self) -> Result<Vec<Value>> {
        self.stdout.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }
}

/// One of our binaries, from the folder in which cargo built them.
///
/// `SPIRE_BIN` names another folder, so that the same tests can be put to another build.
pub fn binary(name: &str) -> PathBuf {
    if let Some(dir) = std::env::var_os("SPIRE_BIN") {
        return Path::new(&dir).join(name);
    }
    let me = std::env::current_exe().unwrap_or_default();
    let profile = me.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
    profile.join(name)
}

/// Longer than any program of these tests has to run.
const PATIENCE: Duration = Duration::from_secs(150);

/// Runs a program to its end; `uid` makes it another workload. One that does not end is killed and fails.
pub fn run(mut command: Command, uid: Option<u32>) -> Result<Output> {
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let output = Output {
        code: status.and_then(|status| status.code()),
        stdout: whole(&mut stdout)?,
        stderr: whole(&mut stderr)?,
    };
    match status {
        Some(_) => Ok(output),
        None => bail!("{command:?} did not end within {PATIENCE:?}: {output:?}"),
    }
}

fn whole(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Program {
    /// Starts a program whose output, both streams, goes to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path, uid: Option<u32>) -> Result<Self> {
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name: name.to_owned(), log: log.to_owned() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The exit code when it has ended.
    pub fn exited(&mut self) -> Result<Option<i32>> {
        Ok(self.child.try_wait()?.map(|status| status.code().unwrap_or(-1)))
    }

    pub fn must_live(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(code) => bail!("{} ended with {code}:\n{}", self.name, self.log()),
        }
    }

    /// SIGKILL, as a machine that loses power.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; fails when it takes longer than the 10 s it has (SC-510).
    pub fn stop(mut self) -> Result<i32> {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let mut code = None;
        wait_until(Duration::from_secs(12), "an ordered stop", || {
            code = self.exited()?;
            Ok(code.is_some())
        })?;
        Ok(code.unwrap_or(-1))
    }

    /// The first line of JSON with this member; how a client says that it is ready.
    pub fn says(&mut self, member: &str) -> Result<Value> {
        let mut found = Value::Null;
        wait_until(Duration::from_secs(60), member, || {
            let file = BufReader::new(File::open(&self.log)?);
            for line in file.lines() {
                if let Ok(value) = serde_json::from_str::<Value>(&line?)
                    && let Some(wanted) = value.get(member)
                {
                    found = wanted.clone();
                    return Ok(true);
                }
            }
            self.must_live()?;
            Ok(false)
        })?;
        Ok(found)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until the answer is yes; a failing question is asked no more.
pub fn wait_until(limit: Duration, what: &str, mut question: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if question()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("{what}: not within {limit:?}")
}

pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
