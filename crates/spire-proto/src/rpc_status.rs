//! `google.rpc.Status`, in which gRPC carries the details of a refusal.

use bytes::Bytes;
use prost::Message;

use crate::types::PermissionDeniedDetails;
use crate::types::permission_denied_details::Reason;

const PERMISSION_DENIED_DETAILS: &str = "type.googleapis.com/spire.api.types.PermissionDeniedDetails";

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// The bytes of `grpc-status-details-bin` for a refusal with a reason (SA-169).
pub fn permission_denied_details(message: &str, reason: Reason) -> Bytes {
    let details = PermissionDeniedDetails { reason: reason.into() };
    let any =
        prost_types::Any { type_url: PERMISSION_DENIED_DETAILS.to_owned(), value: details.encode_to_vec() };
    let status = RpcStatus {
        code: tonic::Code::PermissionDenied.into(),
        message: message.to_owned(),
        details: vec![any],
    };
    status.encode_to_vec().into()
}

/// The reason in a refusal, if there is one (AG-401).
pub fn permission_denied_reason(status: &tonic::Status) -> Option<Reason> {
    if status.code() != tonic::Code::PermissionDenied {
        return None;
    }
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let any = details.into_iter().find(|any| any.type_url == PERMISSION_DENIED_DETAILS)?;
    let details = PermissionDeniedDetails::decode(&any.value[..]).ok()?;
    Reason::try_from(details.reason).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_survives_the_way_through_the_details() {
        let details = permission_denied_details("no", Reason::AgentBanned);
        let status = tonic::Status::with_details(tonic::Code::PermissionDenied, "no", details);
        assert_eq!(permission_denied_reason(&status), Some(Reason::AgentBanned));
        assert_eq!(permission_denied_reason(&tonic::Status::permission_denied("no")), None);
    }
}
