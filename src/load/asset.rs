//! Reads one asset: its keys, with the defaults of `giornata.toml` where it sets none, and its
//! code. What it refers to by name is looked up later, when every file has been read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backed::{self, GraphUse};
use super::command::{self, RunError};
use super::deps::{self, DepDraft};
use super::diagnostic::{Place, SourceText, did_you_mean};
use super::form::{Form, Key, TEXTS, key};
use super::makes::MAKES_KEYS;
use super::node::{Kind, Sink, Table, Value};
use super::output::{self, Maker};
use super::partitions::{self, Sets};
use super::{automation, check, io, policy, resource, sql};
use crate::base::{AssetKey, Digest};
use crate::defs::{
    Asset, Body, CommandBody, CommandLine, Origin, OutputDef, PartitionsDef, PathPattern, Policy,
    SqlBody, TableFormat,
};

/// What is said about an asset or source for people only.
pub(super) static DESCRIBE_KEYS: &[Key] = &[
    key("description", "What this is, in a sentence.", &Form::Text),
    key("group", "The group under which it is listed.", &Form::Text),
    key("owners", "Who is asked about it.", &TEXTS),
    key("tags", "Words to select it by: `tag:mart`.", &TAGS),
    key("kinds", "Further kinds to select it by: `kind:model`.", &TEXTS),
];
/// Keys of an asset wherever it is declared, beside those that describe it.
pub(super) static COMMON_KEYS: &[Key] = &[
    key("partitions", "The pieces of which it is made.", &partitions::PARTITIONS),
    key("deps", "What it reads: names, or names with mappings of partitions.", &deps::DEPS),
    key("inputs", "Globs of further files of the project that its result depends on.", &TEXTS),
    key("env", "Names of environment variables that its result depends on.", &TEXTS),
    key("resources", "Names of the resources that the step uses.", &TEXTS),
    key("config", "Values for the step, or names of values of the project's `[config]`.", &CONFIG),
    key("output", "The name of the file that the step makes at `$output`.", &Form::Text),
    key("outputs", "The files that the step makes in `$output_dir`, each a piece.", &Form::Text),
    key("output_dir", "Whether the step makes a directory at `$output_dir`.", &Form::Bool),
    key("format", "The result is a table, kept in this form.", &Form::Word(output::FORMATS)),
    key("export", "A path at which results are also put: `{partition}`, `{asset}`.", &Form::Text),
    key("io", "The IO manager that also keeps results; `none` if it is to have none.", &Form::Text),
    key("retries", "How often a failed step is tried again.", &policy::RETRIES),
    key("timeout", "How long a step may take: `10m`.", &Form::Duration),
    key(
        "pool",
        "Of the steps in this pool only so many run at once as it has room for.",
        &Form::Text,
    ),
    key("ttl", "How long a result stays good: `1h 30m`.", &Form::Duration),
    key("volatile", "Whether each run makes it again, whatever has changed.", &Form::Bool),
    key(
        "version",
        "The version of the code; with another one everything is stale.",
        &Form::Written,
    ),
    key(
        "automation",
        "When it is made by itself while watched: `eager`, `on_missing`.",
        &Form::Text,
    ),
    key("checks", "What must hold of the result: `rows > 0`, `not_null(a)`.", &check::CHECKS),
];
/// Keys that hold the code of an asset without a file of its own.
pub(super) static CODE_KEYS: &[Key] = &[
    key("run", "The command line that makes it.", &Form::Text),
    key("sql", "The SQL that makes it.", &Form::Text),
    key("graph", "The graph of ops, declared under `graphs`, whose result it is.", &Form::Text),
];
/// Everything that can stand in an asset.
pub(super) static ASSET: Form =
    Form::Named("asset", &Form::Table(&[DESCRIBE_KEYS, COMMON_KEYS, CODE_KEYS, MAKES_KEYS]));
pub(super) static TAGS: Form = Form::Either(&[&TEXTS, &Form::Map(&Form::Written)]);
static CONFIG: Form = Form::Either(&[&TEXTS, &Form::Map(&Form::Any)]);

