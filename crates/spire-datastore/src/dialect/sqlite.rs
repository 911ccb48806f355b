//! Opening SQLite files the way SPIRE does (SA-259, SA-261), and refusing broken ones before touching them.

mod connection;
mod connections;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::OpenFlags;
use spire_runtime::logging::go_quote;

use connection::OpenOptions;
pub(crate) use connections::Lent;
use connections::{Connections, Limits};

use crate::Result;
use crate::error::DatastoreError;
use crate::settings::DatastoreSettings;

/// The driver upstream waits this long for another process' lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_MAX_OPEN: u32 = 100;
/// How a database file begins, and how long its header is.
const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER: usize = 100;

/// One connection that writes, and readers beside it (WAL, SA-262). The same for an in-memory database, which only
/// its one connection can see.
#[derive(Debug, Clone)]
pub(crate) struct SqlitePools {
    pub(crate) writer: Arc<Connections>,
    pub(crate) readers: Arc<Connections>,
}

impl SqlitePools {
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// # Errors
/// In SPIRE's words, which do not name the file; a line in the log does.
pub(crate) async fn open(settings: &DatastoreSettings) -> Result<SqlitePools> {
    let place = Place::parse(&settings.connection_string)?;
    let opened = open_place(settings, &place).await;
    if opened.is_err() {
        tracing::info!(subsystem_name = "sql", path = %place.path, "The database file could not be opened");
    }
    opened
}

async fn open_place(settings: &DatastoreSettings, place: &Place) -> Result<SqlitePools> {
    place.check_file()?;
    let options = place.options()?;
    let max_open = settings
        .max_open_conns
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| *count > 0)
        .unwrap_or(DEFAULT_MAX_OPEN);
    let keep_idle = settings.max_idle_conns.is_none_or(|count| count > 0);

    let max_lifetime = settings.conn_max_lifetime.filter(|_| !place.in_memory);
    let writer = Connections::new(options.clone(), Limits { max_open: 1, max_idle_time: None, max_lifetime });
    drop(writer.lend().await.map_err(|error| place.explain(error))?);
    if place.in_memory {
        return Ok(SqlitePools { readers: Arc::clone(&writer), writer });
    }
    let max_idle_time = Some(if keep_idle { IDLE_TIMEOUT } else { Duration::ZERO });
    let readers = Connections::new(options, Limits { max_open, max_idle_time, max_lifetime });
    Ok(SqlitePools { writer, readers })
}

/// A connection string, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: String,
    in_memory: bool,
    parameters: Vec<(String, String)>,
}

