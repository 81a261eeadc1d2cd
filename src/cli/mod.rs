//! The command line: arguments to one library call to text and an exit code.
//!
//! Each verb is a file with its arguments and a `run`. Results go to stdout, everything else to
//! stderr. Here the real clock and the process environment come in; nothing below reads either.

mod accept;
mod args;
mod backfill;
mod cancel;
mod cat;
mod check;
mod clock;
mod complete;
mod completions;
mod config;
mod diagnostics;
mod doctor;
mod error;
mod export;
mod gc;
mod graph;
mod init;
mod invalidate;
mod job;
mod json;
mod list;
mod logs;
mod man;
mod materialize;
mod new;
mod observe;
mod partitions;
mod path;
mod plan;
mod progress;
mod report;
mod retry;
mod run;
mod run_ops;
mod runs;
mod schedules;
mod schema;
mod sensors;
mod session;
mod show;
mod status;
mod table;
mod targets;
mod term;
mod text;
mod ticks;
mod upkeep;
mod values;
mod watch;
mod why;
mod wipe;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::api;
use args::{Cli, Command};
pub use error::{CliError, Kind};
use session::Session;
use term::Term;

/// Where a project's declarations come from.
pub enum Source {
    /// The files of the directory that holds `giornata.toml`.
    Files,
    /// A program that declares its project in Rust, beside files or without.
    Program(Box<api::Project>),
}

/// How a command ended, if not with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Fine,
    /// Something failed, or a check found what it looks for.
    Failed,
    /// The project has errors, and they are on the screen.
    Invalid,
    Interrupted,
}

/// Runs the command line of this process for a project of files.
pub fn main() -> ExitCode {
    run(std::env::args_os(), Source::Files)
}

/// Runs the command line of this process for a project that the program declares: every command works
/// on its assets, and on those of the files if it is a project [`with_files`](api::Project::with_files).
pub fn main_with(project: api::Project) -> ExitCode {
    run(std::env::args_os(), Source::Program(Box::new(project)))
}

/// Runs a command line, the name of the program first.
pub fn run(args: impl IntoIterator<Item = OsString>, source: Source) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be said where even this cannot be printed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let mut term = Term::new(&cli.global);
    let command_line = text::command_line(&args);
    let code = match dispatch(cli, source, &mut term, command_line) {
        Ok(Done::Fine) => 0,
        Ok(Done::Failed) => 1,
        Ok(Done::Invalid) => 2,
        Ok(Done::Interrupted) => 130,
        Err(error) => {
            term.error(&error);
            error.kind.exit_code()
        }
    };
    match term.finish() {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::from(2),
    }
}

fn dispatch(
    cli: Cli,
    source: Source,
    term: &mut Term,
    command_line: String,
) -> Result<Done, CliError> {
    let session = Session::new(cli.global, source, term, command_line);
    match cli.command {
        Command::Init(args) => init::run(&args, session),
        Command::New(args) => new::run(&args, session),
        Command::Check(args) => check::run(&args, session),
        Command::List(args) => list::run(&args, session),
        Command::Show(args) => show::run(&args, session),
        Command::Graph(args) => graph::run(&args, session),
        Command::Status(args) => status::run(&args, session),
        Command::Why(args) => why::run(&args, session),
        Command::Plan(args) => plan::run(&args, session),
        Command::Backfill(args) => backfill::run(&args, session),
        Command::Run(args) => run::run(&args, session),
        Command::Runs(args) => runs::run(&args, session),
        Command::Logs(args) => logs::run(&args, session),
        Command::Cancel(args) => cancel::run(&args, session),
        Command::Retry(args) => retry::run(&args, session),
        Command::Watch(args) => watch::run(&args, session),
        Command::Schedules(args) => schedules::run(&args, session),
        Command::Sensors(args) => sensors::run(&args, session),
        Command::Config(args) => config::run(&args, session),
        Command::Materialize(args) => materialize::run(&args, session),
        Command::Partitions(args) => partitions::run(&args, session),
        Command::Cat(args) => cat::run(&args, session),
        Command::Path(args) => path::run(&args, session),
        Command::Export(args) => export::run(&args, session),
        Command::Accept(args) => accept::run(&args, session),
        Command::Invalidate(args) => invalidate::run(&args, session),
        Command::Observe(args) => observe::run(&args, session),
        Command::Report(args) => report::run(&args, session),
        Command::Gc(args) => gc::run(&args, session),
        Command::Wipe(args) => wipe::run(&args, session),
        Command::Doctor(args) => doctor::run(&args, session),
        Command::Schema(args) => schema::run(&args, session),
        Command::Completions(args) => completions::run(&args, session),
        Command::Man(args) => man::run(&args, session),
        Command::Complete(args) => complete::run(&args, session),
    }
}
