//! `spire-server logger reset` (SC-304).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_proto::server::logger::v1::ResetLogLevelRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "logger reset",
        usage_name: "logger reset",
        synopsis: "Reset the logger details to launch level",
        style: ErrorStyle::Prefixed,
        flags: client::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let logger = super::connect(&context)?.reset_log_level(ResetLogLevelRequest {}).await;
    let logger = logger.map_err(client::failed("failed to reset logger"))?;
    super::print(context, logger.get_ref())
}