/// What reading an asset may look at.
pub(super) struct Context<'a> {
    pub sets: &'a Sets,
    /// The `[config]` of the project.
    pub config: &'a BTreeMap<String, serde_json::Value>,
    pub is_file: &'a dyn Fn(&Path) -> bool,
    pub read: &'a dyn Fn(&Path) -> Option<String>,
}

/// Keys of an asset, and of the defaults that apply to it, the nearest first.
pub(super) struct Fields<'a> {
    pub own: Table<'a>,
    pub defaults: Vec<Table<'a>>,
}

impl<'a> Fields<'a> {
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.own.get(key).or_else(|| self.defaults.iter().find_map(|table| table.get(key)))
    }

    pub fn own(&self, key: &str) -> Option<Value<'a>> {
        self.own.get(key)
    }

    /// The values of keys that exclude each other, from the first table that has any of them: the
    /// asset's `output` is not to meet the `format` of a default.
    pub fn first_of<const N: usize>(&self, keys: [&str; N]) -> [Option<Value<'a>>; N] {
        std::iter::once(self.own)
            .chain(self.defaults.iter().copied())
            .map(|table| keys.map(|key| table.get(key)))
            .find(|values| values.iter().any(Option::is_some))
            .unwrap_or([None; N])
    }
}

/// Where the code of an asset is.
#[derive(Clone)]
pub(super) enum Code {
    /// In a file of SQL; `offset` is where `text` begins in the file.
    SqlFile { text: String, first_line: u32, offset: usize },
    /// In a script.
    Script { interpreter: Vec<String>, path: PathBuf, digest: Digest },
    /// In the keys `run` or `sql`.
    Keys,
}

/// A table that a SQL text reads.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub name: String,
    pub place: Place,
}

/// An asset or source whose references are not looked up yet.
#[derive(Debug)]
pub(super) struct Draft {
    /// Without `deps`; `each(NAME)` in its partitions is not looked up.
    pub asset: Asset,
    pub place: Place,
    pub sound: bool,
    pub deps: Vec<DepDraft>,
    /// What the statements of a SQL asset read.
    pub reads: Option<Vec<Read>>,
    pub each: Vec<(AssetKey, Place)>,
    pub export: Option<Place>,
    /// The name of an IO manager, and where it is said.
    pub io: Option<(String, Place)>,
    /// Names of resources, not looked up.
    pub resources: Vec<(String, Place)>,
    /// Where its pool is named, which is not looked up.
    pub pool: Option<Place>,
    /// The globs of `inputs` with their places.
    pub inputs: Vec<(String, Place)>,
    /// Where the `run` line is.
    pub run: Option<Place>,
    /// The pattern of the files that the step makes, each of which is a piece.
    pub pieces: Option<(PathPattern, Place)>,
    /// The graph that makes it.
    pub graph: Option<GraphUse>,
    /// It says itself what it reads, be it nothing.
    pub says_deps: bool,
}

/// Reads one asset. `place` is its name or the opening line of its header.
pub(super) fn read(
    key: &AssetKey,
    place: Place,
    fields: &Fields<'_>,
    code: Code,
    context: &Context<'_>,
    sink: &mut Sink,
) -> Draft {
    let (mut draft, sound) = sink.about(key, |sink| {
        let known = allow_keys(key, fields, &code, sink);
        let has_code = CODE_KEYS.iter().any(|it| fields.own(it.name).is_some());
        if matches!(code, Code::Keys) && known && !has_code {
            let message = format!("asset `{key}` does not say how it is made");
            sink.push(place.error(message).label("neither `run` nor `sql`"));
        }
        read_fields(key, place, fields, code, context, sink)
    });
    draft.sound = sound;
    draft
}

fn allow_keys(key: &AssetKey, fields: &Fields<'_>, code: &Code, sink: &mut Sink) -> bool {
    match code {
        Code::Keys => {}
        Code::SqlFile { .. } | Code::Script { .. } => {
            for code_key in CODE_KEYS {
                if let Some(value) = fields.own(code_key.name) {
                    sink.push(
                        value
                            .place()
                            .error(format!("`{}` has no place in a header", code_key.name))
                            .label("the code is the file itself"),
                    );
                }
            }
        }
    }
    let known = [DESCRIBE_KEYS, COMMON_KEYS, CODE_KEYS, MAKES_KEYS];
    fields.own.allow(&known, &format!("asset `{key}`"), sink)
}

