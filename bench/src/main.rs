//! The benchmark harness: starts released binaries, speaks gRPC to them as
//! their clients do, and reads what it cost them from `/proc`.
//!
//! It knows nothing of how they are built, so `--bin DIR` puts the same
//! questions to any other build, SPIRE's own included, in the same run.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a command line tool speaks to its terminal")]

mod build;
mod cluster;
mod fixture;
mod guard;
mod load;
mod node;
mod options;
mod physical;
mod plot;
mod proc;
mod report;
mod scenario;
mod tls;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let options = options::Options::parse(std::env::args().skip(1))?;
    if options.check {
        return guard::check(options.bless);
    }
    if let Some(file) = &options.from {
        let docs = options.docs.as_deref().context("--from needs --docs")?;
        return report::Report::read(file)?.write_docs(docs);
    }
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(run(options))
}

async fn run(options: options::Options) -> Result<()> {
    let physical = physical::measure().await?;
    let mut report = report::Report::new(&options, physical);
    let filler = options.builds.first().context("there is a build to measure")?;
    let fixtures = fixture::Fixtures::new(filler.clone())?;
    // Rounds are interleaved so that a slow minute of the machine hits all builds.
    for round in 0..options.rounds {
        for scenario in &options.scenarios {
            for build in &options.builds {
                eprintln!("# round {} {} {}", round + 1, scenario.name, build.label);
                let context = scenario::Context {
                    build: build.clone(),
                    scale: options.scale,
                    fixtures: fixtures.clone(),
                };
                let measures = (scenario.run)(context).await;
                let measures = measures.with_context(|| format!("{} on {}", scenario.name, build.label));
                match measures {
                    Ok(measures) => report.add(scenario.name, &build.label, measures),
                    Err(error) => {
                        eprintln!("! {error:#}");
                        report.failed(scenario.name, &build.label, &format!("{error:#}"));
                    }
                }
            }
        }
        // What there is so far, should the run be given up.
        report.write(&options, round + 1)?;
    }
    report.conclude()
}

/// Ten thousand streams need as many descriptors here, and twice as many in the agent, which inherits the limit.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const WANTED: u64 = 65_536;
    let now = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: Some(WANTED), maximum: Some(WANTED) }).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
}
