//! Damaged files get a clear error, exit code 1, and are left as they are.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use spire_e2e::{Agent, AgentOptions, Program, Server, ServerOptions, wait_until};

/// Waits for the end of a start that cannot succeed.
pub fn refusal(program: &mut Program) -> Result<String> {
    let mut code = None;
    wait_until(Duration::from_secs(70), "the refusal to start", || {
        code = program.exited()?;
        Ok(code.is_some())
    })?;
    ensure!(code == Some(1), "exit code {code:?}: {}", program.log());
    Ok(program.log())
}

fn damage(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| path.display().to_string())
}

#[test]
fn a_server_refuses_damaged_files_and_leaves_them_alone() -> Result<()> {
    let garbage: &[u8] = b"\x00\x01 this is not what it was\xff";
    for (file, mentions) in [
        ("data/datastore.sqlite3", "not a database"),
        ("data/keys.json", "keys"),
        ("server.conf", "unable to decode configuration"),
    ] {
        let mut server = Server::start(&ServerOptions::default())?;
        server.stop()?;
        for stale in ["data/datastore.sqlite3-wal", "data/datastore.sqlite3-shm"] {
            let _ = fs::remove_file(server.path().join(stale));
        }
        let path = server.path().join(file);
        damage(&path, garbage)?;
        let log = refusal(server.launch_unchecked()?)?;
        ensure!(log.contains(mentions), "{file}: {log}");
        ensure!(fs::read(&path)? == garbage, "{file} was changed");
    }
    Ok(())
}

#[test]
fn a_truncated_database_is_refused_and_left_alone() -> Result<()> {
    let mut server = Server::start(&ServerOptions::default())?;
    server.stop()?;
    let path = server.path().join("data/datastore.sqlite3");
    let whole = fs::read(&path)?;
    let part = &whole[..whole.len() / 3];
    damage(&path, part)?;
    let log = refusal(server.launch_unchecked()?)?;
    ensure!(log.contains("malformed") || log.contains("corrupt"), "{log}");
    ensure!(fs::read(&path)? == part, "the database was changed");
    Ok(())
}

#[test]
fn an_agent_refuses_damaged_files_and_leaves_them_alone() -> Result<()> {
    let server = Server::start(&ServerOptions::default())?;
    for (file, content, mentions) in [
        ("data/agent-data.json", &b"{\"svid\": ["[..], "failed to unmarshal data"),
        ("data/keys.json", &b"{"[..], "keys"),
        ("bundle.pem", &b"-----BEGIN CERTIFICATE-----\nAAAA\n"[..], "no PEM blocks"),
        ("agent.conf", &b"agent {"[..], "unable to decode configuration"),
    ] {
        let mut agent = Agent::prepare(&server, &AgentOptions::default())?;
        fs::create_dir_all(agent.path().join("data"))?;
        let path = agent.path().join(file);
        damage(&path, content)?;
        let log = refusal(agent.launch_unchecked()?)?;
        ensure!(log.contains(mentions), "{file}: {log}");
        ensure!(fs::read(&path)? == content, "{file} was changed");
    }
    Ok(())
}
