//! Times the project over four years of weather: from nothing, with nothing changed, after one row
//! changed, and after the code came back.

mod scenario;

use divan::Bencher;
use scenario::Weather;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn everything_from_nothing(bencher: Bencher) {
    bencher.with_inputs(Weather::new).bench_local_values(|weather| {
        assert_eq!(weather.materialize().0.ran, 2_968);
        weather
    });
}

#[divan::bench(sample_count = 50, sample_size = 1)]
fn nothing_changed(bencher: Bencher) {
    let weather = Weather::new();
    weather.materialize();
    bencher.bench_local(|| assert!(weather.materialize().0.is_idle()));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn one_row_changed(bencher: Bencher) {
    let weather = Weather::new();
    weather.materialize();
    let mut warmest = 30;
    bencher
        .with_inputs(|| {
            warmest += 1;
            weather.set_row("2014/07/04", &format!("0.0,{warmest}.0,12.0,3.0,sun"));
        })
        .bench_local_values(|()| assert!(weather.materialize().0.ran > 0));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn code_came_back(bencher: Bencher) {
    bencher
        .with_inputs(|| {
            let weather = Weather::new();
            weather.materialize();
            let old = weather.edit_sql("daily_weather", "    wind,", "    wind + 1 AS wind,");
            weather.materialize();
            weather.write_sql("daily_weather", &old);
            weather
        })
        .bench_local_values(|weather| {
            assert_eq!(weather.materialize().0.restored, 2_968);
            weather
        });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn same_rows_written_again(bencher: Bencher) {
    let weather = Weather::new();
    weather.materialize();
    bencher
        .with_inputs(|| weather.rewrite())
        .bench_local_values(|()| assert!(weather.materialize().0.is_idle()));
}