fn read_fields(
    key: &AssetKey,
    place: Place,
    fields: &Fields<'_>,
    code: Code,
    context: &Context<'_>,
    sink: &mut Sink,
) -> Draft {
    let partitions =
        fields.get("partitions").and_then(|value| partitions::read(value, context.sets, sink));
    let (partitions, each) = partitions
        .map_or((PartitionsDef::Unpartitioned, Vec::new()), |draft| (draft.def, draft.each));
    let partitions_known = each.is_empty()
        && (partitions != PartitionsDef::Unpartitioned || fields.get("partitions").is_none());
    let graph = backed::read(fields, sink);
    let deps = match &graph {
        Some(graph) => graph.deps(),
        None => deps::read(fields, sink),
    };
    let (body, reads) = body(&place, fields, code, &deps, context, sink);
    let maker = if matches!(body, Body::Sql(_)) { Maker::Sql } else { Maker::Command };
    let output = output::read(fields, key, maker, sink);
    // What a graph makes is known when it is looked up.
    let judged = match &graph {
        Some(graph) if !graph.says_output => &OutputDef::Table(TableFormat::Csv),
        Some(_) | None => &output,
    };
    let checks = output::checks(fields, judged, context, sink);
    // With a mistake in `partitions` nothing can be said about `{partition}`.
    let export = if partitions_known || !each.is_empty() {
        output::export(fields, key, &partitions, sink)
    } else {
        None
    };
    let inputs = fields.get("inputs").map(|value| inputs(value, sink)).unwrap_or_default();
    let mut asset = Asset {
        partitions,
        body,
        deps: Vec::new(),
        output,
        export: export.as_ref().map(|(path, _)| path.clone()),
        config: config(fields, context, sink),
        env: fields.get("env").map(|value| env(value, sink)).unwrap_or_default(),
        inputs: inputs.iter().map(|(glob, _)| glob.clone()).collect(),
        version: fields.get("version").and_then(|value| value.written("version", sink)),
        checks,
        policy: policy::read(fields, sink),
        automation: fields
            .get("automation")
            .and_then(|value| automation::read(value, context, sink)),
        ..blank(key.clone(), &place)
    };
    describe(&mut asset, fields, sink);
    let export = export.map(|(_, place)| place);
    let run = fields.own("run").map(Value::place);
    let pieces = output::pieces(fields, &asset.partitions, sink);
    let says_deps = fields.get("deps").is_some();
    let pool = fields.get("pool").map(|value| value.place());
    let (resources, io) = (resource::used(fields, sink), io::named(fields, sink));
    let sound = true;
    Draft {
        asset,
        place,
        sound,
        deps,
        reads,
        each,
        export,
        io,
        resources,
        pool,
        inputs,
        run,
        pieces,
        graph,
        says_deps,
    }
}

fn body(
    place: &Place,
    fields: &Fields<'_>,
    code: Code,
    deps: &[DepDraft],
    context: &Context<'_>,
    sink: &mut Sink,
) -> (Body, Option<Vec<Read>>) {
    match code {
        Code::SqlFile { text, first_line, offset } => {
            let reads = reads_of(&text, &place.file, offset);
            if text.trim().is_empty() {
                sink.push(place.error("there is no SQL after the header").label("this header"));
            }
            (Body::Sql(SqlBody { text, first_line }), Some(reads))
        }
        Code::Script { interpreter, path, digest } => {
            let line = CommandLine::Script { interpreter, path };
            let body = CommandBody { line, code: Some(digest), named_files: Vec::new() };
            (Body::Command(body), None)
        }
        Code::Keys if fields.own("graph").is_some() => (no_body(), None),
        Code::Keys => match (fields.own("run"), fields.own("sql")) {
            (Some(run), None) => {
                let variables = deps.iter().map(|dep| dep.upstream.variable()).collect();
                (Body::Command(run_line(run, &variables, context, sink)), None)
            }
            (None, Some(sql)) => inline_sql(sql, sink),
            (Some(_), Some(sql)) => {
                sink.push(sql.place().error("`run` and `sql` exclude each other").label("second"));
                (no_body(), None)
            }
            (None, None) => (no_body(), None),
        },
    }
}

