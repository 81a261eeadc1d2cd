//! Runs the programs of `examples/`: they must work, and what they print is what they promise.

#[path = "../../examples/weather.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example weather`")]
mod weather;

#[test]
fn the_weather_example_prints_real_figures_and_runs_nothing_twice() {
    let mut out = Vec::new();
    weather::run(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    expect_test::expect![[r#"
        July 2014: 31 days, 20.7 °C, 19.6 mm of rain
        warmest on 2014-07-01 with 34.4 °C
        the week to 7 July: 20.83 °C
        asked again: 0 steps
        after a correction: daily_weather@2014-07-04
        after a correction: monthly_climate@2014-07
        rain on 4 July: 9.9 mm
        undone: 0 steps, 2 restored
        Seattle in 2014
        2014-01   6.8 °C   94.0 mm
        2014-02   5.4 °C  155.2 mm
        2014-03   9.2 °C  240.0 mm
        2014-04  11.1 °C  106.1 mm
        2014-05  15.0 °C   80.0 mm
        2014-06  16.7 °C   18.8 mm
        2014-07  20.7 °C   19.6 mm
        2014-08  20.6 °C   46.0 mm
        2014-09  18.2 °C   56.7 mm
        2014-10  14.4 °C  171.5 mm
        2014-11   7.8 °C  123.1 mm
        2014-12   7.4 °C  121.8 mm
    "#]]
    .assert_eq(&out);
}
