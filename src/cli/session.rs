//! From the arguments to a loaded project, and from there to an open engine.
//!
//! A broken file stops a command only where the command's targets need what it declares; otherwise
//! it is mentioned in one line and the command goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::Global;
use super::clock::SystemClock;
use super::error::CliError;
use super::targets::Spec;
use super::term::Term;
use super::{Source, diagnostics, text};
use crate::api::environment;
use crate::base::{AssetKey, Clock, FixedClock};
use crate::defs::{Asset, OutputDef, Project, SelectionErrorKind};
use crate::engine::{Access, Closed, Engine, Options, SetValue};
use crate::exec::{Functions, NoFunctions};
use crate::load::{self, Diagnostic, PROJECT_FILE};

/// A command that has not looked at any project yet.
pub(super) struct Session<'t> {
    pub term: &'t mut Term,
    pub global: Global,
    source: Source,
    command_line: String,
}

/// A loaded project.
pub(super) struct Workspace<'t> {
    pub term: &'t mut Term,
    pub root: PathBuf,
    pub project: Project,
    pub diagnostics: Vec<Diagnostic>,
    /// Definition files, relative to the root.
    pub files: Vec<PathBuf>,
    /// What is yet to be judged by a database.
    pub conditions: Vec<load::Condition>,
    /// Where definitions are, relative to the root; a program that declares its project has none.
    pub assets_dir: Option<PathBuf>,
    pub command_line: String,
    pub definer: Definer,
    clock: Arc<dyn Clock>,
    functions: Arc<dyn Functions>,
    /// Of the program, over everything else.
    env: BTreeMap<String, String>,
}

impl<'t> Session<'t> {
    pub fn new(global: Global, source: Source, term: &'t mut Term, command_line: String) -> Self {
        Session { term, global, source, command_line }
    }

    /// The directory in which the command works: `-C`, else the working directory.
    pub fn directory(&self) -> Result<PathBuf, CliError> {
        let directory = self.global.work_in.as_deref().unwrap_or(Path::new("."));
        std::path::absolute(directory)
            .and_then(std::fs::canonicalize)
            .map_err(|error| CliError::user(format!("`{}`: {error}", directory.display())))
    }

    /// Hands the project over, if there is one that can be loaded; the terminal is there afterwards
    /// all the same.
    pub fn with_workspace<T>(
        self,
        work: impl FnOnce(&mut Workspace<'_>) -> T,
    ) -> (&'t mut Term, Option<T>) {
        let Session { term, global, source, command_line } = self;
        let session = Session { term: &mut *term, global, source, command_line };
        let result = session.workspace().ok().map(|mut workspace| work(&mut workspace));
        (term, result)
    }

    /// Loads the project that the working directory lies in.
    pub fn workspace(self) -> Result<Workspace<'t>, CliError> {
        let directory = self.directory()?;
        let definer = Definer { source: self.source, directory };
        let Definitions {
            root,
            project,
            functions,
            diagnostics,
            files,
            conditions,
            assets_dir,
            env,
            clock,
        } = definer.read()?;
        // What is said on the command line wins.
        let clock: Arc<dyn Clock> = match (self.global.now, clock) {
            (Some(now), _) => Arc::new(FixedClock(now)),
            (None, Some(clock)) => clock,
            (None, None) => Arc::new(SystemClock),
        };
        Ok(Workspace {
            term: self.term,
            root,
            project,
            diagnostics,
            files,
            conditions,
            assets_dir,
            command_line: self.command_line,
            definer,
            clock,
            functions,
            env,
        })
    }
}

/// Where the definitions of a project come from.
pub(super) struct Definer {
    source: Source,
    directory: PathBuf,
}

/// What was defined when it was read.
pub(super) struct Definitions {
    root: PathBuf,
    pub project: Project,
    pub functions: Arc<dyn Functions>,
    pub diagnostics: Vec<Diagnostic>,
    files: Vec<PathBuf>,
    conditions: Vec<load::Condition>,
    assets_dir: Option<PathBuf>,
    env: BTreeMap<String, String>,
    /// Of a program that says what time it is.
    clock: Option<Arc<dyn Clock>>,
}

impl Definitions {
    /// The environment of the project, and warnings about it.
    pub fn environment(&self) -> (Vec<(OsString, OsString)>, Vec<String>) {
        environment::environment(&self.root, &self.env)
    }
}

