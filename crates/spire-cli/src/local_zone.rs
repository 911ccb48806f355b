//! The user's time zone, found as Go finds it (SC-275).

use tz::TimeZone;

use crate::go_text;

const FOLDERS: [&str; 4] =
    ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"];

/// The time zone in which some times are shown.
#[derive(Debug, Clone)]
pub struct LocalZone(TimeZone);

impl LocalZone {
    /// The zone that the variable `TZ` names, a name or a file; without it the system's. UTC where there is none.
    pub fn find(variable: impl Fn(&str) -> Option<String>) -> Self {
        let data = match variable("TZ") {
            None => std::fs::read("/etc/localtime").ok(),
            Some(name) => read(name.strip_prefix(':').unwrap_or(&name)),
        };
        let zone = data.and_then(|data| TimeZone::from_tz_data(&data).ok());
        Self(zone.unwrap_or_else(TimeZone::utc))
    }

    /// `2006-01-02 15:04:05 +0900 JST`.
    pub fn show(&self, unix: i64) -> String {
        let Ok(kind) = self.0.find_local_time_type(unix) else { return go_text::utc_time(unix) };
        let offset = i64::from(kind.ut_offset());
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
        let offset_text = format!("{sign}{:02}{:02}", minutes / 60, minutes % 60);
        let name = match kind.time_zone_designation() {
            "" if offset == 0 => "UTC",
            "" => &offset_text,
            name => name,
        };
        format!("{} {offset_text} {name}", go_text::date_and_clock(unix.saturating_add(offset), ' '))
    }
}

fn read(name: &str) -> Option<Vec<u8>> {
    if name.is_empty() || name == "UTC" {
        return None;
    }
    if name.starts_with('/') {
        return std::fs::read(name).ok();
    }
    // A name must not lead out of the folders.
    if name.split('/').any(|part| part == "..") {
        return None;
    }
    FOLDERS.iter().find_map(|folder| std::fs::read(format!("{folder}/{name}")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(zone: &str, unix: i64) -> String {
        LocalZone::find(|_| Some(zone.to_owned())).show(unix)
    }

    #[test]
    fn what_names_no_zone_is_utc() {
        // SC-275
        for zone in ["", "UTC", "No/Where", "/nonexistent", "../../../etc/passwd"] {
            assert_eq!(shown(zone, 1_704_164_645), "2024-01-02 03:04:05 +0000 UTC", "{zone}");
        }
    }

    #[test]
    fn zones_have_their_offset_and_name() {
        // SC-275
        if !std::path::Path::new("/usr/share/zoneinfo/Asia/Tokyo").exists() {
            return;
        }
        assert_eq!(shown("Asia/Tokyo", 1_704_164_645), "2024-01-02 12:04:05 +0900 JST");
        assert_eq!(shown(":Europe/Berlin", 1_704_164_645), "2024-01-02 04:04:05 +0100 CET");
        assert_eq!(
            shown("/usr/share/zoneinfo/Europe/Berlin", 4_118_000_000),
            "2100-06-30 02:53:20 +0200 CEST"
        );
    }
}
