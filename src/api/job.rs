//! Jobs in code: ops wired together under a name, with a configuration, run within this process.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::body::{HookCall, OpBody, next_slot};
use super::error::Error;
use super::graph::{Graph, Parts};
use super::hook::Hook;
use super::inline::{self, Launched};
use super::io::{Io, OpIo, StepIo};
use super::project::origin;
use super::resource::{Providers, Replaced, Resource, Used};
use super::result::JobResult;
use super::system;
use super::value::BoxError;
use crate::base::{InvalidName, JobName, RunId};
use crate::defs::config::{Config, Env, Layers, Schema, SchemaErrors, Setting};
use crate::defs::{
    self, Body, Flow, FlowStep, FunctionBody, FunctionSlot, GraphMistakeKind, HookDef, Hooks,
    JobConfigMistake, Origin, PartitionsDef, Selection, SelectionError, Work,
};
use crate::exec::{Pool, Provide};

/// Begins to declare a job.
///
/// ```
/// use giornata::api::{job, op};
/// let hello = op("hello").run(|_| Ok("hello".to_owned()));
/// let greeting = job("greeting").tag("team", "a").define(|g| { hello.call(g); });
/// assert!(greeting.execute_in_process()?.is_success());
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[track_caller]
pub fn job(name: &str) -> JobBuilder {
    JobBuilder {
        name: name.to_owned(),
        origin: origin(Location::caller()),
        config: Schema::shape([]),
        values: Json::Null,
        presets: BTreeMap::new(),
        tags: BTreeMap::new(),
        hooks: Hooks::default(),
        io: None,
        calls: Vec::new(),
        description: None,
        mistakes: Vec::new(),
    }
}

/// A job in the making.
#[must_use = "a job is finished by `define`"]
pub struct JobBuilder {
    name: String,
    origin: Origin,
    config: Schema,
    values: Json,
    presets: BTreeMap<String, Json>,
    tags: BTreeMap<String, String>,
    hooks: Hooks,
    io: Option<Io>,
    calls: Vec<(u32, HookCall)>,
    description: Option<String>,
    mistakes: Vec<JobMistakeKind>,
}

