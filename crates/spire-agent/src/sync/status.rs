use spire_proto::server::agent::v1::PostStatusRequest;
use spire_proto::server::agent::v1::agent_client::AgentClient;
use spire_runtime::build_info;

use crate::link::{CALL_TIMEOUT, ServerLink};

/// Tells the server our version; older servers need not understand it (AG-301).
pub(super) async fn post_status(link: &ServerLink) {
    let posted = link
        .call(CALL_TIMEOUT, |channel| async move {
            let request =
                PostStatusRequest { agent_version: build_info::VERSION.to_owned(), ..Default::default() };
            AgentClient::new(channel).post_status(request).await
        })
        .await;
    if let Err(status) = posted {
        let error = spire_net::rpc_error_text(&status);
        tracing::warn!(error, subsystem_name = "manager", "Failed to post agent status");
        tracing::error!(
            agent_version = build_info::VERSION,
            error = format!("failed to post agent status: {error}"),
            subsystem_name = "manager",
            "Failed to post agent status"
        );
    }
}
