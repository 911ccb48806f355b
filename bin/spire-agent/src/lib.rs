//! spire-agent: commands, configuration file to settings, list of built-ins, wiring.

mod builtins;
mod command;
mod config_file;
mod paths;

use spire_cli::{App, Env};
use spire_runtime::build_info;

pub use builtins::BUILT_INS;

/// Runs what the arguments (without the program's name) ask for; returns the exit code.
///
/// The socket paths of `env` take the place of the defaults of the client commands.
pub async fn main(args: &[String], env: &mut Env) -> i32 {
    let app = App { name: "spire-agent", version: build_info::VERSION, commands: command::all() };
    app.run(args, env).await
}
