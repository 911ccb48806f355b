//! Which databases this version may run on, and how it brings older ones up (SA-306..316).

use spire_runtime::build_info;
use spire_runtime::logging::go_quote;

use crate::Result;
use crate::error::DatastoreError;
use crate::schema;
use crate::sql::Query;
use crate::store::Datastore;
use crate::transaction::Tx;

pub(crate) async fn migrate(store: &Datastore, disabled: bool) -> Result<()> {
    migrate_as(store, disabled, build_info::VERSION).await
}

/// The same for a given code version.
async fn migrate_as(store: &Datastore, disabled: bool, code: &str) -> Result<()> {
    let ours = CodeVersion::parse(code).map_err(DatastoreError::sql)?;
    if ours.major > 1 {
        tracing::error!(subsystem_name = "sql", "Migration code needs updating for current release version");
        return Err(DatastoreError::sql(
            "current migration code not compatible with current release version",
        ));
    }
    let mut tx = store.begin_write().await?;
    if !has_table(&mut tx, "migrations").await? {
        tracing::info!(subsystem_name = "sql", "Initializing new database");
        initialise(&mut tx, code).await?;
        return tx.commit().await;
    }
    let (schema_version, stored) = current_row(&mut tx).await?;
    tx.commit().await?;

    let theirs = match stored.as_str() {
        "" => CodeVersion::default(),
        text => CodeVersion::parse(text).map_err(|error| {
            let error = format!("unable to parse code version from DB: {error}");
            tracing::error!(subsystem_name = "sql", schema = %schema_version, error = %error, "Error getting DB code version");
            DatastoreError::sql(format!("error getting DB code version: {error}"))
        })?,
    };
    let info = |message: &str| {
        tracing::info!(subsystem_name = "sql", schema = %schema_version, version_info = %theirs, "{message}");
    };

    if schema_version == schema::VERSION {
        tracing::debug!(
            subsystem_name = "sql", schema = %schema_version, version_info = %theirs,
            "Code and DB schema versions are the same. No migration needed"
        );
        if ours > theirs {
            let mut tx = store.begin_write().await?;
            set_version(&mut tx, schema::VERSION, code).await?;
            tx.commit().await?;
        }
        return Ok(());
    }
    if disabled {
        if ours.compatible(&theirs) {
            return Ok(());
        }
        let error = "auto-migration must be enabled for current DB";
        tracing::error!(
            subsystem_name = "sql", schema = %schema_version, version_info = %theirs, error,
            "Auto-migrate must be enabled"
        );
        return Err(DatastoreError::sql(error));
    }
    if schema_version > schema::VERSION {
        if ours.compatible(&theirs) {
            tracing::warn!(
                subsystem_name = "sql", schema = %schema_version, version_info = %theirs,
                "DB schema is ahead of code version, upgrading SPIRE Server is recommended"
            );
            return Ok(());
        }
        tracing::error!(
            subsystem_name = "sql", schema = %schema_version, version_info = %theirs,
            "Incompatible DB schema is too new for code version, upgrade SPIRE Server"
        );
        return Err(DatastoreError::sql("incompatible DB schema and code version"));
    }
    info("Running migrations...");
    for version in schema_version..schema::VERSION {
        tracing::info!(subsystem_name = "sql", schema = %schema_version, version_info = version, "Migrating version");
        step(store, version, code).await?;
    }
    info("Done running migrations");
    Ok(())
}

/// One version up, in one transaction (SA-312).
async fn step(store: &Datastore, version: i64, code: &str) -> Result<()> {
    let mut tx = store.begin_write().await?;
    set_version(&mut tx, version + 1, code).await?;
    if version < schema::OLDEST {
        return Err(DatastoreError::sql(format!(
            "migrating from schema version {version} requires a previous SPIRE release; please follow the upgrade strategy at doc/upgrading.md"
        )));
    }
    add_column(&mut tx, version).await?;
    tx.commit().await
}

