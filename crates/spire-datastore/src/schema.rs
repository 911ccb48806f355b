//! Tables and indexes of schema version 25 (SA-272..293).
//!
//! SPIRE looks names up with LIKE in the stored text of the statements, so index names stay unquoted and column
//! names keep their quotes (SA-294).

/// The version these statements make.
pub(crate) const VERSION: i64 = 25;

/// The oldest version that can be brought up to [`VERSION`] (SA-306).
pub(crate) const OLDEST: i64 = 23;

const COMMON: &str = r#""id" integer primary key autoincrement,"created_at" datetime,"updated_at" datetime,"#;

const TABLES: [(&str, &str); 12] = [
    ("bundles", r#""trust_domain" varchar(255) NOT NULL,"data" blob"#),
    (
        "attested_node_entries",
        r#""spiffe_id" varchar(255),"data_type" varchar(255),"serial_number" varchar(255),"expires_at" datetime,"new_serial_number" varchar(255),"new_expires_at" datetime,"can_reattest" bool,"agent_version" varchar(255)"#,
    ),
    ("attested_node_entries_events", r#""spiffe_id" varchar(255)"#),
    ("node_resolver_map_entries", r#""spiffe_id" varchar(255),"type" varchar(255),"value" varchar(255)"#),
    (
        "registered_entries",
        r#""entry_id" varchar(255),"spiffe_id" varchar(255),"parent_id" varchar(255),"ttl" integer,"admin" bool,"downstream" bool,"expiry" bigint,"revision_number" bigint,"store_svid" bool,"hint" varchar(255),"jwt_svid_ttl" integer,"additional_attributes" blob"#,
    ),
    ("registered_entries_events", r#""entry_id" varchar(255)"#),
    ("join_tokens", r#""token" varchar(255),"expiry" bigint"#),
    ("selectors", r#""registered_entry_id" integer,"type" varchar(255),"value" varchar(255)"#),
    ("migrations", r#""version" integer,"code_version" varchar(255)"#),
    ("dns_names", r#""registered_entry_id" integer,"value" varchar(255)"#),
    (
        "federated_trust_domains",
        r#""trust_domain" varchar(255) NOT NULL,"bundle_endpoint_url" varchar(255),"bundle_endpoint_profile" varchar(255),"endpoint_spiffe_id" varchar(255),"implicit" bool"#,
    ),
    (
        "ca_journals",
        r#""data" blob,"active_x509_authority_id" varchar(255),"active_jwt_authority_id" varchar(255)"#,
    ),
];

const JOIN_TABLE: &str = r#"CREATE TABLE IF NOT EXISTS "federated_registration_entries" ("bundle_id" integer,"registered_entry_id" integer, PRIMARY KEY ("bundle_id","registered_entry_id"))"#;

const INDEXES: [&str; 17] = [
    r#"CREATE UNIQUE INDEX IF NOT EXISTS uix_bundles_trust_domain ON "bundles"(trust_domain) "#,
    r#"CREATE INDEX IF NOT EXISTS idx_attested_node_entries_expires_at ON "attested_node_entries"(expires_at) "#,
    r#"CREATE UNIQUE INDEX IF NOT EXISTS uix_attested_node_entries_spiffe_id ON "attested_node_entries"(spiffe_id) "#,
    r#"CREATE UNIQUE INDEX IF NOT EXISTS idx_node_resolver_map ON "node_resolver_map_entries"(spiffe_id, "type", "value") "#,
    r#"CREATE INDEX IF NOT EXISTS idx_registered_entries_spiffe_id ON "registered_entries"(spiffe_id) "#,
    r#"CREATE INDEX IF NOT EXISTS idx_registered_entries_parent_id ON "registered_entries"(parent_id) "#,
    r#"CREATE INDEX IF NOT EXISTS idx_registered_entries_expiry ON "registered_entries"("expiry") "#,
    r#"CREATE INDEX IF NOT EXISTS idx_registered_entries_hint ON "registered_entries"("hint") "#,
    r#"CREATE UNIQUE INDEX IF NOT EXISTS uix_registered_entries_entry_id ON "registered_entries"(entry_id) "#,
    r#"CREATE UNIQUE INDEX IF NOT EXISTS uix_join_tokens_token ON "join_tokens"("token") "#,
    r#"CREATE INDEX IF NOT EXISTS idx_selectors_type_value ON "selectors"("type", "value") "#,
    r#"CREATE UNIQUE INDEX IF NOT EXISTS idx_selector_entry ON "selectors"(registered_entry_id, "type", "value") "#,
    r#"CREATE UNIQUE INDEX IF NOT EXISTS idx_dns_entry ON "dns_names"(registered_entry_id, "value") "#,
    r#"CREATE UNIQUE INDEX IF NOT EXISTS uix_federated_trust_domains_trust_domain ON "federated_trust_domains"(trust_domain) "#,
    r#"CREATE INDEX IF NOT EXISTS idx_ca_journals_active_x509_authority_id ON "ca_journals"(active_x509_authority_id) "#,
    r#"CREATE INDEX IF NOT EXISTS idx_ca_journals_active_jwt_authority_id ON "ca_journals"(active_jwt_authority_id) "#,
    r#"CREATE INDEX IF NOT EXISTS idx_federated_registration_entries_registered_entry_id ON "federated_registration_entries"(registered_entry_id) "#,
];

/// Every statement that makes an empty database a current one; what is there already stays.
pub(crate) fn statements() -> Vec<String> {
    let tables = TABLES
        .iter()
        .map(|(name, columns)| format!("CREATE TABLE IF NOT EXISTS \"{name}\" ({COMMON}{columns} )"));
    std::iter::once(JOIN_TABLE.to_owned())
        .chain(tables)
        .chain(INDEXES.iter().map(|index| (*index).to_owned()))
        .collect()
}

/// The column that the step from `version` to the next adds (SA-306): table, column, type.
pub(crate) fn added_column(version: i64) -> Option<(&'static str, &'static str, &'static str)> {
    match version {
        23 => Some(("attested_node_entries", "agent_version", "varchar(255)")),
        24 => Some(("registered_entries", "additional_attributes", "blob")),
        _ => None,
    }
}
