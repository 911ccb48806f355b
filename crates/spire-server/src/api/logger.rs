use std::sync::Arc;

use spire_proto::server::logger::v1::logger_server::Logger;
use spire_proto::server::logger::v1::{GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest};
use spire_proto::types;
use spire_proto::types::LogLevel as WireLevel;
use spire_runtime::logging::LogLevel;
use tonic::{Request, Response, Status};

use crate::access::{AuditFields, Call};
use crate::core::Core;
use crate::status::ApiError;

/// `spire.api.server.logger.v1.Logger` (SA-134 to SA-136).
#[derive(Debug, Clone)]
pub struct LoggerApi(pub Arc<Core>);

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

fn from_wire(number: i32) -> Result<LogLevel, ApiError> {
    Ok(match WireLevel::try_from(number) {
        Ok(WireLevel::Panic) => LogLevel::Panic,
        Ok(WireLevel::Fatal) => LogLevel::Fatal,
        Ok(WireLevel::Error) => LogLevel::Error,
        Ok(WireLevel::Warn) => LogLevel::Warn,
        Ok(WireLevel::Info) => LogLevel::Info,
        Ok(WireLevel::Debug) => LogLevel::Debug,
        Ok(WireLevel::Trace) => LogLevel::Trace,
        Ok(WireLevel::Unspecified) => {
            return Err(ApiError::invalid("newLevel value cannot be LogLevel_UNSPECIFIED"));
        }
        Err(_) => return Err(ApiError::invalid("unsupported log level")),
    })
}

impl LoggerApi {
    fn levels(&self) -> types::Logger {
        types::Logger {
            current_level: to_wire(self.0.log.level()),
            launch_level: to_wire(self.0.log.launch_level()),
        }
    }
}

#[tonic::async_trait]
impl Logger for LoggerApi {
    async fn get_logger(
        &self,
        request: Request<GetLoggerRequest>,
    ) -> Result<Response<types::Logger>, Status> {
        let call = Call::of(&request)?;
        call.log(LogLevel::Info, "GetLogger Called", AuditFields::new());
        call.conclude(Ok(self.levels()))
    }

    async fn set_log_level(
        &self,
        request: Request<SetLogLevelRequest>,
    ) -> Result<Response<types::Logger>, Status> {
        let call = Call::of(&request)?;
        let wanted = request.into_inner().new_level;
        call.note(|| {
            let name = WireLevel::try_from(wanted)
                .map_or_else(|_| wanted.to_string(), |l| l.as_str_name().to_owned());
            AuditFields::new().with("new_log_level", name)
        });
        let outcome = from_wire(wanted).map(|level| {
            // Before the change, which may silence it.
            call.log(
                LogLevel::Info,
                "SetLogLevel Called",
                AuditFields::new().with("new_log_level", level.as_str()),
            );
            self.0.log.set_level(level);
            self.levels()
        });
        call.conclude(outcome)
    }

    async fn reset_log_level(
        &self,
        request: Request<ResetLogLevelRequest>,
    ) -> Result<Response<types::Logger>, Status> {
        let call = Call::of(&request)?;
        let launch_level = self.0.log.launch_level().as_str();
        call.log(
            LogLevel::Info,
            "ResetLogLevel Called",
            AuditFields::new().with("launch_log_level", launch_level),
        );
        self.0.log.reset_level();
        call.conclude(Ok(self.levels()))
    }
}
