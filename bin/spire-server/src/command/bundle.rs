//! `spire-server bundle …` (SC-290 to SC-297).

pub(super) mod count;
pub(super) mod delete;
pub(super) mod document;
pub(super) mod list;
pub(super) mod set;
pub(super) mod show;

use spire_cli::Context;
use spire_proto::server::bundle::v1::bundle_client::BundleClient;
use tonic::transport::Channel;

use super::client;

fn connect(context: &Context<'_>) -> Result<BundleClient<Channel>, String> {
    client::connect(context).map(BundleClient::new)
}
