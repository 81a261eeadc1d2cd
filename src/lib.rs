//! giornata keeps data up to date: it knows what each day, month or file was made from, runs only
//! what a change concerns, and can say why. It is a library and a command-line program with one model.
//!
//! # The model
//!
//! An **asset** is a named piece of data and the way to make it: a SQL statement, a command, a
//! function. A **source** is data from outside, which is observed and never made. Assets read sources
//! and other assets; that is the graph.
//!
//! An asset falls into **partitions**, each named by a **partition key**: the days of a calendar
//! (`2014-07-04`), declared words (`eu`, `us`), or the files that happen to be there. A *mapping* says
//! which partitions of an input a partition reads: the same key, the windows that overlap in time,
//! the last seven, all. Partitions are the unit of everything: of making, of remembering, of failing.
//!
//! A **materialization** makes one partition of one asset, keeps its bytes under the hash of their
//! content, and records what decided them: the code, the declared values, the content of each input
//! partition. Nothing else may decide them; that is what the author of an asset promises.
//!
//! A partition is **fresh** if what decides it is what it was, else it is *stale*, and `missing` if it
//! was never made. Modification times play no part. From this follows what a change costs:
//!
//! - nothing, where a file was rewritten with the content it had;
//! - one step for each partition that reads what has changed, and none for the others;
//! - nothing further, where a step that ran again gave the bytes it gave before: its readers are *cut
//!   off*;
//! - nothing, where what decides a partition is as it was at some earlier time: that result is *restored*.
//!
//! # A project in code
//!
//! Four readings of rain in a file, the sum of each day, and a text about the month:
//!
//! ```
//! use giornata::{Parts, Project, Table};
//!
//! # let dir = tempfile::tempdir()?;
//! # let root = dir.path();
//! std::fs::write(root.join("rain.csv"), "day,mm\n2014-07-01,2\n2014-07-01,3\n2014-07-02,4\n2014-07-02,0\n")?;
//!
//! let mut project = Project::new("weather", root);
//! // A source: each value of the column `day` is a partition of its own.
//! let rain = project.source("rain").split_by("day").files("rain.csv");
//! // An asset with a partition for each day. It reads the rows of its day.
//! let daily = project.asset("daily").daily("2014-07-01").until("2014-07-03").input(&rain).compute(
//!     |ctx, rain: Table| {
//!         let mm: f64 = (0..rain.rows.len()).filter_map(|row| rain.cell(row, "mm")?.as_real()).sum();
//!         let mut day = Table::with_columns(["day", "mm"]);
//!         day.rows.push(vec![ctx.partition().as_str().into(), mm.into()]);
//!         Ok(day)
//!     },
//! );
//! // An asset without partitions. It reads all days.
//! let report = project.asset("report").inputs(&daily).compute(|_, days: Parts<Table>| {
//!     let wettest = days
//!         .iter()
//!         .filter_map(|(key, day)| Some((day.cell(0, "mm")?.as_real()?, key)))
//!         .max_by(|a, b| a.0.total_cmp(&b.0));
//!     let (mm, day) = wettest.ok_or("there are no days")?;
//!     Ok(format!("most rain on {day}: {mm} mm"))
//! });
//!
//! // A value is asked for by asset and partition. What it needs is made, once.
//! assert_eq!(project.get(&report, ())?, "most rain on 2014-07-01: 5 mm");
//! assert!(project.materialize(&report, "all")?.is_idle());
//!
//! // One reading was wrong: its day runs, and the report, which reads it. The other day does not.
//! std::fs::write(root.join("rain.csv"), "day,mm\n2014-07-01,2\n2014-07-01,3\n2014-07-02,4\n2014-07-02,3\n")?;
//! let done = project.materialize(&report, "all")?;
//! let ran: Vec<String> = done.ran.iter().map(ToString::to_string).collect();
//! assert_eq!(ran, ["daily@2014-07-02", "report"]);
//! # Ok::<(), giornata::api::BoxError>(())
//! ```
//!
//! [`api`] is the whole of this; [`testing`] has a harness for the tests of a project. A program that
//! declares a project can also have every command of the command line:
//!
//! ```no_run
//! # fn declare(_: &mut giornata::Project) {}
//! fn main() -> std::process::ExitCode {
//!     let mut project = giornata::Project::new("weather", ".");
//!     declare(&mut project); // as above
//!     giornata::cli::main_with(project)
//! }
//! ```
//!
//! # A project of files
//!
//! The same can be declared by files, without a line of Rust: `giornata.toml` marks the root, and a file
//! under `assets/` is an asset, named by its path. [`load`] reads them to the same [`defs::Project`]; an
//! [`engine::Engine`] brings either up to date. The modules are in layers, and a module uses only
//! those below it; ARCHITECTURE.md has the table.

pub mod api;
pub mod base;
pub mod cas;
pub mod cli;
pub mod defs;
pub mod engine;
pub mod exec;
pub mod io;
pub mod load;
pub mod plan;
pub mod sensor;
pub mod store;
pub mod testing;
pub mod watch;

pub use api::{Handle, Json, Mapping, Partitions, Parts, Project, Table};