impl Definer {
    /// Reads the definitions as they are now.
    pub fn read(&self) -> Result<Definitions, CliError> {
        match &self.source {
            Source::Program(project) => {
                let program = project.resolve(&self.directory)?;
                let (diagnostics, files, conditions, assets_dir) = match program.files {
                    None => (Vec::new(), Vec::new(), Vec::new(), None),
                    Some(it) => (it.diagnostics, it.read, it.conditions, Some(it.assets_dir)),
                };
                Ok(Definitions {
                    root: program.root,
                    project: program.project,
                    functions: program.functions,
                    diagnostics,
                    files,
                    conditions,
                    assets_dir,
                    env: program.env,
                    clock: program.clock,
                })
            }
            Source::Files => {
                let root =
                    load::find_root(&self.directory).ok_or_else(|| no_project(&self.directory))?;
                let loaded = load::project(&root)?;
                Ok(Definitions {
                    root,
                    project: loaded.project,
                    functions: Arc::new(NoFunctions),
                    diagnostics: loaded.diagnostics,
                    files: loaded.files,
                    conditions: loaded.conditions,
                    assets_dir: Some(loaded.assets_dir),
                    env: BTreeMap::new(),
                    clock: None,
                })
            }
        }
    }
}

/// What is meant where partitions of an asset are named: of one that makes pieces, these.
pub(super) fn with_partitions(project: &Project, key: AssetKey) -> AssetKey {
    let makes_pieces = |asset: &Arc<Asset>| asset.output == OutputDef::Pieces;
    if project.assets.get(&key).is_some_and(makes_pieces) { key.each() } else { key }
}

fn no_project(directory: &Path) -> CliError {
    let message = format!("there is no `{PROJECT_FILE}` in `{}` or above", directory.display());
    CliError::user(message).hint("`giornata init` makes a project here, with an example in it")
}

