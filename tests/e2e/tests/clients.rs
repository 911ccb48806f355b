//! Three client libraries that we did not write fetch, watch and validate.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use spire_e2e::{
    Agent, AgentOptions, Output, Server, ServerOptions, TRUST_DOMAIN, go_tool, python_workload, run,
};

/// Users of Debian's base passwd, so that names resolve: daemon, bin, sys.
pub const GO: u32 = 1;
pub const PYTHON: u32 = 2;
pub const RUST: u32 = 0;

pub fn go(agent: &Agent, args: &[&str]) -> Result<Command> {
    let mut command = Command::new(go_tool("workload")?);
    command.args(args).env("SPIFFE_ENDPOINT_SOCKET", agent.endpoint());
    Ok(command)
}

pub fn python(agent: &Agent, args: &[&str]) -> Result<Command> {
    let (python, script) = python_workload()?;
    let mut command = Command::new(python);
    command.arg(script).args(args).env("SPIFFE_ENDPOINT_SOCKET", agent.endpoint());
    Ok(command)
}

fn member(output: &Output, name: &str) -> Result<String> {
    let lines = output.json_lines()?;
    let value = lines.first().and_then(|line| line[name].as_str()).with_context(|| output.stdout.clone())?;
    Ok(value.to_owned())
}

#[test]
fn foreign_clients_fetch_their_identity_and_validate_each_others_tokens() -> Result<()> {
    let server = Server::start(&ServerOptions::default())?;
    let agent = Agent::start(&server, &AgentOptions::default())?;
    for (uid, path) in [(GO, "/go"), (PYTHON, "/python"), (RUST, "/rust")] {
        server.entry_for_uid(&agent.id, path, uid)?;
        agent.wait_for_identity(uid, path)?;
    }
    let go_x509 = run(go(&agent, &["x509"])?, Some(GO))?.ok()?;
    ensure!(member(&go_x509, "spiffe_id")? == format!("spiffe://{TRUST_DOMAIN}/go"));
    let python_x509 = run(python(&agent, &["x509"])?, Some(PYTHON))?.ok()?;
    ensure!(member(&python_x509, "spiffe_id")? == format!("spiffe://{TRUST_DOMAIN}/python"));

    let go_token = member(&run(go(&agent, &["jwt", "everyone"])?, Some(GO))?.ok()?, "token")?;
    let python_token = member(&run(python(&agent, &["jwt", "everyone"])?, Some(PYTHON))?.ok()?, "token")?;
    let by_go = run(go(&agent, &["validate", "everyone", &python_token])?, Some(GO))?.ok()?;
    ensure!(member(&by_go, "remote")? == format!("spiffe://{TRUST_DOMAIN}/python"));
    ensure!(member(&by_go, "local")? == member(&by_go, "remote")?);
    let by_python = run(python(&agent, &["validate", "everyone", &go_token])?, Some(PYTHON))?.ok()?;
    ensure!(member(&by_python, "remote")? == format!("spiffe://{TRUST_DOMAIN}/go"));

    // A token for somebody else, and one that was tampered with.
    let refused = run(go(&agent, &["validate", "nobody", &python_token])?, Some(GO))?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("expected audience"), "{}", refused.stderr);
    let mut bent = go_token.clone();
    bent.replace_range(bent.len() - 4.., "AAAA");
    ensure!(run(go(&agent, &["validate", "everyone", &bent])?, Some(GO))?.code == Some(1));

    rust_client(&agent, &go_token)
}

/// The `spiffe` crate, in this very process (user 0).
fn rust_client(agent: &Agent, token_of_go: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = spiffe::WorkloadApiClient::connect_to(agent.endpoint()).await?;
        let svid = client.fetch_x509_svid().await?;
        ensure!(svid.spiffe_id().to_string() == format!("spiffe://{TRUST_DOMAIN}/rust"));
        let context = client.fetch_x509_context().await?;
        ensure!(context.bundle_set().get(svid.spiffe_id().trust_domain()).is_some());
        let bundles = client.fetch_jwt_bundles().await?;
        let theirs = spiffe::JwtSvid::parse_and_validate(token_of_go, &bundles, &["everyone"])?;
        ensure!(theirs.spiffe_id().to_string() == format!("spiffe://{TRUST_DOMAIN}/go"));
        let remote = client.validate_jwt_token("everyone", token_of_go).await?;
        ensure!(remote.spiffe_id() == theirs.spiffe_id());
        Ok(())
    })
}

#[test]
fn an_unregistered_process_is_refused_until_it_has_an_entry() -> Result<()> {
    let server = Server::start(&ServerOptions::default())?;
    let agent = Agent::start(&server, &AgentOptions::default())?;
    let refused = agent.api(&["fetch", "x509"], GO)?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("no identity issued"), "{}", refused.stderr);
    server.entry_for_uid(&agent.id, "/go", GO)?;
    agent.wait_for_identity(GO, "/go")?;
    let other = agent.api(&["fetch", "x509"], PYTHON)?;
    ensure!(other.code == Some(1), "another user got {}", other.stdout);
    Ok(())
}
