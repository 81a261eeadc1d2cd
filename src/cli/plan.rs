//! `giornata plan`: what a run would do, with the arguments that a run takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use super::error::CliError;
use super::json::{Document, PlanDocument};
use super::session::{Session, Workspace};
use super::table::{self, Align};
use super::targets::{Expression, Spec, Wanted, requested};
use super::text::{self, Length};
use super::{Done, values};
use crate::base::{AssetKey, PartitionSet};
use crate::defs::Project;
use crate::engine::{Access, Engine, SetValue};
use crate::plan::{Plan, PlanAsset, Reach, ReasonCode, Request};

/// Say what a run would do; runs nothing
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    wanted: WantedArgs,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

// What is to be made fresh. (A doc comment here would become the help of the verb.)
#[derive(Debug, Clone, Args)]
pub(super) struct WantedArgs {
    /// Which assets: `monthly_climate`, `+report`, `tag:mart`; `ASSET@PARTITION` names one partition.
    #[arg(value_name = "SELECTION")]
    pub selection: Vec<String>,
    /// All assets.
    #[arg(long, conflicts_with = "selection")]
    pub all: bool,
    /// Which partitions of them: `2014-07`, `2014-01..2014-03`, `latest`, `missing`; all if not given.
    #[arg(short, long, value_name = "EXPR")]
    pub partition: Option<String>,
    /// Run the targets whatever their state.
    #[arg(long)]
    pub force: bool,
    /// Look at nothing upstream.
    #[arg(long, conflicts_with = "downstream")]
    pub only: bool,
    /// Also what reads the targets.
    #[arg(long)]
    pub downstream: bool,
    /// Replace a configured value; `ASSET.NAME=VALUE` for one asset.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Replace configured values by those of a TOML, YAML or JSON file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Says which partitions of the selected assets are meant.
type ReadTargets<'a> = dyn Fn(&Engine, &[Spec], &[BTreeSet<AssetKey>], Option<&Expression>) -> Result<Wanted, CliError>
    + 'a;

impl WantedArgs {
    /// The values that are replaced, as a run records them.
    pub fn set_values(&self, project: &Project) -> Result<serde_json::Value, CliError> {
        let settings = values::settings(project, self.config.as_deref(), &self.set)?;
        Ok(values::record(&settings))
    }

    pub fn reach(&self) -> Reach {
        match (self.only, self.downstream) {
            (true, _) => Reach::Only,
            (false, true) => Reach::UpstreamAndDownstream,
            (false, false) => Reach::Upstream,
        }
    }

    /// Opens the project and says what is asked for.
    pub fn open(
        &self,
        workspace: &mut Workspace<'_>,
        access: Access,
    ) -> Result<(Engine, Request), CliError> {
        let (engine, request, _) = self.open_with(workspace, access, &requested)?;
        Ok((engine, request))
    }

    /// As `open`; `read` says which partitions are meant. Gives also which configured values are replaced.
    pub fn open_with(
        &self,
        workspace: &mut Workspace<'_>,
        access: Access,
        read: &ReadTargets<'_>,
    ) -> Result<(Engine, Request, Vec<SetValue>), CliError> {
        let specs = Spec::parse_or_all(&self.selection)?;
        let partition =
            self.partition.as_ref().map(|text| Expression::parse(text, 0)).transpose()?;
        if partition.is_some() && specs.iter().any(|spec| spec.partitions.is_some()) {
            return Err(CliError::user(
                "partitions are named twice: after `@` and by `--partition`",
            ));
        }
        if specs.iter().any(|spec| spec.selection.is_everything()) {
            workspace.refuse_broken()?;
        }
        let settings = values::settings(&workspace.project, self.config.as_deref(), &self.set)?;
        let (mut engine, sets) = workspace.open(&specs, access, &settings)?;
        if self.downstream {
            let readers = with_readers(&engine, sets.iter().flatten());
            workspace.refresh(&mut engine, readers)?;
        }
        let Wanted { targets, chosen } = read(&engine, &specs, &sets, partition.as_ref())?;
        if self.only {
            only_known(workspace, &engine, &targets)?;
        }
        let reach = self.reach();
        Ok((engine, Request { targets, chosen, reach, force: self.force }, settings))
    }
}

/// What makes pieces is not run with `--only`: then only those of before can be meant.
fn only_known(
    workspace: &mut Workspace<'_>,
    engine: &Engine,
    targets: &BTreeMap<AssetKey, PartitionSet>,
) -> Result<(), CliError> {
    for (key, target) in targets.iter().filter(|(key, _)| engine.planner().freshness(key).growing) {
        let message = format!("which partitions `{key}` has is known when its pieces are made");
        if target.is_empty() {
            let error = CliError::user(format!("{message}, and `--only` makes nothing else"));
            return Err(error.hint("leave out `--only`, or make what they are pieces of first"));
        }
        workspace.term.warning(&format!("{message}; this is about those that are known now"));
    }
    Ok(())
}

fn with_readers<'a>(
    engine: &Engine,
    keys: impl Iterator<Item = &'a AssetKey>,
) -> BTreeSet<AssetKey> {
    let mut found: BTreeSet<AssetKey> = keys.cloned().collect();
    for key in engine.planner().order() {
        if engine.project().assets[key].deps.iter().any(|dep| found.contains(&dep.upstream)) {
            found.insert(key.clone());
        }
    }
    found
}

