use std::path::Path;

use spire_runtime::proc_file;

use super::ReadError;

/// The paths of all cgroups of a process, in the order of the file (PL-030). A path may hold colons.
pub fn read(root: &Path, pid: i32) -> Result<Vec<String>, ReadError> {
    let path = format!("proc/{pid}/cgroup");
    let bytes = proc_file::read(&root.join(&path)).map_err(|error| ReadError::Open { path, error })?;
    String::from_utf8_lossy(&bytes).lines().map(parse).collect()
}

fn parse(line: &str) -> Result<String, ReadError> {
    let mut fields = line.splitn(3, ':');
    match (fields.next(), fields.next(), fields.next()) {
        (_, _, Some(path)) => Ok(path.to_owned()),
        (_, controllers, _) => {
            Err(ReadError::Cgroup { fields: 1 + usize::from(controllers.is_some()), line: line.to_owned() })
        }
    }
}
