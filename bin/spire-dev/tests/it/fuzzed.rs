//! The fuzz targets without libFuzzer: a thousand mutated seeds for each, or as many as PROPTEST_CASES says.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

/// One change at a place that is a share of the length, so that it fits every seed.
fn change(bytes: &mut Vec<u8>, (place, kind, byte): (u16, u8, u8)) {
    let at = bytes.len() * usize::from(place) / (usize::from(u16::MAX) + 1);
    match kind % 6 {
        0 => bytes.insert(at, byte),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(at..(at + usize::from(byte)).min(bytes.len()))),
        3 => bytes.extend_from_within(at..(at + usize::from(byte)).min(bytes.len())),
        4 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
        _ if at < bytes.len() => bytes[at] = byte,
        _ => {}
    }
}

fn feed(target: fn(&[u8]), name: &str) {
    let seeds = seeds(name);
    seeds.iter().for_each(|seed| target(seed));
    let changes = vec(any::<(u16, u8, u8)>(), 1..8);
    let mutated = (select(seeds), changes).prop_map(|(mut bytes, changes)| {
        changes.into_iter().for_each(|one| change(&mut bytes, one));
        bytes
    });
    let default = Config::default();
    let config = Config { cases: default.cases.max(1000), failure_persistence: None, ..default };
    let outcome = TestRunner::new(config).run(&mutated, |bytes| {
        target(&bytes);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{name}: {error}");
    }
}

macro_rules! targets {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            feed(targets::$name, stringify!($name));
        }
    )*};
}

targets!(config flags certificate csr jwt_svid bundle_document proxy_protocol agent_data);
