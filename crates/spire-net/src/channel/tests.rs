use spire_proto::server::agent::v1::CountAgentsRequest;
use spire_proto::server::agent::v1::agent_client::AgentClient;

use super::*;
use crate::rpc_error_text;

#[tokio::test]
async fn an_unreachable_socket_fails_the_call_in_gos_words() {
    // SC-225
    let channel = uds(Path::new("/nowhere/api.sock"));
    for _ in 0..2 {
        let status =
            AgentClient::new(channel.clone()).count_agents(CountAgentsRequest::default()).await.unwrap_err();
        assert_eq!(
            rpc_error_text(&status),
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: \
             dial unix ///nowhere/api.sock: connect: no such file or directory\""
        );
    }
}
