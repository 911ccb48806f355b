//! Server start to ready, and its memory, with a filled database.

use std::time::Duration;

use anyhow::Result;

use super::{Context, Measure};
use crate::cluster::{Server, ServerOptions, entry};

pub async fn run(context: Context) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    let sizes: &[usize] = context.pick(&[1_000], &[1_000, 10_000, 100_000]);
    let mut server = Server::start(&context.build, ServerOptions::default()).await?;
    measures.push(memory(&server, "empty").await?);
    let (mut present, mut empty_kib) = (0, server.process.resident_kib()?);
    for &size in sizes {
        let fresh = (present..size).map(|n| entry(&format!("/spire/agent/bench/{}", n / 10), n)).collect();
        server.create_entries(fresh).await?;
        present = size;
        server = server.restart().await?;
        measures.push(Measure::less(format!("{size} entries: ready"), "s", server.ready_after.as_secs_f64()));
        measures.push(memory(&server, &format!("{size} entries")).await?);
        let per_entry =
            (server.process.resident_kib()?.saturating_sub(empty_kib)) as f64 * 1024.0 / size as f64;
        measures.push(Measure::less(format!("{size} entries: memory an entry"), "B", per_entry));
        empty_kib = empty_kib.min(server.process.resident_kib()?);
    }
    Ok(measures)
}

async fn memory(server: &Server, name: &str) -> Result<Measure> {
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(Measure::less(format!("{name}: server memory"), "MiB", server.process.resident_kib()? as f64 / 1024.0))
}
