//! Agent process start to first SVID; what both processes take when idle.

use std::time::Duration;

use anyhow::Result;

use super::propagate::first_identity;
use super::{Context, Measure};
use crate::cluster::{Agent, Server, entry_for};
use crate::load::{ms, percentile};

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let server = Server::start(&context.build).await?;
    let mut tokens = Vec::new();
    for _ in 0..context.pick(2, 8) {
        let token = server.join_token().await?;
        let entry = entry_for(&Agent::path_of(&token), "/workload", &[("unix", "uid:0".to_owned())]);
        server.create_entries(vec![entry]).await?;
        tokens.push(token);
    }
    // Long enough for a server that polls its own database.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let (mut delays, mut last) = (Vec::new(), None);
    for token in tokens {
        let agent = Agent::start_with(&context.build, &server, &token).await?;
        drop(first_identity(&agent).await?);
        delays.push(agent.started.elapsed());
        last = Some(agent);
    }
    delays.sort_unstable();
    let mut measures =
        vec![Measure::less("agent start to first SVID: p50", "ms", ms(percentile(&delays, 50)))];
    let Some(agent) = last else { return Ok(measures) };
    tokio::time::sleep(Duration::from_secs(5)).await;
    let length = Duration::from_secs(context.pick(3, 10));
    let (server_cost, agent_cost) = (server.process.cost()?, agent.process.cost()?);
    tokio::time::sleep(length).await;
    let share = |cpu: Duration| cpu.as_secs_f64() / length.as_secs_f64();
    measures.extend([
        Measure::less("idle server: memory", "MiB", server.process.resident_kib()? as f64 / 1024.0),
        Measure::less("idle agent: memory", "MiB", agent.process.resident_kib()? as f64 / 1024.0),
        Measure::less("idle server: CPU", "cores", share(server.process.since(server_cost)?)),
        Measure::less("idle agent: CPU", "cores", share(agent.process.since(agent_cost)?)),
        Measure::less("idle server: threads", "", server.process.threads()? as f64),
        Measure::less("idle agent: threads", "", agent.process.threads()? as f64),
    ]);
    Ok(measures)
}
