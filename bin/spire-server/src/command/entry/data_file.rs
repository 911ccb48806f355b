//! Entries from `-data` (SC-248, SC-249). The names differ from those that `-output json` prints.

use spire_proto::types::entry::AdditionalAttributes;
use spire_proto::types::{Entry, Selector};
use spire_types::TrustDomain;

use crate::command::json_input::{self, Member, Struct};
use crate::command::{arguments, files};

/// Reads the entries of a file; `-` is standard input.
pub(super) fn read(path: &str) -> Result<Vec<Entry>, String> {
    parse(&files::read_or_stdin(path)?)
}

/// JSON is judged as a whole before the first entry is.
fn parse(data: &[u8]) -> Result<Vec<Entry>, String> {
    let document: Document = json_input::read(data)?;
    let entry = |written: Option<Written>| written.ok_or("missing registration entry")?.entry();
    document.entries.into_iter().map(entry).collect()
}

#[derive(Default)]
struct Document {
    entries: Vec<Option<Written>>,
}

/// An entry as it was written.
#[derive(Default)]
struct Written {
    spiffe_id: String,
    parent_id: String,
    federates_with: Vec<String>,
    selectors: Vec<Option<Selector>>,
    /// All the rest.
    entry: Entry,
}

impl Written {
    fn entry(self) -> Result<Entry, String> {
        let spiffe_id = arguments::spiffe_id(&self.spiffe_id);
        let parent_id = arguments::spiffe_id(&self.parent_id);
        let name = |text: &String| match TrustDomain::parse(text) {
            Ok(domain) => Ok(domain.as_str().to_owned()),
            Err(error) => Err(format!("invalid federated trust domain: {error}")),
        };
        Ok(Entry {
            spiffe_id: Some(spiffe_id.map_err(|error| format!("invalid SPIFFE ID: {error}"))?),
            parent_id: Some(parent_id.map_err(|error| format!("invalid parent ID: {error}"))?),
            federates_with: self.federates_with.iter().map(name).collect::<Result<_, _>>()?,
            selectors: self.selectors.into_iter().map(Option::unwrap_or_default).collect(),
            ..self.entry
        })
    }
}

impl Struct for Document {
    const PACKAGE: &'static str = "common";
    const NAME: &'static str = "RegistrationEntries";

    fn members(&mut self) -> Vec<Member<'_>> {
        vec![Member("entries", &mut self.entries)]
    }
}

impl Struct for Written {
    const PACKAGE: &'static str = "common";
    const NAME: &'static str = "RegistrationEntry";

    fn members(&mut self) -> Vec<Member<'_>> {
        let entry = &mut self.entry;
        vec![
            Member("selectors", &mut self.selectors),
            Member("parent_id", &mut self.parent_id),
            Member("spiffe_id", &mut self.spiffe_id),
            Member("x509_svid_ttl", &mut entry.x509_svid_ttl),
            Member("federates_with", &mut self.federates_with),
            Member("entry_id", &mut entry.id),
            Member("admin", &mut entry.admin),
            Member("downstream", &mut entry.downstream),
            Member("entryExpiry", &mut entry.expires_at),
            Member("dns_names", &mut entry.dns_names),
            Member("revision_number", &mut entry.revision_number),
            Member("store_svid", &mut entry.store_svid),
            Member("jwt_svid_ttl", &mut entry.jwt_svid_ttl),
            Member("hint", &mut entry.hint),
            Member("created_at", &mut entry.created_at),
            Member("additional_attributes", &mut entry.additional_attributes),
        ]
    }
}

impl Struct for Selector {
    const PACKAGE: &'static str = "common";
    const NAME: &'static str = "Selector";

    fn members(&mut self) -> Vec<Member<'_>> {
        vec![Member("type", &mut self.r#type), Member("value", &mut self.value)]
    }
}

impl Struct for AdditionalAttributes {
    const PACKAGE: &'static str = "common";
    const NAME: &'static str = "RegistrationEntry_AdditionalAttributes";

    fn members(&mut self) -> Vec<Member<'_>> {
        vec![
            Member("disable_x509_svid_prefetch", &mut self.disable_x509_svid_prefetch),
            Member("jwt_svid_include_jti", &mut self.jwt_svid_include_jti),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_by_its_names_in_any_case() {
        // SC-248, SC-249
        let entries = parse(
            br#"{"Entries": [{"Entry_ID": "e", "spiffe_id": "spiffe://td/a", "parent_id": "spiffe://td/p",
                 "selectors": [{"Type": "unix", "value": "uid:0"}], "entryExpiry": 7, "nosuch": 1, "hint": null,
                 "federates_with": ["spiffe://other", "other"],
                 "additional_attributes": {"jwt_svid_include_jti": true}}]}"#,
        )
        .unwrap();
        let [entry] = &entries[..] else { panic!("one entry") };
        assert_eq!((entry.id.as_str(), entry.expires_at), ("e", 7));
        assert_eq!(entry.federates_with, ["other", "other"]);
        assert_eq!(entry.selectors[0].value, "uid:0");
        assert!(entry.additional_attributes.as_ref().unwrap().jwt_svid_include_jti);
        let twice = br#"{"entries":[{"spiffe_id":"spiffe://td/d","parent_id":"spiffe://td/p","SPIFFE_ID":"spiffe://td/up"}]}"#;
        assert_eq!(parse(twice).unwrap()[0].spiffe_id.as_ref().unwrap().path, "/up");
        assert_eq!(parse(b"{}").unwrap(), []);
        assert_eq!(parse(b"null").unwrap(), []);
    }

    #[test]
    fn an_entry_that_cannot_be_is_refused_with_the_member_that_is_wrong() {
        // SC-249
        for (document, error) in [
            (r#"{"entries":[{}]}"#, "invalid SPIFFE ID: cannot be empty"),
            (r#"{"entries":[null]}"#, "missing registration entry"),
            (
                r#"{"entries":[{"spiffe_id":"spiffe://td/a","parent_id":"x"}]}"#,
                "invalid parent ID: scheme is missing or invalid",
            ),
            (
                r#"{"entries":[{},{"entry_id":5}]}"#,
                "json: cannot unmarshal number into Go struct field RegistrationEntry.entries.entry_id of type string",
            ),
            (
                r#"{"entries":[{"selectors":[{"type":1}]}],"Entries":[]}"#,
                "json: cannot unmarshal number into Go struct field Selector.entries.selectors.type of type string",
            ),
            (
                r#"{"entries":[{"selectors":"unix:uid:0"}]}"#,
                "json: cannot unmarshal string into Go struct field RegistrationEntry.entries.selectors of type []*common.Selector",
            ),
            ("[]", "json: cannot unmarshal array into Go value of type common.RegistrationEntries"),
        ] {
            assert_eq!(parse(document.as_bytes()).unwrap_err(), error, "{document}");
        }
    }
}
