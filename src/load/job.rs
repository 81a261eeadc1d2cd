//! Reads `jobs`: ops, or a selection of assets, with a schema of what can be configured, values and
//! presets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asset::{Context, TAGS, tags};
use super::calls::{self, CALLS, CalleeDraft, GraphDraft};
use super::config::{self, Given, schema};
use super::diagnostic::{Diagnostic, Place, did_you_mean};
use super::form::{Form, Key, key};
use super::graph::replace;
use super::io;
use super::library::{Built, Library};
use super::mistake;
use super::node::{Faults, Sink, Table, Value, repeated_below};
use super::op::{HOOK_KEYS, hooks};
use super::partitions::{self, PARTITIONS, PartitionsDraft};
use super::types::{Declared, twice};
use crate::base::{AssetKey, JobName};
use crate::defs::config::Schema;
use crate::defs::{
    DynamicDef, Flow, Hooks, Job, JobConfigMistake, Origin, PartitionsDef, Project, Selection,
    SelectionErrorKind, Work, job_schema,
};

static KEYS: &[Key] = &[
    key("select", "Which assets: `+model`, `tag:mart`.", &Form::Text),
    key("ops", "Steps that yield no asset, and how they are wired.", &CALLS),
    key("config", "What can be configured, as a schema: `{lr: float}`.", &Form::Any),
    key("values", "Values that hold unless a launch gives others.", &config::VALUES),
    key("presets", "Further sets of values, by name.", &config::PRESETS),
    key("partitions", "The pieces of which one is run at a time.", &PARTITIONS),
    key("io", "The IO manager of what its ops give, where they say none and it fits.", &Form::Text),
    key("tags", "Labels of its runs.", &TAGS),
    key("description", "What it does, in a sentence.", &Form::Text),
];
static JOB: Form = Form::Named("job", &Form::Table(&[KEYS, HOOK_KEYS]));
/// The value of `jobs`.
pub(super) static JOBS: Form = Form::Optional(&Form::Map(&JOB));

/// A job of which nothing is looked up yet.
#[derive(Debug)]
pub(super) struct Draft {
    /// Its work and the fields of its ops are not known.
    job: Job,
    what: What,
    given: Given,
    each: Vec<(AssetKey, Place)>,
    io: Option<io::Named>,
    place: Place,
    faults: Faults,
    /// Whether all is known that can be configured.
    has_schema: bool,
}

impl Draft {
    /// It depends on what an error, by its place among all diagnostics, is about.
    pub fn distrust(&mut self, error: usize) {
        self.faults.insert(error);
    }
}

#[derive(Debug)]
enum What {
    Select(Selection, Place),
    Ops(GraphDraft),
    /// It cannot be read.
    Unknown,
}

pub(super) fn read(
    name: &str,
    place: Place,
    value: Value<'_>,
    context: &Context<'_>,
    sink: &mut Sink,
) -> Option<Draft> {
    let name = match JobName::parse(name) {
        Ok(name) => name,
        Err(error) => {
            sink.push(place.error(error.to_string()).label("no name"));
            return None;
        }
    };
    let mut faults = Faults::new();
    let draft = sink.noting(&mut faults, |sink| {
        repeated_below(value, sink);
        let table = value.table(name.as_str(), sink);
        table.map(|table| draft(&name, &place, table, context, sink))
    });
    let mut draft = draft.unwrap_or_else(|| Draft {
        job: job(name, &place),
        what: What::Unknown,
        given: Given::default(),
        each: Vec::new(),
        io: None,
        place,
        faults: Faults::new(),
        has_schema: false,
    });
    draft.faults = faults;
    Some(draft)
}

/// A job of which only the name is known.
fn job(name: JobName, place: &Place) -> Job {
    Job {
        name,
        origin: Origin { file: place.path().to_path_buf(), line: place.line() },
        work: Work::Flow(Arc::new(Flow::default())),
        config: Schema::shape([]),
        values: serde_json::Value::Null,
        presets: BTreeMap::new(),
        partitions: PartitionsDef::Unpartitioned,
        hooks: Hooks::default(),
        tags: BTreeMap::new(),
        description: None,
    }
}

