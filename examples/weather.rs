//! The weather project of `assets/`, declared in Rust: sources, days, months, a moving week, a report.
//!
//! `cargo run --example weather` works on a copy of the data in a temporary directory, asks for some
//! values, and shows what a second question and a corrected figure cost.

use std::io::Write;
use std::path::Path;

use giornata::api::{BoxError, Cell, Handle, Json, Mapping, Partitions, Parts, Project, Table};
use serde::{Deserialize, Serialize};

/// The climate of a month.
#[derive(Debug, Serialize, Deserialize)]
struct Climate {
    days: usize,
    temp_mean: f64,
    temp_max: f64,
    warmest_day: String,
    rain_mm: f64,
}

struct Weather {
    daily: Handle<Table>,
    monthly: Handle<Json<Climate>>,
    weekly: Handle<Json<f64>>,
    report: Handle<String>,
}

fn declare(project: &mut Project) -> Weather {
    // One file; each date in it is a partition with a digest of its own.
    let raw = project.source("raw_weather").split_by("date:%Y/%m/%d").files("seattle-weather.csv");
    let daily = project
        .asset("daily_weather")
        .daily("2012-01-01")
        .until("2016-01-01")
        .input(&raw)
        .check("rows = 1")
        .compute(|ctx, raw: Table| one_day(&ctx.partition().to_string(), &raw));
    let monthly = project
        .asset("monthly_climate")
        .monthly("2012-01")
        .until("2016-01")
        .inputs(&daily)
        .compute(|_, days: Parts<Table>| Ok(Json(climate(&days)?)));
    let weekly = project
        .asset("weekly_trend")
        .daily("2012-01-07")
        .until("2016-01-01")
        .input_window(&daily, -6, 0)
        .compute(|_, days: Parts<Table>| {
            let temps = days.values().map(|day| figure(day, "temp_mean"));
            Ok(Json(mean(&temps.collect::<Result<Vec<_>, _>>()?)))
        });
    let report = project
        .asset("yearly_report")
        .partitions(Partitions::cron("0 0 1 1 *", "2012-01-01", "%Y").until("2016-01-01"))
        .input_with(&monthly, Mapping::TimeOverlap)
        .export("out/{partition}.txt")
        .compute(|ctx, months: Parts<Json<Climate>>| {
            let mut text = format!("Seattle in {}\n", ctx.partition());
            for (month, Json(climate)) in months.iter() {
                text +=
                    &format!("{month}  {:4.1} °C  {:5.1} mm\n", climate.temp_mean, climate.rain_mm);
            }
            Ok(text)
        });
    Weather { daily, monthly, weekly, report }
}

fn one_day(date: &str, raw: &Table) -> Result<Table, BoxError> {
    let (max, min) = (figure(raw, "temp_max")?, figure(raw, "temp_min")?);
    let mut day = Table::with_columns(["date", "temp_mean", "temp_max", "rain_mm"]);
    let rain = figure(raw, "precipitation")?;
    day.rows.push(vec![date.into(), ((max + min) / 2.0).into(), max.into(), rain.into()]);
    Ok(day)
}

fn climate(days: &Parts<Table>) -> Result<Climate, BoxError> {
    let column = |name: &str| -> Result<Vec<f64>, BoxError> {
        days.values().map(|day| figure(day, name)).collect()
    };
    let highs = column("temp_max")?;
    let (warmest, temp_max) =
        days.keys().zip(highs).max_by(|a, b| a.1.total_cmp(&b.1)).ok_or("a month has days")?;
    Ok(Climate {
        days: days.len(),
        temp_mean: mean(&column("temp_mean")?),
        temp_max,
        warmest_day: warmest.to_string(),
        rain_mm: column("rain_mm")?.iter().sum(),
    })
}

fn figure(day: &Table, column: &str) -> Result<f64, BoxError> {
    let cell = day.cell(0, column).and_then(Cell::as_real);
    cell.ok_or_else(|| format!("there is no figure for `{column}`").into())
}

fn mean(figures: &[f64]) -> f64 {
    figures.iter().sum::<f64>() / figures.len() as f64
}

/// The whole example; `out` hears the figures.
pub fn run(out: &mut impl Write) -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("seattle-weather.csv");
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/data/seattle-weather.csv");
    std::fs::copy(original, &data)?;

    let mut project = Project::new("seattle-weather", dir.path());
    let weather = declare(&mut project);

    // A query: what it needs is made first, 31 days and then the month.
    let Json(july) = project.get(&weather.monthly, "2014-07")?;
    let Climate { days, temp_mean, temp_max, warmest_day, rain_mm } = &july;
    writeln!(out, "July 2014: {days} days, {temp_mean:.1} °C, {rain_mm:.1} mm of rain")?;
    writeln!(out, "warmest on {warmest_day} with {temp_max:.1} °C")?;
    let Json(week) = project.get(&weather.weekly, "2014-07-07")?;
    writeln!(out, "the week to 7 July: {week:.2} °C")?;

    // The same again is loaded, not made.
    let again = project.materialize(&weather.monthly, "2014-07")?;
    writeln!(out, "asked again: {} steps", again.summary.ran)?;

    // It rained on the fourth after all.
    let text = std::fs::read_to_string(&data)?;
    std::fs::write(&data, text.replace("2014/07/04,0.0", "2014/07/04,9.9"))?;
    for step in project.materialize(&weather.monthly, "2014-07")?.ran {
        writeln!(out, "after a correction: {step}")?;
    }
    let day = project.get(&weather.daily, "2014-07-04")?;
    writeln!(out, "rain on 4 July: {} mm", figure(&day, "rain_mm")?)?;

    // The text as it was brings the results back as they were.
    std::fs::write(&data, text)?;
    let undone = project.materialize(&weather.monthly, "2014-07")?;
    writeln!(out, "undone: {} steps, {} restored", undone.summary.ran, undone.restored.len())?;

    let report = project.get(&weather.report, "2014")?;
    write!(out, "{report}")?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
