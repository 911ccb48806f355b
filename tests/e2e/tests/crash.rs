//! Power goes at random moments; what was acknowledged stays.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use spire_e2e::{Agent, AgentOptions, Server, ServerOptions};

use crate::clients::GO;

const ROUNDS: u32 = 50;

#[test]
fn nothing_acknowledged_is_lost_when_processes_are_killed() -> Result<()> {
    let mut server = Server::start(&ServerOptions::default())?;
    let mut agent = Agent::start(&server, &AgentOptions::default())?;
    server.entry_for_uid(&agent.id, "/always", GO)?;
    agent.wait_for_identity(GO, "/always")?;
    let roots = server.bundle_pem()?;
    let mut random = rand::rng();
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        acknowledged.extend(work_until_killed(&mut server, round, random.random_range(5..60))?);
        let kill_agent = random.random_bool(0.5);
        if kill_agent {
            agent.kill()?;
        }
        server.launch().with_context(|| format!("round {round}"))?;
        if kill_agent {
            agent.launch().with_context(|| format!("round {round}"))?;
        }
        ensure!(server.bundle_pem()? == roots, "round {round}: the CA changed");
    }
    let present = entry_ids(&server)?;
    let missing: Vec<_> = acknowledged.difference(&present).collect();
    ensure!(missing.is_empty(), "{} acknowledged entries are gone: {missing:?}", missing.len());
    agent.wait_for_identity(GO, "/always")?;
    let listed = server.json(&["agent", "list"])?;
    let agents = listed["agents"].as_array().context("a list")?;
    ensure!(agents.len() == 1, "the agent attested anew: {listed}");
    let fetched = agent.api(&["fetch", "x509"], GO)?.ok()?.stdout;
    ensure!(fetched.matches("SPIFFE ID:").count() == 1, "an identity of somebody else: {fetched}");
    Ok(())
}

/// Creates entries for nobody in particular while the kill is on its way.
fn work_until_killed(server: &mut Server, round: u32, after_ms: u64) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    std::thread::scope(|scope| {
        let creating = {
            let server: &Server = server;
            scope.spawn(move || {
                let mut made = Vec::new();
                for number in 0..3 {
                    let path = format!("/round-{round}/{number}");
                    match server.entry_for_uid("spiffe://e2e.test/nobody", &path, 4242) {
                        Ok(id) => made.push(id),
                        // Not acknowledged, so not promised.
                        Err(_) => break,
                    }
                }
                made
            })
        };
        std::thread::sleep(Duration::from_millis(after_ms));
        if let Some(pid) = server_pid(server) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        ids = creating.join().unwrap_or_default();
    });
    server.kill()?;
    Ok(ids)
}

fn server_pid(server: &Server) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(server.pid()? as i32)
}

fn entry_ids(server: &Server) -> Result<BTreeSet<String>> {
    let listed = server.json(&["entry", "show"])?;
    let entries = listed["entries"].as_array().context("a list")?;
    Ok(entries.iter().filter_map(|e| e["id"].as_str().map(str::to_owned)).collect())
}
