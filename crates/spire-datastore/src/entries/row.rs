//! Between rows and entries.

use spire_types::{Entry, Selector, SpiffeId, SpiffeIdError, TrustDomain};

use super::attributes;
use crate::sql::Row;
use crate::{Result, time_text};

/// The columns that [`EntryRow::read`] expects, in order.
pub(super) const COLUMNS: &str = "id, entry_id, spiffe_id, parent_id, ttl, admin, downstream, expiry, revision_number, store_svid, hint, jwt_svid_ttl, additional_attributes, created_at";

/// An entry as stored; ids are not checked yet (SA-070).
#[derive(Debug, Clone)]
pub(crate) struct EntryRow {
    pub(crate) row_id: i64,
    pub(crate) entry: Unchecked,
    selectors: Vec<(i64, Selector)>,
    dns_names: Vec<(i64, String)>,
    federates_with: Vec<String>,
}

/// What the table itself holds.
#[derive(Debug, Clone)]
pub(crate) struct Unchecked {
    pub(crate) id: String,
    pub(crate) spiffe_id: String,
    pub(crate) parent_id: String,
    x509_svid_ttl: i32,
    jwt_svid_ttl: i32,
    admin: bool,
    downstream: bool,
    expires_at: i64,
    revision_number: i64,
    store_svid: bool,
    hint: String,
    created_at: i64,
    additional_attributes: Option<spire_types::AdditionalAttributes>,
}

impl EntryRow {
    pub(super) fn read(row: Row<'_>) -> Result<Self> {
        Ok(Self {
            row_id: row.int(0)?,
            entry: Unchecked {
                id: row.text(1)?.to_owned(),
                spiffe_id: row.text(2)?.to_owned(),
                parent_id: row.text(3)?.to_owned(),
                x509_svid_ttl: row.int32(4)?,
                admin: row.bool(5)?,
                downstream: row.bool(6)?,
                expires_at: row.int(7)?,
                revision_number: row.int(8)?,
                store_svid: row.bool(9)?,
                hint: row.text(10)?.to_owned(),
                jwt_svid_ttl: row.int32(11)?,
                additional_attributes: attributes::decode(row.bytes(12)?)?,
                created_at: row.time(13)?.map_or(0, time_text::rounded_unix),
            },
            selectors: Vec::new(),
            dns_names: Vec::new(),
            federates_with: Vec::new(),
        })
    }

    pub(super) fn add_selector(&mut self, row: Row<'_>) -> Result<()> {
        self.selectors.push((row.int(1)?, Selector::unchecked(row.text(2)?, row.text(3)?)));
        Ok(())
    }

    pub(super) fn add_dns_name(&mut self, row: Row<'_>) -> Result<()> {
        self.dns_names.push((row.int(1)?, row.text(2)?.to_owned()));
        Ok(())
    }

    pub(super) fn add_federated(&mut self, row: Row<'_>) -> Result<()> {
        self.federates_with.push(row.text(1)?.to_owned());
        Ok(())
    }

    pub(super) fn has_only(&self, selectors: &[Selector]) -> bool {
        self.selectors.iter().all(|(_, selector)| selectors.contains(selector))
    }

    /// IDs of the trust domains it federates with, in the order of the rows.
    pub(super) fn federates_with(&self) -> &[String] {
        &self.federates_with
    }

    /// Selectors and DNS names in the order they were written, trust domains in that of their names (SA-352).
    pub(crate) fn into_entry(mut self) -> std::result::Result<Entry, (String, SpiffeIdError)> {
        // An index may have handed them out in another order.
        self.selectors.sort_by_key(|(id, _)| *id);
        self.dns_names.sort_by_key(|(id, _)| *id);
        self.federates_with.sort_unstable();
        let row = self.entry;
        let parsed = (|| {
            let spiffe_id: SpiffeId = row.spiffe_id.parse()?;
            let parent_id: SpiffeId = row.parent_id.parse()?;
            let federates_with = self
                .federates_with
                .iter()
                .map(|td| TrustDomain::parse(td))
                .collect::<std::result::Result<_, _>>()?;
            Ok((spiffe_id, parent_id, federates_with))
        })();
        let (spiffe_id, parent_id, federates_with) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return Err((row.id, error)),
        };
        Ok(Entry {
            id: row.id,
            spiffe_id,
            parent_id,
            selectors: self.selectors.into_iter().map(|(_, selector)| selector).collect(),
            x509_svid_ttl: row.x509_svid_ttl,
            jwt_svid_ttl: row.jwt_svid_ttl,
            federates_with,
            admin: row.admin,
            downstream: row.downstream,
            expires_at: row.expires_at,
            dns_names: self.dns_names.into_iter().map(|(_, name)| name).collect(),
            revision_number: row.revision_number,
            store_svid: row.store_svid,
            hint: row.hint,
            created_at: row.created_at,
            additional_attributes: row.additional_attributes,
        })
    }
}