impl Place {
    /// A path or a `file:` URI; anything else with a scheme is refused (SA-261).
    fn parse(text: &str) -> Result<Self> {
        let (rest, is_uri) = match scheme(text) {
            Some((scheme, rest)) if scheme == "file" => (rest, true),
            Some((scheme, _)) => return Err(DatastoreError::sql(format!("unsupported scheme {scheme:?}"))),
            None => (text, false),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _fragment)| rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = match path.strip_prefix("//").filter(|_| is_uri) {
            Some(with_authority) => {
                let at = with_authority.find('/').unwrap_or(with_authority.len());
                let (authority, path) = with_authority.split_at(at);
                if !authority.is_empty() && authority != "localhost" {
                    return Err(DatastoreError::sql(format!("invalid uri authority: {authority}")));
                }
                path
            }
            None => path,
        };
        let path = percent_decode(path)
            .map_err(|error| DatastoreError::sql(format!("parse {}: {error}", go_quote(text))))?;
        // What is not well-formed is left out, as Go does it.
        let parameters: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .filter_map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((percent_decode(key).ok()?, percent_decode(value).ok()?))
            })
            .collect();
        let in_memory = path == ":memory:"
            || path.is_empty()
            || parameters.iter().any(|(key, value)| key == "mode" && value == "memory");
        Ok(Self { path, in_memory, parameters })
    }

    fn options(&self) -> Result<OpenOptions> {
        let mut options = OpenOptions {
            target: if self.in_memory { ":memory:".to_owned() } else { self.path.clone() },
            // Each connection has one thread, which is the only one to touch it.
            flags: OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            vfs: None,
            busy_timeout: BUSY_TIMEOUT,
            pragmas: vec![("foreign_keys", "ON".into()), ("synchronous", "NORMAL".into())],
        };
        if !self.in_memory {
            options.pragmas.insert(0, ("journal_mode", "WAL".into()));
        }
        for (key, value) in &self.parameters {
            match (key.as_str(), value.as_str()) {
                // Forced whatever the string says (SA-261).
                ("_foreign_keys" | "_fk" | "_journal_mode" | "_journal", _) => {}
                ("mode", "memory" | "rwc") | ("cache", "private") => {}
                ("mode", "rw") => options.flags.remove(OpenFlags::SQLITE_OPEN_CREATE),
                ("mode", "ro") => {
                    options.flags.remove(OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_READ_WRITE);
                    options.flags.insert(OpenFlags::SQLITE_OPEN_READ_ONLY);
                }
                ("immutable", "1" | "true") => {
                    options.flags.insert(OpenFlags::SQLITE_OPEN_URI);
                    options.target = format!("file:{}?immutable=1", percent_encode(&self.path));
                }
                ("vfs", name) => options.vfs = Some(name.to_owned()),
                ("_busy_timeout" | "_timeout", ms) => {
                    // SQLite counts in 31 bits and takes what is negative for none.
                    let ms = number("_busy_timeout", ms)?.clamp(0, i32::MAX.into());
                    options.busy_timeout = Duration::from_millis(ms.unsigned_abs());
                }
                ("_synchronous" | "_sync", level) => {
                    options.pragmas.push(("synchronous", synchronous(level)?.to_owned()));
                }
                ("_cache_size", size) => {
                    options.pragmas.push(("cache_size", number("_cache_size", size)?.to_string()));
                }
                _ => {
                    tracing::warn!(subsystem_name = "sql", key = %key, "Unsupported key in connection_string");
                }
            }
        }
        Ok(options)
    }

    /// Refuses a file that is no database or that was cut short, before SQLite could write to it.
    fn check_file(&self) -> Result<()> {
        if self.in_memory {
            return Ok(());
        }
        let path = Path::new(&self.path);
        let Ok(file) = std::fs::File::open(path) else {
            return Ok(()); // Absent or unreadable: SQLite's own message says why.
        };
        let metadata = file.metadata().map_err(|error| self.unreadable(&error))?;
        let length = metadata.len();
        if length == 0 || metadata.is_dir() {
            return Ok(()); // New, or something that SQLite will not open.
        }
        let mut header = Vec::with_capacity(HEADER);
        file.take(HEADER as u64).read_to_end(&mut header).map_err(|error| self.unreadable(&error))?;
        if !header.starts_with(&MAGIC[..MAGIC.len().min(header.len())]) {
            return Err(DatastoreError::sql("file is not a database"));
        }
        let Ok(header) = <[u8; HEADER]>::try_from(header) else { return Err(malformed()) };
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let page_size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size => u64::from(size),
        };
        // The count is only valid if it was written by the last change; pages may still be in the log.
        let counted = word(24) == word(92);
        let log = format!("{}-wal", self.path);
        let has_log = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
        if counted && !has_log && length < u64::from(word(28)) * page_size {
            let missing = u64::from(word(28)) * page_size - length;
            tracing::info!(
                subsystem_name = "sql",
                missing,
                "The database file was cut short; restore it from a backup"
            );
            return Err(malformed());
        }
        Ok(())
    }

    fn unreadable(&self, error: &std::io::Error) -> DatastoreError {
        DatastoreError::sql(format!("unable to read {:?}: {error}", self.path))
    }

    /// SQLite's own message does not say why, SPIRE's driver does.
    fn explain(&self, error: DatastoreError) -> DatastoreError {
        if !error.to_string().contains("unable to open database file") {
            return error;
        }
        let path = Path::new(&self.path);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let creates = !self.parameters.iter().any(|(key, value)| key == "mode" && value != "rwc");
        let reason = match parent.map(std::fs::metadata) {
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => "no such file or directory",
            Some(Ok(parent)) if !parent.is_dir() => "not a directory",
            _ if path.is_dir() => "is a directory",
            _ if !path.exists() && !creates => "no such file or directory",
            _ => "permission denied",
        };
        DatastoreError::sql(format!("unable to open database file: {reason}"))
    }
}