/// What the step from `version` adds, unless it is there already.
async fn add_column(tx: &mut Tx, version: i64) -> Result<()> {
    let Some((table, column, kind)) = schema::added_column(version) else {
        return Err(DatastoreError::sql(format!(
            "no migration support for unknown schema version {version}"
        )));
    };
    if !has_column(tx, table, column).await? {
        let mut alter = Query::build();
        alter.push(&format!("ALTER TABLE \"{table}\" ADD \"{column}\" {kind}"));
        tx.execute(alter).await?;
    }
    Ok(())
}

/// A database whose `migrations` are lost counts as new and keeps its other tables (SA-307).
async fn initialise(tx: &mut Tx, code: &str) -> Result<()> {
    let mut all = Query::build();
    for statement in schema::statements() {
        all.push(&statement).push(";");
    }
    tx.execute(all).await?;
    for version in schema::OLDEST..schema::VERSION {
        add_column(tx, version).await?;
    }
    insert_row(tx, schema::VERSION, code).await
}

async fn insert_row(tx: &mut Tx, version: i64, code: &str) -> Result<()> {
    let stamp = tx.stamp();
    tx.execute(
        Query::new(
            "INSERT INTO migrations (created_at, updated_at, version, code_version) VALUES (?, ?, ?, ?)",
        )
        .bind(stamp.clone())
        .bind(stamp)
        .bind(version)
        .bind(code),
    )
    .await?;
    Ok(())
}

/// The first row counts; an empty table gets one that says "version 0" (SA-314).
async fn current_row(tx: &mut Tx) -> Result<(i64, String)> {
    let query = Query::new("SELECT version, code_version FROM migrations ORDER BY id LIMIT 1");
    let row = tx.first(query, |row| Ok((row.int(0)?, row.text(1)?.to_owned()))).await?;
    match row {
        Some(row) => Ok(row),
        None => {
            insert_row(tx, 0, "").await?;
            Ok((0, String::new()))
        }
    }
}

/// Every row, as upstream does it (SA-314).
async fn set_version(tx: &mut Tx, version: i64, code: &str) -> Result<()> {
    let stamp = tx.stamp();
    let update = Query::new("UPDATE migrations SET updated_at = ?, version = ?, code_version = ?");
    tx.execute(update.bind(stamp).bind(version).bind(code)).await?;
    Ok(())
}

async fn has_table(tx: &mut Tx, name: &str) -> Result<bool> {
    let query = Query::new("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?").bind(name);
    Ok(tx.first(query, |row| row.int(0)).await? > Some(0))
}

async fn has_column(tx: &mut Tx, table: &str, column: &str) -> Result<bool> {
    let query =
        Query::new("SELECT count(*) FROM pragma_table_info(?) WHERE name = ?").bind(table).bind(column);
    Ok(tx.first(query, |row| row.int(0)).await? > Some(0))
}

/// A strict `major.minor.patch[-pre]` (SA-308).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct CodeVersion {
    major: u64,
    minor: u64,
    patch: u64,
    pre: Vec<String>,
    build: String,
}

impl CodeVersion {
    /// In the words of the library that SPIRE reads them with.
    fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let [major, minor, rest] = text.splitn(3, '.').collect::<Vec<_>>()[..] else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (major, minor) = (number("major", major)?, number("minor", minor)?);
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        let patch = number("patch", patch)?;
        let pre: Vec<String> = pre.iter().flat_map(|pre| pre.split('.')).map(str::to_owned).collect();
        pre.iter().try_for_each(|part| check_prerelease(part))?;
        build.iter().flat_map(|build| build.split('.')).try_for_each(check_build)?;
        Ok(Self { major, minor, patch, pre, build: build.unwrap_or_default().to_owned() })
    }

    /// Same major, minors at most one apart.
    fn compatible(&self, other: &Self) -> bool {
        self.major == other.major && self.minor.abs_diff(other.minor) <= 1
    }
}

