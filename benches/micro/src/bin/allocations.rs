//! Prints how often each path allocates, and how many bytes, per iteration.

#![expect(clippy::print_stdout, reason = "the table is what the program is for")]

use micro_benchmarks::{Bench, Path};

const ITERATIONS: u64 = 2_000;

fn main() -> anyhow::Result<()> {
    for path in Path::ALL {
        let mut bench = Bench::new()?;
        bench.run(path, ITERATIONS);
        let counted = allocation_counter::measure(|| bench.run(path, ITERATIONS));
        println!(
            "{:<24} {:>8.2} {:>10.0}",
            path.name(),
            per_iteration(counted.count_total),
            per_iteration(counted.bytes_total),
        );
    }
    Ok(())
}

fn per_iteration(total: u64) -> f64 {
    total as f64 / ITERATIONS as f64
}
