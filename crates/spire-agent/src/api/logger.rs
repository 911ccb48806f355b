use spire_proto::agent::logger::v1::logger_server::Logger;
use spire_proto::agent::logger::v1::{GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest};
use spire_proto::types;
use spire_proto::types::LogLevel as WireLevel;
use spire_runtime::logging::{LogHandle, LogLevel};
use tonic::{Request, Response, Status};

/// `spire.api.agent.logger.v1.Logger` (AG-533).
#[derive(Debug, Clone)]
pub struct LoggerApi(pub LogHandle);

fn to_wire(level: LogLevel) -> i32 {
    match level {
        LogLevel::Panic => WireLevel::Panic,
        LogLevel::Fatal => WireLevel::Fatal,
        LogLevel::Error => WireLevel::Error,
        LogLevel::Warn => WireLevel::Warn,
        LogLevel::Info => WireLevel::Info,
        LogLevel::Debug => WireLevel::Debug,
        LogLevel::Trace => WireLevel::Trace,
    }
    .into()
}

fn from_wire(number: i32) -> Result<LogLevel, Status> {
    Ok(match WireLevel::try_from(number) {
        Ok(WireLevel::Panic) => LogLevel::Panic,
        Ok(WireLevel::Fatal) => LogLevel::Fatal,
        Ok(WireLevel::Error) => LogLevel::Error,
        Ok(WireLevel::Warn) => LogLevel::Warn,
        Ok(WireLevel::Info) => LogLevel::Info,
        Ok(WireLevel::Debug) => LogLevel::Debug,
        Ok(WireLevel::Trace) => LogLevel::Trace,
        Ok(WireLevel::Unspecified) => {
            return Err(Status::invalid_argument("newLevel value cannot be LogLevel_UNSPECIFIED"));
        }
        Err(_) => return Err(Status::invalid_argument("unsupported log level")),
    })
}

impl LoggerApi {
    fn levels(&self) -> Response<types::Logger> {
        Response::new(types::Logger {
            current_level: to_wire(self.0.level()),
            launch_level: to_wire(self.0.launch_level()),
        })
    }
}

#[tonic::async_trait]
impl Logger for LoggerApi {
    async fn get_logger(&self, _: Request<GetLoggerRequest>) -> Result<Response<types::Logger>, Status> {
        tracing::info!(method = "GetLogger", service = "logger.v1.Logger", "GetLogger Called");
        Ok(self.levels())
    }

    async fn set_log_level(
        &self,
        request: Request<SetLogLevelRequest>,
    ) -> Result<Response<types::Logger>, Status> {
        let level = from_wire(request.into_inner().new_level)?;
        tracing::info!(
            method = "SetLogLevel",
            new_log_level = level.as_str(),
            service = "logger.v1.Logger",
            "SetLogLevel Called"
        );
        self.0.set_level(level);
        Ok(self.levels())
    }

    async fn reset_log_level(
        &self,
        _: Request<ResetLogLevelRequest>,
    ) -> Result<Response<types::Logger>, Status> {
        tracing::info!(method = "ResetLogLevel", service = "logger.v1.Logger", "ResetLogLevel Called");
        self.0.reset_level();
        Ok(self.levels())
    }
}
