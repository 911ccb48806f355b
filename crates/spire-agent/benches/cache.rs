//! The agent's SVID cache: one changed entry, and what one call finds. `--count` runs a fixed number of each, for
//! `cargo xtask bench --check`.

use std::hint::black_box;

use criterion::Criterion;
use spire_agent::bench::Workloads;

const WORKLOADS: usize = 200;

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let workloads = runtime.block_on(Workloads::new(WORKLOADS));
    if std::env::args().any(|argument| argument == "--count") {
        counted(&workloads);
        return Ok(());
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut number = 0;
    criterion.bench_function("change one of 200 entries", |bencher| {
        bencher.iter(|| {
            number = (number + 79) % WORKLOADS;
            workloads.change(number, if number % 2 == 0 { "a" } else { "b" });
        });
    });
    criterion.bench_function("answer one of 200 workloads", |bencher| {
        bencher.iter(|| {
            number = (number + 79) % WORKLOADS;
            black_box(workloads.look(number))
        });
    });
    criterion.final_summary();
    Ok(())
}

#[inline(never)]
fn counted(workloads: &Workloads) {
    for round in 0..10 {
        for number in 0..WORKLOADS {
            workloads.change(number, if round % 2 == 0 { "a" } else { "b" });
            black_box(workloads.look(number));
        }
    }
}
