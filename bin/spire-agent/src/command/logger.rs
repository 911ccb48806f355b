//! `spire-agent logger …` (AG-184, AG-185).

pub(super) mod get;
pub(super) mod reset;
pub(super) mod set;

use spire_cli::{Context, Format, Outcome};
use spire_proto::agent::logger::v1::logger_client::LoggerClient;
use spire_proto::types::{LogLevel, Logger};
use tonic::transport::Channel;

use super::{json, sockets};

fn client(context: &Context<'_>) -> LoggerClient<Channel> {
    LoggerClient::new(sockets::admin(context))
}

fn print(context: Context<'_>, logger: &Logger) -> Outcome {
    let text = match context.flags.format() {
        Format::Json => json::line("spire.api.types.Logger", logger)?,
        Format::Pretty => format!(
            "Logger Level : {}\nLaunch Level : {}\n\n",
            name(logger.current_level, "current")?,
            name(logger.launch_level, "launch")?
        ),
    };
    context.env.out(&text);
    Ok(())
}

/// As it is called in log lines.
fn name(level: i32, which: &str) -> Result<&'static str, String> {
    Ok(match LogLevel::try_from(level) {
        Ok(LogLevel::Panic) => "panic",
        Ok(LogLevel::Fatal) => "fatal",
        Ok(LogLevel::Error) => "error",
        Ok(LogLevel::Warn) => "warning",
        Ok(LogLevel::Info) => "info",
        Ok(LogLevel::Debug) => "debug",
        Ok(LogLevel::Trace) => "trace",
        Ok(LogLevel::Unspecified) | Err(_) => {
            return Err(format!(
                "internal error: returned {which} log level is undefined; please report this as a bug"
            ));
        }
    })
}