fn only_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn only_identifier(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn has_leading_zeroes(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

fn number(name: &str, digits: &str) -> std::result::Result<u64, String> {
    if !only_digits(digits) {
        return Err(format!("Invalid character(s) found in {name} number {}", go_quote(digits)));
    }
    if has_leading_zeroes(digits) {
        let (first, rest) = name.split_at(1);
        let name = first.to_uppercase() + rest;
        return Err(format!("{name} number must not contain leading zeroes {}", go_quote(digits)));
    }
    let reason = if digits.is_empty() { "invalid syntax" } else { "value out of range" };
    digits.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: {reason}", go_quote(digits)))
}

fn check_prerelease(part: &str) -> std::result::Result<(), String> {
    if part.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if only_digits(part) && has_leading_zeroes(part) {
        let part = go_quote(part);
        return Err(format!("Numeric PreRelease version must not contain leading zeroes {part}"));
    }
    if !only_identifier(part) {
        return Err(format!("Invalid character(s) found in prerelease {}", go_quote(part)));
    }
    Ok(())
}

fn check_build(part: &str) -> std::result::Result<(), String> {
    if part.is_empty() {
        return Err("Build meta data is empty".to_owned());
    }
    if !only_identifier(part) {
        return Err(format!("Invalid character(s) found in build meta data {}", go_quote(part)));
    }
    Ok(())
}

impl PartialOrd for CodeVersion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        use std::cmp::Ordering;
        let core = (self.major, self.minor, self.patch).cmp(&(other.major, other.minor, other.patch));
        let pre = || match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let differing = self.pre.iter().zip(&other.pre).map(|(a, b)| identifiers(a, b));
                differing
                    .into_iter()
                    .find(|order| order.is_ne())
                    .unwrap_or_else(|| self.pre.len().cmp(&other.pre.len()))
            }
        };
        Some(core.then_with(pre))
    }
}

/// Numbers order as numbers and below words.
fn identifiers(a: &str, b: &str) -> std::cmp::Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => std::cmp::Ordering::Less,
        (Err(_), Ok(_)) => std::cmp::Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

impl std::fmt::Display for CodeVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre.join("."))?;
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_strictly_and_refused_in_upstreams_words() {
        // SA-308
        for text in ["1.15.3", "1.15.3-dev-unk", "1.15.3-rc.1+build.007", "0.0.0"] {
            assert_eq!(CodeVersion::parse(text).unwrap().to_string(), text);
        }
        for (text, expected) in [
            ("1.15", "No Major.Minor.Patch elements found"),
            ("v1.15.3", "Invalid character(s) found in major number \"v1\""),
            ("1-a.2.3", "Invalid character(s) found in major number \"1-a\""),
            ("1.015.3", "Minor number must not contain leading zeroes \"015\""),
            ("1.15.", "strconv.ParseUint: parsing \"\": invalid syntax"),
            ("1.15.x", "Invalid character(s) found in patch number \"x\""),
            ("1.15.3-", "Prerelease is empty"),
            ("1.15.3-01", "Numeric PreRelease version must not contain leading zeroes \"01\""),
            ("1.15.3-a_b", "Invalid character(s) found in prerelease \"a_b\""),
            ("1.15.3+", "Build meta data is empty"),
            ("1.15.3+a b", "Invalid character(s) found in build meta data \"a b\""),
        ] {
            assert_eq!(CodeVersion::parse(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn versions_order_by_number_and_prereleases_come_first() {
        // SA-309
        let order =
            ["0.9.9", "1.15.3-1", "1.15.3-2", "1.15.3-10", "1.15.3-dev", "1.15.3-dev.1", "1.15.3", "1.15.10"];
        for pair in order.windows(2) {
            let [a, b] = pair else { continue };
            assert!(CodeVersion::parse(a).unwrap() < CodeVersion::parse(b).unwrap(), "{a} {b}");
        }
    }
}
