//! `spire-server federation …` (SC-310 to SC-319).

mod batch;
pub(super) mod create;
mod data_file;
pub(super) mod delete;
pub(super) mod list;
pub(super) mod refresh;
mod relationship;
pub(super) mod show;
mod text;
pub(super) mod update;

use spire_cli::Context;
use spire_proto::server::trustdomain::v1::trust_domain_client::TrustDomainClient;
use tonic::transport::Channel;

use super::client;

fn connect(context: &Context<'_>) -> Result<TrustDomainClient<Channel>, String> {
    client::connect(context).map(TrustDomainClient::new)
}
