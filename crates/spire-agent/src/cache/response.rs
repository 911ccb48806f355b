//! Workload API messages, encoded so that equal content gives equal bytes: the maps are lists in a fixed order.
//!
//! Each is framed as gRPC sends it, so that all streams share it down to the socket.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes};
use prost::Message;
use spire_proto::workload::X509svid;

use super::{AgentBundle, WorkloadSvid};

/// What gRPC puts before each message.
pub(super) const PREFIX_LEN: usize = 5;

/// One item of a map from trust domain to bundle.
#[derive(Clone, PartialEq, Message)]
struct MapItem {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `X509SVIDResponse`
#[derive(Clone, PartialEq, Message)]
struct X509Svids {
    #[prost(message, repeated, tag = "1")]
    svids: Vec<X509svid>,
    #[prost(message, repeated, tag = "3")]
    federated_bundles: Vec<MapItem>,
}

/// `X509BundlesResponse`
#[derive(Clone, PartialEq, Message)]
struct X509Bundles {
    #[prost(message, repeated, tag = "2")]
    bundles: Vec<MapItem>,
}

/// `JWTBundlesResponse`
#[derive(Clone, PartialEq, Message)]
struct JwtBundles {
    #[prost(message, repeated, tag = "1")]
    bundles: Vec<MapItem>,
}

pub(super) fn x509_svids(svids: &[Arc<WorkloadSvid>], own: &Bytes, federated: &[Arc<AgentBundle>]) -> Bytes {
    let svids = svids.iter().map(|svid| X509svid {
        spiffe_id: svid.entry.spiffe_id.to_string(),
        x509_svid: svid.chain_der.clone(),
        x509_svid_key: svid.key_der.clone(),
        bundle: own.clone(),
        hint: svid.entry.hint.clone(),
    });
    let federated_bundles = federated.iter().map(x509_item).collect();
    wiped(framed(&X509Svids { svids: svids.collect(), federated_bundles }))
}

/// Holds keys, so it is wiped when nobody needs it any more.
fn wiped(message: Vec<u8>) -> Bytes {
    Bytes::from_owner(zeroize::Zeroizing::new(message))
}

/// A flag, the length, and the message. Made in one piece, because a buffer that grows leaves keys behind.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut frame = Vec::with_capacity(PREFIX_LEN + length);
    frame.put_u8(0); // not compressed
    // No client takes one of 4 GiB, whatever the length says.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode(&mut frame).expect("a vector has room for everything");
    frame
}

fn x509_item(bundle: &Arc<AgentBundle>) -> MapItem {
    MapItem { key: bundle.name.clone(), value: bundle.x509.clone() }
}

pub(super) fn x509_bundles<'a>(bundles: impl Iterator<Item = &'a Arc<AgentBundle>>) -> Bytes {
    framed(&X509Bundles { bundles: bundles.map(x509_item).collect() }).into()
}

pub(super) fn jwt_bundles<'a>(bundles: impl Iterator<Item = &'a Arc<AgentBundle>>) -> Bytes {
    let items = bundles.map(|bundle| MapItem { key: bundle.name.clone(), value: bundle.jwks.clone() });
    framed(&JwtBundles { bundles: items.collect() }).into()
}

#[cfg(test)]
mod tests {
    use spire_proto::workload::{JwtBundlesResponse, X509BundlesResponse, X509svidResponse};

    use super::*;

    #[test]
    fn the_messages_are_those_of_the_workload_api() {
        // Field numbers are ours to get right: a client would see an empty answer.
        let item = MapItem { key: "spiffe://a".to_owned(), value: Bytes::from_static(b"b") };
        let svid = X509svid { spiffe_id: "spiffe://a/w".to_owned(), ..X509svid::default() };
        let svids = X509Svids { svids: vec![svid.clone()], federated_bundles: vec![item.clone()] };
        let read = X509svidResponse::decode(&svids.encode_to_vec()[..]).unwrap();
        assert_eq!((&read.svids[0], read.federated_bundles["spiffe://a"].as_ref()), (&svid, &b"b"[..]));
        let bundles = X509Bundles { bundles: vec![item.clone()] };
        let read = X509BundlesResponse::decode(&bundles.encode_to_vec()[..]).unwrap();
        assert_eq!((read.crl.len(), read.bundles["spiffe://a"].as_ref()), (0, &b"b"[..]));
        let bundles = JwtBundles { bundles: vec![item] };
        let read = JwtBundlesResponse::decode(&bundles.encode_to_vec()[..]).unwrap();
        assert_eq!(read.bundles["spiffe://a"].as_ref(), b"b");
    }

    #[test]
    fn a_message_is_framed_in_a_buffer_that_never_grew() {
        let item = MapItem { key: "a".repeat(300), value: Bytes::new() };
        let frame = framed(&item);
        let message = item.encode_to_vec();
        assert_eq!(frame[..PREFIX_LEN], [0, 0, 0, 1, 47]);
        assert_eq!((&frame[PREFIX_LEN..], frame.capacity()), (&message[..], PREFIX_LEN + 303));
    }
}
