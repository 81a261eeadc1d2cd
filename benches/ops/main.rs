//! Times jobs of 10,000 ops in one process: with results in memory, where the promise is at most 20 µs an
//! op, and stored and recorded, where it is at most 60 µs.

mod scenario;

use divan::Bencher;
use divan::counter::ItemsCount;
use giornata::api::Job;
use scenario::OPS;

fn main() {
    divan::main();
}

fn run(bencher: Bencher, job: &Job) {
    bencher
        .counter(ItemsCount::new(OPS))
        .bench_local(|| job.execute_in_process().map(|result| result.is_success()).ok());
}

#[divan::bench]
fn chain(bencher: Bencher) {
    run(bencher, &scenario::chain(OPS));
}

#[divan::bench]
fn fan(bencher: Bencher) {
    run(bencher, &scenario::fan(OPS));
}

#[divan::bench]
fn map(bencher: Bencher) {
    run(bencher, &scenario::map(OPS));
}

/// As above, with every step recorded and every value kept.
mod stored {
    use divan::Bencher;
    use divan::counter::ItemsCount;
    use giornata::api::Job;

    use super::scenario::{OPS, chain, fan, map, stored};

    fn run(bencher: Bencher, name: &str, job: fn(usize) -> Job) {
        bencher
            .counter(ItemsCount::new(OPS))
            .with_inputs(|| stored(job(OPS)))
            .bench_local_values(|mut stored| stored.run(name));
    }

    #[divan::bench(sample_count = 5)]
    fn a_chain(bencher: Bencher) {
        run(bencher, "chain", chain);
    }

    #[divan::bench(sample_count = 5)]
    fn a_fan(bencher: Bencher) {
        run(bencher, "fan", fan);
    }

    #[divan::bench(sample_count = 5)]
    fn a_map(bencher: Bencher) {
        run(bencher, "map", map);
    }
}

/// What it costs to declare a job of so many ops, which is done once.
#[divan::bench]
fn declared(bencher: Bencher) {
    let ops = bencher.counter(ItemsCount::new(OPS));
    ops.bench_local(|| scenario::chain(OPS).definition().is_ok());
}
