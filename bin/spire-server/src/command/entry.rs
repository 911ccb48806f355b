//! `spire-server entry …` (SC-240 to SC-260).

mod batch;
pub(super) mod count;
pub(super) mod create;
mod data_file;
pub(super) mod delete;
mod fields;
mod filter;
mod order;
pub(super) mod show;
mod text;
pub(super) mod update;

use spire_cli::Context;
use spire_proto::server::entry::v1::entry_client::EntryClient;
use tonic::transport::Channel;

use super::client;

fn connect(context: &Context<'_>) -> Result<EntryClient<Channel>, String> {
    client::connect(context).map(EntryClient::new)
}
