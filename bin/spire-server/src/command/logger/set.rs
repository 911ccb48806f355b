//! `spire-server logger set` (SC-305).

use spire_cli::{Command, Context, ErrorStyle, FlagSet, Outcome};
use spire_proto::server::logger::v1::SetLogLevelRequest;
use spire_proto::types::LogLevel as WireLevel;
use spire_runtime::logging::{LogLevel, go_quote};

use crate::command::client;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "logger set",
        usage_name: "logger set",
        synopsis: "Sets the logger details",
        style: ErrorStyle::Prefixed,
        flags,
        run: |context| Box::pin(run(context)),
    }
}

fn flags(flags: &mut FlagSet) {
    client::flags(flags);
    flags.string("level", "", "The new log level, one of (panic, fatal, error, warn, info, debug, trace)");
}

async fn run(context: Context<'_>) -> Outcome {
    let mut client = super::connect(&context)?;
    let text = context.flags.text("level");
    if text.is_empty() {
        return Err("a value (-level) must be set".into());
    }
    let level: LogLevel =
        text.parse().map_err(|_| format!("the value {} is not a valid setting", go_quote(text)))?;
    let logger = client.set_log_level(SetLogLevelRequest { new_level: wire(level).into() }).await;
    let logger = logger.map_err(client::failed("failed to set log level"))?;
    super::print(context, logger.get_ref())
}

fn wire(level: LogLevel) -> WireLevel {
    match level {
        LogLevel::Panic => WireLevel::Panic,
        LogLevel::Fatal => WireLevel::Fatal,
        LogLevel::Error => WireLevel::Error,
        LogLevel::Warn => WireLevel::Warn,
        LogLevel::Info => WireLevel::Info,
        LogLevel::Debug => WireLevel::Debug,
        LogLevel::Trace => WireLevel::Trace,
    }
}
