//! `spire-agent logger get` (AG-184).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_net::grpc_status::rpc_error_text;
use spire_proto::agent::logger::v1::GetLoggerRequest;

use crate::command::sockets;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "logger get",
        usage_name: "logger get",
        synopsis: "Gets the logger details",
        style: ErrorStyle::Prefixed,
        flags: |flags| {
            sockets::admin_flags(flags);
            flags.output("output");
        },
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let logger = super::client(&context).get_logger(GetLoggerRequest {}).await;
    let logger = logger.map_err(|status| format!("error fetching logger: {}", rpc_error_text(&status)))?;
    super::print(context, &logger.into_inner())
}
