//! The extensions that Go reads of every certificate.

use const_oid::db::{rfc5280, rfc5912};

use super::constraints;
use super::{X509Error, refused};
use crate::elements::{
    BIT_STRING, BOOLEAN, Elements, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, bit_string,
    constructed, context,
};
use crate::x509::certificate::{URI, alternative_names};
use crate::x509::uri;

pub(super) struct Extension<'a> {
    pub oid: &'a [u8],
    pub critical: bool,
    pub value: &'a [u8],
}

impl Extension<'_> {
    /// Extensions that Go does not know are taken, whatever is in them.
    pub fn check(&self) -> Result<(), X509Error> {
        let value = Elements::of(self.value);
        let id = self.oid;
        let is = |oid: const_oid::ObjectIdentifier| oid.as_bytes() == id;
        if is(rfc5280::ID_CE_KEY_USAGE) {
            key_usage(value).ok_or_else(refused("invalid key usage"))
        } else if is(rfc5280::ID_CE_BASIC_CONSTRAINTS) {
            basic_constraints(value).ok_or_else(refused("invalid basic constraints"))
        } else if is(rfc5280::ID_CE_SUBJECT_ALT_NAME) {
            let names = alternative_names(self.value)?;
            names.uris.iter().try_for_each(|name| uri::read(name).map(drop))
        } else if is(rfc5280::ID_CE_NAME_CONSTRAINTS) {
            constraints::check(value)
        } else if is(rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS) {
            distribution_points(value)
        } else if is(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER) {
            self.not_critical("authority key identifier incorrectly marked critical")?;
            authority_key_id(value).ok_or_else(refused("invalid authority key identifier"))
        } else if is(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER) {
            self.not_critical("subject key identifier incorrectly marked critical")?;
            let mut value = value;
            value.content(OCTET_STRING).map(drop).ok_or_else(refused("invalid subject key identifier"))
        } else if is(rfc5280::ID_CE_EXT_KEY_USAGE) {
            extended_key_usage(value).ok_or_else(refused("invalid extended key usages"))
        } else if is(rfc5280::ID_CE_CERTIFICATE_POLICIES) {
            policies(value).ok_or_else(refused("invalid certificate policies"))
        } else if is(rfc5280::ID_CE_POLICY_MAPPINGS) {
            policy_mappings(value).ok_or_else(refused("invalid policy mappings extension"))
        } else if is(rfc5280::ID_CE_POLICY_CONSTRAINTS) {
            policy_constraints(value).ok_or_else(refused("invalid policy constraints extension"))
        } else if is(rfc5280::ID_CE_INHIBIT_ANY_POLICY) {
            small(value).ok_or_else(refused("invalid inhibit any policy extension"))
        } else if is(rfc5912::ID_PE_AUTHORITY_INFO_ACCESS) {
            self.not_critical("authority info access incorrectly marked critical")?;
            information_access(value).ok_or_else(refused("invalid authority info access"))
        } else {
            Ok(())
        }
    }

    fn not_critical(&self, text: &'static str) -> Result<(), X509Error> {
        if self.critical { Err(refused(text)()) } else { Ok(()) }
    }
}

fn key_usage(mut value: Elements<'_>) -> Option<()> {
    value.content(BIT_STRING).and_then(bit_string).map(drop)
}

/// An INTEGER of at most 64 bits.
fn small(mut value: Elements<'_>) -> Option<()> {
    value.integer().filter(|bytes| bytes.len() <= 8).map(drop)
}

fn basic_constraints(mut value: Elements<'_>) -> Option<()> {
    let mut constraints = value.inside(SEQUENCE)?;
    if constraints.next_is(BOOLEAN) {
        constraints.boolean()?;
    }
    if constraints.next_is(INTEGER) {
        let length = constraints.integer()?;
        if length.len() > 8 || length.first().is_some_and(|byte| byte & 0x80 != 0) {
            return None;
        }
    }
    Some(())
}

/// Of the names of a point Go reads URIs only, up to the first other one.
fn distribution_points(mut value: Elements<'_>) -> Result<(), X509Error> {
    let point = || refused("invalid CRL distribution point");
    let mut points = value.inside(SEQUENCE).ok_or_else(refused("invalid CRL distribution points"))?;
    while !points.is_empty() {
        let mut parts = points.inside(SEQUENCE).ok_or_else(point())?;
        let Some(mut name) = parts.optional(constructed(0)).ok_or_else(point())? else { continue };
        let mut full = name.inside(constructed(0)).ok_or_else(point())?;
        while full.next_is(URI) {
            full.content(URI).ok_or_else(point())?;
        }
    }
    Ok(())
}

fn authority_key_id(mut value: Elements<'_>) -> Option<()> {
    value.inside(SEQUENCE)?.optional(context(0)).map(drop)
}

fn extended_key_usage(mut value: Elements<'_>) -> Option<()> {
    let mut usages = value.inside(SEQUENCE)?;
    while !usages.is_empty() {
        usages.object_identifier()?;
    }
    Some(())
}

fn policies(mut value: Elements<'_>) -> Option<()> {
    let mut list = value.inside(SEQUENCE)?;
    let mut seen = Vec::new();
    while !list.is_empty() {
        let policy = list.inside(SEQUENCE)?.content(OBJECT_IDENTIFIER)?;
        if !is_policy(policy) || seen.contains(&policy) {
            return None;
        }
        seen.push(policy);
    }
    Some(())
}

/// An OID, but here Go takes numbers of any size.
fn is_policy(oid: &[u8]) -> bool {
    let ends = |byte: &u8| byte & 0x80 == 0;
    let padded = oid.first() == Some(&0x80) || oid.windows(2).any(|pair| ends(&pair[0]) && pair[1] == 0x80);
    oid.last().is_some_and(ends) && !padded
}

fn policy_mappings(mut value: Elements<'_>) -> Option<()> {
    let mut list = value.inside(SEQUENCE)?;
    while !list.is_empty() {
        let mut pair = list.inside(SEQUENCE)?;
        pair.content(OBJECT_IDENTIFIER)?;
        pair.content(OBJECT_IDENTIFIER)?;
    }
    Some(())
}

fn policy_constraints(mut value: Elements<'_>) -> Option<()> {
    let mut constraints = value.inside(SEQUENCE)?;
    for number in [0, 1] {
        if constraints.next_is(context(number)) {
            let skipped = constraints.content(context(number))?;
            if skipped.is_empty() || skipped.len() > 8 {
                return None;
            }
        }
    }
    Some(())
}

fn information_access(mut value: Elements<'_>) -> Option<()> {
    let mut list = value.inside(SEQUENCE)?;
    while !list.is_empty() {
        let mut access = list.inside(SEQUENCE)?;
        access.object_identifier()?;
        if access.next_is(URI) {
            access.content(URI)?;
        }
    }
    Some(())
}
