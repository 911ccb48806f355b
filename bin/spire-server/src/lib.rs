//! spire-server: commands, configuration file to settings, list of built-ins, wiring.

mod builtins;
mod command;
mod config_file;

use command::Stop;
use spire_cli::{App, Env, FlagSet};
use spire_runtime::logging::LogStream;
use spire_runtime::{Shutdown, build_info};

pub use builtins::BUILT_INS;

/// Runs what the arguments (without the program's name) ask for; returns the exit code.
pub async fn main(args: &[String], env: &mut Env) -> i32 {
    let commands = command::all(&*env.variable);
    let app = App { name: "spire-server", version: build_info::VERSION, commands };
    app.run(args, env).await
}

/// Runs a server with a configuration file until `shutdown` or a failure; for programs that embed it.
pub async fn serve(config: &str, stream: LogStream, shutdown: Shutdown) -> Result<(), String> {
    let mut flags = FlagSet::new("run");
    config_file::flags(&mut flags);
    flags.parse(&["-config".to_owned(), config.to_owned()]).map_err(|error| error.to_string())?;
    let loaded = config_file::load(&flags, &|name| std::env::var(name).ok(), stream)?;
    command::serve(loaded, shutdown).await.map_err(|stop| match stop {
        Stop::Refused(reason) | Stop::Crashed(reason) => reason,
    })
}