impl Workspace<'_> {
    /// Mentions broken files in one line.
    pub fn mention_broken(&mut self) {
        let errors: Vec<_> = self.diagnostics.iter().filter(|d| d.is_error()).collect();
        if errors.is_empty() {
            return;
        }
        let files: BTreeSet<String> =
            errors.iter().map(|error| format!("`{}`", error.file.display())).collect();
        let files = files.into_iter().collect::<Vec<_>>().join(", ");
        let count = diagnostics::count(errors.iter().copied());
        let message = format!("{count} in {files}; `giornata check` shows what and where");
        self.term.warning(&message);
    }

    /// Opens the engine and looks at what the assets that `specs` select depend on. The sets are
    /// those of the specs, in their order.
    pub fn open(
        &mut self,
        specs: &[Spec],
        access: Access,
        set: &[SetValue],
    ) -> Result<(Engine, Vec<BTreeSet<AssetKey>>), CliError> {
        self.refuse_broken_project_file()?;
        let by_status = specs.iter().any(|spec| spec.selection.asks_for_status());
        let early = if by_status { None } else { Some(self.select(specs, None)?) };
        self.mention_broken();
        let mut engine = self.engine(access, set)?;
        let targets: BTreeSet<AssetKey> = match &early {
            Some(sets) => sets.iter().flatten().cloned().collect(),
            None => self.project.assets.keys().cloned().collect(),
        };
        self.refresh(&mut engine, targets)?;
        let sets = match early {
            Some(sets) => sets,
            None => self.select(specs, Some(&engine))?,
        };
        Ok((engine, sets))
    }

    /// The time that counts for this command.
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.now()
    }

    pub fn refresh(
        &mut self,
        engine: &mut Engine,
        targets: BTreeSet<AssetKey>,
    ) -> Result<(), CliError> {
        let targets: Vec<AssetKey> = targets.into_iter().collect();
        for warning in engine.refresh(&targets)? {
            self.term.warning(&warning);
        }
        Ok(())
    }

    /// The environment of the project, and warnings about it.
    pub fn environment(&self) -> (Vec<(OsString, OsString)>, Vec<String>) {
        environment::environment(&self.root, &self.env)
    }

    /// The engine as it is, without a look at anything.
    pub fn engine(&mut self, access: Access, set: &[SetValue]) -> Result<Engine, CliError> {
        let (env, warnings) = self.environment();
        for warning in warnings {
            self.term.warning(&warning);
        }
        let options = Options {
            root: self.root.clone(),
            access,
            clock: Arc::clone(&self.clock),
            env,
            set: set.to_vec(),
            functions: Arc::clone(&self.functions),
        };
        let engine = Engine::open(self.project.clone(), options)?;
        self.tell_closed(engine.closed());
        Ok(engine)
    }

    /// What was left by processes that have died, in one line.
    fn tell_closed(&mut self, closed: &Closed) {
        let Some((last, before)) = closed.runs.split_last() else { return };
        let runs = match before {
            [] => format!("run {last} was"),
            before => format!("runs up to {last} ({} of them) were", before.len() + 1),
        };
        let steps = text::count(closed.steps as u64, "step");
        let line = format!("{runs} interrupted when the process died: {steps} had not ended\n");
        self.term.talk(&line);
    }

    /// What each of `specs` selects.
    pub fn select(
        &mut self,
        specs: &[Spec],
        engine: Option<&Engine>,
    ) -> Result<Vec<BTreeSet<AssetKey>>, CliError> {
        let project = &self.project;
        let mut in_state: BTreeMap<&str, BTreeSet<AssetKey>> = BTreeMap::new();
        if let Some(engine) = engine {
            for key in project.assets.keys() {
                let sets = engine.status(key)?.sets;
                for (state, _) in sets.iter().filter(|(_, set)| !set.is_empty()) {
                    in_state.entry(state.as_str()).or_default().insert(key.clone());
                }
            }
        }
        let status = |state: &str| in_state.get(state).cloned().unwrap_or_default();
        let mut sets = Vec::new();
        for spec in specs {
            match spec.selection.select(project, &status) {
                Ok(set) if spec.partitions.is_some() => {
                    sets.push(set.into_iter().map(|key| with_partitions(project, key)).collect());
                }
                Ok(set) => sets.push(set),
                Err(error) => {
                    let broken = match &error.kind {
                        SelectionErrorKind::Broken(key) => Some(key.clone()),
                        SelectionErrorKind::Syntax
                        | SelectionErrorKind::Unknown
                        | SelectionErrorKind::Empty => None,
                    };
                    let unknown = error.kind == SelectionErrorKind::Unknown;
                    let mut error = CliError::selection(error, &spec.text);
                    if let Some(key) = broken {
                        self.show_errors_of(&key);
                    } else if unknown && self.diagnostics.iter().any(Diagnostic::is_error) {
                        error = error.hint("some files have errors: `giornata check` shows them");
                    }
                    return Err(error);
                }
            }
        }
        Ok(sets)
    }

    /// Ends a command that is about everything if anything is broken.
    pub fn refuse_broken(&mut self) -> Result<(), CliError> {
        if !self.diagnostics.iter().any(Diagnostic::is_error) {
            return Ok(());
        }
        self.term.tell(&diagnostics::render_all(&self.diagnostics));
        let error = CliError::user("everything was asked for, but the project has errors");
        Err(error.hint("name the assets that you need: those that are sound can be used"))
    }

    /// Without a sound project file, time zones and environments of all assets are uncertain.
    fn refuse_broken_project_file(&mut self) -> Result<(), CliError> {
        let concerns = |d: &&Diagnostic| {
            d.is_error() && d.file == Path::new(PROJECT_FILE) && d.disables.is_empty()
        };
        let errors: Vec<_> = self.diagnostics.iter().filter(concerns).collect();
        if errors.is_empty() {
            return Ok(());
        }
        self.term.tell(&diagnostics::render_all(errors));
        Err(CliError::user(format!("`{PROJECT_FILE}` has errors, which concern every asset")))
    }

    /// Draws the errors because of which an asset cannot be used: its own, else all there are.
    fn show_errors_of(&mut self, key: &AssetKey) {
        let errors = || self.diagnostics.iter().filter(|d| d.is_error());
        let own: Vec<_> = errors().filter(|d| d.disables.contains(key)).collect();
        let shown = if own.is_empty() { errors().collect() } else { own };
        self.term.tell(&diagnostics::render_all(shown));
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::State;

    #[test]
    fn states_have_the_names_that_selections_know() {
        assert_eq!(State::ALL.map(State::as_str), crate::defs::selection::STATES);
    }
}
