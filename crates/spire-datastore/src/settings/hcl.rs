//! Reads `plugin_data` of `DataStore "sql"` (SA-257, SA-258).

use spire_config::{Fields, Value, duration};
use spire_types::go_text::quote;

use super::{AwsSettings, DatabaseType, DatastoreSettings};
use crate::Result;
use crate::error::{Code, DatastoreError};

impl DatastoreSettings {
    /// What an operator wrote, checked as far as upstream checks it before it connects. Unknown keys are ignored
    /// (SA-256).
    pub fn from_hcl(text: &str) -> Result<Self> {
        let (mut settings, lifetime) = Self::read(text)?;
        if let Some(text) = lifetime {
            let lifetime = duration::parse(&text).map_err(|error| {
                plain(format!("failed to parse conn_max_lifetime {}: {error}", quote(&text)))
            })?;
            // Zero and less mean forever, as for Go's pool.
            settings.conn_max_lifetime = Some(lifetime.to_std()).filter(|lifetime| !lifetime.is_zero());
        }
        Ok(settings)
    }

    /// What `validate` says: upstream reads the lifetime of connections at start only (SC-405).
    pub fn check_hcl(text: &str) -> Result<()> {
        Self::read(text).map(drop)
    }

    /// The settings, and the lifetime of connections as it is written.
    fn read(text: &str) -> Result<(Self, Option<String>)> {
        let object = spire_config::parse(text).map_err(plain)?;
        let mut fields = Fields::new(&object);
        let mut string =
            |name: &str| Ok::<_, DatastoreError>(fields.string(name).map_err(plain)?.unwrap_or_default());
        let mut settings = Self {
            connection_string: string("connection_string")?,
            ro_connection_string: string("ro_connection_string")?,
            root_ca_path: string("root_ca_path")?,
            client_cert_path: string("client_cert_path")?,
            client_key_path: string("client_key_path")?,
            ..Self::sqlite("")
        };
        let lifetime = fields.string("conn_max_lifetime").map_err(plain)?;
        settings.max_open_conns = fields.int("max_open_conns").map_err(plain)?;
        settings.max_idle_conns = fields.int("max_idle_conns").map_err(plain)?;
        settings.disable_migration = fields.bool("disable_migration").map_err(plain)?.unwrap_or(false);
        settings.log_sql = fields.bool("log_sql").map_err(plain)?.unwrap_or(false);
        settings.database_type = database_type(&mut fields)?;
        settings.validate()?;
        Ok((settings, lifetime))
    }
}

/// A name, or one block that carries the name as its label.
fn database_type(fields: &mut Fields<'_>) -> Result<DatabaseType> {
    match fields.value("database_type").map_err(plain)? {
        Some(Value::String(name, _) | Value::Number(name, _)) => return Ok(DatabaseType::from_name(name)),
        Some(Value::Bool(name, _)) => return Ok(DatabaseType::from_name(&name.to_string())),
        _ => {}
    }
    if !fields.has("database_type") {
        return Err(plain("malformed database type configuration"));
    }
    let blocks =
        fields.first_labelled("database_type").map_err(|_| plain("malformed database type configuration"))?;
    let Ok([(name, mut block)]) = <[_; 1]>::try_from(blocks) else {
        return Err(plain("exactly one database type is expected"));
    };
    let mut string = |key: &str| {
        let value =
            block.string(key).map_err(|error| plain(format!("failed to decode configuration: {error}")))?;
        Ok::<_, DatastoreError>(value.unwrap_or_default())
    };
    let mut aws = || {
        Ok::<_, DatastoreError>(AwsSettings {
            region: string("region")?,
            access_key_id: string("access_key_id")?,
            secret_access_key: string("secret_access_key")?,
        })
    };
    match name.as_str() {
        "aws_postgres" => Ok(DatabaseType::AwsPostgres(aws()?)),
        "aws_mysql" => Ok(DatabaseType::AwsMysql(aws()?)),
        other => Err(plain(format!("unknown database type: {other}"))),
    }
}

/// Without prefix, as upstream's decoder reports.
fn plain(error: impl std::fmt::Display) -> DatastoreError {
    DatastoreError::status(Code::InvalidArgument, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_key_is_read() {
        // SA-257
        let settings = DatastoreSettings::from_hcl(
            r#"
            database_type = "sqlite3"
            connection_string = "./data.sqlite3"
            ro_connection_string = "ro"
            conn_max_lifetime = "1h30m"
            max_open_conns = 7
            max_idle_conns = 0
            disable_migration = true
            log_sql = true
            something_else = 1
            "#,
        )
        .unwrap();
        assert_eq!(settings.database_type, DatabaseType::Sqlite3);
        assert_eq!(settings.connection_string, "./data.sqlite3");
        assert_eq!(settings.conn_max_lifetime, Some(Duration::from_secs(5400)));
        assert_eq!((settings.max_open_conns, settings.max_idle_conns), (Some(7), Some(0)));
        assert!(settings.disable_migration && settings.log_sql);
    }

    #[test]
    fn blocks_name_the_database_too() {
        // SA-258, SA-268
        let settings = DatastoreSettings::from_hcl(
            r#"database_type "aws_postgres" { region = "us-east-2" }
               connection_string = "dbname=x""#,
        )
        .unwrap();
        let aws = AwsSettings { region: "us-east-2".into(), ..Default::default() };
        assert_eq!(settings.database_type, DatabaseType::AwsPostgres(aws));
    }

    #[test]
    fn mistakes_are_reported_in_upstreams_words() {
        // SA-258
        for (text, expected) in [
            ("connection_string = \"x\"", "malformed database type configuration"),
            ("database_type = \"\"", "datastore-sql: database_type must be set"),
            ("database_type = \"sqlite3\"", "datastore-sql: connection_string must be set"),
            ("database_type \"oracle\" { }", "unknown database type: oracle"),
            (
                "database_type \"aws_mysql\" { }\ndatabase_type \"aws_postgres\" { }",
                "exactly one database type is expected",
            ),
            (
                "database_type \"aws_postgres\" { }\nconnection_string = \"x\"",
                "datastore-sql: region must be specified",
            ),
            (
                "database_type = \"sqlite3\"\nconnection_string = \"x\"\nconn_max_lifetime = \"5\"",
                "failed to parse conn_max_lifetime \"5\": time: missing unit in duration \"5\"",
            ),
            (
                "database_type = \"sqlite3\"\ndatabase_type = \"sqlite3\"\nconnection_string = \"x\"",
                "At 2:17: database_type: set more than once",
            ),
        ] {
            let error = DatastoreSettings::from_hcl(text).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
            assert_eq!(DatastoreSettings::check_hcl(text).is_ok(), text.contains("lifetime"));
        }
    }
}
