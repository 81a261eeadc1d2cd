//! Times jobs of 10,000 ops in one process, with results in memory. The promise is at most 20 µs an op.

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

/// What it costs to declare a job of so many ops, which is done once.
#[divan::bench]
fn declared(bencher: Bencher) {
    let ops = bencher.counter(ItemsCount::new(OPS));
    ops.bench_local(|| scenario::chain(OPS).definition().is_ok());
}