fn malformed() -> DatastoreError {
    DatastoreError::sql("database disk image is malformed")
}

/// What Go's URL parser takes for a scheme, in lower case.
fn scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let valid = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    valid.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// SQLite's name for the level.
fn synchronous(level: &str) -> Result<&'static str> {
    Ok(match level.to_ascii_uppercase().as_str() {
        "0" | "OFF" => "OFF",
        "1" | "NORMAL" => "NORMAL",
        "2" | "FULL" => "FULL",
        "3" | "EXTRA" => "EXTRA",
        _ => {
            return Err(DatastoreError::sql(format!(
                "Invalid _synchronous: {level}, expecting value of '0 OFF 1 NORMAL 2 FULL 3 EXTRA'"
            )));
        }
    })
}

fn number(key: &str, text: &str) -> Result<i64> {
    text.parse().map_err(|_| {
        let quoted = go_quote(text);
        DatastoreError::sql(format!(
            "Invalid {key}: {text}: strconv.ParseInt: parsing {quoted}: invalid syntax"
        ))
    })
}

/// For the path of a `file:` URI.
fn percent_encode(path: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_');
    path.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn percent_decode(text: &str) -> std::result::Result<String, String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b'%' {
            let byte = text.get(index + 1..index + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            decoded.push(byte.ok_or_else(|| {
                let end = text.len().min(index + 3);
                format!("invalid URL escape {}", go_quote(text.get(index..end).unwrap_or("%")))
            })?);
            index += 3;
        } else {
            decoded.push(bytes[index]);
            index += 1;
        }
    }
    String::from_utf8(decoded).map_err(|_| "not valid UTF-8".to_owned())
}

/// For the log (SA-260).
pub(crate) fn version() -> &'static str {
    rusqlite::version()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text).unwrap()
    }

    #[test]
    fn paths_and_file_uris_name_the_same_file() {
        // SA-261
        for (text, path) in [
            ("data.db", "data.db"),
            ("./data.db", "./data.db"),
            ("/home/fred/data.db", "/home/fred/data.db"),
            ("file:data.db?mode=ro", "data.db"),
            ("FILE:/home/fred/data.db", "/home/fred/data.db"),
            ("file:///home/fred/data.db", "/home/fred/data.db"),
            ("file://localhost/home/fred/data.db?cache=private", "/home/fred/data.db"),
            ("file:/a%20b/data.db#x", "/a b/data.db"),
        ] {
            let place = place(text);
            assert_eq!((place.path.as_str(), place.in_memory), (path, false), "{text}");
        }
        assert!(place("file:x?mode=memory").in_memory);
        assert!(place(":memory:").in_memory);
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        // SA-261
        let error = Place::parse("MySQL://data.db").unwrap_err();
        assert_eq!(error.to_string(), "datastore-sql: unsupported scheme \"mysql\"");
        let error = Place::parse("a%zz").unwrap_err();
        assert_eq!(error.to_string(), "datastore-sql: parse \"a%zz\": invalid URL escape \"%zz\"");
        for (parameters, expected) in [
            ("_busy_timeout=x", "Invalid _busy_timeout: x: strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("_cache_size=x", "Invalid _cache_size: x: strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("_sync=x", "Invalid _synchronous: x, expecting value of '0 OFF 1 NORMAL 2 FULL 3 EXTRA'"),
        ] {
            let error = place(&format!("x?{parameters}&%zz=1")).options().unwrap_err();
            assert_eq!(error.to_string(), format!("datastore-sql: {expected}"));
        }
    }
}
