//! Nanoseconds per path.

use std::cell::RefCell;

use divan::Bencher;
use micro_benchmarks::{Bench, Path};

/// The requests of one iteration: entering the runtime is not what is measured.
const REQUESTS: u64 = 100;

fn main() {
    divan::main();
}

#[divan::bench(args = Path::ALL.map(Path::name), sample_count = 200)]
fn path(bencher: Bencher<'_, '_>, name: &str) {
    let path = Path::named(name).expect("the name is from the list");
    let bench = RefCell::new(Bench::new().expect("the paths can be prepared"));
    bencher
        .counter(divan::counter::ItemsCount::new(REQUESTS))
        .bench_local(|| bench.borrow_mut().run(path, REQUESTS));
}
