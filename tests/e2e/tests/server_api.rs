//! Every RPC of every server service, driven by the Go client of SPIRE's API.
//!
//! `server_api.txt` holds what SPIRE 1.15.3 answers. To record it anew:
//! `E2E_RECORD=1 SPIRE_BIN=<folder of SPIRE's binaries> cargo test -p spire-e2e server_api`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Result, ensure};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::Value;
use spire_e2e::{Server, ServerOptions, TRUST_DOMAIN, go_tool, run};

const RECORDED: &str = include_str!("server_api.txt");

#[test]
fn every_rpc_answers_each_caller_as_spire_does() -> Result<()> {
    let server = Server::start(&ServerOptions {
        extra: "experimental { cache_reload_interval = \"1s\" }".into(),
        ..ServerOptions::default()
    })?;
    let mut command = Command::new(go_tool("api")?);
    command.arg(server.socket()).arg(format!("127.0.0.1:{}", server.port)).arg(TRUST_DOMAIN);
    let calls = run(command, None)?.ok()?.json_lines()?;
    let told: Vec<String> = calls.iter().map(tell).collect();
    if std::env::var_os("E2E_RECORD").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server_api.txt");
        std::fs::write(path, told.join("\n") + "\n")?;
        return Ok(());
    }
    let recorded: Vec<&str> = RECORDED.lines().collect();
    let mut differences = String::new();
    for index in 0..recorded.len().max(told.len()) {
        let (wanted, got) = (recorded.get(index).copied(), told.get(index).map(String::as_str));
        if wanted != got {
            let _ = writeln!(differences, "SPIRE: {}\nhere:  {}\n", wanted.unwrap_or(""), got.unwrap_or(""));
        }
    }
    ensure!(differences.is_empty(), "{differences}");
    Ok(())
}

/// One call in one line, without what only the decoders of either side or a database would say.
fn tell(call: &Value) -> String {
    let part = |name: &str| call[name].as_str().unwrap_or_default();
    let mut message = part("message").to_owned();
    for foreign in ["asn1: ", "UNIQUE constraint", "x509: malformed certificate", "malformed public key"] {
        if let Some(at) = message.find(foreign) {
            message.truncate(at);
            message.push('…');
        }
    }
    let line = format!(
        "{} {}/{}, {}: {} | {} | {message}",
        part("caller"),
        part("service"),
        part("method"),
        part("case"),
        part("code"),
        part("result"),
    );
    line.trim_end_matches([' ', '|']).to_owned()
}

/// A method that is added to the API must be added to the client, too.
#[test]
fn the_recording_names_every_rpc_of_the_server() -> Result<()> {
    let set = FileDescriptorSet::decode(spire_proto::descriptors::API)?;
    let mut methods = BTreeSet::from(["Health/Check".to_owned(), "Health/Watch".to_owned()]);
    for file in &set.file {
        if !file.package().starts_with("spire.api.server.") {
            continue;
        }
        for service in &file.service {
            methods.extend(service.method.iter().map(|m| format!("{}/{}", service.name(), m.name())));
        }
    }
    ensure!(methods.len() > 60, "only {} methods found", methods.len());
    let named: BTreeSet<&str> = RECORDED.lines().filter_map(|line| line.split([' ', ',']).nth(1)).collect();
    let missing: Vec<_> = methods.iter().filter(|method| !named.contains(method.as_str())).collect();
    ensure!(missing.is_empty(), "never called: {missing:?}");
    Ok(())
}