fn draft(
    name: &JobName,
    place: &Place,
    table: Table<'_>,
    context: &Context<'_>,
    sink: &mut Sink,
) -> Draft {
    let known = table.allow(&[KEYS, HOOK_KEYS], &format!("job `{name}`"), sink);
    let what = match (table.get("select"), table.get("ops")) {
        (Some(select), None) => {
            refuse_of_ops(table, sink);
            selection(select, sink)
        }
        (None, Some(ops)) => {
            let calls = calls::calls(&format!("job `{name}`"), &[], ops, context, sink);
            What::Ops(GraphDraft::of_job(name.as_str(), place.clone(), calls))
        }
        (Some(_), Some(ops)) => {
            let error = ops.place().error("`select` and `ops` exclude each other");
            sink.push(error.label("second").help("a job is about assets, or it is made of ops"));
            What::Unknown
        }
        (None, None) => {
            if known {
                let help = "for example `select: \"+model\"`, or `ops: {..}`";
                let message = format!("job `{name}` does not say what it is about");
                sink.push(place.error(message).label("neither `select` nor `ops`").help(help));
            }
            What::Unknown
        }
    };
    let (given, values, presets) = Given::read(table, sink);
    let partitions =
        table.get("partitions").and_then(|it| partitions::read(it, context.sets, sink));
    let (partitions, each) = match partitions {
        Some(PartitionsDraft { def, each }) => (def, each),
        None => (PartitionsDef::Unpartitioned, Vec::new()),
    };
    let config = match table.get("config") {
        Some(value) => schema(value, sink),
        None => Some(Schema::shape([])),
    };
    let has_schema = config.is_some();
    let description = table.get("description").and_then(|value| value.text("description", sink));
    let job = Job {
        config: config.unwrap_or_else(|| Schema::shape([])),
        values,
        presets,
        partitions,
        hooks: hooks(table, sink),
        tags: table.get("tags").map(|value| tags(value, sink)).unwrap_or_default(),
        description: description.map(str::to_owned),
        ..job(name.clone(), place)
    };
    let io = table.get("io").and_then(|it| Some((it.text("io", sink)?.to_owned(), it.place())));
    let (place, faults) = (place.clone(), Faults::new());
    Draft { job, what, given, each, io, place, faults, has_schema }
}

fn selection(value: Value<'_>, sink: &mut Sink) -> What {
    let Some(text) = value.text("select", sink) else { return What::Unknown };
    match Selection::parse(text) {
        Ok(selection) if selection.asks_for_status() => {
            let message = "the assets of a job are the same whatever their state";
            sink.push(value.place().error(message).label("asks for states"));
            What::Unknown
        }
        Ok(selection) => What::Select(selection, value.place()),
        Err(error) => {
            sink.push(value.place().error(error.to_string()).label("no selection"));
            What::Unknown
        }
    }
}

/// What only a job of ops can have.
fn refuse_of_ops(table: Table<'_>, sink: &mut Sink) {
    let keys = HOOK_KEYS.iter().map(|key| key.name).chain(["partitions", "io"]);
    for (key, value) in keys.filter_map(|key| Some((key, table.get(key)?))) {
        let error = value.place().error(format!("`{key}` is of jobs that are made of `ops`"));
        let help = match key {
            "partitions" => "the assets have their own; `run JOB -p PARTITION` says which",
            "io" => "the assets have their own: `io: NAME`",
            _ => "a check of an asset can run a command",
        };
        sink.push(error.label("this job selects assets").help(help));
    }
}

/// Looks up what the jobs are about, once it is known which assets, ops and graphs there are.
pub(super) fn resolve(
    drafts: Vec<Draft>,
    project: &Project,
    library: &Library<'_>,
    sink: &mut Sink,
) -> BTreeMap<JobName, Arc<Job>> {
    let mut jobs: BTreeMap<JobName, Declared<Option<Job>>> = BTreeMap::new();
    for draft in drafts {
        let (name, place) = (draft.job.name.clone(), draft.place.clone());
        if let Some(first) = jobs.get_mut(&name) {
            twice("job", name.as_str(), &place, first, sink);
            continue;
        }
        let (def, faults) = one(draft, project, library, sink);
        jobs.insert(name, Declared { def, place, faults });
    }
    let mut sound = BTreeMap::new();
    for (name, Declared { def, faults, .. }) in jobs {
        for at in &faults {
            sink.diagnostics[*at].stops.push(name.clone());
        }
        if let Some(job) = def.filter(|_| faults.is_empty()) {
            sound.insert(name, Arc::new(job));
        }
    }
    sound
}

/// One job, and the errors because of which it cannot be used. `None`: what it needs is broken, and that
/// is reported where it is.
fn one(
    draft: Draft,
    project: &Project,
    library: &Library<'_>,
    sink: &mut Sink,
) -> (Option<Job>, Faults) {
    let Draft { mut job, what, given, each, io, place, mut faults, mut has_schema } = draft;
    for (name, place) in each {
        match followed(&name, project) {
            Ok(Some(def)) => replace(&mut job.partitions, &name, &def),
            Ok(None) => return (None, faults),
            Err(error) => {
                let error = place.error(error).label("in `each`");
                sink.noting(&mut faults, |sink| sink.push(error));
            }
        }
    }
    match what {
        What::Unknown => has_schema = false,
        What::Ops(draft) => {
            let mut built = library.build(&draft, faults, sink);
            has_schema &= compile(&mut job, &draft, &mut built, sink);
            put(&mut job, &draft, io.as_ref(), library, &mut built, sink);
            faults = built.faults;
        }
        What::Select(selection, select) => {
            match selection.select(project, &|_| BTreeSet::new()) {
                Ok(assets) => warn_of_unread(&job, &assets, project, &place, sink),
                Err(error) if matches!(error.kind, SelectionErrorKind::Broken(_)) => {
                    return (None, faults);
                }
                Err(error) => {
                    let message = format!("job `{}`: {error}", job.name);
                    let error = select.error(message).label(error.label).help_if(error.help);
                    sink.noting(&mut faults, |sink| sink.push(error));
                }
            }
            job.work = Work::Select(selection);
        }
    }
    // With a broken schema, or without all ops, nothing can be said about values.
    if has_schema {
        sink.noting(&mut faults, |sink| given.check(&job, sink));
    }
    (Some(job), faults)
}

