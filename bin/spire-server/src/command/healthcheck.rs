//! `spire-server healthcheck` (SC-301, SC-302).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_runtime::logging::go_quote;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::client;

pub(super) fn command() -> Command {
    Command {
        path: "healthcheck",
        usage_name: "healthcheck",
        synopsis: "Determines server health status",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::socket_flags(flags);
    // Taken and without effect, as in upstream.
    flags.bool("shallow", "Perform a less stringent health check");
    flags.bool("verbose", "Print verbose information");
}

async fn run(mut context: Context<'_>) -> Outcome {
    let client = HealthClient::new(client::connect(&context)?);
    check(client, &mut context).await.map_err(|reason| format!("server is unhealthy: {reason}"))?;
    context.env.out("Server is healthy.\n");
    Ok(())
}

async fn check(
    mut client: HealthClient<tonic::transport::Channel>,
    context: &mut Context<'_>,
) -> Result<(), String> {
    let verbose = context.flags.is("verbose");
    if verbose {
        context.env.out("Checking server health...\n");
    }
    match client.check(HealthCheckRequest::default()).await {
        Ok(answer) => serving(answer.get_ref()),
        Err(status) => {
            if verbose {
                context.env.err(&format!("Failed to check health: {}\n", client::bare(status)));
            }
            Err("unable to determine health".to_owned())
        }
    }
}

fn serving(answer: &HealthCheckResponse) -> Result<(), String> {
    match ServingStatus::try_from(answer.status) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(other) => Err(format!("server returned status {}", go_quote(other.as_str_name()))),
        Err(_) => Err(format!("server returned status \"{}\"", answer.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_serve_is_unhealthy() {
        // SC-302
        let answer = |status| HealthCheckResponse { status };
        assert_eq!(serving(&answer(1)), Ok(()));
        assert_eq!(serving(&answer(2)).unwrap_err(), "server returned status \"NOT_SERVING\"");
        assert_eq!(serving(&answer(9)).unwrap_err(), "server returned status \"9\"");
    }
}