impl JobBuilder {
    /// What can be configured beside the ops' own configurations; ops read of it what they name with
    /// [`reads`](super::OpBuilder::reads).
    ///
    /// ```
    /// use giornata::api::{Launch, job, op};
    /// use serde_json::json;
    /// let greet = op("greet").reads(["name"]).run(|ctx| {
    ///     Ok(format!("hello {}", ctx.setting::<String>("name")?))
    /// });
    /// let greeting = job("greeting")
    ///     .config(json!({"name": {"type": "string", "default": "world"}}))
    ///     .preset("ada", json!({"name": "Ada"}))
    ///     .define(|g| { greet.call(g); });
    /// assert_eq!(greeting.execute_in_process()?.value::<String>("greet")?, "hello world");
    /// let ada = greeting.execute(&Launch::new().preset("ada"))?;
    /// assert_eq!(ada.value::<String>("greet")?, "hello Ada");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn config(mut self, schema: Json) -> Self {
        match Schema::parse_root(&schema) {
            Ok(schema) => self.config = schema,
            Err(errors) => self.mistakes.push(JobMistakeKind::Config(errors)),
        }
        self
    }

    /// Values that hold unless a launch gives others: those of the job by their names, those of an op
    /// under the name of its step, as in `{"fit": {"lr": 0.5}}`.
    pub fn values(mut self, values: Json) -> Self {
        self.values = values;
        self
    }

    /// A named set of values, for [`Launch::preset`].
    pub fn preset(mut self, name: &str, values: Json) -> Self {
        self.presets.insert(name.to_owned(), values);
        self
    }

    /// A label of its runs.
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Values are handed from step to step through the IO manager, instead of in memory; see [`Io`].
    pub fn io(mut self, io: &Io) -> Self {
        self.io = Some(io.clone());
        self
    }

    /// What it does, in a sentence.
    pub fn describe(mut self, text: &str) -> Self {
        self.description = Some(text.to_owned());
        self
    }

    /// Called when any of its steps has succeeded; see [`Hook`].
    pub fn on_success<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Hook<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        let (slot, function) = next_slot();
        self.calls.push((slot, Arc::new(hook)));
        self.hooks.success.push(HookDef::Function(function));
        self
    }

    /// Called when any of its steps has failed; see [`Hook`].
    pub fn on_failure<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Hook<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        let (slot, function) = next_slot();
        self.calls.push((slot, Arc::new(hook)));
        self.hooks.failure.push(HookDef::Function(function));
        self
    }

    /// Says which ops it calls. All mistakes come back when it is first used.
    pub fn define(self, define: impl FnOnce(&Graph)) -> Job {
        let graph = Graph::new(&self.name);
        define(&graph);
        let (graph, parts) = graph.finish(Vec::new());
        self.finish(&graph, &parts)
    }

    pub(super) fn finish(self, graph: &defs::Graph, parts: &Parts) -> Job {
        let mut table = Table { io: self.io.clone(), ..Table::default() };
        let mut mistakes: Vec<JobMistake> = Vec::new();
        let own = (self.name.as_str(), &self.origin);
        table.take(own, parts, &mut mistakes);
        table.hooks.extend(self.calls);
        table.use_all(own, self.io.iter().filter_map(Io::used), &mut mistakes);
        let told = |kind| JobMistake::new(&self.name, &self.origin, kind);
        mistakes.extend(self.mistakes.into_iter().map(told));
        let name = match JobName::parse(&self.name) {
            Ok(name) => name,
            Err(error) => {
                mistakes.push(JobMistake::new(&self.name, &self.origin, error.into()));
                JobName::parse("job").expect("it is a name")
            }
        };
        let flow = match graph.compile(&name) {
            Ok(flow) => flow,
            Err(wrong) => {
                mistakes.extend(wrong.into_iter().map(|it| {
                    JobMistake::new(&it.path, &it.origin, JobMistakeKind::Graph(it.kind))
                }));
                Flow::default()
            }
        };
        let config = defs::job_schema(&self.config, &flow).unwrap_or_else(|wrong| {
            mistakes.extend(
                wrong.into_iter().map(|it| JobMistake::new(&self.name, &self.origin, it.into())),
            );
            Schema::shape([])
        });
        // An op that is used in several graphs brings its mistakes along with each.
        let mut told: Vec<JobMistake> = Vec::new();
        for mistake in mistakes {
            if !told.contains(&mistake) {
                told.push(mistake);
            }
        }
        let mistakes = told;
        let def = defs::Job {
            name,
            origin: self.origin,
            work: Work::Flow(Arc::new(flow)),
            config,
            values: self.values,
            presets: self.presets,
            partitions: PartitionsDef::Unpartitioned,
            tags: self.tags,
            hooks: self.hooks,
            description: self.description,
        };
        Job { def: Arc::new(def), table: Arc::new(table), mistakes }
    }
}

/// The functions of a job by their slots.
#[derive(Default)]
pub(super) struct Table {
    pub(super) bodies: BTreeMap<u32, Arc<OpBody>>,
    pub(super) hooks: BTreeMap<u32, HookCall>,
    pub(super) resources: Providers,
    pub(super) ios: BTreeMap<u32, OpIo>,
    /// Of ops that say nothing.
    pub(super) io: Option<Io>,
}

impl Table {
    /// The managers of a step.
    fn io_of(&self, step: &FlowStep) -> Option<&OpIo> {
        match &step.op.body {
            Body::Function(FunctionBody { slot: FunctionSlot::Op(slot), .. }) => self.ios.get(slot),
            Body::Function(_)
            | Body::Source(_)
            | Body::Sql(_)
            | Body::Command(_)
            | Body::Graph(_) => None,
        }
    }

