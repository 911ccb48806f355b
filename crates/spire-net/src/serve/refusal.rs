//! Refusals in the words of gRPC for Go, by which clients and people who read logs know them.

use std::fmt::Display;

use http::Response;
use spire_runtime::logging::go_quote;
use tonic::body::Body;
use tonic::{Code, Status};

/// Nobody answers at `path`; `is_service` knows whose methods there are.
pub fn unknown_method(path: &str, is_service: impl FnOnce(&str) -> bool) -> Status {
    let text = match path.strip_prefix('/').and_then(|name| name.rsplit_once('/')) {
        None => format!("malformed method name: {}", go_quote(path)),
        Some((service, method)) if is_service(service) => {
            format!("unknown method {method} for service {service}")
        }
        Some((service, _)) => format!("unknown service {service}"),
    };
    Status::unimplemented(text)
}

/// A request is compressed, which neither we nor SPIRE undo.
pub fn no_decompressor(encoding: &str) -> Status {
    Status::unimplemented(format!(
        "grpc: Decompressor is not installed for grpc-encoding {}",
        go_quote(encoding)
    ))
}

/// Why a message is none, after what prost says of it.
pub fn undecodable(error: &impl Display) -> &'static str {
    if error.to_string().ends_with("data is not UTF-8 encoded") {
        "string field contains invalid UTF-8"
    } else {
        "proto: cannot parse invalid wire-format data"
    }
}

/// Rewords what tonic says of a request that it cannot read; anything else is left as it is.
pub fn reworded(status: Status) -> Status {
    in_gos_words(&status).unwrap_or(status)
}

/// The same for a call that tonic has answered already.
pub fn reworded_response(response: Response<Body>) -> Response<Body> {
    // Calls that reached their handler and went well say so behind the answer, not in the headers.
    let code = response.headers().get("grpc-status").map(http::HeaderValue::as_bytes);
    if !matches!(code, Some(b"11" | b"12" | b"13")) {
        return response;
    }
    let status = Status::from_header_map(response.headers());
    match status.as_ref().and_then(in_gos_words) {
        Some(status) => status.into_http(),
        None => response,
    }
}

fn in_gos_words(status: &Status) -> Option<Status> {
    let text = status.message();
    match status.code() {
        Code::OutOfRange => {
            let text = text.strip_prefix("Error, decoded message length too large: found ")?;
            let (found, limit) = text.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
            Some(Status::resource_exhausted(format!(
                "grpc: received message larger than max ({found} vs. {limit})"
            )))
        }
        Code::Unimplemented => {
            let text = text.strip_prefix("Content is compressed with `")?;
            Some(no_decompressor(text.strip_suffix("` which isn't supported")?))
        }
        Code::Internal if text.starts_with("failed to decode Protobuf message: ") => {
            let reason = undecodable(&text);
            Some(Status::internal(format!("grpc: error unmarshalling request: {reason}")))
        }
        Code::Internal if text.starts_with("protocol error: received message with compressed-flag but") => {
            Some(Status::internal("grpc: compressed flag set with identity or empty encoding"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        for (path, expected) in [
            ("/foo.Bar/Baz", "unknown service foo.Bar"),
            ("/a.Known/Baz", "unknown method Baz for service a.Known"),
            ("/a.Known/", "unknown method  for service a.Known"),
            ("/a.Known/Method/x", "unknown service a.Known/Method"),
            ("/x", "malformed method name: \"/x\""),
            ("a.Known/Baz", "malformed method name: \"a.Known/Baz\""),
            ("/", "malformed method name: \"/\""),
        ] {
            let status = unknown_method(path, |service| service == "a.Known");
            assert_eq!((status.code(), status.message()), (Code::Unimplemented, expected), "{path}");
        }
    }

    #[test]
    fn only_refusals_of_the_library_are_reworded() {
        // A client that sends too much may look for the code, and retry with less.
        let too_large = "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes";
        let answered = reworded_response(Status::out_of_range(too_large).into_http());
        let status = Status::from_header_map(answered.headers()).unwrap();
        assert_eq!(
            (status.code(), status.message()),
            (Code::ResourceExhausted, "grpc: received message larger than max (9 vs. 8)")
        );
        for status in [
            Status::internal("grpc: something else"),
            Status::unimplemented("method List not implemented"),
            Status::out_of_range("far away"),
        ] {
            let (code, text) = (status.code(), status.message().to_owned());
            let answered = reworded_response(status.clone().into_http());
            let answered = Status::from_header_map(answered.headers()).unwrap();
            assert_eq!((answered.code(), answered.message()), (code, text.as_str()));
            assert_eq!(reworded(status).message(), text);
        }
    }
}
