//! An entry as people read it (SC-247).

use std::fmt::{Display, Write as _};

use spire_cli::go_text;
use spire_proto::types::Entry;

use crate::command::arguments::shown_id;

/// The lines about one entry, with an empty one at the end.
pub(super) fn block(entry: &Entry) -> String {
    let mut block = Block(String::with_capacity(512));
    block.line("Entry ID", if entry.id.is_empty() { "(none)" } else { &entry.id });
    block.line("SPIFFE ID", shown_id(entry.spiffe_id.as_ref()));
    block.line("Parent ID", shown_id(entry.parent_id.as_ref()));
    block.line("Revision", entry.revision_number);
    block.line_if("Downstream", entry.downstream);
    block.line("X509-SVID TTL", lifetime(entry.x509_svid_ttl));
    block.line("JWT-SVID TTL", lifetime(entry.jwt_svid_ttl));
    if entry.expires_at != 0 {
        block.line("Expiration time", go_text::utc_time(entry.expires_at));
    }
    for selector in &entry.selectors {
        block.line("Selector", format_args!("{}:{}", selector.r#type, selector.value));
    }
    entry.federates_with.iter().for_each(|domain| block.line("FederatesWith", domain));
    entry.dns_names.iter().for_each(|name| block.line("DNS name", name));
    block.line_if("Admin", entry.admin);
    block.line_if("StoreSvid", entry.store_svid);
    if !entry.hint.is_empty() {
        block.line("Hint", &entry.hint);
    }
    if let Some(attributes) = &entry.additional_attributes {
        block.line_if("DisableX509SvidPrefetch", attributes.disable_x509_svid_prefetch);
        block.line_if("JwtSvidIncludeJti", attributes.jwt_svid_include_jti);
    }
    block.0.push('\n');
    block.0
}

struct Block(String);

impl Block {
    fn line(&mut self, label: &str, value: impl Display) {
        let _ = writeln!(self.0, "{label:<24}: {value}");
    }

    /// What is rare is shown only when it is so.
    fn line_if(&mut self, label: &str, value: bool) {
        if value {
            self.line(label, value);
        }
    }
}

fn lifetime(seconds: i32) -> String {
    match seconds {
        0 => "default".to_owned(),
        seconds => seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use spire_proto::types::entry::AdditionalAttributes;
    use spire_proto::types::{Selector, Spiffeid};

    use super::*;

    fn id(path: &str) -> Option<Spiffeid> {
        Some(Spiffeid { trust_domain: "example.org".into(), path: path.into() })
    }

    #[test]
    fn an_entry_with_everything_shows_everything() {
        // SC-247
        let entry = Entry {
            id: "6837984a".into(),
            spiffe_id: id("/web"),
            parent_id: id("/spire/agent/x"),
            downstream: true,
            x509_svid_ttl: 60,
            expires_at: 1_552_410_266,
            selectors: vec![Selector { r#type: "unix".into(), value: "uid:1000".into() }],
            federates_with: vec!["domaina.test".into()],
            dns_names: vec!["db".into()],
            admin: true,
            store_svid: true,
            hint: "internal".into(),
            additional_attributes: Some(AdditionalAttributes {
                disable_x509_svid_prefetch: true,
                jwt_svid_include_jti: true,
            }),
            ..Entry::default()
        };
        assert_eq!(
            block(&entry),
            "Entry ID                : 6837984a\n\
             SPIFFE ID               : spiffe://example.org/web\n\
             Parent ID               : spiffe://example.org/spire/agent/x\n\
             Revision                : 0\n\
             Downstream              : true\n\
             X509-SVID TTL           : 60\n\
             JWT-SVID TTL            : default\n\
             Expiration time         : 2019-03-12 17:04:26 +0000 UTC\n\
             Selector                : unix:uid:1000\n\
             FederatesWith           : domaina.test\n\
             DNS name                : db\n\
             Admin                   : true\n\
             StoreSvid               : true\n\
             Hint                    : internal\n\
             DisableX509SvidPrefetch : true\n\
             JwtSvidIncludeJti       : true\n\n"
        );
    }

    #[test]
    fn an_entry_without_id_says_so() {
        // SC-247
        let entry = Entry { spiffe_id: id("/web"), parent_id: id("/p"), ..Entry::default() };
        let text = block(&entry);
        assert!(text.starts_with("Entry ID                : (none)\n"), "{text}");
        assert!(text.ends_with("JWT-SVID TTL            : default\n\n"), "{text}");
    }
}
