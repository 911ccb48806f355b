use std::borrow::Cow;

use time::OffsetDateTime;

use super::level::LogLevel;
use super::value::LogValue;

/// A field's name and value; names are nearly always static.
pub(super) type Field = (Cow<'static, str>, LogValue);

/// One line before it is printed.
#[derive(Debug)]
pub(super) struct Record {
    /// In the local zone.
    pub time: OffsetDateTime,
    pub level: LogLevel,
    pub message: String,
    pub fields: Vec<Field>,
}

/// The names of the fixed parts; a field of the same name gets a prefix (SC-524).
const RESERVED: [&str; 4] = ["time", "msg", "level", "logrus_error"];

impl Record {
    /// Sorts the fields and settles collisions; of equal names the last one given wins.
    pub fn settle(&mut self) {
        for (name, _) in &mut self.fields {
            if RESERVED.contains(&&**name) {
                *name = Cow::Owned(format!("fields.{name}"));
            }
        }
        // Stable, so that among equal names the order of arrival is kept.
        self.fields.sort_by(|a, b| a.0.cmp(&b.0));
        self.fields.reverse();
        self.fields.dedup_by(|later, earlier| later.0 == earlier.0);
        self.fields.reverse();
    }
}
