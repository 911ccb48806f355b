//! What is wrong is refused with an error that names it; `server_api` does the same for every RPC.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use spire_authority::{AuthorityManager, CredentialSettings};
use spire_datastore::{Datastore, DatastoreSettings};
use spire_e2e::{Agent, AgentOptions, Server, ServerOptions, TRUST_DOMAIN, wait_until};
use spire_plugin::PluginContext;
use spire_plugins_base::key_manager::DISK_FOR_SERVER;
use spire_runtime::{Clock as _, ManualClock, SystemClock};

use crate::clients::GO;
use crate::corruption::refusal;

const GOOD: [&str; 6] = [
    "-parentID",
    "spiffe://e2e.test/parent",
    "-spiffeID",
    "spiffe://e2e.test/web",
    "-selector",
    "unix:uid:1",
];

#[test]
fn entries_that_cannot_be_are_refused_by_name() -> Result<()> {
    let server = Server::start(&ServerOptions::default())?;
    let with = |at: usize, value: &'static str| {
        let mut flags = GOOD.to_vec();
        flags[at] = value;
        flags
    };
    let and = |more: &[&'static str]| [&GOOD[..], more].concat();
    for (flags, mentions) in [
        (with(3, "web"), "scheme is missing or invalid"),
        (with(3, "spiffe://e2e.test/a//b"), "path cannot contain empty segments"),
        (with(3, "spiffe://e2e.test/ä"), "path segment characters are limited to"),
        (with(3, "spiffe://elsewhere.test/web"), "is not a member of trust domain"),
        (with(1, "spiffe://elsewhere.test/parent"), "is not a member of trust domain"),
        (with(5, "unix"), "selector \"unix\" must be formatted as type:value"),
        (with(5, "unix:"), "missing selector value"),
        (and(&["-x509SVIDTTL", "-1"]), "TTL"),
        (and(&["-jwtSVIDTTL", "-1"]), "TTL"),
        (and(&["-x509SVIDTTL", "much"]), "invalid value \"much\" for flag -x509SVIDTTL"),
        (and(&["-dns", "a..b"]), "invalid DNS name"),
        (and(&["-federatesWith", "spiffe://nobody.test"]), "nobody.test"),
    ] {
        let refused = server.cli(&[&["entry", "create"], &flags[..]].concat())?;
        ensure!(refused.code != Some(0), "{flags:?} was accepted: {}", refused.stdout);
        let said = refused.stdout + &refused.stderr;
        ensure!(said.contains(mentions), "{flags:?}: {said}");
    }
    let created = server.cli(&[&["entry", "create"], &GOOD[..]].concat())?;
    ensure!(created.code == Some(0), "{}", created.stderr);
    let again = server.cli(&[&["entry", "create"], &GOOD[..]].concat())?;
    let said = again.stdout.clone() + &again.stderr;
    ensure!(again.code == Some(1) && said.contains("AlreadyExists"), "{said}");
    // A parent that nobody is does no harm: the entry is nobody's until it comes.
    ensure!(server.json(&["entry", "show"])?["entries"].as_array().map(Vec::len) == Some(1));
    Ok(())
}

#[test]
fn a_lifetime_above_that_of_the_ca_is_no_error_and_one_that_is_none_is() -> Result<()> {
    let server =
        Server::start(&ServerOptions { ca_ttl: "1h", x509_svid_ttl: "30m", ..ServerOptions::default() })?;
    let id = format!("spiffe://{TRUST_DOMAIN}/long");
    let minted = server.cli(&["x509", "mint", "-spiffeID", &id, "-ttl", "1000h"])?.ok()?.stdout;
    ensure!(minted.contains("BEGIN CERTIFICATE"), "{minted}");
    let odd = server.cli(&["jwt", "mint", "-spiffeID", &id, "-audience", "a", "-ttl", "soon"])?;
    ensure!(
        odd.code != Some(0) && odd.stderr.contains("invalid value \"soon\" for flag -ttl"),
        "{}",
        odd.stderr
    );
    Ok(())
}

#[test]
fn a_join_token_is_good_once_and_not_for_long() -> Result<()> {
    let server = Server::start(&ServerOptions::default())?;
    let mut agent = Agent::start(&server, &AgentOptions::default())?;
    agent.stop()?;
    // Without what it had, the agent can only try its token again.
    for file in fs::read_dir(agent.path().join("data"))? {
        fs::remove_file(file?.path())?;
    }
    let log = refusal(agent.launch_unchecked()?)?;
    ensure!(log.contains("join token does not exist or has already been used"), "{log}");

    let refused = server.cli(&["token", "generate", "-ttl", "0"])?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("ttl is required"), "{}", refused.stderr);
    let mut late = Agent::prepare_for(&server, &AgentOptions::default(), "1")?;
    std::thread::sleep(Duration::from_millis(2100));
    let log = refusal(late.launch_unchecked()?)?;
    ensure!(log.contains("join token expired"), "{log}");
    Ok(())
}

