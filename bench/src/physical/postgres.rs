//! Commits of a PostgreSQL server that is started for this alone.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Whom the server runs as: it refuses root.
const USER: &str = "postgres";

/// Milliseconds of one insert in its own transaction; `None` where PostgreSQL is not installed.
pub fn commit() -> Result<Option<f64>> {
    let (Some(programs), Some(user)) = (programs(), id_of(USER)) else { return Ok(None) };
    let dir = tempfile::tempdir()?;
    // Only root can make it the server's.
    if chown(dir.path(), Some(user), Some(user)).is_err() {
        return Ok(None);
    }
    let server = Server { programs, user, dir: dir.path().to_owned() };
    server.run("initdb", &["-D", "data", "-A", "trust", "-N"])?;
    let options = format!("-k {} -c listen_addresses=''", dir.path().display());
    server.run("pg_ctl", &["-D", "data", "-l", "log", "-w", "-o", &options, "start"])?;
    let measured = server.measure();
    server.run("pg_ctl", &["-D", "data", "-m", "immediate", "stop"])?;
    measured.map(Some)
}

struct Server {
    programs: PathBuf,
    user: u32,
    dir: PathBuf,
}

impl Server {
    fn measure(&self) -> Result<f64> {
        let dir = self.dir.display().to_string();
        let table = "CREATE TABLE t (id serial PRIMARY KEY, v text)";
        self.run("psql", &["-q", "-h", &dir, "-c", table, USER])?;
        std::fs::write(self.dir.join("insert.sql"), "INSERT INTO t (v) VALUES ('x');\n")?;
        let told = self.run("pgbench", &["-n", "-f", "insert.sql", "-T", "2", "-h", &dir, USER])?;
        let tps = told.split("tps = ").nth(1).and_then(|rest| rest.split(' ').next());
        let tps: f64 = tps.with_context(|| format!("pgbench said: {told}"))?.parse()?;
        Ok(1e3 / tps)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(&self.dir).uid(self.user).gid(self.user).stdin(Stdio::null());
        // The server that pg_ctl starts would keep a pipe open.
        let log = self.dir.join(format!("{program}.out"));
        let file = std::fs::File::create(&log)?;
        command.stdout(file.try_clone()?).stderr(file);
        let status = command.status().with_context(|| format!("cannot start {program}"))?;
        let told = std::fs::read_to_string(&log)?;
        ensure!(status.success(), "{program}: {told}");
        Ok(told)
    }
}

/// The folder of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|folder| is_complete(folder)).max()
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "psql", "pgbench"].iter().all(|program| folder.join(program).is_file())
}

fn id_of(user: &str) -> Option<u32> {
    let output = Command::new("id").args(["-u", user]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
