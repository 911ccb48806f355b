//! The entry index: one changed entry, and what one agent may have. `--count` runs a fixed number of each, for
//! `cargo xtask bench --check`.

use std::hint::black_box;

use criterion::Criterion;
use spire_server::entries::bench::Index;

const ENTRIES: usize = 20_000;

fn main() {
    let mut index = Index::filled(ENTRIES);
    if std::env::args().any(|argument| argument == "--count") {
        counted(&mut index);
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut number = 0;
    criterion.bench_function("change one of 20,000 entries", |bencher| {
        bencher.iter(|| {
            number = (number + 7919) % ENTRIES;
            index.change(number, if number % 2 == 0 { "a" } else { "b" });
        });
    });
    criterion.bench_function("entries of one agent among 2,000", |bencher| {
        bencher.iter(|| {
            number = (number + 7919) % ENTRIES;
            black_box(index.authorized(number / 10))
        });
    });
    criterion.final_summary();
}

#[inline(never)]
fn counted(index: &mut Index) {
    for number in (0..ENTRIES).step_by(20) {
        index.change(number, "changed");
        black_box(index.authorized(number / 10));
    }
}
