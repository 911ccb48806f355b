//! Entries from `-data` (SC-248, SC-249). The names differ from those that `-output json` prints.

use serde_json::Value;
use spire_proto::types::entry::AdditionalAttributes;
use spire_proto::types::{Entry, Selector};
use spire_types::TrustDomain;

use crate::command::json_input::{self, Fields};
use crate::command::{arguments, files};

/// Reads the entries of a file; `-` is standard input.
pub(super) fn read(path: &str) -> Result<Vec<Entry>, String> {
    parse(&files::read_or_stdin(path)?)
}

/// JSON is judged as a whole before the first entry is.
fn parse(data: &[u8]) -> Result<Vec<Entry>, String> {
    let document = json_input::parse(data)?;
    let items = Fields::of(&document, "RegistrationEntries")?.items("entries", "[]RegistrationEntry")?;
    let written = items.iter().map(Written::read).collect::<Result<Vec<_>, _>>()?;
    written.into_iter().map(Written::entry).collect()
}

/// An entry as it was written.
struct Written {
    missing: bool,
    spiffe_id: String,
    parent_id: String,
    federates_with: Vec<String>,
    /// All the rest.
    entry: Entry,
}

impl Written {
    fn read(value: &Value) -> Result<Self, String> {
        let fields = Fields::of(value, "RegistrationEntry")?;
        let entry = Entry {
            id: fields.text("entry_id")?,
            selectors: selectors(&fields)?,
            x509_svid_ttl: fields.int32("x509_svid_ttl")?,
            jwt_svid_ttl: fields.int32("jwt_svid_ttl")?,
            admin: fields.boolean("admin")?,
            downstream: fields.boolean("downstream")?,
            expires_at: fields.int64("entryExpiry")?,
            dns_names: fields.texts("dns_names")?,
            revision_number: fields.int64("revision_number")?,
            store_svid: fields.boolean("store_svid")?,
            hint: fields.text("hint")?,
            created_at: fields.int64("created_at")?,
            additional_attributes: attributes(&fields)?,
            ..Entry::default()
        };
        Ok(Self {
            missing: value.is_null(),
            spiffe_id: fields.text("spiffe_id")?,
            parent_id: fields.text("parent_id")?,
            federates_with: fields.texts("federates_with")?,
            entry,
        })
    }

    fn entry(self) -> Result<Entry, String> {
        if self.missing {
            return Err("missing registration entry".to_owned());
        }
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
            ..self.entry
        })
    }
}

fn selectors(fields: &Fields<'_>) -> Result<Vec<Selector>, String> {
    let selector = |value: &Value| {
        let fields = Fields::of(value, "Selector")?;
        Ok(Selector { r#type: fields.text("type")?, value: fields.text("value")? })
    };
    fields.items("selectors", "[]Selector")?.iter().map(selector).collect()
}

fn attributes(fields: &Fields<'_>) -> Result<Option<AdditionalAttributes>, String> {
    let Some(value) = fields.raw("additional_attributes").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let fields = Fields::of(value, "RegistrationEntry_AdditionalAttributes")?;
    Ok(Some(AdditionalAttributes {
        disable_x509_svid_prefetch: fields.boolean("disable_x509_svid_prefetch")?,
        jwt_svid_include_jti: fields.boolean("jwt_svid_include_jti")?,
    }))
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
                "json: cannot unmarshal number into Go struct field RegistrationEntry.entry_id of type string",
            ),
        ] {
            assert_eq!(parse(document.as_bytes()).unwrap_err(), error, "{document}");
        }
    }
}
