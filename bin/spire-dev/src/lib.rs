//! Server and agent in one process.

mod cluster;
mod folder;
mod holder;
mod node_identity;
mod options;
mod own_svid;
mod registration;
mod report;

use std::time::Instant;

use spire_cli::Env;
use spire_runtime::{Shutdown, signals};

pub use cluster::{Cluster, ClusterError};
pub use folder::{Folder, FolderError};

use options::{Action, Options};

/// Runs what the arguments (without the program's name) ask for; returns the exit code.
pub async fn main(args: &[String], env: &mut Env) -> i32 {
    let options = match options::parse(args, &*env.variable) {
        Ok(options) => options,
        Err(mistake) => {
            env.err(&mistake.text);
            return mistake.code;
        }
    };
    match &options.action {
        Action::Server(args) => {
            env.socket_path = Some(options.folder.server_socket().display().to_string());
            spire_server_bin::main(args, env).await
        }
        Action::Agent(args) => {
            env.socket_path = Some(options.folder.workload_socket().display().to_string());
            env.admin_socket_path = Some(options.folder.admin_socket().display().to_string());
            spire_agent_bin::main(args, env).await
        }
        Action::Up => match up(&options, env).await {
            Ok(()) => 0,
            Err(error) => {
                env.err(&format!("{error}\n"));
                1
            }
        },
    }
}

/// Starts both, proves that they work, and stays up until a signal.
async fn up(options: &Options, env: &mut Env) -> Result<(), String> {
    cluster::check_asked(&options.folder, &options.site, &options.asked)
        .map_err(|error| error.to_string())?;
    let shutdown = Shutdown::new();
    let watcher = signals::stop_on_signal(shutdown.clone())
        .map_err(|error| format!("could not listen for signals: {error}"))?;
    let watcher = tokio::spawn(watcher);
    let mut cluster = Cluster::default();
    let outcome = shutdown.unless_cancelled(run(&mut cluster, options, env)).await;
    let stopped = cluster.stop().await.map_err(|error| error.to_string());
    watcher.abort();
    outcome.unwrap_or(Ok(())).and(stopped)
}

/// Ends when one of the two does, or when it is dropped.
async fn run(cluster: &mut Cluster, options: &Options, env: &mut Env) -> Result<(), String> {
    let folder = &options.folder;
    let began = Instant::now();
    cluster.bring_up(folder, &options.site).await.map_err(|error| error.to_string())?;
    let svid = prove(folder).await?;
    env.out(&report::text(folder, &svid, began.elapsed()));
    let reason = cluster.ended().await;
    Err(format!("{reason}; see {}", folder.log_file().display()))
}

/// The user's own identity, over the real sockets.
async fn prove(folder: &Folder) -> Result<own_svid::OwnSvid, String> {
    registration::register_user(folder).await?;
    own_svid::fetch(&folder.workload_socket()).await
}
