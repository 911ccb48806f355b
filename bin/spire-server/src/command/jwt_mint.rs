//! `spire-server jwt mint` (SC-334, SC-335).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_config::duration::GoDuration;
use spire_proto::server::svid::v1::MintJwtsvidRequest;
use spire_proto::server::svid::v1::svid_client::SvidClient;

use super::files::{self, PRIVATE};
use super::token_lifetime::{self, Token};
use super::{arguments, client};

pub(super) fn command() -> Command {
    Command {
        path: "jwt mint",
        usage_name: "jwt mint",
        synopsis: "Mints a JWT-SVID",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("spiffeID", "", "SPIFFE ID of the JWT-SVID");
    flags.duration("ttl", GoDuration(0), "TTL of the JWT-SVID");
    flags.list("audience", "Audience claim that will be included in the SVID. Can be used more than once.");
    flags.string("write", "", "File to write token to instead of stdout");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let mut client = SvidClient::new(client::connect(&context)?);
    let request = request(context.flags)?;
    let ttl = request.ttl;
    let answer = client.mint_jwtsvid(request).await;
    let answer = answer.map_err(client::failed("unable to mint SVID"))?.into_inner();
    let svid = answer.svid.clone().unwrap_or_default();
    let token = Token { kind: "JWT-SVID", text: &svid.token, issued_at: svid.issued_at };
    if let Some(note) = token_lifetime::note(&token, ttl)? {
        context.env.err(&note);
    }
    match context.flags.text("write") {
        "" => {
            let name = "spire.api.server.svid.v1.MintJWTSVIDResponse";
            client::print_text(&mut context, name, &answer, &format!("{}\n", svid.token))
        }
        path => {
            let path = files::clean(path);
            files::write(&path, svid.token.as_bytes(), PRIVATE)
                .map_err(|error| format!("unable to write token: {error}"))?;
            context.env.out(&format!("JWT-SVID written to {path}\n"));
            Ok(())
        }
    }
}

fn request(flags: &FlagSet) -> Result<MintJwtsvidRequest, String> {
    let (id, audience) = (flags.text("spiffeID"), flags.texts("audience"));
    if id.is_empty() {
        return Err("spiffeID must be specified".to_owned());
    }
    if audience.is_empty() {
        return Err("at least one audience must be specified".to_owned());
    }
    let id = arguments::spiffe_id(id)?;
    let ttl = arguments::seconds(flags.time("ttl"));
    let ttl = ttl.map_err(|error| format!("invalid value for TTL: {error}"))?;
    Ok(MintJwtsvidRequest { id: Some(id), audience: audience.to_vec(), ttl })
}
