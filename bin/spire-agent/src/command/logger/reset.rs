//! `spire-agent logger reset` (AG-184).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_net::grpc_status::rpc_error_text;
use spire_proto::agent::logger::v1::ResetLogLevelRequest;

use crate::command::sockets;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "logger reset",
        usage_name: "logger reset",
        synopsis: "Reset the logger details to launch level",
        style: ErrorStyle::Prefixed,
        flags: |flags| {
            sockets::admin_flags(flags);
            flags.output("output");
        },
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let logger = super::client(&context).reset_log_level(ResetLogLevelRequest {}).await;
    let logger = logger.map_err(|status| format!("failed to reset logger: {}", rpc_error_text(&status)))?;
    super::print(context, &logger.into_inner())
}