pub(super) fn run(args: &PlanArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let (engine, request) = args.wanted.open(&mut workspace, Access::Read)?;
    show(&mut workspace, &engine.plan(&request)?, args.json);
    Ok(Done::Fine)
}

/// Writes a plan, as text or JSON; the same for `materialize --dry-run`.
pub(super) fn show(workspace: &mut Workspace<'_>, plan: &Plan, json: bool) {
    let output = if json {
        Document::text(PlanDocument::new(plan))
    } else {
        render(plan, Length::of(workspace.term.is_verbose))
    };
    workspace.term.print(&output);
}

fn render(plan: &Plan, length: Length) -> String {
    let is_open = |asset: &&PlanAsset| !todo(asset).is_empty();
    let rows: Vec<Vec<String>> =
        plan.assets.iter().filter(is_open).map(|asset| row(asset, length)).collect();
    if rows.is_empty() {
        return render_fresh(plan);
    }
    let columns = [
        ("ASSET", Align::Left),
        ("RUN", Align::Right),
        ("MAYBE", Align::Right),
        ("RESTORE", Align::Right),
        ("FRESH", Align::Right),
        ("PARTITIONS", Align::Left),
        ("WHY", Align::Left),
    ];
    let mut text = table::render(&columns, rows);
    text += &format!("\n{}\n", summary(plan));
    for maker in plan.growing() {
        text += &format!("`{maker}` makes pieces: how many is known when it has run\n");
    }
    text
}

/// What is said where nothing is to be done.
pub(super) fn render_fresh(plan: &Plan) -> String {
    let fresh: u64 = plan.assets.iter().map(|asset| asset.wanted.len()).sum();
    format!("everything up to date: {}\n", text::count(fresh, "partition"))
}

/// What is not simply fresh; a result whose record only has to be moved up is fresh to the user.
fn todo(asset: &PlanAsset) -> PartitionSet {
    &(&asset.open() | &asset.blocked) - &asset.verify
}

fn row(asset: &PlanAsset, length: Length) -> Vec<String> {
    let todo = todo(asset);
    let run = &asset.run | &asset.forced;
    vec![
        asset.asset.to_string(),
        run.len().to_string(),
        (&asset.pending - &asset.forced).len().to_string(),
        asset.restore.len().to_string(),
        (&asset.fresh | &asset.verify).len().to_string(),
        text::ranges(&asset.state.domain, &todo, length),
        reasons(asset),
    ]
}

/// `code-changed 3, missing 1`.
fn reasons(asset: &PlanAsset) -> String {
    let todo = todo(asset);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, set) in &asset.state.reasons {
        let known =
            if *code == ReasonCode::MissingInput { &todo } else { &(&todo - &asset.blocked) };
        *counts.entry(code.as_str()).or_default() += (set & known).len();
    }
    let mut add = |code: &'static str, n: u64| {
        let count = counts.entry(code).or_default();
        *count = (*count).max(n);
    };
    add("forced", asset.forced.len());
    add(ReasonCode::UpstreamStale.as_str(), (&asset.pending - &asset.forced).len());
    add(ReasonCode::MissingInput.as_str(), asset.blocked.len());
    let shown = counts.into_iter().filter(|(_, n)| *n > 0).map(|(code, n)| format!("{code} {n}"));
    shown.collect::<Vec<_>>().join(", ")
}

/// `3 steps to run, up to 40 more depend on them, 12 to restore`.
pub(super) fn summary(plan: &Plan) -> String {
    let mut parts = vec![format!("{} to run", text::count(plan.certain(), "step"))];
    if plan.possible() > 0 {
        let verb = if plan.possible() == 1 { "depends" } else { "depend" };
        parts.push(format!("up to {} more {verb} on them", plan.possible()));
    }
    parts.push(format!("{} to restore", plan.restores()));
    let blocked: u64 = plan.assets.iter().map(|asset| asset.blocked.len()).sum();
    if blocked > 0 {
        parts.push(format!("{blocked} blocked"));
    }
    parts.join(", ")
}
