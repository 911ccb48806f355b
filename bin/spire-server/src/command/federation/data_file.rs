//! Relationships from `-data` (SC-313).

use serde_json::Value;
use spire_proto::types::FederationRelationship;

use super::relationship::{Written, WrittenBundle};
use crate::command::files;
use crate::command::json_input::{self, Fields};

/// Reads the relationships of a file; `-` is standard input.
pub(super) fn read(path: &str) -> Result<Vec<FederationRelationship>, String> {
    let data = files::read_or_stdin(path)?;
    let written = parse(&data).map_err(|error| format!("failed to parse JSON: {error}"))?;
    let items = written.into_iter().enumerate();
    let relationship = |(index, item): (usize, Written)| {
        item.relationship().map_err(|error| format!("could not parse item {index}: {error}"))
    };
    items.map(relationship).collect()
}

fn parse(data: &[u8]) -> Result<Vec<Written>, String> {
    let document = json_input::parse(data)?;
    let fields = Fields::of(&document, "federationRelationships")?;
    let items = fields.items("federationRelationships", "[]federationRelationshipConfig")?;
    items.iter().map(written).collect()
}

fn written(value: &Value) -> Result<Written, String> {
    let fields = Fields::of(value, "federationRelationshipConfig")?;
    Ok(Written {
        trust_domain: fields.text("trustDomain")?,
        url: fields.text("bundleEndpointURL")?,
        profile: fields.text("bundleEndpointProfile")?,
        endpoint_id: fields.text("endpointSPIFFEID")?,
        bundle: fields
            .raw("trustDomainBundle")
            .map_or(WrittenBundle::None, |value| WrittenBundle::Inline(value.clone())),
        bundle_format: fields.text("trustDomainBundleFormat")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_in_any_case_and_defaults_of_flags_do_not() {
        // SC-313
        let written = parse(br#"{"FederationRelationships":[{"TRUSTDOMAIN":"a.test"}]}"#).unwrap();
        assert_eq!(written[0].trust_domain, "a.test");
        assert_eq!(written[0].bundle_format, "");
        assert!(parse(b"{}").unwrap().is_empty());
        assert!(parse(b"[]").is_err());
    }
}
