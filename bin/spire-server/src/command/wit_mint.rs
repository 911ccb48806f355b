//! `spire-server wit mint`, which is there only with the feature flag `wit-svid` (SC-201, SC-336).

use serde::Serialize;
use spire_cli::{Command, Context, Env, ErrorStyle, FlagSet, Format, Outcome, escape_html};
use spire_config::duration::GoDuration;
use spire_crypto::jose::private_jwk;
use spire_crypto::{KeyType, PrivateKey};
use spire_proto::server::svid::v1::MintWitsvidRequest;
use spire_proto::server::svid::v1::svid_client::SvidClient;
use spire_proto::types::Witsvid;

use super::files::{self, PRIVATE};
use super::token_lifetime::{self, Token};
use super::{arguments, client};

const FEATURE_FLAG: &str = "wit-svid";

/// Whether the environment asks for the command; configuration files have no say in it.
pub(super) fn is_wanted(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    variable("SPIRE_SERVER_FFLAGS").is_some_and(|flags| flags.split(' ').any(|flag| flag == FEATURE_FLAG))
}

pub(super) fn command() -> Command {
    Command {
        path: "wit mint",
        usage_name: "wit mint",
        synopsis: "Mints a WIT-SVID",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("spiffeID", "", "SPIFFE ID of the WIT-SVID");
    flags.string("keyType", "ec-p256", "Key type of the WIT-SVID");
    flags.string("signingAlgorithm", "ES256", "Signing algorithm for the workload signing key");
    flags.duration("ttl", GoDuration(0), "TTL of the WIT-SVID");
    flags.string("write", "", "Directory to write output to instead of stdout");
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = SvidClient::new(client::connect(&context)?);
    let (request, key) = request(context.flags)?;
    let ttl = request.ttl;
    let answer = client.mint_witsvid(request).await;
    let answer = answer.map_err(client::failed("unable to mint SVID"))?.into_inner();
    let svid = answer.svid.unwrap_or_default();
    let token = Token { kind: "WIT-SVID", text: &svid.token, issued_at: svid.issued_at };
    if let Some(note) = token_lifetime::note(&token, ttl)? {
        context.env.err(&note);
    }
    let jwk = private_jwk(&key).map_err(|error| format!("could not marshal private key: {error}"))?;
    match (context.flags.text("write"), context.flags.format()) {
        ("", Format::Json) => context.env.out(&json(&svid, &jwk)?),
        ("", Format::Pretty) => context.env.out(&format!("{}\n{}\n", svid.token, *jwk)),
        (folder, _) => write(folder, &svid, &jwk, context.env)?,
    }
    Ok(())
}

/// A new key, which never leaves this process but for the output, and what is asked for it.
fn request(flags: &FlagSet) -> Result<(MintWitsvidRequest, PrivateKey), String> {
    if flags.text("spiffeID").is_empty() {
        return Err("spiffeID must be specified".to_owned());
    }
    let id = arguments::spiffe_id(flags.text("spiffeID"))?;
    let ttl = arguments::seconds(flags.time("ttl"));
    let ttl = ttl.map_err(|error| format!("invalid value for TTL: {error}"))?;
    let algorithm = flags.text("signingAlgorithm");
    let key = PrivateKey::generate(key_type(flags.text("keyType"), algorithm)?)
        .map_err(|error| format!("could not generate public/private key pair: {error}"))?;
    let request = MintWitsvidRequest {
        id: Some(id),
        public_key: key.public_key().pkix().to_vec().into(),
        ttl,
        signing_algorithm: algorithm.to_owned(),
    };
    Ok((request, key))
}

/// The key type, if the algorithm can be used with it.
fn key_type(name: &str, algorithm: &str) -> Result<KeyType, String> {
    match (algorithm, name) {
        ("RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512", name) => match name {
            "rsa-2048" => Ok(KeyType::Rsa2048),
            "rsa-4096" => Ok(KeyType::Rsa4096),
            _ => Err(format!("unsupported key type '{name}' for signing algorithm '{algorithm}'")),
        },
        ("ES256", "ec-p256") => Ok(KeyType::EcP256),
        ("ES384", "ec-p384") => Ok(KeyType::EcP384),
        ("ES256" | "ES384", name) => {
            Err(format!("unsupported key type '{name}' for '{algorithm}' signing algorithm"))
        }
        _ => Err(format!("unsupported signing algorithm: {algorithm}")),
    }
}

fn json(svid: &Witsvid, jwk: &str) -> Result<String, String> {
    /// Plain structures of upstream: this order, ordinary numbers, nothing that is empty (SC-229).
    #[derive(Serialize)]
    struct Shown<'a> {
        private_key: &'a str,
        svid: ShownSvid<'a>,
    }
    #[derive(Serialize)]
    struct ShownSvid<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        token: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<ShownId<'a>>,
        #[serde(skip_serializing_if = "is_zero")]
        expires_at: i64,
        #[serde(skip_serializing_if = "is_zero")]
        issued_at: i64,
        #[serde(skip_serializing_if = "str::is_empty")]
        hint: &'a str,
    }
    #[derive(Serialize)]
    struct ShownId<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        trust_domain: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        path: &'a str,
    }
    let id = svid.id.as_ref().map(|id| ShownId { trust_domain: &id.trust_domain, path: &id.path });
    let (expires_at, issued_at) = (svid.expires_at, svid.issued_at);
    let shown = Shown {
        private_key: jwk,
        svid: ShownSvid { token: &svid.token, id, expires_at, issued_at, hint: &svid.hint },
    };
    let json = serde_json::to_string(&shown).map_err(|error| error.to_string())?;
    Ok(format!("{}\n", escape_html(&json)))
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn write(folder: &str, svid: &Witsvid, jwk: &str, env: &mut Env) -> Result<(), String> {
    for (file, text, short, name) in
        [("token", svid.token.as_str(), "token", "WIT-SVID"), ("key", jwk, "key", "Private key")]
    {
        let path = files::clean(&format!("{folder}/{file}"));
        files::write(&path, text.as_bytes(), PRIVATE)
            .map_err(|error| format!("unable to write {short}: {error}"))?;
        env.out(&format!("{name} written to {path}\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_there_when_the_environment_says_so() {
        // SC-201
        for (flags, wanted) in [("wit-svid", true), ("a wit-svid b", true), ("wit-svid2", false), ("", false)]
        {
            assert_eq!(is_wanted(&|_| Some(flags.to_owned())), wanted, "{flags}");
        }
        assert!(!is_wanted(&|_| None));
    }

    #[test]
    fn algorithms_have_their_key_types() {
        // SC-336
        assert_eq!(key_type("ec-p384", "ES384"), Ok(KeyType::EcP384));
        assert_eq!(key_type("rsa-4096", "PS512"), Ok(KeyType::Rsa4096));
        for (name, algorithm, error) in [
            ("ec-p256", "RS256", "unsupported key type 'ec-p256' for signing algorithm 'RS256'"),
            ("rsa-2048", "ES256", "unsupported key type 'rsa-2048' for 'ES256' signing algorithm"),
            ("ec-p256", "EdDSA", "unsupported signing algorithm: EdDSA"),
        ] {
            assert_eq!(key_type(name, algorithm).unwrap_err(), error);
        }
    }

    #[test]
    fn json_is_that_of_plain_structures() {
        // SC-229, SC-336
        let svid = Witsvid { token: "t".into(), expires_at: 7, ..Witsvid::default() };
        assert_eq!(
            json(&svid, "{\"kty\":\"EC\"}").unwrap(),
            "{\"private_key\":\"{\\\"kty\\\":\\\"EC\\\"}\",\"svid\":{\"token\":\"t\",\"expires_at\":7}}\n"
        );
    }
}
