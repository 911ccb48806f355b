use spire_proto::server::agent::v1::PostStatusRequest;
use spire_proto::server::agent::v1::agent_client::AgentClient;
use spire_runtime::build_info;
use tonic::Status;

use crate::link::{CALL_TIMEOUT, ServerLink};

pub(super) fn log_rpc_error(message: &str, status: &Status) {
    tracing::error!(
        error = spire_net::rpc_error_text(status),
        status_code = spire_net::code_name(status.code()),
        status_message = status.message(),
        subsystem_name = "manager",
        "{message}"
    );
}

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
