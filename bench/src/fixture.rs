//! Databases with many entries and agents, filled once a run by its first build and copied for each server that starts
//! on one: all builds get the same, and a slow one is not waited for where filling is not what is measured.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::build::Build;
use crate::cluster::{Agent, Server, entry};

/// Entries of each agent.
pub const OWN: usize = 10;

#[derive(Debug, Clone)]
pub struct Fixtures(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    filler: Build,
    dir: TempDir,
    made: Mutex<HashMap<(usize, usize), PathBuf>>,
}

impl Fixtures {
    pub fn new(filler: Build) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("spire-bench-fixtures").tempdir()?;
        Ok(Self(Arc::new(Inner { filler, dir, made: Mutex::default() })))
    }

    /// A database of that many attested agents with ten entries each, and entries of others up to that many in all.
    pub async fn database(&self, agents: usize, entries: usize) -> Result<PathBuf> {
        let mut made = self.0.made.lock().await;
        if let Some(path) = made.get(&(agents, entries)) {
            return Ok(path.clone());
        }
        let server = Server::start(&self.0.filler).await?;
        for number in 0..agents {
            server.attested_node_of(&token(number)).await?;
        }
        let parent = |number: usize| match number / OWN {
            owner if owner < agents => Agent::path_of(&token(owner)),
            other => format!("/spire/agent/other/{other}"),
        };
        server.create_entries((0..entries).map(|number| entry(&parent(number), number)).collect()).await?;
        let path = self.0.dir.path().join(format!("{agents}-{entries}.sqlite3"));
        server.stop_and_keep(&path)?;
        made.insert((agents, entries), path.clone());
        Ok(path)
    }
}

/// The join token of an agent; with it the agent can attest again.
pub fn token(number: usize) -> String {
    format!("bench-{number}")
}
