//! The server is away for longer than half the life of an SVID.

use std::time::Duration;

use anyhow::{Result, ensure};
use spire_e2e::{Agent, AgentOptions, Server, ServerOptions, wait_until};

use crate::clients::GO;

#[test]
fn workloads_keep_their_identities_and_the_agent_recovers_by_itself() -> Result<()> {
    let mut server = Server::start(&ServerOptions { x509_svid_ttl: "20s", ..ServerOptions::default() })?;
    let mut agent = Agent::start(
        &server,
        &AgentOptions { extra: "experimental { sync_interval = \"1s\" }".into(), ..AgentOptions::default() },
    )?;
    server.entry_for_uid(&agent.id, "/go", GO)?;
    agent.wait_for_identity(GO, "/go")?;
    let before = until_line(&agent)?;
    ensure!(server.stop()? == 0, "the server did not stop in order");
    // 12 s is more than half of 20 s: the agent has tried to renew and failed.
    for _ in 0..12 {
        agent.wait_for_identity(GO, "/go")?;
        agent.program()?.must_live()?;
        std::thread::sleep(Duration::from_secs(1));
    }
    server.launch()?;
    wait_until(Duration::from_secs(30), "a renewed SVID", || Ok(until_line(&agent)? != before))
}

fn until_line(agent: &Agent) -> Result<String> {
    let listing = agent.api(&["fetch", "x509"], GO)?.ok()?.stdout;
    Ok(listing.lines().find(|line| line.contains("SVID Valid Until")).unwrap_or_default().to_owned())
}
