//! Two workloads of different languages keep talking while everything rotates.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use spire_e2e::{
    Agent, AgentOptions, Program, Server, ServerOptions, TRUST_DOMAIN, free_port, run, wait_until,
};

use crate::clients::{GO, PYTHON, go, python};

/// Long enough for three rotations of an SVID that lives 10 s.
const SECONDS: &str = "40";

#[test]
fn no_handshake_fails_through_svid_and_ca_rotations() -> Result<()> {
    let server = Server::start(&ServerOptions { x509_svid_ttl: "10s", ..ServerOptions::default() })?;
    let agent = Agent::start(
        &server,
        &AgentOptions { extra: "experimental { sync_interval = \"1s\" }".into(), ..AgentOptions::default() },
    )?;
    for (uid, path) in [(GO, "/go"), (PYTHON, "/python")] {
        server.entry_for_uid(&agent.id, path, uid)?;
        agent.wait_for_identity(uid, path)?;
    }
    let id = |path: &str| format!("spiffe://{TRUST_DOMAIN}{path}");
    let (go_port, python_port) = (free_port()?, free_port()?);
    let (go_address, python_address) = (format!("127.0.0.1:{go_port}"), format!("127.0.0.1:{python_port}"));
    let mut go_server = Program::start(
        "go serve",
        go(&agent, &["serve", &go_address, &id("/python")])?,
        &agent.path().join("go-serve.log"),
        Some(GO),
    )?;
    let mut python_server = Program::start(
        "python serve",
        python(&agent, &["serve", &python_address, &id("/go")])?,
        &agent.path().join("python-serve.log"),
        Some(PYTHON),
    )?;
    go_server.says("listening")?;
    python_server.says("listening")?;
    let from_go = go(&agent, &["dial", &python_address, &id("/python"), SECONDS])?;
    let from_python = python(&agent, &["dial", &go_address, &id("/go"), SECONDS])?;
    let dialing_go = std::thread::spawn(move || run(from_go, Some(GO)));
    let dialing_python = std::thread::spawn(move || run(from_python, Some(PYTHON)));

    std::thread::sleep(Duration::from_secs(12));
    rotate_ca(&server, &agent)?;

    for (name, thread) in [("go", dialing_go), ("python", dialing_python)] {
        let output = thread.join().map_err(|_| anyhow::anyhow!("the {name} dialer panicked"))??.ok()?;
        let report = &output.json_lines()?[0];
        let count = |member: &str| report[member].as_u64().context("a count");
        ensure!(count("handshakes")? > 50, "{name}: {report}");
        ensure!(count("own")? >= 4, "{name} saw fewer than three rotations of its own SVID: {report}");
        ensure!(count("peer")? >= 4, "{name} saw fewer than three rotations of its peer: {report}");
        ensure!(count("issuers")? >= 2, "{name} saw no rotation of the CA: {report}");
    }
    go_server.must_live()?;
    python_server.must_live()
}

/// Prepares, waits until the workloads trust the new root, activates.
fn rotate_ca(server: &Server, agent: &Agent) -> Result<()> {
    let prepared = server.json(&["localauthority", "x509", "prepare"])?;
    let authority = prepared["prepared_authority"]["authority_id"].as_str().context("an id")?;
    wait_until(Duration::from_secs(15), "the new root at the workloads", || {
        let listing = agent.api(&["fetch", "x509"], GO)?.ok()?.stdout;
        Ok(listing.matches("CA #2 Valid After").count() == 1)
    })?;
    server.json(&["localauthority", "x509", "activate", "-authorityID", authority])?;
    Ok(())
}

#[test]
fn a_watching_client_sees_each_rotation_as_an_update() -> Result<()> {
    let server = Server::start(&ServerOptions { x509_svid_ttl: "6s", ..ServerOptions::default() })?;
    let agent = Agent::start(&server, &AgentOptions::default())?;
    server.entry_for_uid(&agent.id, "/go", GO)?;
    agent.wait_for_identity(GO, "/go")?;
    let by_go = run(go(&agent, &["watch", "3"])?, Some(GO))?.ok()?;
    ensure!(by_go.json_lines()?.len() == 3, "{}", by_go.stdout);
    server.entry_for_uid(&agent.id, "/python", PYTHON)?;
    agent.wait_for_identity(PYTHON, "/python")?;
    let by_python = run(python(&agent, &["watch", "3"])?, Some(PYTHON))?.ok()?;
    ensure!(by_python.json_lines()?.len() == 3, "{}", by_python.stdout);
    Ok(())
}
