//! `spire-agent api fetch jwt` (AG-175, AG-176).

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use spire_cli::{Command, Context, ErrorStyle, FlagSet, Format, Outcome};
use spire_proto::workload::{JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse};
use tonic::{Code, Status};

use super::WorkloadApi;
use crate::command::{json, sockets};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "api fetch jwt",
        usage_name: "fetch jwt",
        synopsis: "Fetches a JWT SVID from the Workload API",
        style: ErrorStyle::Repeated,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    super::call_flags(flags);
    flags.comma_list("audience", "comma separated list of audience values");
    flags.string("spiffeID", "", "SPIFFE ID subject (optional)");
    flags.output("output");
    flags.output_alias("format", "deprecated; use -output", "output");
}

async fn run(context: Context<'_>) -> Outcome {
    let api = WorkloadApi::of(&context)?;
    if context.flags.texts("audience").is_empty() {
        return Err("audience must be specified".into());
    }
    let bundles = fetch_bundles(&api).await?;
    let request = JwtsvidRequest {
        audience: context.flags.texts("audience").to_vec(),
        spiffe_id: context.flags.text("spiffeID").to_owned(),
    };
    let svids = fetch_svids(&api, request).await.map_err(|status| sockets::public_error(&status))?;
    let text = match context.flags.format() {
        Format::Json => {
            let messages = json::messages()?;
            json::line_of(&Value::Array(vec![
                messages.to_value("JWTSVIDResponse", &svids)?,
                messages.to_value("JWTBundlesResponse", &bundles)?,
            ]))
        }
        Format::Pretty => pretty(&svids, &bundles),
    };
    context.env.out(&text);
    Ok(())
}

async fn fetch_bundles(api: &WorkloadApi) -> Result<JwtBundlesResponse, String> {
    let mut client = api.client.clone();
    let first = api.in_time(async move {
        let mut stream = client.fetch_jwt_bundles(super::request(JwtBundlesRequest {})).await?.into_inner();
        stream.message().await
    });
    let first = first.await.map_err(|status| {
        let text = sockets::public_error(&status);
        if is_ours(&status, api.limit) { format!("failed to receive JWT bundles: {text}") } else { text }
    })?;
    first.ok_or_else(|| super::END_OF_STREAM.to_owned())
}

/// Whether the call did not even reach the agent. In less than a millisecond it does not.
fn is_ours(status: &Status, limit: Duration) -> bool {
    let too_short = status.code() == Code::DeadlineExceeded && limit < Duration::from_millis(1);
    too_short || status.source().is_some()
}

async fn fetch_svids(api: &WorkloadApi, request: JwtsvidRequest) -> Result<JwtsvidResponse, Status> {
    let mut client = api.client.clone();
    let answer = api.in_time(async move { client.fetch_jwtsvid(super::request(request)).await });
    Ok(answer.await?.into_inner())
}

fn pretty(svids: &JwtsvidResponse, bundles: &JwtBundlesResponse) -> String {
    let mut text = String::new();
    for svid in &svids.svids {
        let _ = writeln!(text, "token({}):\n\t{}", svid.spiffe_id, svid.svid);
        if !svid.hint.is_empty() {
            let _ = writeln!(text, "hint({}):\n\t{}", svid.spiffe_id, svid.hint);
        }
    }
    let sorted: BTreeMap<_, _> = bundles.bundles.iter().collect();
    for (domain, document) in sorted {
        let _ = writeln!(text, "bundle({domain}):\n\t{}", String::from_utf8_lossy(document));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_no_call_can_keep_is_told_from_an_agent_that_is_slow() {
        // AG-175
        let late = Status::deadline_exceeded("context deadline exceeded");
        assert!(is_ours(&late, Duration::from_nanos(1)));
        assert!(!is_ours(&late, Duration::from_secs(5)));
        assert!(!is_ours(&Status::permission_denied("no identity issued"), Duration::from_nanos(1)));
    }
}
