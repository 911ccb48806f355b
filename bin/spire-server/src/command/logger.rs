//! `spire-server logger …` (SC-304, SC-305).

pub(super) mod get;
pub(super) mod reset;
pub(super) mod set;

use spire_cli::{Context, Outcome};
use spire_proto::server::logger::v1::logger_client::LoggerClient;
use spire_proto::types::{LogLevel, Logger};
use tonic::transport::Channel;

use super::client;

fn connect(context: &Context<'_>) -> Result<LoggerClient<Channel>, String> {
    client::connect(context).map(LoggerClient::new)
}

fn print(mut context: Context<'_>, logger: &Logger) -> Outcome {
    client::print(&mut context, "spire.api.types.Logger", logger, |env| {
        let (current, launch) =
            (name(logger.current_level, "current")?, name(logger.launch_level, "launch")?);
        env.out(&format!("Logger Level : {current}\nLaunch Level : {launch}\n\n"));
        Ok(())
    })
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
