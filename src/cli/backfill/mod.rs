//! `giornata backfill`: ranges of partitions as one unit that is recorded: started, watched, stopped, taken up again.

mod ops;
mod show;
mod start;
mod stop;
mod wanted;

use std::num::NonZeroU64;

use clap::{Args, Subcommand, ValueEnum};

use super::Done;
use super::config::Given;
use super::error::CliError;
use super::materialize::{self, HowArgs};
use super::plan::WantedArgs;
use super::session::Session;
use crate::base::BackfillId;
use crate::engine::{Rest, RunOrder, Wish};

/// Bring ranges of partitions up to date as one unit that can be stopped and taken up again
///
/// Everything in the range that is not fresh is made, with what it reads. `backfill list` says which
/// backfills there are, `backfill show ID` how far one is; `pause`, `cancel`, `resume` and `retry` work from any
/// process. An asset called like one of these verbs is `key:list`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(super) struct BackfillArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    start: StartArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say which backfills there were, the newest first
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Say how far a backfill is: counts and ranges by what became of its partitions
    Show(ShowArgs),
    /// Stop what runs, and start nothing more
    Cancel(IdArgs),
    /// Finish what runs, and start nothing more
    Pause(IdArgs),
    /// Do what is left of a backfill that was stopped or has failures
    Resume(TakeUpArgs),
    /// Try again what failed, and what waited for it, and nothing else
    Retry(TakeUpArgs),
}

// What is to be made, and how. (A doc comment here would become the help of the verb.)
#[derive(Debug, Args)]
struct StartArgs {
    #[command(flatten)]
    wanted: WantedArgs,
    /// Of a job: a set of values that it declares.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Of a job of ops: only these: `fit`, `+fit`, `2+fit`, `load+ or check`.
    #[arg(long, value_name = "OPS")]
    op_select: Option<String>,
    /// The first of a range of time, for assets of any windows.
    #[arg(long, value_name = "EXPR", conflicts_with = "partition")]
    from: Option<String>,
    /// The last of a range of time, included.
    #[arg(long, value_name = "EXPR", conflicts_with = "partition")]
    to: Option<String>,
    /// Of the range only what has no result.
    #[arg(long, conflicts_with = "force")]
    missing: bool,
    /// Of the range only what failed when it was last tried.
    #[arg(long, conflicts_with = "force")]
    failed: bool,
    /// Of the range only what has a result that is out of date.
    #[arg(long, conflicts_with = "force")]
    stale: bool,
    /// Several runs, one after the other, of at most N partitions of each asset.
    #[arg(long, value_name = "N")]
    chunk: Option<NonZeroU64>,
    /// What goes first of what can be made now.
    #[arg(long, value_enum, default_value = "critical", value_name = "ORDER")]
    order: Order,
    #[command(flatten)]
    go: materialize::GoArgs,
}

impl StartArgs {
    /// The values that a job is given.
    fn given(&self) -> Given {
        let files = self.wanted.config.iter().cloned().collect();
        Given::new(self.preset.clone(), files, self.wanted.set.clone())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    /// What holds up the longest path of assets
    Critical,
    Oldest,
    Newest,
}

impl From<Order> for RunOrder {
    fn from(order: Order) -> RunOrder {
        match order {
            Order::Critical => RunOrder::Critical,
            Order::Oldest => RunOrder::Oldest,
            Order::Newest => RunOrder::Newest,
        }
    }
}

#[derive(Debug, Args)]
struct ListArgs {
    /// At most N of them.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The number of the backfill.
    #[arg(value_name = "BACKFILL", value_parser = id)]
    backfill: BackfillId,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct IdArgs {
    /// The number of the backfill.
    #[arg(value_name = "BACKFILL", value_parser = id)]
    backfill: BackfillId,
}

#[derive(Debug, Args)]
struct TakeUpArgs {
    /// The number of the backfill.
    #[arg(value_name = "BACKFILL", value_parser = id)]
    backfill: BackfillId,
    #[command(flatten)]
    how: HowArgs,
}

fn id(text: &str) -> Result<BackfillId, String> {
    let number = text.parse().ok().filter(|number| *number <= i64::MAX as u64);
    let help = "a backfill has a number; `giornata backfill list` says which there are";
    number.map(BackfillId).ok_or_else(|| help.to_owned())
}

pub(super) fn run(args: &BackfillArgs, session: Session<'_>) -> Result<Done, CliError> {
    match &args.verb {
        None => start::run(&args.start, session),
        Some(Verb::List(args)) => show::list(args, session),
        Some(Verb::Show(args)) => show::show(args, session),
        Some(Verb::Cancel(args)) => stop::run(args.backfill, Wish::Cancel, session),
        Some(Verb::Pause(args)) => stop::run(args.backfill, Wish::Pause, session),
        Some(Verb::Resume(args)) => start::take_up(args, Rest::Left, session),
        Some(Verb::Retry(args)) => start::take_up(args, Rest::Failed, session),
    }
}
