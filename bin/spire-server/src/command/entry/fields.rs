//! Entries from flags: what `create` and `update` share (SC-240, SC-241, SC-250).

use spire_cli::FlagSet;
use spire_proto::types::{Entry, Spiffeid};

use crate::command::arguments;

/// Declares the flags that both commands have, but for `-entryID`, whose words differ.
pub(super) fn flags(flags: &mut FlagSet) {
    flags.string("parentID", "", "The SPIFFE ID of this record's parent");
    flags.string("spiffeID", "", "The SPIFFE ID that this record represents");
    flags.int(
        "x509SVIDTTL",
        0,
        "The lifetime, in seconds, for x509-SVIDs issued based on this registration entry.",
    );
    flags.int(
        "jwtSVIDTTL",
        0,
        "The lifetime, in seconds, for JWT-SVIDs issued based on this registration entry.",
    );
    flags.string(
        "data",
        "",
        "Path to a file containing registration JSON (optional). If set to '-', read the JSON from stdin.",
    );
    flags.list("selector", "A colon-delimited type:value selector. Can be used more than once");
    flags.list("federatesWith", "SPIFFE ID of a trust domain to federate with. Can be used more than once");
    flags.bool(
        "admin",
        "If set, the SPIFFE ID in this entry will be granted access to the SPIRE Server's management APIs",
    );
    flags.bool(
        "storeSVID",
        "A boolean value that, when set, indicates that the resulting issued SVID from this entry must be stored \
         through an SVIDStore plugin",
    );
    flags.bool(
        "downstream",
        "A boolean value that, when set, indicates that the entry describes a downstream SPIRE server",
    );
    flags.int(
        "entryExpiry",
        0,
        "An expiry, from epoch in seconds, for the resulting registration entry to be pruned",
    );
    flags.list(
        "dns",
        "A DNS name that will be included in SVIDs issued based on this entry, where appropriate. Can be used more \
         than once",
    );
    flags.string("hint", "", "The entry hint, used to disambiguate entries with the same SPIFFE ID");
}

pub(super) const DISABLE_PREFETCH: &str = "disableX509SVIDPrefetch";
pub(super) const DISABLE_PREFETCH_USAGE: &str =
    "A boolean value that, when set, disables prefetching X509 SVID for this entry";
pub(super) const INCLUDE_JTI: &str = "jwtSVIDIncludeJTI";
pub(super) const INCLUDE_JTI_USAGE: &str = "A boolean value that, when set, includes a unique 'jti' claim in \
                                            JWT-SVIDs issued for this entry and bypasses the agent JWT-SVID cache";

/// Negative lifetimes are refused before anything is parsed.
pub(super) fn check_lifetimes(flags: &FlagSet) -> Result<(), String> {
    if flags.number("x509SVIDTTL") < 0 {
        return Err("a positive x509-SVID TTL is required".to_owned());
    }
    if flags.number("jwtSVIDTTL") < 0 {
        return Err("a positive JWT-SVID TTL is required".to_owned());
    }
    Ok(())
}

/// The entry that the flags describe, additional attributes excepted.
pub(super) fn entry(flags: &FlagSet, spiffe_id: Spiffeid, parent_id: Spiffeid) -> Result<Entry, String> {
    let lifetime = |flag, name| {
        arguments::int32(flags.number(flag))
            .map_err(|error| format!("invalid value for {name} SVID TTL: {error}"))
    };
    let (x509_svid_ttl, jwt_svid_ttl) = (lifetime("x509SVIDTTL", "X509")?, lifetime("jwtSVIDTTL", "JWT")?);
    let selectors = flags.texts("selector").iter().map(|text| arguments::selector(text));
    Ok(Entry {
        id: flags.text("entryID").to_owned(),
        spiffe_id: Some(spiffe_id),
        parent_id: Some(parent_id),
        selectors: selectors.collect::<Result<_, _>>()?,
        x509_svid_ttl,
        jwt_svid_ttl,
        // The server takes names and ids (SC-243).
        federates_with: flags.texts("federatesWith").to_vec(),
        admin: flags.is("admin"),
        downstream: flags.is("downstream"),
        expires_at: flags.number("entryExpiry"),
        dns_names: flags.texts("dns").to_vec(),
        store_svid: flags.is("storeSVID"),
        hint: flags.text("hint").to_owned(),
        ..Entry::default()
    })
}
