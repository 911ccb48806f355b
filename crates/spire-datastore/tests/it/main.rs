//! The store on real SQLite files.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod agents;
mod authorities;
mod bundles;
mod entries;
mod federation;
mod files;
mod journals;
mod lists;
mod migrations;
mod speed;
mod support;
mod upstream;
