//! Compiles `proto/` into `crates/spire-proto/src/gen/`, which is committed,
//! so that no build needs `protoc` and reviewers see every change of the wire.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use prost::Message;
use prost_types::{FileDescriptorProto, field_descriptor_proto};

/// Folders of `proto/` that share one set of generated modules. Two of them
/// use the empty package, so each gets a folder of its own.
const SETS: &[(&str, &[&str])] = &[
    ("workload", &["workload-api"]),
    ("api", &["spire-api"]),
    ("broker", &["broker-api"]),
    ("plugin", &["plugin-sdk"]),
    ("private", &["spire-private"]),
    ("spirers", &["spirers"]),
];

/// Messages that the code keeps encoded: package, message, field. The server's index holds every entry as it goes to
/// agents, and reads and writes them as often as agents ask. On the wire a message is bytes with their length.
const ENCODED: &[(&str, &str, &str)] = &[
    ("spire.api.server.entry.v1", "SyncAuthorizedEntriesResponse", "entries"),
    ("spire.api.server.entry.v1", "GetAuthorizedEntriesResponse", "entries"),
];

/// `codegen` writes; `codegen --check` fails when what is committed differs.
pub fn run(args: &[String]) -> Result<()> {
    let check = args.iter().any(|arg| arg == "--check");
    let root = crate::root();
    let target = root.join("crates/spire-proto/src/gen");
    let out = if check {
        let dir = std::env::temp_dir().join(format!("spire-codegen-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        dir
    } else {
        target.clone()
    };
    for (set, folders) in SETS {
        generate(&root, &out.join(set), folders).with_context(|| format!("set {set}"))?;
    }
    if check {
        let differing = differences(&out, &target)?;
        fs::remove_dir_all(&out)?;
        if !differing.is_empty() {
            bail!("generated code is out of date ({}); run `cargo xtask codegen`", differing.join(", "));
        }
    }
    Ok(())
}

fn generate(root: &Path, out: &Path, folders: &[&str]) -> Result<()> {
    let includes: Vec<PathBuf> = folders.iter().map(|f| root.join("proto").join(f)).collect();
    let mut files = Vec::new();
    for include in &includes {
        collect(include, &mut files)?;
    }
    files.sort();
    let mut descriptors = protox::compile(&files, &includes)?;
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    fs::create_dir_all(out)?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    for file in &mut descriptors.file {
        keep_encoded(file);
    }
    tonic_prost_build::configure()
        .out_dir(out)
        .include_file("mod.rs")
        .emit_rerun_if_changed(false)
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Makes the fields of [`ENCODED`] bytes.
fn keep_encoded(file: &mut FileDescriptorProto) {
    let package = file.package().to_owned();
    for message in &mut file.message_type {
        let name = message.name().to_owned();
        for field in &mut message.field {
            if ENCODED.contains(&(package.as_str(), name.as_str(), field.name())) {
                field.set_type(field_descriptor_proto::Type::Bytes);
                field.type_name = None;
            }
        }
    }
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            into.push(path);
        }
    }
    Ok(())
}

fn differences(fresh: &Path, committed: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (set, _) in SETS {
        let (a, b) = (listing(&fresh.join(set))?, listing(&committed.join(set))?);
        if a.len() != b.len() {
            names.push(format!("{set}/"));
        }
        for path in a {
            let name = path.file_name().expect("a listed file has a name");
            let other = committed.join(set).join(name);
            if fs::read(&path)? != fs::read(&other).unwrap_or_default() {
                names.push(format!("{set}/{}", name.to_string_lossy()));
            }
        }
    }
    Ok(names)
}

fn listing(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    Ok(files)
}
