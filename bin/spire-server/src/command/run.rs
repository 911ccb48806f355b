//! `spire-server run` (SC-400, SC-401, SC-500 to SC-539).

use spire_cli::{Command, Context, ErrorStyle, Failure, Outcome};
use spire_runtime::logging::LogStream;
use spire_runtime::{Shutdown, SystemClock, signals, umask};

use crate::builtins::BUILT_INS;
use crate::config_file::{self, Loaded};

/// Others never write our files, strangers never read them.
const UMASK: u32 = 0o027;

pub(super) fn command() -> Command {
    Command {
        path: "run",
        usage_name: "run",
        synopsis: "Runs the server",
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

/// Why there is no server any more.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was not even started.
    Refused(String),
    /// The log has it, too.
    Crashed(String),
}

/// Runs a configured server until `shutdown` or a failure.
pub(crate) async fn serve(loaded: Loaded, shutdown: Shutdown) -> Result<(), Stop> {
    refuse_what_is_missing(&loaded).map_err(Stop::Refused)?;
    tighten_umask();
    let clock = SystemClock::shared();
    spire_server::run(loaded.settings, BUILT_INS, loaded.log, clock, shutdown).await.map_err(|error| {
        let reason = spire_runtime::Chain(&error).to_string();
        tracing::error!(error = reason, "Server crashed");
        Stop::Crashed(reason)
    })
}

/// A key that is honoured by SPIRE and silently dropped here would be a trap.
fn refuse_what_is_missing(loaded: &Loaded) -> Result<(), String> {
    if let Some(reason) = &loaded.refused {
        return Err(reason.clone());
    }
    match &loaded.not_built[..] {
        [] => Ok(()),
        keys => Err(format!(
            "not built in this version: {}; remove it from the configuration or stay with SPIRE until a later version",
            keys.join(", ")
        )),
    }
}

/// SC-500
fn tighten_umask() {
    let before = umask::at_least(UMASK);
    if before & UMASK != UMASK {
        tracing::warn!("Current umask {before:04o} is too permissive; setting umask {:04o}", before | UMASK);
    }
}
