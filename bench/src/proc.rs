//! What a process costs, as the kernel counts it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A process under measurement; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: &'static str,
}

/// A reading of `/proc/<pid>`.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub cpu: Duration,
    pub at: Instant,
}

impl Process {
    pub fn start(name: &'static str, mut command: Command, log: &std::path::Path) -> Result<Self> {
        let out = fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("{} has gone ({path})", self.name))
    }

    /// CPU time used so far by all its threads, living or not, user and system.
    pub fn cost(&self) -> Result<Cost> {
        let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(self.child.id() as i32))
            .with_context(|| format!("{} has gone", self.name))?;
        Ok(Cost { cpu: clock.now()?.into(), at: Instant::now() })
    }

    /// CPU time since an earlier reading.
    pub fn since(&self, before: Cost) -> Result<Duration> {
        Ok(self.cost()?.cpu.saturating_sub(before.cpu))
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        self.status_field("VmRSS:")
    }

    pub fn threads(&self) -> Result<u64> {
        self.status_field("Threads:")
    }

    pub fn open_files(&self) -> Result<u64> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count() as u64)
    }

    fn status_field(&self, name: &str) -> Result<u64> {
        let status = self.read("status")?;
        let line =
            status.lines().find(|l| l.starts_with(name)).with_context(|| format!("status has no {name}"))?;
        Ok(line.split_whitespace().nth(1).context("a status line has a value")?.parse()?)
    }

    /// Fails when the process has ended by itself.
    pub fn must_live(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early: {status}", self.name),
        }
    }

    pub fn stop(mut self) -> Result<()> {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} did not stop within 15 s of SIGTERM", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
