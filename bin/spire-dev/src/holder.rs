//! Who holds a port or a socket, as far as the system tells us.

use std::os::unix::net::UnixStream;
use std::path::Path;

/// ` by NAME (pid N)`, empty if that is not known; `None` if the port of 127.0.0.1 is free.
pub(crate) fn of_port(port: u16) -> Option<String> {
    match std::net::TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Some(listener_inode(port).and_then(process_with_socket).map(named).unwrap_or_default())
        }
        // The server will say what is wrong with it.
        Err(_) => None,
    }
}

/// The same for a socket on which somebody answers; what a dead process left behind is nobody's.
pub(crate) fn of_socket(path: &Path) -> Option<String> {
    let stream = UnixStream::connect(path).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok();
    Some(peer.map(|peer| named(peer.pid.as_raw_nonzero().get().unsigned_abs())).unwrap_or_default())
}

fn named(pid: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!(" by {} (pid {pid})", name.trim()),
        Err(_) => format!(" by pid {pid}"),
    }
}

/// From the kernel's table of listening sockets.
fn listener_inode(port: u16) -> Option<u64> {
    const LISTENING: &str = "0A";
    let port = format!("{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = fields.get(1)?.rsplit(':').next()?;
            (local == port && *fields.get(3)? == LISTENING).then(|| fields.get(9)?.parse().ok())?
        })
    })
}

/// Only processes that we may look into are found.
fn process_with_socket(inode: u64) -> Option<u32> {
    let wanted = format!("socket:[{inode}]");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files
            .any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target.to_str() == Some(&wanted)))
            .then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_and_of_a_socket_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = format!("(pid {})", std::process::id());
        assert!(of_port(port).unwrap().contains(&own));
        drop(listener);
        assert_eq!(of_port(port), None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(of_socket(&path).unwrap().contains(&own));
        drop(socket);
        assert_eq!(of_socket(&path), None);
    }
}