/// The tables that a SQL text reads, which stands in a file from `offset` on.
fn reads_of(text: &str, file: &Arc<SourceText>, offset: usize) -> Vec<Read> {
    let read = |table: sql::TableName| {
        let span = offset + table.span.start..offset + table.span.end;
        Read { name: table.name, place: Place { file: file.clone(), span } }
    };
    sql::tables(text).into_iter().map(read).collect()
}

/// A whole file of SQL.
pub(super) fn sql_of(file: &Arc<SourceText>) -> (Body, Option<Vec<Read>>) {
    let text = file.text.to_string();
    let reads = reads_of(&text, file, 0);
    (Body::Sql(SqlBody { text, first_line: 1 }), Some(reads))
}

/// What stands in the place of code with an error; the asset is not used.
pub(super) fn no_body() -> Body {
    let line = CommandLine::Direct(Vec::new());
    Body::Command(CommandBody { line, code: None, named_files: Vec::new() })
}

/// Reads a `run` line, in which `variables` are ours.
pub(super) fn run_line(
    value: Value<'_>,
    variables: &BTreeSet<String>,
    context: &Context<'_>,
    sink: &mut Sink,
) -> CommandBody {
    let line = value.text("run", sink).map(|text| command::parse(text, variables));
    let line = match line {
        Some(Ok(line)) => line,
        Some(Err(error)) => {
            let label = match error {
                RunError::Empty => "empty",
                RunError::OpenQuote { .. } => "a quote is open at the end",
            };
            sink.push(value.place().error(format!("`run`: {error}")).label(label));
            CommandLine::Direct(Vec::new())
        }
        None => CommandLine::Direct(Vec::new()),
    };
    let mut named_files = command::candidate_files(&line);
    named_files.retain(|path| (context.is_file)(path));
    CommandBody { line, code: None, named_files }
}

/// SQL inside YAML or TOML: its places are found again by their text, as quoting and indentation
/// make offsets differ.
pub(super) fn inline_sql(value: Value<'_>, sink: &mut Sink) -> (Body, Option<Vec<Read>>) {
    let Some(text) = value.text("sql", sink) else { return (no_body(), None) };
    let place = value.place();
    let file = place.file.text.as_ref();
    let from = place.span.start.min(file.len());
    let reads = sql::tables(text)
        .into_iter()
        .map(|table| {
            let written = &text[table.span.clone()];
            // The same word may stand before it, for example in a comment.
            let before = find_words(text, written).take_while(|at| *at < table.span.start).count();
            let found = find_words(&file[from..], written).nth(before).map(|at| from + at);
            let span = found.map_or(place.span.clone(), |at| at..at + written.len());
            Read { name: table.name, place: Place { span, ..place.clone() } }
        })
        .collect();
    // TOML leaves out a line break behind the quotes.
    let opens = ["\"\"\"\n", "'''\n"].iter().any(|quotes| file[from..].starts_with(quotes));
    let first_line = place.line() + u32::from(opens);
    (Body::Sql(SqlBody { text: text.to_owned(), first_line }), Some(reads))
}

fn find_words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !text[..*at].ends_with(part) && !text[at + word.len()..].starts_with(part)
    })
}

fn text(fields: &Fields<'_>, key: &str, sink: &mut Sink) -> Option<String> {
    fields.get(key).and_then(|value| value.text(key, sink)).map(str::to_owned)
}

fn strings(fields: &Fields<'_>, key: &str, sink: &mut Sink) -> Vec<String> {
    let texts = fields.get(key).map(|value| value.texts(key, sink)).unwrap_or_default();
    texts.into_iter().map(|(text, _)| text).collect()
}

pub(super) fn tags(value: Value<'_>, sink: &mut Sink) -> BTreeMap<String, String> {
    match &value.node.kind {
        Kind::List(_) => {
            value.texts("tags", sink).into_iter().map(|(tag, _)| (tag, String::new())).collect()
        }
        _ => {
            let entries = value.table("tags", sink).into_iter().flat_map(Table::iter);
            entries
                .filter_map(|(entry, value)| {
                    Some((entry.key.clone(), value.written("tags", sink)?))
                })
                .collect()
        }
    }
}

