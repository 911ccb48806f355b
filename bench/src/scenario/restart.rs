//! Server start to ready, and its memory, with a filled database: an agent for every 200 entries.

use std::time::Duration;

use anyhow::Result;

use super::{Context, Measure};
use crate::cluster::Server;

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    let sizes: &[usize] = context.pick(&[1_000], &[1_000, 10_000, 100_000]);
    let server = Server::start(&context.build).await?;
    measures.push(memory(&server, "empty").await?);
    let empty_kib = server.process.resident_kib()?;
    drop(server);
    for &size in sizes {
        let database = context.fixtures.database(size / 200, size).await?;
        let server = Server::start_on(&context.build, &database).await?;
        measures.push(Measure::less(format!("{size} entries: ready"), "s", server.ready_after.as_secs_f64()));
        measures.push(memory(&server, &format!("{size} entries")).await?);
        let more_kib = server.process.resident_kib()?.saturating_sub(empty_kib);
        let per_entry = more_kib as f64 * 1024.0 / size as f64;
        measures.push(Measure::less(format!("{size} entries: memory an entry"), "B", per_entry));
    }
    Ok(measures)
}

async fn memory(server: &Server, name: &str) -> Result<Measure> {
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(Measure::less(format!("{name}: server memory"), "MiB", server.process.resident_kib()? as f64 / 1024.0))
}
