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

mod served {
    use spire_proto::server::debug::v1::debug_client::DebugClient;
    use spire_proto::server::debug::v1::debug_server::{Debug, DebugServer};
    use spire_proto::server::debug::v1::{GetInfoRequest, GetInfoResponse};
    use spire_runtime::Shutdown;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tonic::transport::Server;
    use tonic::{Request, Response, Status};

    use super::*;
    use crate::incoming::{ConnectInfo, IncomingOptions, tls_incoming};
    use crate::local::{LocalListener, LocalPeer, Tracking};
    use crate::tls::tests::{Authority, Bundles, client, server};

    /// Answers with what it knows of the caller.
    struct WhoAmI;

    #[tonic::async_trait]
    impl Debug for WhoAmI {
        async fn get_info(
            &self,
            request: Request<GetInfoRequest>,
        ) -> Result<Response<GetInfoResponse>, Status> {
            let extensions = request.extensions();
            let id = extensions.get::<ConnectInfo>().and_then(ConnectInfo::peer_id).map(ToString::to_string);
            let peer = extensions.get::<LocalPeer>().and_then(LocalPeer::pinned);
            peer.map(|peer| peer.is_alive())
                .transpose()
                .map_err(|gone| Status::unauthenticated(gone.to_string()))?;
            let pid = peer.map(|peer| peer.pid());
            Err(Status::aborted(format!("{id:?} {pid:?}")))
        }
    }

    async fn whoami(channel: &Channel) -> String {
        let answer = DebugClient::new(channel.clone()).get_info(GetInfoRequest::default()).await;
        rpc_error_text(&answer.unwrap_err())
    }

    #[tokio::test]
    async fn a_handler_behind_a_socket_sees_the_pinned_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let channel = uds(&path);
        assert!(whoami(&channel).await.contains("no such file or directory"));

        let incoming = LocalListener::bind(&path, 0o777, 0o755).unwrap().incoming(Tracking::Pinned);
        let shutdown = Shutdown::new();
        let stopped = shutdown.clone();
        let serving = tokio::spawn(async move {
            let router = Server::builder().add_service(DebugServer::new(WhoAmI));
            router.serve_with_incoming_shutdown(incoming, stopped.cancelled()).await
        });
        let expected = format!("rpc error: code = Aborted desc = None Some({})", std::process::id());
        assert_eq!(whoami(&channel).await, expected);
        // The connection is kept; when it is lost, the next call makes a new one.
        assert_eq!(whoami(&channel).await, expected);
        drop(channel);
        shutdown.trigger();
        serving.await.unwrap().unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_tls_channel_connects_reconnects_and_fails_fast() {
        // AG-231, CA-510
        let ca = Authority::new("example.org").await;
        let bundles = Bundles::of([&ca]);
        let agent = ca.identity("/spire/agent/x/1").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = Arc::new(client(&ca, bundles.clone(), Some(agent)));
        // "localhost" may also be an IPv6 address on which nobody listens.
        let channel = tls(&format!("localhost:{}", address.port()), client).unwrap();
        let incoming = tls_incoming(listener, server(&ca, bundles).await, IncomingOptions::default());
        let shutdown = Shutdown::new();
        let stopped = shutdown.clone();
        let serving = tokio::spawn(async move {
            let router = Server::builder().add_service(DebugServer::new(WhoAmI));
            router.serve_with_incoming_shutdown(incoming, stopped.cancelled()).await
        });
        assert_eq!(
            whoami(&channel).await,
            "rpc error: code = Aborted desc = Some(\"spiffe://example.org/spire/agent/x/1\") None"
        );
        shutdown.trigger();
        serving.await.unwrap().unwrap();
        let refused = format!(
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: \
             dial tcp 127.0.0.1:{}: connect: connection refused\"",
            address.port()
        );
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(whoami(&channel).await.replace("[::1]", "127.0.0.1"));
        }
        assert!(seen.contains(&refused), "{seen:?}");
    }

    #[tokio::test]
    async fn a_failed_handshake_fails_the_call_with_its_reason() {
        // CA-512
        let (ca, other) = (Authority::new("example.org").await, Authority::new("example.org").await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let tls_server = server(&other, Bundles::of([&other])).await;
        let _incoming = tls_incoming(listener, tls_server, IncomingOptions::default());
        let channel = tls(&target, Arc::new(client(&ca, Bundles::of([&ca]), None))).unwrap();
        assert_eq!(
            whoami(&channel).await,
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: authentication handshake \
             failed: x509svid: could not verify leaf certificate: x509: certificate signed by unknown authority\""
        );
    }

    #[tokio::test]
    async fn a_peer_that_does_not_speak_tls_is_told_in_gos_words() {
        // What an operator who mixed up two ports finds on the web.
        let (ca, other) = (Authority::new("example.org").await, Authority::new("other.org").await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let channel = || tls(&target, Arc::new(client(&ca, Bundles::of([&ca]), None))).unwrap();
        for (answer, reason) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
                "tls: first record does not look like a TLS handshake",
            ),
            (b"", "EOF"),
        ] {
            let serving = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                // All of it, else the kernel resets the connection.
                let _ = stream.read(&mut [0; 4096]).await.unwrap();
                stream.write_all(answer).await.unwrap();
                stream.shutdown().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
            };
            let channel = channel();
            let (said, ()) = tokio::join!(whoami(&channel), serving);
            assert!(said.ends_with(&format!("authentication handshake failed: {reason}\"")), "{said}");
        }
        let _incoming =
            tls_incoming(listener, server(&other, Bundles::of([&other])).await, IncomingOptions::default());
        assert!(whoami(&channel()).await.ends_with(
            "handshake failed: x509svid: could not get X509 bundle: x509bundle: no X.509 bundle found for trust \
             domain: \\\"other.org\\\"\""
        ));
    }

    #[test]
    fn a_target_is_host_and_port() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let ca = Authority::new("example.org").await;
            let client = Arc::new(client(&ca, Bundles::of([&ca]), None));
            for (target, good) in [
                ("server:8081", true),
                ("[::1]:8081", true),
                ("server", false),
                (":8081", false),
                ("x:y", false),
            ] {
                assert_eq!(tls(target, client.clone()).is_ok(), good, "{target}");
            }
        });
    }
}
