//! What the tests need beyond the Rust toolchain, and why.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::sh;

struct Tool {
    /// A program whose presence shows that there is nothing to do.
    program: &'static str,
    why: &'static str,
    install: &'static [&'static str],
}

const TOOLS: &[Tool] = &[
    Tool {
        program: "go",
        why: "the go-spiffe and spire-api-sdk clients of the end-to-end tests",
        install: &["apt-get", "install", "-y", "golang-go"],
    },
    Tool {
        program: "python3",
        why: "the py-spiffe client of the end-to-end tests and the conformance runner",
        install: &["apt-get", "install", "-y", "python3", "python3-venv"],
    },
    Tool {
        program: "dockerd",
        why: "the containers that the end-to-end tests of the workload attestor docker start",
        install: &["apt-get", "install", "-y", "docker.io"],
    },
    Tool {
        program: "cmake",
        why: "building aws-lc, the crypto library",
        install: &["apt-get", "install", "-y", "cmake"],
    },
    Tool {
        program: "cargo-deny",
        why: "checking licences, bans and duplicate dependencies",
        install: &["cargo", "install", "cargo-deny", "--locked", "--debug"],
    },
];

/// Installs what is missing; says what and why.
pub fn run() -> Result<()> {
    let mut updated = false;
    for tool in TOOLS {
        if present(tool.program) {
            continue;
        }
        eprintln!("installing {} for {}", tool.program, tool.why);
        if tool.install[0] == "apt-get" && !updated {
            sh("apt-get", &["update", "-qq"])?;
            updated = true;
        }
        sh(tool.install[0], &tool.install[1..])?;
    }
    Ok(())
}

/// Whether a program is on the PATH.
pub fn present(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| is_executable(&dir.join(program))))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && Command::new("test").arg("-x").arg(path).status().is_ok_and(|s| s.success())
}
