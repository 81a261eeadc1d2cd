//! `giornata __complete`: what may stand at the end of a command line, for the scripts of
//! `completions`.
//!
//! Whatever goes wrong, nothing is said: it would stand in the middle of what the user types.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::engine::{self, ArgValueCompleter, CompletionCandidate};

use super::Done;
use super::args::Cli;
use super::error::CliError;
use super::session::{Session, Workspace};
use super::targets::Spec;
use super::text;
use crate::base::{AssetKey, PartitionSet};
use crate::defs::{Domain, FlowStep, Job, Project, Schedule, Sensor, Work};
use crate::engine::{Access, Backfill, Run, RunQuery};

#[derive(Debug, Args)]
pub(super) struct CompleteArgs {
    #[arg(long, value_enum)]
    shell: Shell,
    /// The command line up to the cursor, where a shell does not give its words.
    #[arg(long, allow_hyphen_values = true)]
    line: Option<String>,
    /// The characters at which the shell breaks a word: it replaces only what follows them.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    breaks: String,
    /// The words up to the cursor, the program first, the unfinished one last.
    #[arg(last = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Keys that begin as typed: more than these help nobody.
const KEYS_MAX: usize = 500;
/// The last runs are offered.
const RUNS_MAX: usize = 50;
/// How many keys are looked at for them.
const LOOKED_AT_MAX: usize = 200_000;
/// Older backfills are not offered.
const BACKFILLS_MAX: usize = 50;
/// Words that stand for partitions.
const WORDS: [&str; 5] = ["all", "failed", "latest", "missing", "stale"];

/// What the project offers.
#[derive(Default)]
struct Offer {
    /// Names with what they are.
    assets: Vec<(String, String)>,
    jobs: Vec<(String, String)>,
    schedules: Vec<(String, String)>,
    sensors: Vec<(String, String)>,
    /// The ops of the job that is named, for a selection of them.
    ops: Vec<(String, String)>,
    /// What may follow an `@` or `--partition`.
    partitions: Vec<String>,
    /// The last runs, with what they were.
    runs: Vec<(String, String)>,
    /// Numbers with what they stand for.
    backfills: Vec<(String, String)>,
}

pub(super) fn run(args: &CompleteArgs, mut session: Session<'_>) -> Result<Done, CliError> {
    let words = match &args.line {
        Some(line) => split(line),
        None => args.words.clone(),
    };
    session.term.is_quiet = true;
    if let Some(at) = words.iter().position(|word| word == "-C") {
        session.global.work_in = words.get(at + 1).map(PathBuf::from);
    }
    // Verbs and options are there without a project.
    let (term, offer) = session.with_workspace(|workspace| Offer::new(workspace, &words));
    let current = words.last().cloned().unwrap_or_default();
    for candidate in candidates(words, offer.unwrap_or_default()) {
        if let Some(line) = written(args, &current, &candidate) {
            term.print(&format!("{line}\n"));
        }
    }
    Ok(Done::Fine)
}

impl Offer {
    fn new(workspace: &mut Workspace<'_>, words: &[String]) -> Offer {
        let assets = workspace.project.assets.values();
        let about = |key: &AssetKey, kind: &str, description: Option<&str>| {
            (key.to_string(), description.unwrap_or(kind).to_owned())
        };
        let assets = assets
            .map(|it| about(&it.key, text::body(&it.body), it.description.as_deref()))
            .collect();
        let ops = ops(&workspace.project, words);
        let jobs = workspace.project.jobs.values();
        let about = |job: &Job| job.description.clone().unwrap_or_else(|| "job".to_owned());
        let jobs = jobs.map(|job| (job.name.to_string(), about(job))).collect();
        let schedules = workspace.project.schedules.values();
        let about = |def: &Schedule| def.description.clone().unwrap_or_else(|| "schedule".into());
        let schedules = schedules.map(|def| (def.name.to_string(), about(def))).collect();
        let sensors = workspace.project.sensors.values();
        let about = |def: &Sensor| def.description.clone().unwrap_or_else(|| "sensor".into());
        let sensors = sensors.map(|def| (def.name.to_string(), about(def))).collect();
        let partitions = match wanted_partitions(words) {
            Some((selections, typed)) => keys(workspace, &selections, typed).unwrap_or_default(),
            None => Vec::new(),
        };
        let backfills = match words.iter().any(|word| word == "backfill") {
            true => backfills(workspace).unwrap_or_default(),
            false => Vec::new(),
        };
        let runs = if wants_runs(words) { runs(workspace).unwrap_or_default() } else { Vec::new() };
        Offer { assets, jobs, schedules, sensors, ops, partitions, runs, backfills }
    }
}

/// Whether a number of a run may stand somewhere: only then are they looked up.
fn wants_runs(words: &[String]) -> bool {
    let verbs = ["runs", "logs", "cancel", "retry", "--retry"];
    words.iter().any(|word| verbs.contains(&word.as_str()))
}

fn runs(workspace: &mut Workspace<'_>) -> Option<Vec<(String, String)>> {
    let engine = workspace.engine(Access::Read, &[]).ok()?;
    let last = RunQuery { limit: Some(RUNS_MAX), ..RunQuery::default() };
    let about = |run: Run| {
        let command = text::harmless(&run.command);
        (run.id.to_string(), format!("{}: {command}", run.state.as_str()))
    };
    Some(engine.runs(&last).ok()?.into_iter().map(about).collect())
}

/// The last backfills.
fn backfills(workspace: &mut Workspace<'_>) -> Option<Vec<(String, String)>> {
    let engine = workspace.engine(Access::Read, &[]).ok()?;
    let about = |backfill: Backfill| {
        let state = backfill.state.as_str();
        (backfill.id.to_string(), format!("{state}: {}", text::harmless(&backfill.command)))
    };
    Some(engine.backfills(BACKFILLS_MAX).ok()?.into_iter().map(about).collect())
}

/// The ops of the first job that is named.
fn ops(project: &Project, words: &[String]) -> Vec<(String, String)> {
    let Some(job) = words.iter().find_map(|word| project.jobs.get(word.as_str())) else {
        return Vec::new();
    };
    match &job.work {
        Work::Select(_) => Vec::new(),
        Work::Flow(flow) => {
            let about = |step: &FlowStep| {
                step.op.description.clone().unwrap_or_else(|| text::body(&step.op.body).to_owned())
            };
            flow.steps.iter().map(|step| (step.path.to_string(), about(step))).collect()
        }
    }
}

/// Of which assets the last word names partitions, and the beginning of the key that is typed.
fn wanted_partitions(words: &[String]) -> Option<(Vec<&str>, &str)> {
    let (current, before) = words.split_last()?;
    if let Some((asset, typed)) = current.split_once('@') {
        return Some((vec![asset], last_item(typed).1));
    }
    let typed = match (before.last().map(String::as_str), current.strip_prefix("--partition=")) {
        (Some("-p" | "--partition"), _) => current,
        (_, Some(typed)) => typed,
        (_, None) => return None,
    };
    let plain = before.iter().skip(1).map(String::as_str).filter(|word| !word.starts_with('-'));
    Some((plain.collect(), last_item(typed).1))
}

/// A partition expression up to the key at its end, and that key.
fn last_item(typed: &str) -> (&str, &str) {
    let after = |sign: &str| typed.rfind(sign).map(|at| at + sign.len());
    typed.split_at(after(",").max(after("..")).unwrap_or(0))
}

/// Keys of the partitions of the first of `selections` that names an asset, as they are to be typed.
fn keys(workspace: &mut Workspace<'_>, selections: &[&str], typed: &str) -> Option<Vec<String>> {
    let parsed = selections.iter().filter_map(|text| Spec::parse(text).ok());
    let (spec, key) = parsed.into_iter().find_map(|spec| {
        let set = workspace.project.assets.keys().find(|key| key.as_str() == spec.text)?.clone();
        Some((spec, set))
    })?;
    let (engine, _) = workspace.open(&[spec], Access::Read, &[]).ok()?;
    Some(keys_like(engine.planner().domain(&key), typed))
}

fn keys_like(domain: &Domain, typed: &str) -> Vec<String> {
    let written = |part| domain.render(&PartitionSet::from_iter([part])).into_iter().next();
    let keys = domain.all().iter().take(LOOKED_AT_MAX).filter_map(written);
    keys.filter(|key| key.starts_with(typed)).take(KEYS_MAX).collect()
}

/// What may stand in the place of the last word.
fn candidates(words: Vec<String>, offer: Offer) -> Vec<CompletionCandidate> {
    let Some(last) = words.len().checked_sub(1) else { return Vec::new() };
    let mut command = completing(Cli::command(), &Arc::new(offer));
    let words = words.into_iter().map(OsString::from).collect();
    let mut found = engine::complete(&mut command, words, last, None).unwrap_or_default();
    found.retain(|candidate| !candidate.is_hide_set());
    found
}

/// The verbs, and those below them, with what their arguments take.
fn completing(command: Command, offer: &Arc<Offer>) -> Command {
    let names = command.get_arguments().filter_map(|arg| Some((arg.get_id().clone(), takes(arg)?)));
    let names: Vec<_> = names.collect();
    let command = names.into_iter().fold(command, |command, (id, takes)| {
        let offer = Arc::clone(offer);
        let complete = move |current: &OsStr| match takes {
            Takes::Assets => selection(&offer.assets, &offer, current),
            Takes::Ops => selection(&offer.ops, &offer, current),
            Takes::Jobs => Offer::named(&offer.jobs, current),
            Takes::AssetsAndJobs => {
                let assets = selection(&offer.assets, &offer, current);
                assets.into_iter().chain(Offer::named(&offer.jobs, current)).collect()
            }
            Takes::Partitions => offer.partitions(current),
            Takes::Runs => Offer::named(&offer.runs, current),
            Takes::RunsAndAssets => {
                let assets = selection(&offer.assets, &offer, current);
                Offer::named(&offer.runs, current).into_iter().chain(assets).collect()
            }
            Takes::Backfills => Offer::named(&offer.backfills, current),
            Takes::Sensors => Offer::named(&offer.sensors, current),
            Takes::Schedules => Offer::named(&offer.schedules, current),
        };
        command.mut_arg(id, |arg| arg.add(ArgValueCompleter::new(complete)))
    });
    command.mut_subcommands(|verb| completing(verb, offer))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Assets,
    Jobs,
    Ops,
    AssetsAndJobs,
    Partitions,
    Runs,
    RunsAndAssets,
    Backfills,
    Schedules,
    Sensors,
}

/// What an argument takes, by the name of its value: verbs need not know of this file.
fn takes(arg: &clap::Arg) -> Option<Takes> {
    let name = arg.get_value_names()?.first()?.as_str();
    if name == "RUN" {
        return Some(Takes::Runs);
    }
    if name.starts_with("RUN|ASSET") {
        return Some(Takes::RunsAndAssets);
    }
    if name.starts_with("SELECTION") || name.starts_with("ASSET") {
        let with_jobs = name.ends_with("|JOB");
        return Some(if with_jobs { Takes::AssetsAndJobs } else { Takes::Assets });
    }
    match name {
        "JOB" => return Some(Takes::Jobs),
        "OPS" => return Some(Takes::Ops),
        "BACKFILL" => return Some(Takes::Backfills),
        "SENSOR" => return Some(Takes::Sensors),
        "SCHEDULE" => return Some(Takes::Schedules),
        _ => {}
    }
    (name == "EXPR").then_some(Takes::Partitions)
}

impl Offer {
    fn named(names: &[(String, String)], current: &OsStr) -> Vec<CompletionCandidate> {
        current.to_str().map(|current| named_like(names, "", current)).unwrap_or_default()
    }

