//! Every command, one file each.

mod agent;
mod arguments;
mod bundle;
mod client;
mod debug_getinfo;
mod entry;
mod federation;
mod files;
mod healthcheck;
mod json_input;
mod jwt_mint;
mod localauthority;
mod logger;
mod match_behavior;
mod run;
mod token_generate;
mod token_lifetime;
mod upstreamauthority;
mod validate;
mod wit_mint;
mod x509_mint;

use spire_cli::Command;

pub(crate) use run::{Stop, serve};

/// All commands of the program (SC-200), and those that environment variables add.
pub(crate) fn all(variable: &dyn Fn(&str) -> Option<String>) -> Vec<Command> {
    let mut all = vec![
        agent::ban::command(),
        agent::count::command(),
        agent::evict::command(),
        agent::list::command(),
        agent::purge::command(),
        agent::show::command(),
        bundle::count::command(),
        bundle::delete::command(),
        bundle::list::command(),
        bundle::set::command(),
        bundle::show::command(),
        debug_getinfo::command(),
        entry::count::command(),
        entry::create::command(),
        entry::delete::command(),
        entry::show::command(),
        entry::update::command(),
        federation::create::command(),
        federation::delete::command(),
        federation::list::command(),
        federation::refresh::command(),
        federation::show::command(),
        federation::update::command(),
        healthcheck::command(),
        jwt_mint::command(),
        localauthority::jwt::activate::command(),
        localauthority::jwt::prepare::command(),
        localauthority::jwt::revoke::command(),
        localauthority::jwt::show::command(),
        localauthority::jwt::taint::command(),
        localauthority::x509::activate::command(),
        localauthority::x509::prepare::command(),
        localauthority::x509::revoke::command(),
        localauthority::x509::show::command(),
        localauthority::x509::taint::command(),
        logger::get::command(),
        logger::reset::command(),
        logger::set::command(),
        run::command(),
        token_generate::command(),
        upstreamauthority::revoke::command(),
        upstreamauthority::taint::command(),
        validate::command(),
        x509_mint::command(),
    ];
    all.extend(wit_mint::is_wanted(variable).then(wit_mint::command));
    all
}
