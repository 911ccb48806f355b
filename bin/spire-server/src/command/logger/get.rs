//! `spire-server logger get` (SC-304).

use spire_cli::{Command, Context, ErrorStyle, Outcome};
use spire_proto::server::logger::v1::GetLoggerRequest;

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "logger get",
        usage_name: "logger get",
        synopsis: "Gets the logger details",
        style: ErrorStyle::Prefixed,
        flags: client::flags,
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let logger = super::connect(&context)?.get_logger(GetLoggerRequest {}).await;
    let logger = logger.map_err(client::failed("error fetching logger"))?;
    super::print(context, logger.get_ref())
}
