//! Jobs in code: ops wired together under a name, with a configuration, run within this process.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::body::{HookCall, OpBody, next_slot};
use super::error::{Error, Mistake};
use super::graph::{Graph, Parts};
use super::hook::Hook;
use super::inline::{self, Launched};
use super::io::{Io, OpIo, StepIo};
use super::job_partition::OfPart;
use super::launch::Launch;
use super::partitions::Partitions;
use super::project::origin;
use super::resource::{Providers, Used};
use super::result::JobResult;
use super::system;
use super::value::BoxError;
use crate::base::{InvalidName, JobName, PartitionKey};
use crate::defs::config::{Schema, SchemaErrors};
use crate::defs::template::{self, TemplateError};
use crate::defs::{
    self, Body, Flow, FlowStep, FunctionBody, FunctionSlot, GraphMistakeKind, HookDef, Hooks,
    JobConfigMistake, Origin, PartitionsDef, Selection, Work,
};
use crate::exec::{Pool, Provide};

/// Begins to declare a job: ops wired together under a name, with a configuration of their own. Mistakes are
/// told when it is first used; see [`JobMistakeKind`].
///
/// ```
/// use giornata::api::{job, op};
/// let hello = op("hello").run(|_| Ok("hello".to_owned()));
/// let greeting = job("greeting").tag("team", "a").define(|g| { hello.call(g); });
/// assert_eq!(greeting.name(), "greeting");
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
        partitions: None,
        calls: Vec::new(),
        description: None,
        mistakes: Vec::new(),
    }
}

