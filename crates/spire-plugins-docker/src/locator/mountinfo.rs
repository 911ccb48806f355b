use std::fs;
use std::path::Path;

use super::ReadError;

/// The folder of a file system that is mounted somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub root: String,
    /// Type of the file system.
    pub kind: String,
}

impl Mount {
    /// Whether the root is the path of a cgroup; `/` is that of the hierarchy and names nothing (PL-044).
    pub fn tells_cgroup(&self) -> bool {
        matches!(self.kind.as_str(), "cgroup" | "cgroup2") && self.root != "/"
    }
}

/// All mounts that a process sees; one bad line spoils the file (PL-043).
///
/// The kernel hands out this file in pieces of less than a page, however much is asked for.
pub fn read(path: &Path) -> Result<Vec<Mount>, ReadError> {
    let bytes = fs::read(path)
        .map_err(|error| ReadError::Open { path: path.to_string_lossy().into_owned(), error })?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().filter(|line| !line.is_empty()).map(parse).collect()
}

/// Columns are parted by single spaces: a source may be empty, and must not shift the others.
fn parse(line: &str) -> Result<Mount, ReadError> {
    let bad = |problem| ReadError::Mount { problem, line: line.to_owned() };
    let fields: Vec<&str> = line.split(' ').collect();
    let dash = fields.iter().position(|field| *field == "-").ok_or_else(|| bad("missing separator"))?;
    if dash < 6 {
        return Err(bad("expected at least 6 fields before separator"));
    }
    match fields.get(dash + 1) {
        None | Some(&"") => Err(bad("missing filesystem type")),
        Some(kind) => Ok(Mount { root: fields[3].to_owned(), kind: (*kind).to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_file_that_comes_in_pieces_is_whole() {
        // PL-043, PL-044
        let (reader, mut writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let reading = std::thread::spawn(move || read(Path::new(&path)).unwrap().len());
        for _ in 0..500 {
            writer.write_all(b"35 30 0:30 / /sys/fs/cgroup/x ro,nosuid - tmpfs tmpfs rw\n").unwrap();
            std::thread::yield_now();
        }
        drop(writer);
        assert_eq!(reading.join().unwrap(), 500);
    }
}