#[test]
fn places_that_cannot_be_used_are_named() -> Result<()> {
    let long = "x".repeat(120);
    let mut server = Server::prepare(&ServerOptions::default())?;
    let text = fs::read_to_string(server.config())?;
    fs::write(server.config(), text.replace("private/api.sock", &format!("{long}/api.sock")))?;
    let log = refusal(server.launch_unchecked()?)?;
    ensure!(log.contains(&long), "{log}");

    // A file where a folder should be is as good as no permission, which root always has.
    let mut server = Server::prepare(&ServerOptions::default())?;
    let text = fs::read_to_string(server.config())?;
    fs::write(server.path().join("file"), b"")?;
    let data = server.path().join("data").display().to_string();
    let taken = server.path().join("file/data").display().to_string();
    let at = format!("data_dir = \"{data}\"");
    ensure!(text.contains(&at), "{text}");
    fs::write(server.config(), text.replace(&at, &format!("data_dir = \"{taken}\"")))?;
    let log = refusal(server.launch_unchecked()?)?;
    ensure!(log.contains("not a directory") && log.contains("/file"), "{log}");
    Ok(())
}

#[test]
fn an_unregistered_process_hears_why() -> Result<()> {
    let server = Server::start(&ServerOptions::default())?;
    let mut agent = Agent::start(&server, &AgentOptions::default())?;
    for command in [&["fetch", "x509"][..], &["fetch", "jwt", "-audience", "a"]] {
        let refused = agent.api(command, GO)?;
        ensure!(
            refused.code == Some(1) && refused.stderr.contains("no identity issued"),
            "{}",
            refused.stderr
        );
    }
    wait_until(Duration::from_secs(10), "the line in the agent's log", || {
        Ok(agent.program()?.log().contains("No identity issued"))
    })
}

/// Leaves behind what a server does that is started for the first time.
async fn first_start(server: &Server, clock: &ManualClock) -> Result<()> {
    let data = server.path().join("data");
    let database = data.join("datastore.sqlite3").display().to_string();
    let datastore = Datastore::open(DatastoreSettings::sqlite(database), clock.shared()).await?;
    let context = PluginContext { trust_domain: TRUST_DOMAIN.parse()?, clock: clock.shared() };
    let place = spire_config::parse(&format!("keys_path = {:?}", data.join("keys.json")))?;
    let keys = (DISK_FOR_SERVER.build)(&context, &place).map_err(|error| anyhow!("{error}"))?;
    let settings = CredentialSettings::new(context.trust_domain);
    let manager = AuthorityManager::load(settings, keys, datastore.clone(), clock.shared()).await?;
    manager.initialize().await?;
    datastore.close().await;
    Ok(())
}

#[test]
fn a_clock_before_the_ca_is_named_by_server_and_agent_and_another_ca_helps() -> Result<()> {
    let mut server = Server::prepare(&ServerOptions::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ahead = SystemClock::new().now() + Duration::from_secs(30 * 24 * 3600);
    runtime.block_on(first_start(&server, &ManualClock::at(ahead)))?;
    server.launch()?;
    let log = server.program()?.log();
    ensure!(log.contains("X509 CA is not valid yet") && log.contains("not_before="), "{log}");

    let mut agent = Agent::prepare(&server, &AgentOptions::default())?;
    agent.launch_unchecked()?;
    wait_until(Duration::from_secs(10), "the reason in the agent's log", || {
        let log = agent.program()?.log();
        Ok(log.contains("x509: certificate has expired or is not yet valid: current time "))
    })?;
    let log = agent.program()?.log();
    ensure!(!log.contains("Trust Bundle and Server don't agree") && !agent.socket().exists(), "{log}");
    agent.kill()?;

    // What the server's log advises; its own SVID is made anew at the next start.
    let prepared = server.json(&["localauthority", "x509", "prepare"])?;
    let other = prepared["prepared_authority"]["authority_id"].as_str().context("it has an ID")?;
    server.json(&["localauthority", "x509", "activate", "-authorityID", other])?;
    server.stop()?;
    server.launch()?;
    Agent::start(&server, &AgentOptions::default())?;
    Ok(())
}
