//! `spire-agent debug getinfo` (AG-182, AG-183).

use std::fmt::Write as _;

use spire_cli::{Command, Context, ErrorStyle, Format, Outcome, go_text};
use spire_config::duration::GoDuration;
use spire_net::grpc_status::rpc_error_text;
use spire_proto::agent_debug::v1::debug_client::DebugClient;
use spire_proto::agent_debug::v1::get_info_response::Cert;
use spire_proto::agent_debug::v1::{GetInfoRequest, GetInfoResponse};

use super::{json, sockets};

pub(super) fn command() -> Command {
    Command {
        path: "debug getinfo",
        usage_name: "debug getinfo",
        synopsis: "Prints debug information about the agent",
        style: ErrorStyle::Prefixed,
        flags: |flags| {
            sockets::admin_flags(flags);
            flags.output("output");
        },
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = DebugClient::new(sockets::admin(&context));
    let info = client.get_info(GetInfoRequest {}).await.map_err(|status| rpc_error_text(&status))?;
    let info = info.into_inner();
    let text = match context.flags.format() {
        Format::Json => json::line("spire.agent.debug.v1.GetInfoResponse", &info)?,
        Format::Pretty => pretty(&info),
    };
    context.env.out(&text);
    Ok(())
}

fn pretty(info: &GetInfoResponse) -> String {
    let last_sync = match info.last_sync_success {
        0 => "(never)".to_owned(),
        unix => go_text::rfc3339(unix),
    };
    let lines = [
        ("Uptime:", GoDuration::from_secs(info.uptime.into()).to_string()),
        ("Last Sync Success:", last_sync),
        ("Cached X.509 SVIDs:", info.cached_x509_svids_count.to_string()),
        ("Cached JWT SVIDs:", info.cached_jwt_svids_count.to_string()),
        ("Cached SVID Store X.509 SVIDs:", info.cached_svidstore_x509_svids_count.to_string()),
    ];
    let mut text = "Agent Debug Info:\n".to_owned();
    for (label, value) in lines {
        let _ = writeln!(text, "  {label:<33}{value}");
    }
    if !info.svid_chain.is_empty() {
        text.push_str("  SVID Chain:\n");
    }
    for (index, certificate) in info.svid_chain.iter().enumerate() {
        let _ = writeln!(text, "    [{index}] SPIFFE ID:  {}", spiffe_id(certificate));
        let _ = writeln!(text, "        Subject:    {}", certificate.subject);
        let _ = writeln!(text, "        Expires At: {}", go_text::rfc3339(certificate.expires_at));
    }
    text
}

fn spiffe_id(certificate: &Cert) -> String {
    match &certificate.id {
        Some(id) => format!("spiffe://{}{}", id.trust_domain, id.path),
        None => "(none)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_one_column_and_what_is_not_there_is_said() {
        // AG-182
        let info = GetInfoResponse {
            uptime: 3661,
            svid_chain: vec![Cert { id: None, expires_at: 0, subject: "O=SPIRE,C=US".into() }],
            ..GetInfoResponse::default()
        };
        assert_eq!(
            pretty(&info),
            "Agent Debug Info:\n  Uptime:                          1h1m1s\n  Last Sync Success:               (never)\n  \
             Cached X.509 SVIDs:              0\n  Cached JWT SVIDs:                0\n  Cached SVID Store X.509 \
             SVIDs:   0\n  SVID Chain:\n    [0] SPIFFE ID:  (none)\n        Subject:    O=SPIRE,C=US\n        \
             Expires At: 1970-01-01T00:00:00Z\n"
        );
    }
}
