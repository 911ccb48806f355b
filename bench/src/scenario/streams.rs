//! Thousands of open streams, each on its own connection.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

use super::fetch::open_stream;
use super::propagate::first_identity;
use super::{Context, Measure};
use crate::cluster::{Agent, Server, entry_for};
use crate::load::ms;
use crate::node;

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    let sizes: &[usize] = context.pick(&[200], &[1_000, 2_000, 10_000]);
    for size in sizes.iter().map(|size| (*size).min(most_streams())) {
        measures.extend(one(&context, size).await?);
    }
    Ok(measures)
}

/// An agent of either kind holds a socket and a process handle for each.
fn most_streams() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| limit.saturating_sub(200) as usize / 2)
}

async fn one(context: &Context, size: usize) -> Result<Vec<Measure>> {
    let server = Server::start(&context.build).await?;
    let agent = Agent::start(&context.build, &server).await?;
    let uid = [("unix", "uid:0".to_owned())];
    server.create_entries(vec![entry_for(&agent.path, "/always", &uid)]).await?;
    drop(first_identity(&agent).await?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before_kib = agent.process.resident_kib()?;

    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let opening = Arc::new(Semaphore::new(64));
    let mut tasks = Vec::with_capacity(size);
    for _ in 0..size {
        let (socket, arrived, opening) = (agent.socket.clone(), arrived.clone(), opening.clone());
        tasks.push(tokio::spawn(async move {
            let outcome = watch(&socket, &opening, &arrived).await;
            // A stream only ends before its time.
            let _ = arrived.send(outcome.and_then(|()| bail!("a stream was ended by the agent")));
        }));
    }
    wait_for(&mut arrivals, size).await.context("not all streams opened")?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let open_kib = agent.process.resident_kib()?;
    let files = agent.process.open_files()?;

    let cost = agent.process.cost()?;
    let begun = Instant::now();
    server.create_entries(vec![entry_for(&agent.path, "/new", &uid)]).await?;
    wait_for(&mut arrivals, size).await.context("not all streams saw the change")?;
    let all_after = begun.elapsed();
    let cpu = agent.process.since(cost)?;

    for task in &tasks {
        task.abort();
    }
    drop(tasks);
    tokio::time::sleep(Duration::from_secs(context.pick(2, 8))).await;
    let closed_kib = agent.process.resident_kib()?;
    let name = format!("{size} streams");
    Ok(vec![
        Measure::less(format!("{name}: idle agent memory"), "MiB", before_kib as f64 / 1024.0),
        Measure::less(
            format!("{name}: memory a stream"),
            "KiB",
            open_kib.saturating_sub(before_kib) as f64 / size as f64,
        ),
        Measure::less(format!("{name}: open files"), "", files as f64),
        Measure::less(format!("{name}: one change, until all have it"), "ms", ms(all_after)),
        Measure::less(format!("{name}: one change, CPU"), "s", cpu.as_secs_f64()),
        Measure::less(
            format!("{name}: memory after all closed, over before"),
            "ratio",
            closed_kib as f64 / before_kib as f64,
        ),
    ])
}

/// Reports its first update, then the one that carries the new identity.
async fn watch(socket: &Path, opening: &Semaphore, arrived: &UnboundedSender<Result<()>>) -> Result<()> {
    let permit = opening.acquire().await?;
    let mut stream = open_stream(node::uds(socket).await?).await?;
    stream.message().await?.context("the stream ended at once")?;
    drop(permit);
    let _ = arrived.send(Ok(()));
    while let Some(update) = stream.message().await? {
        if update.svids.iter().any(|s| s.spiffe_id.ends_with("/new")) {
            let _ = arrived.send(Ok(()));
        }
    }
    Ok(())
}

async fn wait_for(arrivals: &mut UnboundedReceiver<Result<()>>, count: usize) -> Result<()> {
    for number in 0..count {
        let arrival = timeout(Duration::from_secs(60), arrivals.recv()).await;
        arrival
            .with_context(|| format!("60 s passed after {number}"))?
            .context("every task ended")?
            .with_context(|| format!("after {number}"))?;
    }
    Ok(())
}