    fn partitions(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        current.to_str().map(|current| self.keys("", current)).unwrap_or_default()
    }

    fn keys(&self, before: &str, typed: &str) -> Vec<CompletionCandidate> {
        let (items, typed) = last_item(typed);
        let keys = self.partitions.iter().map(String::as_str).chain(WORDS);
        let candidate = |key: &str| CompletionCandidate::new(format!("{before}{items}{key}"));
        keys.filter(|key| key.starts_with(typed)).map(candidate).collect()
    }
}

/// The names that may go on a selection.
fn selection(
    names: &[(String, String)],
    offer: &Offer,
    current: &OsStr,
) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    if let Some(at) = current.find('@') {
        let (asset, typed) = current.split_at(at + 1);
        return offer.keys(asset, typed);
    }
    // `+model` and `a,b` go on behind the sign.
    let at = current.rfind(['+', ',', ' ', '(']).map_or(0, |at| at + 1);
    let (before, typed) = current.split_at(at);
    named_like(names, before, typed)
}

/// The names that begin as typed, behind what stands before.
fn named_like(names: &[(String, String)], before: &str, typed: &str) -> Vec<CompletionCandidate> {
    let candidate = |(name, about): &(String, String)| {
        let about = about.lines().next().unwrap_or_default().to_owned();
        CompletionCandidate::new(format!("{before}{name}")).help(Some(about.into()))
    };
    names.iter().filter(|(name, _)| name.starts_with(typed)).map(candidate).collect()
}

