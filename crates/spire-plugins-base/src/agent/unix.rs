//! Facts about a local process (PL-055 to PL-067).

mod names;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use spire_config::Object;
use spire_crypto::hash::Sha256;
use spire_plugin::agent::{PinnedProcess, WorkloadAttestor};
use spire_plugin::{BuiltIn, PluginError};
use spire_runtime::proc_file;

use self::names::Names;
use crate::shared::settings::{decode, note};

pub const UNIX: BuiltIn<dyn WorkloadAttestor> = BuiltIn {
    name: "unix",
    configurable: true,
    build: |context, data| {
        Ok(Arc::new(Unix { settings: Settings::read(data)?, names: Names::new(context.clock.clone()) }))
    },
    validate: |_, data| note(Settings::read(data)),
};

/// PL-055
#[derive(Debug, Clone, Copy)]
struct Settings {
    discover_workload_path: bool,
    /// Bytes; 0 is no limit, negative is never hash.
    workload_size_limit: i64,
}

impl Settings {
    fn read(data: &Object) -> Result<Self, PluginError> {
        let read = decode(data, |fields| {
            Ok(Self {
                discover_workload_path: fields.bool("discover_workload_path")?.unwrap_or_default(),
                workload_size_limit: fields.int("workload_size_limit")?.unwrap_or_default(),
            })
        });
        // This plugin says "failed" where the others say "unable".
        read.map_err(|error| PluginError {
            message: error.message.replacen("unable to decode", "failed to decode", 1),
            ..error
        })
    }
}

#[derive(Debug)]
struct Unix {
    settings: Settings,
    names: Names,
}

#[async_trait]
impl WorkloadAttestor for Unix {
    async fn attest(&self, process: PinnedProcess<'_>) -> Result<Vec<String>, PluginError> {
        let mut facts = Vec::with_capacity(8);
        owner(process.proc_dir, &self.names, &mut facts)?;
        if !self.settings.discover_workload_path {
            return Ok(facts);
        }
        let exe = process.proc_dir.join("exe");
        let path = fs::read_link(&exe).map_err(|error| {
            PluginError::internal(format!("path lookup: readlink {}: {error}", exe.display()))
        })?;
        facts.push(format!("path:{}", path.display()));
        let limit = self.settings.workload_size_limit;
        if limit >= 0 {
            // Large files would block the async threads for long.
            let digest = tokio::task::spawn_blocking(move || hash(&exe, limit))
                .await
                .map_err(|error| PluginError::internal(format!("SHA256 digest: {error}")))?;
            facts.push(format!(
                "sha256:{}",
                digest.map_err(|text| PluginError::internal(format!("SHA256 digest: {text}")))?
            ));
        }
        Ok(facts)
    }
}

/// Effective user and group, and the supplementary groups (PL-056 to PL-062).
fn owner(proc_dir: &Path, names: &Names, facts: &mut Vec<String>) -> Result<(), PluginError> {
    let status = proc_file::read(&proc_dir.join("status")).map_err(|error| {
        PluginError::internal(format!("failed to get process: {}: {error}", proc_dir.display()))
    })?;
    let status = String::from_utf8_lossy(&status);
    let uid = effective(&status, "Uid:")
        .ok_or_else(|| PluginError::internal("UIDs lookup: no UIDs for process"))?;
    facts.push(format!("uid:{uid}"));
    facts.extend(names.user(uid).map(|name| format!("user:{name}")));
    let gid = effective(&status, "Gid:")
        .ok_or_else(|| PluginError::internal("GIDs lookup: no GIDs for process"))?;
    facts.push(format!("gid:{gid}"));
    facts.extend(names.group(gid).map(|name| format!("group:{name}")));
    for gid in numbers(&status, "Groups:") {
        facts.push(format!("supplementary_gid:{gid}"));
        facts.extend(names.group(gid).map(|name| format!("supplementary_group:{name}")));
    }
    Ok(())
}

fn numbers<'a>(status: &'a str, label: &str) -> impl Iterator<Item = u32> + 'a {
    let line = status.lines().find_map(|line| line.strip_prefix(label)).unwrap_or_default();
    line.split_whitespace().filter_map(|word| word.parse().ok())
}

/// The second of real, effective, saved and file system id; a single one is it.
fn effective(status: &str, label: &str) -> Option<u32> {
    let mut ids = numbers(status, label);
    let real = ids.next()?;
    Some(ids.next().unwrap_or(real))
}

/// Reads through `/proc/<pid>/exe`, so another mount namespace does not matter.
fn hash(exe: &Path, limit: i64) -> Result<String, String> {
    let mut file = fs::File::open(exe).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    if limit > 0 && size > limit.unsigned_abs() {
        return Err(format!("workload {} exceeds size limit ({size} > {limit})", exe.display()));
    }
    let mut digest = Sha256::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => return Ok(digest.finish_hex()),
            length => digest.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attest(settings: Settings) -> Result<Vec<String>, String> {
        let pid = std::process::id();
        let dir = std::path::PathBuf::from(format!("/proc/{pid}"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let process = PinnedProcess { pid: pid as i32, proc_dir: &dir };
        let names = Names::new(spire_runtime::SystemClock::shared());
        runtime.block_on(Unix { settings, names }.attest(process)).map_err(|error| error.message)
    }

    #[test]
    fn this_very_process_is_described() {
        // PL-057 to PL-066
        let facts = attest(Settings { discover_workload_path: true, workload_size_limit: 0 }).unwrap();
        let uid = nix::unistd::geteuid();
        assert_eq!(facts[0], format!("uid:{uid}"));
        let exe = std::env::current_exe().unwrap();
        assert!(facts.contains(&format!("path:{}", exe.display())), "{facts:?}");
        let expected = spire_crypto::hash::sha256_hex(&fs::read(&exe).unwrap());
        assert_eq!(facts.last(), Some(&format!("sha256:{expected}")));
    }

    #[test]
    fn a_workload_over_the_limit_fails_the_attestation() {
        // PL-065
        let error = attest(Settings { discover_workload_path: true, workload_size_limit: 1 }).unwrap_err();
        assert!(
            error.starts_with("SHA256 digest: workload /") && error.contains(" exceeds size limit ("),
            "{error}"
        );
    }

    #[test]
    fn the_effective_id_counts() {
        // PL-056
        assert_eq!(effective("Uid:\t1\t2\t3\t4\n", "Uid:"), Some(2));
        assert_eq!(effective("Uid:\t7\n", "Uid:"), Some(7));
        assert_eq!(effective("Name: x\n", "Uid:"), None);
    }
}
