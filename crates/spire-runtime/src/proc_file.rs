//! Files below `/proc` that describe one thing, as `stat`, `status` and `cgroup` do, read in one go.
//!
//! A list of many, as `mountinfo` is, comes in pieces of less than a page; a short piece is not the last one there.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// More than any of the files that we read has; they are made whole by the first read.
const USUAL: usize = 4096;

/// The whole of such a file, whose size the kernel does not tell beforehand, with as few system calls as it takes.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; USUAL];
    let mut length = 0;
    loop {
        let room = bytes.len() - length;
        let count = file.read(&mut bytes[length..])?;
        length += count;
        // A read that did not fill the room met the end.
        if count < room {
            bytes.truncate(length);
            return Ok(bytes);
        }
        bytes.resize(bytes.len() * 2, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_files_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for length in [0, 1, USUAL - 1, USUAL, USUAL + 1, 3 * USUAL] {
            std::fs::write(&path, vec![7; length]).unwrap();
            assert_eq!(read(&path).unwrap().len(), length);
        }
        let status = String::from_utf8(read(Path::new("/proc/self/status")).unwrap()).unwrap();
        assert!(status.contains("\nUid:") && status.contains("nonvoluntary_ctxt_switches"), "{status}");
    }
}
