//! Times the validation of configurations of 1,000 fields: right ones, and ones where all is wrong.

mod scenario;

use divan::Bencher;
use giornata::defs::config::Env;
use scenario::{FIELDS, Scenario};

fn main() {
    divan::main();
}

#[divan::bench]
fn everything_is_right(bencher: Bencher) {
    let Scenario { schema, right, .. } = Scenario::new(FIELDS);
    bencher.bench_local(|| schema.validate(&right, Env::Keep).map(|_| ()));
}

#[divan::bench]
fn everything_is_a_default(bencher: Bencher) {
    let Scenario { schema, .. } = Scenario::new(FIELDS);
    let nothing = serde_json::json!({});
    bencher.bench_local(|| schema.validate(&nothing, Env::Keep).map(|_| ()));
}

#[divan::bench]
fn every_value_is_wrong(bencher: Bencher) {
    let Scenario { schema, wrong, .. } = Scenario::new(FIELDS);
    bencher.bench_local(|| schema.validate(&wrong, Env::Keep).map(|_| ()));
}

#[divan::bench]
fn every_name_is_misspelt(bencher: Bencher) {
    let Scenario { schema, misspelt, .. } = Scenario::new(FIELDS);
    bencher.bench_local(|| schema.validate(&misspelt, Env::Keep).map(|_| ()));
}

#[divan::bench]
fn declaration_is_read(bencher: Bencher) {
    let Scenario { declared, .. } = Scenario::new(FIELDS);
    bencher.bench_local(|| giornata::defs::config::Schema::parse(&declared).map(|_| ()));
}
