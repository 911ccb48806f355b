//! Relationships from `-data` (SC-313).

use serde_json::value::RawValue;
use spire_proto::types::FederationRelationship;

use super::relationship::{Written, WrittenBundle};
use crate::command::files;
use crate::command::json_input::{self, Member, Reading, Struct, Target};

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
    let document: Document = json_input::read(data)?;
    Ok(document.relationships.into_iter().map(Option::unwrap_or_default).collect())
}

#[derive(Default)]
struct Document {
    relationships: Vec<Option<Written>>,
}

impl Struct for Document {
    const PACKAGE: &'static str = "federation";
    const NAME: &'static str = "federationRelationships";

    fn members(&mut self) -> Vec<Member<'_>> {
        vec![Member("federationRelationships", &mut self.relationships)]
    }
}

impl Struct for Written {
    const PACKAGE: &'static str = "federation";
    const NAME: &'static str = "federationRelationshipConfig";

    fn members(&mut self) -> Vec<Member<'_>> {
        vec![
            Member("trustDomain", &mut self.trust_domain),
            Member("bundleEndpointURL", &mut self.url),
            Member("bundleEndpointProfile", &mut self.profile),
            Member("endpointSPIFFEID", &mut self.endpoint_id),
            Member("trustDomainBundle", &mut self.bundle),
            Member("trustDomainBundleFormat", &mut self.bundle_format),
        ]
    }
}

/// Whatever it is, it is read once the format is known; `null` is a bundle, too.
impl Target for WrittenBundle {
    fn type_name(&self) -> String {
        "json.RawMessage".to_owned()
    }

    fn store(&mut self, value: &RawValue, _: &mut Reading) {
        *self = Self::Inline(value.get().to_owned());
    }
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
        let twice =
            parse(br#"{"federationRelationships":[{"trustDomain":"q.test","TrustDomain":"r.test"}]}"#);
        assert_eq!(twice.unwrap()[0].trust_domain, "r.test");
    }

    #[test]
    fn what_does_not_fit_is_refused_in_the_words_of_go() {
        // SC-313
        for (document, expected) in [
            ("[]", "array into Go value of type federation.federationRelationships"),
            (
                r#"{"federationRelationships":{}}"#,
                "object into Go struct field federationRelationships.federationRelationships of type []*federation.federationRelationshipConfig",
            ),
            (
                r#"{"federationRelationships":[{"trustDomain":1}]}"#,
                "number into Go struct field federationRelationshipConfig.federationRelationships.trustDomain of type string",
            ),
        ] {
            let error = parse(document.as_bytes()).err();
            assert_eq!(error, Some(format!("json: cannot unmarshal {expected}")));
        }
    }
}
