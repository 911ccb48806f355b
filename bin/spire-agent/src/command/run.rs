//! `spire-agent run` (AG-161, AG-162, AG-201).

use std::path::Path;

use spire_agent::AgentSettings;
use spire_cli::{Command, Context, ErrorStyle, Failure, Outcome};
use spire_runtime::logging::LogStream;
use spire_runtime::{Chain, Shutdown, SystemClock, folders, signals, umask};

use crate::builtins::BUILT_INS;
use crate::config_file::{self, Loaded};

/// Others never write our files, strangers never read them.
const UMASK: u32 = 0o027;

pub(super) fn command() -> Command {
    Command {
        path: "run",
        usage_name: "run",
        synopsis: "Runs the agent",
        style: ErrorStyle::Repeated,
        flags: config_file::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let loaded = config_file::load(context.flags, &*context.env.variable, LogStream::Stdout)?;
    let shutdown = Shutdown::new();
    let watcher = signals::stop_on_signal(shutdown.clone())
        .map_err(|error| format!("could not listen for signals: {error}"))?;
    let watcher = tokio::spawn(watcher);
    let outcome = serve(loaded, shutdown).await;
    watcher.abort();
    outcome.map_err(|stop| match stop {
        Stop::Refused(reason) => Failure::Message(reason),
        Stop::Crashed(_) => Failure::Code(1),
    })
}

/// Why there is no agent any more.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was not even started.
    Refused(String),
    /// The log has it, too.
    Crashed(String),
}

/// Runs a configured agent until `shutdown` or a failure.
pub(crate) async fn serve(loaded: Loaded, shutdown: Shutdown) -> Result<(), Stop> {
    let settings = loaded.settings.map_err(|reason| Stop::Refused(reason.to_string()))?;
    for without in &loaded.without {
        tracing::warn!("{without}");
    }
    prepare_sockets(&settings).map_err(Stop::Refused)?;
    let outcome = spire_agent::run(settings, BUILT_INS, loaded.log, SystemClock::shared(), shutdown).await;
    outcome.map_err(|error| {
        let reason = Chain(&error).to_string();
        tracing::error!(error = reason, "Agent crashed");
        Stop::Crashed(reason)
    })?;
    tracing::info!("Agent stopped gracefully");
    Ok(())
}

/// Everybody may pass through the folder of the Workload API, hence it is made before the umask is tightened (AG-201).
fn prepare_sockets(settings: &AgentSettings) -> Result<(), String> {
    if !(settings.disable_workload_api && settings.disable_sds_api) {
        make_folder_of(&settings.socket_path, "Creating spire agent UDS directory")?;
    }
    tighten_umask();
    match &settings.admin_socket_path {
        Some(path) => make_folder_of(path, "Creating admin UDS directory"),
        None => Ok(()),
    }
}

fn make_folder_of(socket: &Path, what: &str) -> Result<(), String> {
    let Some(folder) = socket.parent().filter(|folder| !folder.exists()) else { return Ok(()) };
    tracing::info!(dir = %folder.display(), "{what}");
    folders::make(folder, 0o755)
}

fn tighten_umask() {
    let before = umask::at_least(UMASK);
    if before & UMASK != UMASK {
        tracing::warn!("Current umask {before:04o} is too permissive; setting umask {:04o}", before | UMASK);
    }
}