/// Reads names of environment variables.
pub(super) fn env(value: Value<'_>, sink: &mut Sink) -> BTreeSet<String> {
    let mut env = BTreeSet::new();
    for (name, place) in value.texts("env", sink) {
        let sound = !name.is_empty() && !name.contains(['=', '\0']);
        if !sound {
            let message = format!("`{name}` cannot name an environment variable");
            sink.push(place.error(message).label("no name of a variable"));
        }
        env.insert(name);
    }
    env
}

fn config(
    fields: &Fields<'_>,
    context: &Context<'_>,
    sink: &mut Sink,
) -> BTreeMap<String, serde_json::Value> {
    let Some(value) = fields.get("config") else { return BTreeMap::new() };
    if value.as_list().is_some() {
        let mut config = BTreeMap::new();
        for (name, place) in value.texts("config", sink) {
            if let Some(value) = context.config.get(&name) {
                config.insert(name, value.clone());
                continue;
            }
            let help = did_you_mean(&name, context.config.keys().map(String::as_str))
                .unwrap_or_else(|| format!("declare `{name} = ..` under `[config]`"));
            sink.push(
                place
                    .error(format!("the project has no config value `{name}`"))
                    .label("not under `[config]` of giornata.toml")
                    .help(help),
            );
        }
        return config;
    }
    let entries = value.table("config", sink).into_iter().flat_map(Table::iter);
    entries.map(|(entry, value)| (entry.key.clone(), value.json())).collect()
}

/// Reads globs of files of the project.
pub(super) fn inputs(value: Value<'_>, sink: &mut Sink) -> Vec<(String, Place)> {
    let mut inputs = value.texts("inputs", sink);
    inputs.retain(|(glob, place)| {
        let mistake = match globset::Glob::new(glob) {
            Err(error) => Some(format!("`{glob}` is no glob: {}", error.kind())),
            Ok(_) if command::inside(glob).is_none() => {
                Some(format!("`{glob}` must stay inside the project"))
            }
            Ok(_) => None,
        };
        let sound = mistake.is_none();
        if let Some(message) = mistake {
            sink.push(place.error(message).label("in `inputs`"));
        }
        sound
    });
    inputs
}

/// An asset of which nothing is known but its name, because its file cannot be read.
pub(super) fn unreadable(key: AssetKey, place: Place) -> Draft {
    Draft {
        asset: blank(key, &place),
        place,
        sound: false,
        deps: Vec::new(),
        reads: None,
        each: Vec::new(),
        export: None,
        io: None,
        resources: Vec::new(),
        pool: None,
        inputs: Vec::new(),
        run: None,
        pieces: None,
        graph: None,
        says_deps: false,
    }
}

/// Reads what is said about an asset or source for people only.
pub(super) fn describe(asset: &mut Asset, fields: &Fields<'_>, sink: &mut Sink) {
    asset.description = text(fields, "description", sink);
    asset.group = text(fields, "group", sink);
    asset.owners = strings(fields, "owners", sink);
    asset.tags = fields.get("tags").map(|value| tags(value, sink)).unwrap_or_default();
    asset.kinds = strings(fields, "kinds", sink).into_iter().collect();
}

fn blank(key: AssetKey, place: &Place) -> Asset {
    Asset {
        key,
        origin: Origin { file: place.path().to_path_buf(), line: place.line() },
        partitions: PartitionsDef::Unpartitioned,
        body: no_body(),
        deps: Vec::new(),
        output: OutputDef::None,
        shared: None,
        export: None,
        io: None,
        config: BTreeMap::new(),
        env: BTreeSet::new(),
        resources: BTreeMap::new(),
        inputs: Vec::new(),
        version: None,
        checks: Vec::new(),
        policy: Policy::default(),
        automation: None,
        description: None,
        group: None,
        owners: Vec::new(),
        tags: BTreeMap::new(),
        kinds: BTreeSet::new(),
    }
}
