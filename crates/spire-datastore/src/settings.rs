//! Where the database is and how to talk to it (SA-256..259).

mod hcl;

use std::time::Duration;

use crate::Result;
use crate::error::DatastoreError;

/// Which database `database_type` names (SA-258).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseType {
    Sqlite3,
    Postgres,
    Mysql,
    AwsPostgres(AwsSettings),
    AwsMysql(AwsSettings),
    /// Kept until [`Datastore::open`](crate::Datastore::open), which refuses it by name.
    Other(String),
}

/// Keys of an `aws_postgres` or `aws_mysql` block (SA-268). The secret is not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AwsSettings {
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl std::fmt::Debug for AwsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsSettings").field("region", &self.region).finish_non_exhaustive()
    }
}

impl DatabaseType {
    /// The plain names; blocks are built by the configuration reader.
    pub fn from_name(name: &str) -> Self {
        match name {
            "sqlite3" => Self::Sqlite3,
            "postgres" => Self::Postgres,
            "mysql" => Self::Mysql,
            other => Self::Other(other.to_owned()),
        }
    }

    /// As written in the configuration and in log lines.
    pub fn name(&self) -> &str {
        match self {
            Self::Sqlite3 => "sqlite3",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::AwsPostgres(_) => "aws_postgres",
            Self::AwsMysql(_) => "aws_mysql",
            Self::Other(name) => name,
        }
    }
}

/// `plugin_data` of the `DataStore "sql"` plugin.
#[derive(Clone, PartialEq, Eq)]
pub struct DatastoreSettings {
    pub database_type: DatabaseType,
    /// A path or `file:` URI for SQLite. May hold a password for others, so it is never printed.
    pub connection_string: String,
    pub ro_connection_string: String,
    pub root_ca_path: String,
    pub client_cert_path: String,
    pub client_key_path: String,
    /// Connections older than this are replaced; unlimited by default.
    pub conn_max_lifetime: Option<Duration>,
    /// Concurrent readers; 100 by default, zero or less means that too (SA-259).
    pub max_open_conns: Option<i64>,
    /// 0 closes a reader as soon as it is done; otherwise readers idle for up to 30 s (SA-259).
    pub max_idle_conns: Option<i64>,
    pub disable_migration: bool,
    /// Every statement goes to the debug log. Values do not.
    pub log_sql: bool,
}

impl std::fmt::Debug for DatastoreSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatastoreSettings")
            .field("database_type", &self.database_type)
            .field("disable_migration", &self.disable_migration)
            .finish_non_exhaustive()
    }
}

impl DatastoreSettings {
    /// A SQLite database with defaults for everything else.
    pub fn sqlite(connection_string: impl Into<String>) -> Self {
        Self {
            database_type: DatabaseType::Sqlite3,
            connection_string: connection_string.into(),
            ro_connection_string: String::new(),
            root_ca_path: String::new(),
            client_cert_path: String::new(),
            client_key_path: String::new(),
            conn_max_lifetime: None,
            max_open_conns: None,
            max_idle_conns: None,
            disable_migration: false,
            log_sql: false,
        }
    }

    /// Upstream's checks in upstream's order (SA-258, SA-265, SA-268), without touching the database.
    pub fn validate(&self) -> Result<()> {
        if self.database_type.name().is_empty() {
            return Err(DatastoreError::sql("database_type must be set"));
        }
        if self.connection_string.is_empty() {
            return Err(DatastoreError::sql("connection_string must be set"));
        }
        if matches!(self.database_type, DatabaseType::Mysql | DatabaseType::AwsMysql(_)) {
            check_mysql_string(&self.connection_string)?;
            if !self.ro_connection_string.is_empty() {
                check_mysql_string(&self.ro_connection_string)?;
            }
        }
        if let DatabaseType::AwsMysql(aws) | DatabaseType::AwsPostgres(aws) = &self.database_type
            && aws.region.is_empty()
        {
            return Err(DatastoreError::sql("region must be specified"));
        }
        Ok(())
    }
}

/// What the driver that upstream uses finds in it: parameters stand behind the last slash, and the last of a name counts.
fn check_mysql_string(text: &str) -> Result<()> {
    let Some((_, database)) = text.rsplit_once('/') else {
        return Err(DatastoreError::sql("invalid DSN: missing the slash separating the database name"));
    };
    let parameters = database.split_once('?').map_or("", |(_, parameters)| parameters);
    let parse_time =
        parameters.split('&').filter_map(|parameter| parameter.strip_prefix("parseTime=")).next_back();
    if matches!(parse_time, Some("1" | "true" | "TRUE" | "True")) {
        return Ok(());
    }
    Err(DatastoreError::sql("invalid mysql config: missing parseTime=true param in connection_string"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(kind: DatabaseType, connection: &str) -> DatastoreSettings {
        DatastoreSettings { database_type: kind, ..DatastoreSettings::sqlite(connection) }
    }

    #[test]
    fn missing_and_impossible_values_are_named_in_upstreams_words() {
        // SA-258, SA-265, SA-268
        let aws = || AwsSettings::default();
        for (settings, expected) in [
            (settings(DatabaseType::from_name(""), "x"), "datastore-sql: database_type must be set"),
            (settings(DatabaseType::Sqlite3, ""), "datastore-sql: connection_string must be set"),
            (
                settings(DatabaseType::Mysql, "u:p@tcp(h)/db"),
                "datastore-sql: invalid mysql config: missing parseTime=true param in connection_string",
            ),
            (
                settings(DatabaseType::Mysql, "x"),
                "datastore-sql: invalid DSN: missing the slash separating the database name",
            ),
            (
                settings(DatabaseType::Mysql, "u:p?parseTime=true@tcp(h)/db"),
                "datastore-sql: invalid mysql config: missing parseTime=true param in connection_string",
            ),
            (settings(DatabaseType::AwsPostgres(aws()), "x"), "datastore-sql: region must be specified"),
        ] {
            assert_eq!(settings.validate().unwrap_err().to_string(), expected);
        }
        settings(DatabaseType::Mysql, "u:p@tcp(h)/db?a=b&parseTime=true").validate().unwrap();
        settings(DatabaseType::Mysql, "/?parseTime=false&parseTime=1").validate().unwrap();
        settings(DatabaseType::from_name("oracle"), "x").validate().unwrap();
    }

    #[test]
    fn connection_strings_are_not_printed() {
        let text = format!("{:?}", settings(DatabaseType::Mysql, "u:hunter2@tcp(h)/db?parseTime=true"));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
