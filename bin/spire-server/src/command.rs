//! Every command, one file each.

mod run;
mod validate;

use spire_cli::Command;

pub(crate) use run::{Stop, serve};

/// All commands of the program.
pub(crate) fn all() -> Vec<Command> {
    vec![run::command(), validate::command()]
}