/// The partitions of what `each(NAME)` names; `None` if that is broken.
fn followed(name: &AssetKey, project: &Project) -> Result<Option<PartitionsDef>, String> {
    if project.broken.contains(name) {
        return Ok(None);
    }
    if project.assets.contains_key(&name.each()) {
        return Ok(Some(PartitionsDef::Dynamic(DynamicDef::Pieces(name.clone()))));
    }
    match project.assets.get(name) {
        None => Err(format!("there is no source or asset `{name}` to follow")),
        Some(asset) if asset.partitions == PartitionsDef::Unpartitioned => {
            Err(format!("`{name}` has no partitions to follow"))
        }
        Some(asset) => Ok(Some(asset.partitions.clone())),
    }
}

/// Makes the flow of a job, and the schema of all that can be configured of it; says whether all of
/// that is known.
fn compile(job: &mut Job, draft: &GraphDraft, built: &mut Built, sink: &mut Sink) -> bool {
    let owner = format!("job `{}`", job.name);
    let flow = match built.graph.compile(&job.name) {
        Ok(flow) => flow,
        Err(mistakes) => {
            mistake::report(&owner, draft, mistakes, built, sink);
            return false;
        }
    };
    let mut is_known = built.doubtful.is_empty();
    match job_schema(&job.config, &flow) {
        Ok(schema) => job.config = schema,
        Err(mistakes) => {
            is_known = false;
            for mistake in mistakes {
                let error = wrong_config(&owner, draft, &mistake);
                sink.noting(&mut built.faults, |sink| sink.push(error));
            }
        }
    }
    job.work = Work::Flow(Arc::new(flow));
    is_known
}

/// Says where what its steps give is put, and what they cannot read from there.
fn put(
    job: &mut Job,
    draft: &GraphDraft,
    io: Option<&io::Named>,
    library: &Library<'_>,
    built: &mut Built,
    sink: &mut Sink,
) {
    let Work::Flow(flow) = &mut job.work else { return };
    if let Some(io) = io {
        library.io.of_job(io, Arc::make_mut(flow), &mut built.faults, sink);
    }
    // What is broken puts nothing, and that is told already.
    if !built.faults.is_empty() {
        return;
    }
    for io::Unread { step, input, why } in io::unread(flow) {
        let call = draft.call(step.split('.').next().unwrap_or(&step));
        let place = call.map_or(&draft.place, |call| &call.place);
        let message =
            format!("job `{}`: no IO manager can read `{input}` of `{step}`: {why}", job.name);
        let error = place.error(message).label("this step");
        let help = "`io` of what makes it, or of the job, says where it is put";
        sink.noting(&mut built.faults, |sink| sink.push(error.help(help)));
    }
}

fn wrong_config(owner: &str, draft: &GraphDraft, mistake: &JobConfigMistake) -> Diagnostic {
    let path = match mistake {
        JobConfigMistake::Name { name } => name,
        JobConfigMistake::Reads { path, .. } => path,
    };
    let call = draft.call(path.split('.').next().unwrap_or(path));
    let own = match (call.map(|call| &call.callee), mistake) {
        (Some(CalleeDraft::Own(op)), JobConfigMistake::Reads { field, .. }) => {
            op.reads.iter().find(|(read, _)| read == field).map(|(_, place)| place)
        }
        _ => None,
    };
    let place = own.or(call.map(|call| &call.place)).unwrap_or(&draft.place);
    let error = place.error(format!("{owner}: {mistake}"));
    match mistake {
        JobConfigMistake::Name { .. } => error.label("also a field of `config`"),
        JobConfigMistake::Reads { field, .. } => error
            .label("no such field")
            .help(format!("the job declares it: `config: {{{field}: TYPE}}`")),
    }
}

/// A configured value that no asset has changes nothing.
fn warn_of_unread(
    job: &Job,
    assets: &BTreeSet<AssetKey>,
    project: &Project,
    place: &Place,
    sink: &mut Sink,
) {
    let read = job.readable(project, assets);
    for (name, _) in job.config.fields().into_iter().flat_map(|fields| fields.iter()) {
        if !read.contains(name) {
            let message = format!("job `{}` configures `{name}`, which no asset has", job.name);
            let help = did_you_mean(name, read.iter().map(String::as_str))
                .unwrap_or_else(|| format!("an asset has it by `config: {{{name}: ..}}`"));
            sink.push(place.warning(message).label("changes nothing").help(help));
        }
    }
}
