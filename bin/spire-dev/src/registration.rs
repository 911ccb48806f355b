//! A registration entry for the user who runs this.

use spire_net::channel;
use spire_proto::server::agent::v1::ListAgentsRequest;
use spire_proto::server::agent::v1::agent_client::AgentClient;
use spire_proto::server::entry::v1::BatchCreateEntryRequest;
use spire_proto::server::entry::v1::entry_client::EntryClient;
use spire_proto::types;
use tonic::Code;
use tonic::transport::Channel;

use crate::folder::Folder;

/// Creates the entry unless it is there.
pub(crate) async fn register_user(folder: &Folder) -> Result<(), String> {
    let channel = channel::uds(&folder.server_socket());
    let agent = own_agent(channel.clone()).await?;
    let uid = rustix::process::geteuid().as_raw();
    let entry = types::Entry {
        spiffe_id: Some(types::Spiffeid {
            trust_domain: agent.trust_domain.clone(),
            path: format!("/user/{}", user_name(uid)),
        }),
        parent_id: Some(agent),
        selectors: vec![types::Selector { r#type: "unix".to_owned(), value: format!("uid:{uid}") }],
        ..types::Entry::default()
    };
    let request = BatchCreateEntryRequest { entries: vec![entry], output_mask: None };
    let answer = EntryClient::new(channel).batch_create_entry(request).await;
    let answer = answer.map_err(|status| format!("could not register the user: {}", status.message()))?;
    match answer.into_inner().results.into_iter().next().and_then(|result| result.status) {
        Some(status) if [Code::Ok as i32, Code::AlreadyExists as i32].contains(&status.code) => Ok(()),
        Some(status) => Err(format!("could not register the user: {}", status.message)),
        None => Err("could not register the user: the server gave no result".to_owned()),
    }
}

/// The agent of this process is the only one that proved itself with a certificate.
async fn own_agent(channel: Channel) -> Result<types::Spiffeid, String> {
    use spire_proto::server::agent::v1::list_agents_request::Filter;
    let filter = Filter { by_attestation_type: "x509pop".to_owned(), ..Filter::default() };
    let request = ListAgentsRequest { filter: Some(filter), ..ListAgentsRequest::default() };
    let answer = AgentClient::new(channel).list_agents(request).await;
    let agents = answer.map_err(|status| format!("could not list the agents: {}", status.message()))?;
    let newest = agents.into_inner().agents.into_iter().max_by_key(|agent| agent.x509svid_expires_at);
    newest.and_then(|agent| agent.id).ok_or_else(|| "the server knows no agent".to_owned())
}

/// What of the user's name may stand in a path.
fn user_name(uid: u32) -> String {
    let name = nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    let clean = |name: String| {
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
            .collect::<String>()
    };
    match name.map(clean) {
        Some(name) if !name.is_empty() && name != "." && name != ".." => name,
        _ => uid.to_string(),
    }
}
