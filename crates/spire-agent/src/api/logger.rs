use spire_net::local::LocalPeer;
use spire_proto::agent::logger::v1::logger_server::Logger;
use spire_proto::agent::logger::v1::{GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest};
use spire_proto::types;
use spire_proto::types::LogLevel as WireLevel;
use spire_runtime::SharedClock;
use spire_runtime::logging::{LogHandle, LogLevel};
use tonic::{Request, Response, Status};

use super::call::Call;

/// `spire.api.agent.logger.v1.Logger` (AG-533).
#[derive(Debug, Clone)]
pub struct LoggerApi {
    log: LogHandle,
    clock: SharedClock,
}

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

fn from_wire(number: i32) -> Result<LogLevel, &'static str> {
    Ok(match WireLevel::try_from(number) {
        Ok(WireLevel::Panic) => LogLevel::Panic,
        Ok(WireLevel::Fatal) => LogLevel::Fatal,
        Ok(WireLevel::Error) => LogLevel::Error,
        Ok(WireLevel::Warn) => LogLevel::Warn,
        Ok(WireLevel::Info) => LogLevel::Info,
        Ok(WireLevel::Debug) => LogLevel::Debug,
        Ok(WireLevel::Trace) => LogLevel::Trace,
        Ok(WireLevel::Unspecified) => return Err("newLevel value cannot be LogLevel_UNSPECIFIED"),
        Err(_) => return Err("unsupported log level"),
    })
}

impl LoggerApi {
    pub fn new(log: LogHandle, clock: SharedClock) -> Self {
        tracing::info!(launch_log_level = log.launch_level().as_str(), "Logger service configured");
        Self { log, clock }
    }

    fn call<T>(&self, method: &'static str, request: &Request<T>) -> Call {
        Call::admin("Logger", method, request.extensions().get::<LocalPeer>(), &self.clock)
    }

    fn levels(&self) -> Response<types::Logger> {
        Response::new(types::Logger {
            current_level: to_wire(self.log.level()),
            launch_level: to_wire(self.log.launch_level()),
        })
    }
}

#[tonic::async_trait]
impl Logger for LoggerApi {
    async fn get_logger(
        &self,
        request: Request<GetLoggerRequest>,
    ) -> Result<Response<types::Logger>, Status> {
        self.call("GetLogger", &request).log(LogLevel::Info, "GetLogger Called", &[]);
        Ok(self.levels())
    }

    async fn set_log_level(
        &self,
        request: Request<SetLogLevelRequest>,
    ) -> Result<Response<types::Logger>, Status> {
        let call = self.call("SetLogLevel", &request);
        let level = from_wire(request.get_ref().new_level).map_err(|message| call.invalid(message))?;
        call.log(LogLevel::Info, "SetLogLevel Called", &[("new_log_level", level.as_str().into())]);
        self.log.set_level(level);
        Ok(self.levels())
    }

    async fn reset_log_level(
        &self,
        request: Request<ResetLogLevelRequest>,
    ) -> Result<Response<types::Logger>, Status> {
        let launch_level = ("launch_log_level", self.log.launch_level().as_str().into());
        self.call("ResetLogLevel", &request).log(LogLevel::Info, "ResetLogLevel Called", &[launch_level]);
        self.log.reset_level();
        Ok(self.levels())
    }
}
