//! `spire-agent logger set` (AG-185).

use spire_cli::{Command, Context, ErrorStyle, Outcome, go_text};
use spire_net::grpc_status::rpc_error_text;
use spire_proto::agent::logger::v1::SetLogLevelRequest;
use spire_proto::types::LogLevel as WireLevel;
use spire_runtime::logging::LogLevel;

use crate::command::sockets;

pub(in crate::command) fn command() -> Command {
    Command {
        path: "logger set",
        usage_name: "logger set",
        synopsis: "Sets the logger details",
        style: ErrorStyle::Prefixed,
        flags: |flags| {
            sockets::admin_flags(flags);
            flags.string(
                "level",
                "",
                "The new log level, one of (panic, fatal, error, warn, info, debug, trace)",
            );
            flags.output("output");
        },
        run: |context| Box::pin(run(context)),
    }
}

async fn run(context: Context<'_>) -> Outcome {
    let text = context.flags.text("level");
    if text.is_empty() {
        return Err("a value (-level) must be set".into());
    }
    let level: LogLevel =
        text.parse().map_err(|_| format!("the value {} is not a valid setting", go_text::quote(text)))?;
    let request = SetLogLevelRequest { new_level: wire(level).into() };
    let logger = super::client(&context).set_log_level(request).await;
    let logger = logger.map_err(|status| format!("failed to set log level: {}", rpc_error_text(&status)))?;
    super::print(context, &logger.into_inner())
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
