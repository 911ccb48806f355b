//! `spire-server debug getinfo` (SC-303).

use std::fmt::Write as _;

use spire_cli::{Command, Context, ErrorStyle, Outcome, go_text};
use spire_config::duration::GoDuration;
use spire_proto::server::debug::v1::debug_client::DebugClient;
use spire_proto::server::debug::v1::{GetInfoRequest, GetInfoResponse};

use super::{arguments, client};

pub(super) fn command() -> Command {
    Command {
        path: "debug getinfo",
        usage_name: "debug getinfo",
        synopsis: "Prints debug information about the server",
        style: ErrorStyle::Prefixed,
        flags: client::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = DebugClient::new(client::connect(&context)?);
    let info = client.get_info(GetInfoRequest {}).await.map_err(client::bare)?.into_inner();
    client::print_text(&mut context, "spire.api.server.debug.v1.GetInfoResponse", &info, &pretty(&info))
}

fn pretty(info: &GetInfoResponse) -> String {
    let lines = [
        ("Uptime:", GoDuration::from_secs(info.uptime.into()).to_string()),
        ("Registered Agents:", info.agents_count.to_string()),
        ("Registration Entries:", info.entries_count.to_string()),
        ("Federated Bundles:", info.federated_bundles_count.to_string()),
    ];
    let mut text = "Server Debug Info:\n".to_owned();
    for (label, value) in lines {
        let _ = writeln!(text, "  {label:<25}{value}");
    }
    if !info.svid_chain.is_empty() {
        text.push_str("  SVID Chain:\n");
    }
    for (index, certificate) in info.svid_chain.iter().enumerate() {
        let id = match &certificate.id {
            None => "(none)".to_owned(),
            id => arguments::shown_id(id.as_ref()),
        };
        let _ = writeln!(text, "    [{index}] SPIFFE ID:  {id}");
        let _ = writeln!(text, "        Subject:    {}", certificate.subject);
        let _ = writeln!(text, "        Expires At: {}", go_text::rfc3339(certificate.expires_at));
    }
    text
}

#[cfg(test)]
mod tests {
    use spire_proto::server::debug::v1::get_info_response::Cert;

    use super::*;

    #[test]
    fn values_stand_in_one_column_and_a_missing_id_is_said() {
        // SC-303
        let info = GetInfoResponse {
            uptime: 3723,
            agents_count: 10,
            entries_count: 50,
            federated_bundles_count: 2,
            svid_chain: vec![Cert { id: None, expires_at: 0, subject: "O=SPIRE,C=US".into() }],
        };
        assert_eq!(
            pretty(&info),
            "Server Debug Info:\n  Uptime:                  1h2m3s\n  Registered Agents:       10\n  \
             Registration Entries:    50\n  Federated Bundles:       2\n  SVID Chain:\n    [0] SPIFFE ID:  (none)\n\
             \x20       Subject:    O=SPIRE,C=US\n        Expires At: 1970-01-01T00:00:00Z\n"
        );
    }
}
