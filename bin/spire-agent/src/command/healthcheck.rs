//! `spire-agent healthcheck` (AG-180, AG-181).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_runtime::logging::go_quote;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::sockets;

pub(super) fn command() -> Command {
    Command {
        path: "healthcheck",
        usage_name: "health",
        synopsis: "Determines agent health status",
        style: ErrorStyle::Bare,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    flags.without_help_ending();
    flags.bool("shallow", "Perform a less stringent health check");
    flags.bool("verbose", "Print verbose information");
    sockets::public_flags(flags, "Path to the SPIRE Agent API socket");
}

async fn run(mut context: Context<'_>) -> Outcome {
    check(&mut context).await.map_err(|reason| format!("Agent is unhealthy: {reason}"))?;
    context.env.out("Agent is healthy.\n");
    Ok(())
}

async fn check(context: &mut Context<'_>) -> Result<(), String> {
    let verbose = context.flags.is("verbose");
    if verbose {
        context.env.out("Checking agent health...\n");
    }
    let mut client = HealthClient::new(sockets::public(context)?);
    match client.check(HealthCheckRequest::default()).await {
        Ok(response) => serving(&response.into_inner()),
        Err(status) => {
            if verbose {
                context.env.err(&format!("Failed to check health: {}\n", sockets::public_error(&status)));
            }
            Err("unable to determine health".to_owned())
        }
    }
}

fn serving(response: &HealthCheckResponse) -> Result<(), String> {
    match ServingStatus::try_from(response.status) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(other) => Err(format!("agent returned status {}", go_quote(other.as_str_name()))),
        Err(_) => Err(format!("agent returned status \"{}\"", response.status)),
    }
}