    /// The resources that a step uses, its IO managers included.
    fn used_by<'t>(&'t self, step: &'t FlowStep) -> impl Iterator<Item = &'t str> {
        let ios = self.io_of(step).into_iter().flat_map(OpIo::each).chain(&self.io);
        let named = step.def.resources.iter().map(String::as_str);
        named.chain(ios.filter_map(Io::used).map(|used| &*used.name))
    }

    /// The resources of all its steps.
    pub(super) fn used(&self) -> impl Iterator<Item = Used> {
        let used = |(name, provider): (&Arc<str>, &Arc<dyn Provide>)| Used {
            name: name.clone(),
            provider: provider.clone(),
        };
        self.resources.iter().map(used)
    }

    fn use_all<'u>(
        &mut self,
        job: (&str, &Origin),
        resources: impl Iterator<Item = &'u Used>,
        mistakes: &mut Vec<JobMistake>,
    ) {
        for used in resources {
            let known = self.resources.entry(used.name.clone()).or_insert(used.provider.clone());
            if !used.is(known) {
                let resource = used.name.to_string();
                let kind = JobMistakeKind::ResourceTwice { resource };
                mistakes.push(JobMistake::new(job.0, job.1, kind));
            }
        }
    }

    fn take(&mut self, job: (&str, &Origin), parts: &Parts, mistakes: &mut Vec<JobMistake>) {
        let known = |(slot, _): &(u32, Arc<OpBody>)| self.bodies.contains_key(slot);
        if parts.bodies.first().is_some_and(known) {
            return;
        }
        self.bodies.extend(parts.bodies.iter().cloned());
        self.hooks.extend(parts.hooks.iter().cloned());
        self.ios.extend(parts.ios.iter().cloned());
        self.use_all(job, parts.resources.iter(), mistakes);
        for (path, origin, kind) in &parts.mistakes {
            mistakes.push(JobMistake::new(path, origin, kind.clone()));
        }
        parts.within.iter().for_each(|within| self.take(job, within, mistakes));
    }
}

/// A declared job.
///
/// A mistake in it is told when it is first used, with all others:
///
/// ```
/// use giornata::api::{Error, job, op};
/// let load = op("load").pieces::<i64>().run(|_| Ok(vec![]));
/// let add = op("add").input::<i64>("a").input::<i64>("b").run(|_, a, b| Ok(a + b));
/// let j = job("j").define(|g| {
///     let (first, second) = (load.call(g), load.call(g));
///     first.map(|a| second.map(|b| add.call(g, a, b)).map(|_| a).collect_one());
/// });
/// # trait One<T> { fn collect_one(&self) -> T; }
/// # impl<T> One<giornata::api::Edge<T>> for giornata::api::Pieces<T> {
/// #     fn collect_one(&self) -> giornata::api::Edge<T> {
/// #         let mut edge = None; self.map(|it| { edge = Some(it); it }); edge.unwrap()
/// #     }
/// # }
/// let Err(Error::Job { mistakes, .. }) = j.execute_in_process() else { panic!() };
/// assert!(mistakes[0].to_string().ends_with(
///     "`add`: it is mapped over the pieces of both `load.result` and `load_2.result`; collect one of them"
/// ));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct Job {
    def: Arc<defs::Job>,
    table: Arc<Table>,
    mistakes: Vec<JobMistake>,
}

/// A mistake in the declaration of a job; see the example of [`Job`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}:{line}: `{path}`: {kind}", .file)]
pub struct JobMistake {
    /// The call or the op that it is about, or the job.
    pub path: String,
    pub file: String,
    /// Counted from 1.
    pub line: u32,
    pub kind: JobMistakeKind,
}

