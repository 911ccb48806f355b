//! `spire-agent api fetch x509` (AG-169 to AG-174).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Format, Outcome};
use spire_proto::workload::{X509svidRequest, X509svidResponse};
use spire_runtime::SystemClock;

use super::{WorkloadApi, identity, listing, write};
use crate::command::{json, sockets};

pub(in crate::command) fn command() -> Command {
    Command {
        path: "api fetch x509",
        usage_name: "fetch x509",
        synopsis: "Fetches X509 SVIDs from the Workload API",
        style: ErrorStyle::Repeated,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

/// The same by its short name (AG-151).
pub(in crate::command) fn short_command() -> Command {
    Command { path: "api fetch", ..command() }
}

fn flags(flags: &mut FlagSet) {
    super::call_flags(flags);
    flags.bool("silent", "Suppress stdout");
    flags.string(
        "write",
        "",
        "Write SVID data to the specified path (optional; only available for pretty output format)",
    );
    flags.output("output");
}

async fn run(context: Context<'_>) -> Outcome {
    let clock = SystemClock::shared();
    let start = clock.monotonic();
    let response = fetch(&WorkloadApi::of(&context)?).await?;
    let took = clock.monotonic().saturating_sub(start);
    if context.flags.format() == Format::Json {
        let line = json::line("X509SVIDResponse", &response)?;
        context.env.out(&line);
        return Ok(());
    }
    let identities = identity::parse_and_verify(&response, clock.now())?;
    if !context.flags.is("silent") {
        context.env.out(&listing::of(&identities, took));
    }
    match context.flags.text("write") {
        "" => Ok(()),
        folder => Ok(write::all(&identities, folder, context.env)?),
    }
}

async fn fetch(api: &WorkloadApi) -> Result<X509svidResponse, String> {
    let mut client = api.client.clone();
    let first = api.in_time(async move {
        let mut stream = client.fetch_x509svid(super::request(X509svidRequest {})).await?.into_inner();
        stream.message().await
    });
    let first = first.await.map_err(|status| sockets::public_error(&status))?;
    first.ok_or_else(|| super::END_OF_STREAM.to_owned())
}
