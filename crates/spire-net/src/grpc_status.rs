//! gRPC errors in the words of Go's library, which users of SPIRE know and match on (SC-225).

use tonic::{Code, Status};

/// `NotFound`, `InvalidArgument` and so on.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// `rpc error: code = NotFound desc = …`.
pub fn rpc_error_text(status: &Status) -> String {
    if let Some(cause) = broken_connection(status) {
        return format!("rpc error: code = Unavailable desc = connection error: desc = {cause:?}");
    }
    format!("rpc error: code = {} desc = {}", code_name(status.code()), status.message())
}

/// Why the other end, whatever it is, does not speak HTTP/2; tonic calls that unknown.
fn broken_connection(status: &Status) -> Option<String> {
    if status.code() != Code::Unknown {
        return None;
    }
    let error = std::error::Error::source(status)?;
    if !error.is::<tonic::transport::Error>() {
        return None;
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_as_in_go() {
        // SC-225
        let status = Status::not_found("entry not found");
        assert_eq!(rpc_error_text(&status), "rpc error: code = NotFound desc = entry not found");
        assert_eq!(rpc_error_text(&Status::cancelled("")), "rpc error: code = Canceled desc = ");
    }
}
