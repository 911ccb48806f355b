//! Every command, one file each.

mod api;
mod debug_getinfo;
mod healthcheck;
mod json;
mod logger;
mod run;
mod sockets;
mod validate;

use spire_cli::Command;

pub(crate) use run::{Stop, serve};

/// All commands of the program (AG-151).
pub(crate) fn all() -> Vec<Command> {
    vec![
        api::fetch_x509::short_command(),
        api::fetch_x509::command(),
        api::fetch_jwt::command(),
        api::validate_jwt::command(),
        api::watch::command(),
        debug_getinfo::command(),
        healthcheck::command(),
        logger::get::command(),
        logger::set::command(),
        logger::reset::command(),
        run::command(),
        validate::command(),
    ]
}
