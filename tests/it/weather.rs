//! What the project over four years of weather costs, in counts: a count does not depend on the machine.
//!
//! The same functions are timed by `cargo bench --bench weather`.

#[path = "../../benches/weather/scenario.rs"]
mod scenario;

use giornata::engine::Summary;
use scenario::Weather;

/// (asset, partition) pairs that are made: days, weeks, months, years.
const MADE: u64 = 1_461 + 1_455 + 48 + 4;

#[test]
fn everything_from_nothing_is_made_once() {
    let weather = Weather::new();
    let (summary, work) = weather.materialize();
    assert_eq!(summary, Summary { ran: MADE, ..Summary::default() });
    assert_eq!(work.files_hashed, 2, "the file of the source, and the script of the report");
    // Five assets, four questions each, and what the end of the run asks again.
    assert!(work.queries <= 60, "{work:?}");
    // Twelve for a result with its transaction, two for the start of its attempt; the rest is reading.
    assert!(work.statements <= MADE * 20, "{work:?}");
}

#[test]
fn nothing_changed_is_a_handful_of_questions() {
    let weather = Weather::new();
    weather.materialize();
    for _ in 0..2 {
        let (summary, work) = weather.materialize();
        assert_eq!(summary, Summary { fresh: MADE, ..Summary::default() });
        // A file that was written a moment ago may have to be looked into once more.
        assert!(work.files_hashed <= 2, "{work:?}");
        assert!(work.queries <= 30, "{work:?}");
        assert!(work.statements <= 60, "{work:?}");
    }
}

#[test]
fn one_changed_row_runs_the_chain_of_its_day() {
    let weather = Weather::new();
    weather.materialize();
    weather.set_row("2014/07/04", "0.0,30.0,12.0,3.0,sun");
    let (summary, _) = weather.materialize();
    // The day, its seven windows, its month, its year, unless a result stays as it was.
    assert_eq!(summary.ran + summary.cut_off, 1 + 7 + 1 + 1, "{summary:?}");
    assert_eq!(summary.failed + summary.restored + summary.blocked, 0, "{summary:?}");
    assert_eq!(summary.fresh, MADE - 10, "{summary:?}");
}

#[test]
fn a_change_that_a_step_does_not_see_is_cut_off() {
    let weather = Weather::new();
    weather.materialize();
    // Another row for the same day's file, but the same values once read.
    weather.set_row("2014/07/04", "0.00,25.60,13.90,3.0,sun");
    let before = weather.row("2014/07/04");
    assert_eq!(before, "2014/07/04,0.00,25.60,13.90,3.0,sun");
    let (summary, _) = weather.materialize();
    assert!(summary.ran >= 1 && summary.ran + summary.cut_off == 10, "{summary:?}");
}

#[test]
fn the_same_rows_written_again_run_nothing() {
    let weather = Weather::new();
    weather.materialize();
    weather.rewrite();
    let (summary, _) = weather.materialize();
    assert_eq!(summary, Summary { fresh: MADE, ..Summary::default() });
}

#[test]
fn code_that_comes_back_is_restored() {
    let weather = Weather::new();
    weather.materialize();
    let old = weather.edit_sql("daily_weather", "    wind,", "    wind + 1 AS wind,");
    let (summary, _) = weather.materialize();
    assert_eq!(summary.ran, MADE, "{summary:?}");
    weather.write_sql("daily_weather", &old);
    let (summary, _) = weather.materialize();
    assert_eq!(summary, Summary { restored: MADE, ..Summary::default() });
}

#[test]
fn code_that_gives_the_same_results_stops_at_its_own_asset() {
    let weather = Weather::new();
    weather.materialize();
    weather.edit_sql("daily_weather", "    wind,", "    wind + 0.0 AS wind,");
    let (summary, _) = weather.materialize();
    let expected =
        Summary { ran: 1_461, unchanged: 1_461, cut_off: MADE - 1_461, ..Summary::default() };
    assert_eq!(summary, expected);
}

#[test]
fn a_comment_in_a_header_makes_nothing_stale() {
    let weather = Weather::new();
    weather.materialize();
    weather.edit_sql("daily_weather", "-- /// asset\n", "-- /// asset\n-- # said by the way\n");
    let (summary, _) = weather.materialize();
    assert_eq!(summary, Summary { fresh: MADE, ..Summary::default() });
}
