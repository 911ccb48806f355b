//! `spire-agent api validate jwt` (AG-177, AG-178).

use prost_types::value::Kind;
use serde_json::{Map, Value};
use spire_cli::{Command, Context, ErrorStyle, FlagSet, Format, Outcome, sorted_json};
use spire_proto::workload::{ValidateJwtsvidRequest, ValidateJwtsvidResponse};
use tonic::Code;

use super::WorkloadApi;
use crate::command::{json, sockets};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "api validate jwt",
        usage_name: "validate jwt",
        synopsis: "Validates a JWT SVID",
        style: ErrorStyle::Repeated,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    super::call_flags(flags);
    flags.string("audience", "", "expected audience value");
    flags.string("svid", "", "JWT SVID");
    flags.output("output");
}

async fn run(context: Context<'_>) -> Outcome {
    let api = WorkloadApi::of(&context)?;
    for flag in ["audience", "svid"] {
        if context.flags.text(flag).is_empty() {
            return Err(format!("{flag} must be specified").into());
        }
    }
    let request = ValidateJwtsvidRequest {
        audience: context.flags.text("audience").to_owned(),
        svid: context.flags.text("svid").to_owned(),
    };
    let mut client = api.client.clone();
    let answer = api.in_time(async move { client.validate_jwtsvid(super::request(request)).await });
    let response = answer.await.map_err(|status| match status.code() {
        Code::InvalidArgument => format!("SVID is not valid: {}", status.message()),
        _ => format!("unable to validate JWT SVID: {}", sockets::public_error(&status)),
    })?;
    let response = response.into_inner();
    let text = match context.flags.format() {
        Format::Json => json::line("ValidateJWTSVIDResponse", &response)?,
        Format::Pretty => pretty(response),
    };
    context.env.out(&text);
    Ok(())
}

fn pretty(response: ValidateJwtsvidResponse) -> String {
    let claims = object(response.claims.unwrap_or_default());
    format!("SVID is valid.\nSPIFFE ID : {}\nClaims    : {}\n", response.spiffe_id, sorted_json(&claims))
}

fn object(claims: prost_types::Struct) -> Value {
    let members = claims.fields.into_iter().map(|(name, claim)| (name, value(claim)));
    Value::Object(members.collect::<Map<String, Value>>())
}

fn value(claim: prost_types::Value) -> Value {
    match claim.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::StructValue(members)) => object(members),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_one_line_of_json_with_whole_seconds() {
        // AG-178
        let number = |n| prost_types::Value { kind: Some(Kind::NumberValue(n)) };
        let text = |t: &str| prost_types::Value { kind: Some(Kind::StringValue(t.into())) };
        let list = prost_types::ListValue { values: vec![text("a<b")] };
        let fields = [
            ("exp".to_owned(), number(1_764_000_000.0)),
            ("aud".to_owned(), prost_types::Value { kind: Some(Kind::ListValue(list)) }),
            ("none".to_owned(), prost_types::Value { kind: Some(Kind::NullValue(0)) }),
        ];
        let response = ValidateJwtsvidResponse {
            spiffe_id: "spiffe://example.org/a".into(),
            claims: Some(prost_types::Struct { fields: fields.into() }),
        };
        assert_eq!(
            pretty(response),
            "SVID is valid.\nSPIFFE ID : spiffe://example.org/a\nClaims    : \
             {\"aud\":[\"a<b\"],\"exp\":1764000000,\"none\":null}\n"
        );
    }
}
