use bytes::Bytes;
use spire_types::{JwtSvid, X509Svid};

use super::id::{spiffe_id, spiffe_id_to_wire};
use crate::types;
use crate::wire_error::{ConvertError, InField};

pub fn x509_svid_to_wire(svid: &X509Svid) -> types::X509svid {
    types::X509svid {
        cert_chain: svid.cert_chain.iter().map(|der| Bytes::copy_from_slice(der)).collect(),
        id: Some(spiffe_id_to_wire(&svid.id)),
        expires_at: svid.expires_at,
        hint: svid.hint.clone(),
    }
}

pub fn x509_svid(wire: &types::X509svid) -> Result<X509Svid, ConvertError> {
    Ok(X509Svid {
        id: spiffe_id(wire.id.as_ref()).field("invalid SPIFFE ID")?,
        cert_chain: wire.cert_chain.iter().map(|der| der.as_ref().into()).collect(),
        expires_at: wire.expires_at,
        hint: wire.hint.clone(),
    })
}

pub fn jwt_svid_to_wire(svid: &JwtSvid) -> types::Jwtsvid {
    types::Jwtsvid {
        token: svid.token.to_string(),
        id: Some(spiffe_id_to_wire(&svid.id)),
        expires_at: svid.expires_at,
        issued_at: svid.issued_at,
        hint: svid.hint.clone(),
    }
}

pub fn jwt_svid(wire: &types::Jwtsvid) -> Result<JwtSvid, ConvertError> {
    Ok(JwtSvid {
        id: spiffe_id(wire.id.as_ref()).field("invalid SPIFFE ID")?,
        token: wire.token.as_str().into(),
        issued_at: wire.issued_at,
        expires_at: wire.expires_at,
        hint: wire.hint.clone(),
    })
}
