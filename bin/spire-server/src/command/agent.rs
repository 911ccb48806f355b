//! `spire-server agent …` (SC-270 to SC-280).

pub(super) mod ban;
pub(super) mod count;
pub(super) mod evict;
mod expires_before;
mod filter;
pub(super) mod list;
pub(super) mod purge;
pub(super) mod show;

use spire_cli::{Context, LocalZone};
use spire_proto::convert::id;
use spire_proto::server::agent::v1::agent_client::AgentClient;
use spire_proto::types::{Agent, Spiffeid};
use tonic::transport::Channel;

use super::{arguments, client};

fn connect(context: &Context<'_>) -> Result<AgentClient<Channel>, String> {
    client::connect(context).map(AgentClient::new)
}

/// The agent that `-spiffeID` names.
fn named_agent(context: &Context<'_>) -> Result<Spiffeid, String> {
    match context.flags.text("spiffeID") {
        "" => Err("a SPIFFE ID is required".to_owned()),
        text => arguments::spiffe_id(text),
    }
}

/// The lines about one agent, with an empty one at the end (SC-275). Its time is local, unlike all others.
fn block(agent: &Agent, zone: &LocalZone) -> Result<String, String> {
    let id = id::spiffe_id(agent.id.as_ref()).map_err(|error| error.to_string())?;
    let mut text = format!(
        "SPIFFE ID         : {id}\nAttestation type  : {}\nExpiration time   : {}\n",
        agent.attestation_type,
        zone.show(agent.x509svid_expires_at)
    );
    // Of a banned agent no serial number is kept.
    text += &if agent.banned {
        "Banned            : true\n".to_owned()
    } else {
        format!("Serial number     : {}\n", agent.x509svid_serial_number)
    };
    text += &format!("Can re-attest     : {}\n", agent.can_reattest);
    if !agent.agent_version.is_empty() {
        text += &format!("Agent version     : {}\n", agent.agent_version);
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Agent {
        Agent {
            id: Some(Spiffeid { trust_domain: "example.org".into(), path: "/spire/agent/x".into() }),
            attestation_type: "x509pop".into(),
            x509svid_serial_number: "17".into(),
            can_reattest: true,
            agent_version: "1.15.3".into(),
            ..Agent::default()
        }
    }

    #[test]
    fn a_banned_agent_has_no_serial_number_and_an_old_one_no_version() {
        // SC-275
        let zone = LocalZone::find(|_| Some("UTC".to_owned()));
        let text = block(&agent(), &zone).unwrap();
        assert!(text.starts_with("SPIFFE ID         : spiffe://example.org/spire/agent/x\n"), "{text}");
        assert!(
            text.ends_with(
                "Serial number     : 17\nCan re-attest     : true\nAgent version     : 1.15.3\n\n"
            ),
            "{text}"
        );
        let banned = Agent { banned: true, agent_version: String::new(), ..agent() };
        let text = block(&banned, &zone).unwrap();
        assert!(text.ends_with("Banned            : true\nCan re-attest     : true\n\n"), "{text}");
    }
}
