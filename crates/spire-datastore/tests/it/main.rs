//! The store on real SQLite files.

mod agents;
mod bundles;
mod entries;
mod federation;
mod files;
mod journals;
mod lists;
mod migrations;
mod support;