/// A job in the making, ended by [`define`](JobBuilder::define).
///
/// ```
/// use giornata::api::{Io, job, op};
/// use serde_json::json;
/// let fit = op("fit").config(json!({"lr": "float"})).run(|ctx| ctx.setting::<f64>("lr"));
/// let model = job("model")
///     .describe("Fits the model of the day")
///     .tag("team", "forecast")
///     .values(json!({"fit": {"lr": 0.5}}))
///     .io(&Io::memory())
///     .on_success(|hook| if hook.step() == "fit" { Ok(()) } else { Err("another step".into()) })
///     .define(|g| { fit.call(g); });
/// let result = model.execute_in_process()?;
/// assert_eq!((result.value::<f64>("fit")?, result.warnings().len()), (0.5, 0));
/// assert_eq!(model.definition()?.tags["team"], "forecast");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
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
    partitions: Option<Partitions>,
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

    /// Values that hold unless a launch gives others: those of the job by their names, those of an op under the
    /// name of its step, as in `{"fit": {"lr": 0.5}}`. They are checked when the job is launched. See the example of
    /// [`JobBuilder`].
    pub fn values(mut self, values: Json) -> Self {
        self.values = values;
        self
    }

    /// A named set of values over those of [`values`](JobBuilder::values), for [`Launch::preset`]; see the
    /// example of [`JobBuilder::config`].
    pub fn preset(mut self, name: &str, values: Json) -> Self {
        self.presets.insert(name.to_owned(), values);
        self
    }

    /// It runs for one of these at a time: [`Launch::partition`] says for which. Its values may speak of
    /// the partition: `{partition}` is the key, `{start:%Y-%m-%d}` and `{end}` are the bounds of its window,
    /// the end being the start of the next one. Windows begin where those of the project do; in UTC, for a
    /// run in process.
    ///
    /// ```
    /// use giornata::api::{Launch, Partitions, Project, job, op};
    /// use serde_json::json;
    /// # let dir = tempfile::tempdir()?;
    /// let fetch = op("fetch").config(json!({"from": "string", "year": "int"})).run(|ctx| {
    ///     Ok(format!("{} of {}", ctx.setting::<String>("from")?, ctx.setting::<i64>("year")?))
    /// });
    /// let declare = || job("monthly")
    ///     .partitions(Partitions::monthly("2020-01"))
    ///     .values(json!({"fetch": {"from": "{start:%d.%m.}", "year": "{start:%Y}"}}))
    ///     .define(|g| { fetch.call(g); });
    /// let february = Launch::new().partition("2020-02");
    /// assert_eq!(declare().execute(&february)?.value::<String>("fetch")?, "01.02. of 2020");
    /// let mut project = Project::new("p", dir.path());
    /// project.job(declare());
    /// assert!(project.run("monthly", &february)?.is_success());
    /// let error = declare().execute_in_process().unwrap_err().to_string();
    /// assert!(error.ends_with("`monthly` runs for one partition at a time; say which"), "{error}");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn partitions(mut self, partitions: impl Into<Partitions>) -> Self {
        self.partitions = Some(partitions.into());
        self
    }

    /// A label of its runs; the same name again takes the place of the first. See the example of [`JobBuilder`].
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Values are handed from step to step through the IO manager, instead of in memory; see [`Io`] and the
    /// example of [`JobBuilder`].
    pub fn io(mut self, io: &Io) -> Self {
        self.io = Some(io.clone());
        self
    }

    /// What it does, in a sentence for listings; see the example of [`JobBuilder`].
    pub fn describe(mut self, text: &str) -> Self {
        self.description = Some(text.to_owned());
        self
    }

    /// Called when any of its steps has succeeded; see [`Hook`] and the example of [`JobBuilder`].
    pub fn on_success<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Hook<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        let (slot, function) = next_slot();
        self.calls.push((slot, Arc::new(hook)));
        self.hooks.success.push(HookDef::Function(function));
        self
    }

    /// Called when any of its steps has failed, after its last attempt; see the example of [`Hook`].
    pub fn on_failure<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Hook<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        let (slot, function) = next_slot();
        self.calls.push((slot, Arc::new(hook)));
        self.hooks.failure.push(HookDef::Function(function));
        self
    }

    /// Says which ops it calls, and ends the declaration; the function is called at once. All mistakes come back
    /// when the job is first used. See the example of [`job`](super::job()).
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
        let partitions = self.partitions.as_ref().map(Partitions::def_of_job).transpose();
        let partitions = match partitions {
            Ok(partitions) => partitions.unwrap_or(PartitionsDef::Unpartitioned),
            Err(mistake) => {
                mistakes.push(JobMistake::new(&self.name, &self.origin, mistake.into()));
                PartitionsDef::Unpartitioned
            }
        };
        if !partitions.is_unpartitioned() {
            for values in std::iter::once(&self.values).chain(self.presets.values()) {
                for (path, error) in template::mistakes(values, &partitions) {
                    let kind = JobMistakeKind::Template { path: path.to_string(), error };
                    mistakes.push(JobMistake::new(&self.name, &self.origin, kind));
                }
            }
        }
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
            partitions,
            tags: self.tags,
            hooks: self.hooks,
            description: self.description,
        };
        let partitions = self.partitions;
        Job { def: Arc::new(def), table: Arc::new(table), partitions, mistakes }
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
    /// Whether any of its ops hands values on through a manager.
    pub(super) fn has_io(&self) -> bool {
        self.io.is_some() || self.ios.values().any(|io| io.each().next().is_some())
    }

    /// Where the values of an output are put.
    pub(super) fn output_io(&self, step: &FlowStep, output: &str) -> Option<&Io> {
        let own = self.io_of(step);
        let of_output = own.and_then(|own| own.outputs.get(output));
        of_output.or_else(|| own.and_then(|own| own.all.as_ref())).or(self.io.as_ref())
    }

    /// By what the values of an input are read.
    pub(super) fn input_io(&self, step: &FlowStep, input: &str) -> Option<&Io> {
        self.io_of(step)?.inputs.get(input)
    }

    /// Whether any value of a step is put.
    pub(super) fn puts(&self, step: &FlowStep) -> bool {
        step.def.outputs.iter().any(|output| self.output_io(step, &output.name).is_some())
    }

    /// What a step says itself about managers.
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
    pub(super) fn used_by<'t>(&'t self, step: &'t FlowStep) -> impl Iterator<Item = &'t str> {
        let ios = self.io_of(step).into_iter().flat_map(OpIo::each).chain(&self.io);
        let named = step.def.resources.iter().map(String::as_str);
        named.chain(ios.filter_map(Io::used).map(|used| &*used.name))
    }

    /// Adds the functions of another one.
    pub(super) fn take_functions(&mut self, other: &Table) {
        self.bodies.extend(other.bodies.iter().map(|(slot, body)| (*slot, body.clone())));
        self.hooks.extend(other.hooks.iter().map(|(slot, hook)| (*slot, hook.clone())));
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

    /// What is called somewhere, with the mistakes of it.
    pub(super) fn of(of: (&str, &Origin), parts: &Parts, mistakes: &mut Vec<JobMistake>) -> Table {
        let mut table = Table::default();
        table.take(of, parts, mistakes);
        table
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
    /// As they were declared: where days begin, the project says.
    partitions: Option<Partitions>,
    mistakes: Vec<JobMistake>,
}

/// A mistake in the declaration of a job; see the example of [`Job`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}:{line}: `{path}`: {kind}", .file)]
pub struct JobMistake {
    /// The call or the op that it is about, or the job.
    pub path: String,
    /// The source file of the program, as the compiler was given it.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
    /// What is wrong.
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
    /// A name has characters that names do not have.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The wires make no sense, such as a step over the pieces of two ops.
    #[error(transparent)]
    Graph(#[from] GraphMistakeKind),
    /// An edge was used in another graph than the one in which it was made.
    #[error("an edge of another graph is wired into it")]
    Foreign,
    /// Two inputs of an op have one name.
    #[error("the input `{input}` is declared twice")]
    InputTwice { input: String },
    /// Two outputs of an op have one name.
    #[error("the output `{output}` is declared twice")]
    OutputTwice { output: String },
    /// The text of a type of [`raw`](super::raw) cannot be read.
    #[error("its type is not right: {reason}")]
    Type { reason: String },
    /// A schema is none; all that is wrong with it.
    #[error("its configuration is not right: {0}")]
    Config(SchemaErrors),
    /// The configurations of the job and of its ops do not go together.
    #[error(transparent)]
    JobConfig(#[from] JobConfigMistake),
    /// `input_io` names an input that the op does not have.
    #[error("there is no input `{input}` for which it could say an IO manager")]
    NoInput { input: String },
    /// `output_io` names an output that the op does not have.
    #[error("there is no output `{output}` for which it could say an IO manager")]
    NoOutput { output: String },
    /// Its partitions are none that a project could have.
    #[error("its partitions are not right: {0}")]
    Partitions(#[from] Mistake),
    /// What a value takes from the partition cannot be read.
    #[error("its value `{path}` is not right: {error}")]
    Template { path: String, error: TemplateError },
    /// Two resources have one name.
    #[error("two resources that its steps use are named `{resource}`; rename one")]
    ResourceTwice { resource: String },
}

impl JobMistake {
    pub(super) fn new(path: &str, origin: &Origin, kind: JobMistakeKind) -> JobMistake {
        let file = origin.file.display().to_string();
        JobMistake { path: path.to_owned(), file, line: origin.line, kind }
    }
}

impl Job {
    pub(super) fn partitions(&self) -> Option<&Partitions> {
        self.partitions.as_ref()
    }

    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Its name; see the example of [`job`](super::job()).
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
    /// directory, no thread. A step that fails stops what reads it and nothing else; the result tells. An error is
    /// what is found before any step starts: mistakes ([`Error::Job`]), values that do not fit ([`Error::Config`]),
    /// resources. See the example of [`job`](super::job()).
    pub fn execute_in_process(&self) -> Result<JobResult, Error> {
        self.execute(&Launch::new())
    }

    /// As [`execute_in_process`](Job::execute_in_process), with values and a choice of ops; see the example of
    /// [`Launch`].
    pub fn execute(&self, launch: &Launch) -> Result<JobResult, Error> {
        let OfPart { job, part } = OfPart::in_process(self.definition()?, launch.part())?;
        let def = &*job;
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
        let launched = Launched {
            job: def,
            flow,
            table: &self.table,
            settings: &settings,
            pool: &pool,
            ios: &ios,
            part: &part,
        };
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
        let has_io = self.table.has_io();
        if names.is_empty() && !has_io {
            return Ok(Vec::new());
        }
        let root = launch.place().unwrap_or(Path::new("."));
        let root = std::path::absolute(root)
            .map_err(|source| crate::engine::Error::Io { path: root.to_owned(), source })?;
        let mut problems = Vec::new();
        for name in names {
            let own = self.table.resources.get(name);
            match launch.replaced(name).or(own) {
                None => problems.push(format!("there is no resource `{name}`")),
                Some(provider) => {
                    let env = |variable: &str| launch.variable(variable, system::variable);
                    problems.extend(pool.set_up(name, provider, &root, &env).err());
                }
            }
        }
        let mut ios = Vec::with_capacity(flow.steps.len());
        let opens = has_io && problems.is_empty();
        let part = launch.part().cloned().unwrap_or_else(PartitionKey::unpartitioned);
        for (step, at) in flow.steps.iter().zip(0..).filter(|_| opens) {
            if !chosen.contains(&at) {
                ios.push(StepIo::none());
                continue;
            }
            match StepIo::open(step, &self.table, &part, &root, &|name| pool.value(name)) {
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
        let Some(text) = launch.selection() else {
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
