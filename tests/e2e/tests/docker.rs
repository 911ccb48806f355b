//! Workloads in containers of a daemon that we did not write.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use spire_e2e::{Agent, AgentOptions, Docker, Output, Server, ServerOptions, TRUST_DOMAIN, wait_until};

const FETCH: &[&str] = &["fetch", "x509"];
const FRONT: &[&str] = &["--label", "tier=web", "--env", "ROLE=front"];
const BACK: &[&str] = &["--label", "tier=db", "--env", "ROLE=back"];

#[test]
fn workloads_have_the_identities_of_their_containers_and_images() -> Result<()> {
    // PL-088 to PL-091
    let Some(docker) = Docker::start()? else { return Ok(()) };
    let digest = format!("docker:image_config_digest:{}", docker.image("web:1")?);
    docker.image("batch:1")?;
    let server = Server::start(&ServerOptions::default())?;
    let attestor = format!(
        "WorkloadAttestor \"docker\" {{ plugin_data {{ docker_socket_path = {:?} }} }}",
        docker.address()
    );
    let agent = Agent::start(&server, &AgentOptions { plugins: attestor, ..AgentOptions::default() })?;
    let label = "docker:label:tier:web";
    for (path, selectors) in [
        ("/label", &[label][..]),
        ("/all", &[label, "docker:env:ROLE=front", "docker:image_id:web:1", &digest]),
        ("/batch", &["docker:image_id:batch:1"]),
    ] {
        server.entry(&agent.id, path, selectors)?;
    }
    for (image, options, wanted) in [
        ("web:1", FRONT, &["/all", "/label"][..]),
        ("batch:1", FRONT, &["/batch", "/label"]),
        ("batch:1", BACK, &["/batch"]),
    ] {
        let mut last = String::new();
        wait_until(Duration::from_secs(30), &format!("{wanted:?}"), || {
            let output = docker.api(&agent, image, options, FETCH)?;
            last = format!("{}{}", output.stdout, output.stderr);
            Ok(paths(&output) == wanted)
        })
        .with_context(|| last)?;
    }
    // A container without an entry, and a process outside of containers.
    for refused in [docker.api(&agent, "web:1", BACK, FETCH)?, agent.api(FETCH, 0)?] {
        ensure!(refused.code == Some(1) && refused.stderr.contains("no identity issued"), "{refused:?}");
    }
    Ok(())
}

/// Of the identities that were fetched, in order.
fn paths(output: &Output) -> Vec<&str> {
    let ids = output.stdout.lines().filter_map(|line| line.strip_prefix("SPIFFE ID:"));
    let domain = format!("spiffe://{TRUST_DOMAIN}");
    let mut paths: Vec<&str> = ids.filter_map(|id| id.trim().strip_prefix(&domain)).collect();
    paths.sort_unstable();
    paths
}