/// A candidate as its shell wants it; `None` for one that would break the line.
fn written(args: &CompleteArgs, current: &str, candidate: &CompletionCandidate) -> Option<String> {
    let value = candidate.get_value().to_str()?;
    if value.chars().any(char::is_control) {
        return None;
    }
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    let help: String =
        help.chars().map(|c| if c.is_control() { ' ' } else { c }).take(100).collect();
    Some(match args.shell {
        Shell::Bash => {
            let kept = current.rfind(|c| args.breaks.contains(c)).map_or(0, |at| at + 1);
            escaped(value.get(kept..).filter(|_| value.starts_with(&current[..kept]))?)
        }
        Shell::Zsh => format!("{}:{help}", value.replace('\\', "\\\\").replace(':', "\\:")),
        Shell::Fish if help.is_empty() => value.to_owned(),
        Shell::Fish => format!("{value}\t{help}"),
    })
}

/// For a shell that inserts what it is told as it is: a key can be the name of anybody's file.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"_@%+=:,./-".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// The words of an unfinished line, without what quotes and backslashes are there for.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let word = words.last_mut().expect("there is always one");
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.extend(chars.next()),
            (c, Some(_)) => word.push(c),
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(String::new());
                }
            }
            (c, None) => word.push(c),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        let asset = |name: &str| (name.to_owned(), "about: it\nmore".to_owned());
        Offer {
            assets: ["daily", "data/raw", "model"].map(asset).to_vec(),
            schedules: Vec::new(),
            sensors: Vec::new(),
            jobs: ["nightly", "model_job"].map(asset).to_vec(),
            ops: ["load", "inner.fit"].map(asset).to_vec(),
            partitions: vec!["2024-01".into(), "2024-02".into(), "$(rm x)".into()],
            runs: ["12", "11", "9"].map(asset).to_vec(),
            backfills: vec![("12".to_owned(), "paused: giornata backfill daily".to_owned())],
        }
    }

    #[track_caller]
    fn check(line: &str, expect: &[&str]) {
        let args = CompleteArgs {
            shell: Shell::Bash,
            line: None,
            breaks: " @:=".into(),
            words: Vec::new(),
        };
        let words = split(line);
        let current = words.last().unwrap().clone();
        let found: Vec<String> = candidates(words, offer())
            .iter()
            .filter_map(|candidate| written(&args, &current, candidate))
            .collect();
        assert_eq!(found, expect, "{line}");
    }

    #[test]
    fn verbs_assets_and_partitions_are_completed() {
        check("giornata mat", &["materialize"]);
        check("giornata __c", &[]);
        check("giornata m da", &["daily", "data/raw"]);
        check("giornata m +da", &["+daily", "+data/raw"]);
        check("giornata -q status mod", &["model"]);
        check("giornata list --kind sql model,da", &["model,daily", "model,data/raw"]);
        check("giornata why daily@2024", &["2024-01", "2024-02"]);
        check("giornata cat 'daily@2024-01..2024-0", &["2024-01..2024-01", "2024-01..2024-02"]);
        check("giornata m daily -p la", &["latest"]);
        check(
            "giornata m daily --partition=2024-01,2024-0",
            &["2024-01,2024-01", "2024-01,2024-02"],
        );
        check("giornata graph --format sv", &["svg"]);
        check("giornata run ni", &["nightly"]);
        check("giornata config check m", &["model_job"]);
        check("giornata show mod", &["model", "model_job"]);
        check("giornata graph --job mod", &["model_job"]);
        check("giornata runs show 1", &["12", "11"]);
        check("giornata cancel 9", &["9"]);
        check("giornata logs 1", &["12", "11"]);
        check("giornata logs d", &["daily", "data/raw"]);
        check("giornata run nightly --op-select 'load or 1+inn", &["1+inner.fit"]);
    }

    #[test]
    fn a_hostile_key_stays_a_word() {
        check("giornata m daily -p '$", &["\\$\\(rm\\ x\\)"]);
    }

    #[test]
    fn other_shells_get_descriptions() {
        let line = |shell| {
            let args = CompleteArgs { shell, line: None, breaks: String::new(), words: Vec::new() };
            let words = split("giornata m mo");
            written(&args, "mo", &candidates(words, offer())[0]).unwrap()
        };
        assert_eq!(line(Shell::Zsh), "model:about: it");
        assert_eq!(line(Shell::Fish), "model\tabout: it");
    }

    #[test]
    fn an_unfinished_line_has_words() {
        assert_eq!(split("a 'b c' \"d\\\"e\" f\\ g"), ["a", "b c", "d\"e", "f g"]);
        assert_eq!(split("a  b "), ["a", "b", ""]);
        assert_eq!(split("a 'b"), ["a", "b"]);
        assert_eq!(split(""), [""]);
    }
}
