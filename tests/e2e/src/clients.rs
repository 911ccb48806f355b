//! Builds the foreign clients once per run of the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

use crate::program::{binary, run};

fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where built clients stay, beside our binaries; readable by every user.
fn built() -> PathBuf {
    let beside = binary("spire-server");
    beside.parent().map(|dir| dir.join("e2e-clients")).unwrap_or_default()
}

/// A command of `go/`, compiled.
pub fn go_tool(name: &'static str) -> Result<PathBuf> {
    static DONE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let dir = DONE
        .get_or_init(|| {
            let dir = built();
            let mut command = Command::new("go");
            command
                .args(["build", "-o"])
                .arg(format!("{}/", dir.display()))
                .arg("./...")
                .current_dir(source().join("go"));
            std::fs::create_dir_all(&dir)
                .map_err(anyhow::Error::from)
                .and_then(|()| run(command, None)?.ok())
                .map(|_| dir)
                .map_err(|error| format!("{error:#}"))
        })
        .clone()
        .map_err(|error| anyhow!(error))?;
    Ok(dir.join(name))
}

/// The Python interpreter of a virtual environment with py-spiffe, and the script.
pub fn python_workload() -> Result<(PathBuf, PathBuf)> {
    static DONE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let python = DONE
        .get_or_init(|| environment().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))?;
    Ok((python, source().join("python/workload.py")))
}

fn environment() -> Result<PathBuf> {
    let dir = built().join("python");
    let python = dir.join("bin/python");
    let stamp = dir.join("installed");
    let wanted = std::fs::read_to_string(source().join("python/requirements.txt"))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    let mut create = Command::new(interpreter()?);
    create.args(["-m", "venv", "--clear"]).arg(&dir);
    run(create, None)?.ok().context("python3 -m venv")?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "-r"]).arg(source().join("python/requirements.txt"));
    run(install, None)?.ok().context("pip install")?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}

/// A Python 3 that has `venv` and that every user may run: one that lives in
/// the home folder of root does not start as another user.
fn interpreter() -> Result<&'static str> {
    const CANDIDATES: [&str; 3] = ["/usr/bin/python3", "/usr/local/bin/python3", "python3"];
    let usable = |name: &&str| {
        let mut command = Command::new(name);
        command.args(["-c", "import ensurepip, venv"]).current_dir("/");
        run(command, Some(2)).is_ok_and(|output| output.code == Some(0))
    };
    CANDIDATES.into_iter().find(usable).context("no python3 with venv that other users can run")
}