/// What is wrong with the declaration of a job.
///
/// ```
/// use giornata::api::{Error, JobMistakeKind, job, op};
/// let one = op("one").run(|_| Ok(1_i64));
/// let add = op("add").input::<i64>("n").run(|_, n| Ok(n + 1));
/// let mut stolen = None;
/// job("first").define(|g| stolen = Some(one.call(g)));
/// let second = job("second").define(|g| { add.call(g, stolen.unwrap()); });
/// let Err(Error::Job { mistakes, .. }) = second.execute_in_process() else { panic!() };
/// assert_eq!(mistakes[0].kind, JobMistakeKind::Foreign);
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JobMistakeKind {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Graph(#[from] GraphMistakeKind),
    #[error("an edge of another graph is wired into it")]
    Foreign,
    #[error("the input `{input}` is declared twice")]
    InputTwice { input: String },
    #[error("the output `{output}` is declared twice")]
    OutputTwice { output: String },
    #[error("its type is not right: {reason}")]
    Type { reason: String },
    #[error("its configuration is not right: {0}")]
    Config(SchemaErrors),
    #[error(transparent)]
    JobConfig(#[from] JobConfigMistake),
    #[error("there is no input `{input}` for which it could say an IO manager")]
    NoInput { input: String },
    #[error("there is no output `{output}` for which it could say an IO manager")]
    NoOutput { output: String },
    #[error("two resources that its steps use are named `{resource}`; rename one")]
    ResourceTwice { resource: String },
}

impl JobMistake {
    pub(super) fn new(path: &str, origin: &Origin, kind: JobMistakeKind) -> JobMistake {
        let file = origin.file.display().to_string();
        JobMistake { path: path.to_owned(), file, line: origin.line, kind }
    }
}

/// How a job is launched: values, and which of its ops.
///
/// ```
/// use giornata::api::{Launch, job, op};
/// use serde_json::json;
/// let fit = op("fit").config(json!({"lr": "float"})).run(|ctx| ctx.setting::<f64>("lr"));
/// let model = job("model").define(|g| { fit.call(g); });
/// let launch = Launch::new().config(json!({"fit": {"lr": 1}})).set("fit.lr=0.5");
/// assert_eq!(model.execute(&launch)?.value::<f64>("fit")?, 0.5);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Launch {
    preset: Option<String>,
    config: Vec<Json>,
    set: Vec<String>,
    ops: Option<String>,
    env: BTreeMap<String, String>,
    root: Option<PathBuf>,
    replaced: Replaced,
    retry_of: Option<RunId>,
}

impl Launch {
    /// With the job's own values, and all ops.
    pub fn new() -> Launch {
        Launch::default()
    }

    /// Values, over those of the job and of the preset.
    #[must_use]
    pub fn config(mut self, values: Json) -> Launch {
        self.config.push(values);
        self
    }

    /// One value, over all others: `fit.lr=0.5`.
    #[must_use]
    pub fn set(mut self, setting: &str) -> Launch {
        self.set.push(setting.to_owned());
        self
    }

    /// The values of a named set of the job's.
    #[must_use]
    pub fn preset(mut self, name: &str) -> Launch {
        self.preset = Some(name.to_owned());
        self
    }

    /// The value of an environment variable, instead of what the process has. In a run on the store it
    /// reaches the configuration and nothing else: resources and commands have the environment of the
    /// project ([`Project::env`](super::Project::env)).
    #[must_use]
    pub fn env(mut self, variable: &str, value: &str) -> Launch {
        self.env.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// Where paths of resources begin; without this, in the working directory. A run on the store has the
    /// root of the project, and refuses another one.
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Launch {
        self.root = Some(root.into());
        self
    }

    /// A value in the place of a resource, which is then neither set up nor torn down: for tests. See
    /// [`resource`](super::resource()).
    #[must_use]
    pub fn with<R: Send + Sync + 'static>(mut self, resource: &Resource<R>, value: R) -> Launch {
        self.replaced.put(resource, value);
        self
    }

    /// On the store: what the steps of a run that did not succeed have made of the same is taken over. See
    /// [`Project::run`](super::Project::run).
    #[must_use]
    pub fn retry(mut self, run: RunId) -> Launch {
        self.retry_of = Some(run);
        self
    }

    pub(super) fn retry_of(&self) -> Option<RunId> {
        self.retry_of
    }

    /// The values of a job; `around` has the variables that the launch does not say itself.
    pub(super) fn configure(
        &self,
        def: &defs::Job,
        around: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, Error> {
        let job = || def.name.to_string();
        let mut layers: Layers = def.layers(self.preset.as_deref()).map_err(|known| {
            let preset = self.preset.clone().unwrap_or_default();
            let known = known.into_iter().map(str::to_owned).collect();
            Error::Preset { job: job(), preset, known }
        })?;
        for values in &self.config {
            layers.push("the launch", values.clone());
        }
        for text in &self.set {
            let setting = Setting::parse(text);
            let setting = setting.map_err(|error| Error::Setting { job: job(), error })?;
            layers.push(setting.to_string(), def.config.setting(&setting));
        }
        let variable = |name: &str| self.variable(name, around);
        def.configure(&layers, Env::Resolve(&variable))
            .map_err(|errors| Error::Config { job: job(), errors })
    }

    pub(super) fn selection(&self) -> Option<&str> {
        self.ops.as_deref()
    }

    pub(super) fn no_ops(&self, job: &str, error: SelectionError) -> Error {
        let text = self.ops.clone().unwrap_or_default();
        Error::Ops { job: job.to_owned(), text, error: Box::new(error) }
    }

    /// The resources of the store's engine, and its root, are not a launch's.
    pub(super) fn refuse_on_store(&self, job: &str) -> Result<(), Error> {
        let job = || job.to_owned();
        match &self.root {
            Some(_) => Err(Error::RootOnStore { job: job() }),
            None if !self.replaced.is_empty() => Err(Error::Replaced { job: job() }),
            None => Ok(()),
        }
    }

    /// A variable of its own, or else one of what is around.
    fn variable(&self, name: &str, around: impl FnOnce(&str) -> Option<String>) -> Option<String> {
        self.env.get(name).cloned().or_else(|| around(name))
    }

    /// Only these ops: `fit`, `+fit`, `load or fit+`. What they read must be among them.
    ///
    /// ```
    /// use giornata::api::{Launch, StepState, job, op};
    /// let one = op("one").run(|_| Ok(1_i64));
    /// let add = op("add").input::<i64>("n").run(|_, n| Ok(n + 1));
    /// let other = op("other").run(|_| Ok(()));
    /// let j = job("j").define(|g| { add.call(g, one.call(g)); other.call(g); });
    /// let result = j.execute(&Launch::new().ops("+add"))?;
    /// assert_eq!(result.state("add"), Some(StepState::Success));
    /// assert_eq!(result.state("other"), None);
    /// let error = j.execute(&Launch::new().ops("add")).unwrap_err();
    /// assert_eq!(error.to_string(), "`add` of the job `j` reads `one`, which is not selected; select `+add`");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    #[must_use]
    pub fn ops(mut self, selection: &str) -> Launch {
        self.ops = Some(selection.to_owned());
        self
    }
}

impl Job {
    /// Whether it says where values are beside the store, which a run on the store does not look at.
    pub(super) fn has_io(&self) -> bool {
        self.table.io.is_some() || self.table.ios.values().any(|io| io.each().next().is_some())
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.def.name.as_str()
    }

    /// Its definition as plain data, or all that is wrong with it.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// use giornata::defs::Work;
    /// let one = op("one").run(|_| Ok(1_i64));
    /// let j = job("j").define(|g| { one.call(g); });
    /// let Work::Flow(flow) = &j.definition()?.work else { panic!() };
    /// assert_eq!(flow.steps[0].def.name.as_str(), "j/one");
    /// # Ok::<(), giornata::api::Error>(())
    /// ```
    pub fn definition(&self) -> Result<&Arc<defs::Job>, Error> {
        match self.mistakes.as_slice() {
            [] => Ok(&self.def),
            mistakes => {
                Err(Error::Job { job: self.name().to_owned(), mistakes: mistakes.to_vec() })
            }
        }
    }

    /// Runs all its ops in this process, one after the other, with results in memory: no store, no
    /// directory, no thread. A step that fails stops what reads it and nothing else; the result tells.
    pub fn execute_in_process(&self) -> Result<JobResult, Error> {
        self.execute(&Launch::new())
    }

    /// As [`execute_in_process`](Job::execute_in_process), with values and a choice of ops.
    pub fn execute(&self, launch: &Launch) -> Result<JobResult, Error> {
        let def = self.definition()?;
        let Work::Flow(flow) = &def.work else {
            unreachable!("a program declares jobs of ops only")
        };
        let config = launch.configure(def, &system::variable)?;
        let chosen = self.chosen(flow, launch)?;
        let settings: Vec<_> =
            flow.steps.iter().map(|step| defs::step_config(step, &config.value)).collect();
        let mut pool = Pool::default();
        for text in config.withheld.iter().filter_map(|it| it.path.get(&config.value)?.as_str()) {
            pool.hide(text);
        }
        let ios = self.set_up(flow, &chosen, launch, &mut pool)?;
        let (table, settings, pool_of_run) = (&self.table, &settings, &pool);
        let launched = Launched { job: def, flow, table, settings, pool: pool_of_run, ios: &ios };
        let mut result = inline::run(&launched, &chosen);
        result.warn(pool.tear_down());
        Ok(result)
    }

    /// Sets up what the chosen steps use, or says everything that is wrong with it; gives the managers of
    /// each step.
    fn set_up(
        &self,
        flow: &Flow,
        chosen: &BTreeSet<u32>,
        launch: &Launch,
        pool: &mut Pool,
    ) -> Result<Vec<StepIo>, Error> {
        let steps = chosen.iter().map(|step| &flow.steps[*step as usize]);
        let names: BTreeSet<&str> = steps.flat_map(|step| self.table.used_by(step)).collect();
        let has_io = self.has_io();
        if names.is_empty() && !has_io {
            return Ok(Vec::new());
        }
        let root = launch.root.as_deref().unwrap_or(Path::new("."));
        let root = std::path::absolute(root)
            .map_err(|source| crate::engine::Error::Io { path: root.to_owned(), source })?;
        let mut problems = Vec::new();
        for name in names {
            let own = self.table.resources.get(name);
            match launch.replaced.get(name).or(own) {
                None => problems.push(format!("there is no resource `{name}`")),
                Some(provider) => {
                    let env = |variable: &str| launch.variable(variable, system::variable);
                    problems.extend(pool.set_up(name, provider, &root, &env).err());
                }
            }
        }
        let mut ios = Vec::with_capacity(flow.steps.len());
        let opens = has_io && problems.is_empty();
        for (step, at) in flow.steps.iter().zip(0..).filter(|_| opens) {
            let own = self.table.io_of(step).filter(|_| chosen.contains(&at));
            let of_job = self.table.io.as_ref().filter(|_| chosen.contains(&at));
            match StepIo::open(self.name(), step, own, of_job, &root, pool) {
                Ok(io) => ios.push(io),
                Err(problem) => problems.push(problem),
            }
        }
        match problems.is_empty() {
            true => Ok(ios),
            false => Err(crate::engine::Error::Resources { problems }.into()),
        }
    }

    fn chosen(&self, flow: &Flow, launch: &Launch) -> Result<BTreeSet<u32>, Error> {
        let Some(text) = &launch.ops else {
            return Ok((0..).zip(&flow.steps).map(|(at, _)| at).collect());
        };
        let wrong = |error| launch.no_ops(self.name(), error);
        let selection = Selection::parse(text).map_err(wrong)?;
        let chosen = selection.select_steps(flow).map_err(wrong)?;
        for &step in &chosen {
            let step = &flow.steps[step as usize];
            let mut reads = step.reads().map(|slot| slot.step).chain(step.after.iter().copied());
            if let Some(missing) = reads.find(|up| !chosen.contains(up)) {
                return Err(Error::Unselected {
                    job: self.name().to_owned(),
                    step: step.path.to_string(),
                    reads: flow.steps[missing as usize].path.to_string(),
                });
            }
        }
        Ok(chosen)
    }
}
