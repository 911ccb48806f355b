//! `spire-server localauthority …` (SC-340 to SC-344).

pub(super) mod jwt;
mod text;
pub(super) mod x509;

use spire_cli::{Context, FlagSet, Outcome};
use spire_proto::server::localauthority::v1::AuthorityState;
use spire_proto::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use tonic::transport::Channel;

use super::client;
use text::Kind;

pub(super) fn connect(context: &Context<'_>) -> Result<LocalAuthorityClient<Channel>, String> {
    client::connect(context).map(LocalAuthorityClient::new)
}

fn id_flag(flags: &mut FlagSet, usage: &'static str) {
    client::flags(flags);
    flags.string("authorityID", "", usage);
}

fn authority_id(context: &Context<'_>) -> Result<String, String> {
    match context.flags.text("authorityID") {
        "" => Err("an authority ID is required".to_owned()),
        id => Ok(id.to_owned()),
    }
}

/// Prints the authority that something was `done` to; `Tainted` for example.
fn print_one(
    mut context: Context<'_>,
    name: &str,
    answer: &impl prost::Message,
    (done, kind): (&str, Kind),
    authority: Option<&AuthorityState>,
) -> Outcome {
    client::print(&mut context, name, answer, |env| {
        env.out(&format!("{done} {kind} authority:\n"));
        let authority = authority.ok_or_else(|| {
            let done = done.to_lowercase();
            format!("internal error: expected to have {done} {kind} authority information")
        })?;
        env.out(&text::lines(authority, kind));
        Ok(())
    })
}

/// Prints the three slots.
fn print_all(
    mut context: Context<'_>,
    name: &str,
    answer: &impl prost::Message,
    kind: Kind,
    [active, prepared, old]: [Option<&AuthorityState>; 3],
) -> Outcome {
    let text = [
        text::slot("active", active, kind),
        text::slot("prepared", prepared, kind),
        text::slot("old", old, kind),
    ];
    client::print_text(&mut context, name, answer, &text.join("\n"))
}
