//! The shape of the command line: the verbs, and what holds for all of them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    accept, backfill, cancel, cat, check, complete, completions, config, doctor, export, gc, graph,
    init, invalidate, list, logs, man, materialize, new, observe, partitions, path, plan, report,
    retry, run, runs, schedules, schema, sensors, show, status, watch, why, wipe,
};

/// Keeps data assets up to date: runs what a change concerns, and says why.
#[derive(Debug, Parser)]
#[command(name = "giornata", version, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

// What every verb takes. (A doc comment here would become the help of the program.)
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Work as if started in this directory.
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub work_in: Option<PathBuf>,
    /// Say nothing but results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more: a line for each step, lists without an end.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colour.
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: Color,
    /// Draw no progress bar.
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Act as if it were this time: `2016-01-01` or `2016-01-01T03:00:00Z`.
    #[arg(long, value_name = "TIME", global = true, value_parser = super::clock::parse)]
    pub now: Option<chrono::DateTime<chrono::Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(init::InitArgs),
    New(new::NewArgs),
    Check(check::CheckArgs),
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    Show(show::ShowArgs),
    Graph(graph::GraphArgs),
    #[command(visible_alias = "st")]
    Status(status::StatusArgs),
    Why(why::WhyArgs),
    Plan(plan::PlanArgs),
    #[command(visible_alias = "m")]
    Materialize(materialize::MaterializeArgs),
    Backfill(backfill::BackfillArgs),
    Run(run::RunArgs),
    Runs(runs::RunsArgs),
    Logs(logs::LogsArgs),
    Cancel(cancel::CancelArgs),
    Retry(retry::RetryArgs),
    Watch(watch::WatchArgs),
    Schedules(schedules::SchedulesArgs),
    Sensors(sensors::SensorsArgs),
    Config(config::ConfigArgs),
    Partitions(partitions::PartitionsArgs),
    Cat(cat::CatArgs),
    Path(path::PathArgs),
    Export(export::ExportArgs),
    Accept(accept::AcceptArgs),
    Invalidate(invalidate::InvalidateArgs),
    Observe(observe::ObserveArgs),
    Report(report::ReportArgs),
    Gc(gc::GcArgs),
    Wipe(wipe::WipeArgs),
    Doctor(doctor::DoctorArgs),
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    /// What the scripts of `completions` call.
    #[command(name = "__complete", hide = true)]
    Complete(complete::CompleteArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_contradict_nothing() {
        Cli::command().debug_assert();
    }
}
