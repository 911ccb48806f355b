//! Fails when a crate depends on its own or a higher layer (`layers.toml`).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

#[derive(Deserialize)]
struct Layers {
    /// Package name to layer; a package may use lower layers only.
    layer: BTreeMap<String, u8>,
    /// Packages that only tests may use, and from which layer on.
    #[serde(default)]
    test_only: BTreeMap<String, u8>,
    /// Pairs that must never meet, whatever their layers.
    #[serde(default)]
    forbidden: Vec<[String; 2]>,
}

#[derive(Deserialize)]
struct Manifest {
    package: Package,
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "dev-dependencies")]
    dev_dependencies: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

pub fn run() -> Result<()> {
    let root = crate::root();
    let layers: Layers = toml::from_str(&fs::read_to_string(root.join("layers.toml"))?)?;
    let mut problems = Vec::new();
    for manifest in manifests()? {
        let name = &manifest.package.name;
        let Some(own) = layers.layer.get(name) else {
            problems.push(format!("{name} has no layer"));
            continue;
        };
        for dependency in manifest.dependencies.keys() {
            if layers.test_only.contains_key(dependency) {
                problems.push(format!("{name} uses {dependency} outside tests"));
            }
            if layers.layer.get(dependency).is_some_and(|layer| layer >= own) {
                problems.push(format!("{name} (L{own}) uses {dependency}, which is not below it"));
            }
            if layers.forbidden.iter().any(|[a, b]| a == name && b == dependency) {
                problems.push(format!("{name} must not use {dependency}"));
            }
        }
        for dependency in manifest.dev_dependencies.keys() {
            if layers.test_only.get(dependency).is_some_and(|lowest| own < lowest) {
                problems.push(format!("{name} (L{own}) is too low to test with {dependency}"));
            }
        }
    }
    if !problems.is_empty() {
        bail!("layers.toml is violated:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

fn manifests() -> Result<Vec<Manifest>> {
    let paths = manifest_paths()?.into_iter();
    paths
        .map(|path| toml::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string()))
        .collect()
}

/// The manifests of all packages of the workspace.
pub fn manifest_paths() -> Result<Vec<PathBuf>> {
    let root = crate::root();
    let mut paths =
        vec![root.join("xtask/Cargo.toml"), root.join("bench/Cargo.toml"), root.join("tests/e2e/Cargo.toml")];
    for folder in ["crates", "bin"] {
        for entry in fs::read_dir(root.join(folder))? {
            paths.push(entry?.path().join("Cargo.toml"));
        }
    }
    paths.retain(|path| path.exists());
    Ok(paths)
}
