//! Reads an op: how it is run, what it takes and gives, what of a configuration it reads, and what is
//! done when it has ended. Types and pools that it names are looked up when every file has been read.

use std::collections::BTreeSet;

use super::asset::{Context, Read, env, inline_sql, no_body, run_line};
use super::command::{self, RunError};
use super::config::schema;
use super::diagnostic::{Place, did_you_mean};
use super::form::{Form, Key, TEXTS, key};
use super::node::{Kind, Sink, Table, Value};
use super::port::{self, TypeUse};
use super::sql_file::Named;
use super::{asset, policy, resource, sql_file};
use crate::defs::config::Schema;
use crate::defs::{
    Body, CommandLine, HookDef, Hooks, InputDecl, Memo, Op, Origin, OutputDecl, OutputDef, Retries,
    Takes, WordPiece,
};

/// Keys of an op wherever it is declared.
pub(super) static STEP_KEYS: &[Key] = &[
    key("run", "The command line that it is.", &Form::Text),
    key("sql", "The SQL that it is, or a file of it; its inputs are tables.", &Form::Text),
    key("takes", "Its inputs: names, or names with types.", &port::TAKES),
    key("output", "Its only output: a type, or the name of a file.", &port::OUTPUT),
    key(
        "outputs",
        "Its outputs by name, or the pattern of files of which each is a piece.",
        &OUTPUTS,
    ),
    key(
        "config",
        "Fields of the job's configuration that it reads, fields of its own, or a list of both.",
        &CONFIG,
    ),
    key("env", "Names of environment variables that its result depends on.", &TEXTS),
    key("inputs", "Globs of files of the project that its result depends on.", &TEXTS),
    key("resources", "Names of the resources that it uses.", &TEXTS),
    key("retries", "How often it is tried again when it has failed.", &policy::RETRIES),
    key("timeout", "How long it may take: `10m`.", &Form::Duration),
    key(
        "pool",
        "Of the steps in this pool only so many run at once as it has room for.",
        &Form::Text,
    ),
    key("io", "The IO manager by which what it gives is also put elsewhere.", &Form::Text),
    key("memo", "Whether a result that was made of the same is taken instead.", &Form::Bool),
    key("version", "The version of the code, in place of the code itself.", &Form::Written),
    key("description", "What it does, in a sentence.", &Form::Text),
];
/// Keys of what is done when a step has ended.
pub(super) static HOOK_KEYS: &[Key] = &[
    key("on_success", "Command lines that run when a step has succeeded.", &LINES),
    key("on_failure", "Command lines that run when a step has failed.", &LINES),
];
static LINES: Form = Form::Either(&[&Form::Text, &TEXTS]);
static OUTPUTS: Form = Form::Either(&[&Form::Text, &TEXTS, &Form::Map(&port::OUTPUT)]);
static OWN_FIELDS: Form = Form::Map(&Form::Any);
static CONFIG: Form =
    Form::Either(&[&Form::List(&Form::Either(&[&Form::Text, &OWN_FIELDS])), &OWN_FIELDS]);
/// The value of `ops` at the top of a file.
pub(super) static OPS: Form =
    Form::Optional(&Form::Map(&Form::Named("op", &Form::Table(&[STEP_KEYS, HOOK_KEYS]))));

/// An op whose references are not looked up yet.
#[derive(Debug)]
pub(super) struct OpDraft {
    pub op: Op,
    pub types: Vec<TypeUse>,
    pub pool: Option<(String, Place)>,
    pub resources: Vec<(String, Place)>,
    /// Where what it gives is also put.
    pub io: Option<(String, Place)>,
    /// The tables that its SQL reads.
    pub tables: Vec<Read>,
    /// The fields of a job's configuration that it reads.
    pub reads: Vec<(String, Place)>,
}

/// Reads an op; `derived` are inputs that follow from how it is wired, if it declares none itself. What
/// says what it does may be misspelt if not all of its keys are known.
pub(super) fn read(
    name: &str,
    place: Place,
    table: Table<'_>,
    all_known: bool,
    derived: Vec<InputDecl>,
    context: &Context<'_>,
    sink: &mut Sink,
) -> OpDraft {
    let mut types = Vec::new();
    let inputs = match table.get("takes") {
        Some(value) => port::takes(value, &mut types, sink),
        None => derived,
    };
    if all_known && table.get("run").is_none() && table.get("sql").is_none() {
        let message = format!("op `{name}` does not say what it does");
        sink.push(place.error(message).label("neither `run` nor `sql`"));
    }
    let (body, tables) = body(table, &inputs, context, sink);
    let outputs = port::outputs(table, &body, &mut types, sink);
    if let (Body::Command(command), Some(run)) = (&body, table.get("run")) {
        warn_of_output(run, &command.line, &outputs, sink);
    }
    // What SQL complains of is to be found where it stands.
    let code = table.get("sql").and_then(sql_file::path_of);
    let file = code.unwrap_or_else(|| place.path().to_path_buf());
    let origin = Origin { file, line: place.line() };
    let (config, reads) = config(table, sink);
    let text = |key: &str, sink: &mut Sink| {
        table.get(key).and_then(|value| value.text(key, sink)).map(str::to_owned)
    };
    let pool = text("pool", sink);
    let resources = table.get("resources").map(|value| value.texts("resources", sink));
    let resources = resources.unwrap_or_default();
    let io = text("io", sink).and_then(|name| Some((name, table.get("io")?.place())));
    let memo = table.get("memo").and_then(|value| value.boolean("memo", sink));
    let op = Op {
        inputs: inputs.into(),
        outputs: outputs.into(),
        config,
        reads: reads.iter().map(|(field, _)| field.clone()).collect(),
        memo: if memo == Some(true) { Memo::ByContent } else { Memo::Never },
        version: table.get("version").and_then(|value| value.written("version", sink)),
        hooks: hooks(table, sink),
        retries: table
            .get("retries")
            .map_or_else(Retries::default, |value| policy::retries(value, sink)),
        timeout: table.get("timeout").and_then(|value| policy::duration(value, "timeout", sink)),
        pool: pool.as_deref().map(Into::into),
        resources: resources.iter().map(|(name, _)| name.clone()).collect(),
        env: table.get("env").map(|value| env(value, sink)).unwrap_or_default(),
        files: table
            .get("inputs")
            .map(|value| asset::inputs(value, sink))
            .unwrap_or_default()
            .into_iter()
            .map(|(glob, _)| glob)
            .collect(),
        description: text("description", sink),
        ..Op::new(name, origin, body)
    };
    let pool = pool.and_then(|name| Some((name, table.get("pool")?.place())));
    OpDraft { op, types, pool, resources, io, tables, reads }
}

fn body(
    table: Table<'_>,
    inputs: &[InputDecl],
    context: &Context<'_>,
    sink: &mut Sink,
) -> (Body, Vec<Read>) {
    match (table.get("run"), table.get("sql")) {
        (Some(run), None) => {
            let variables = variables(inputs);
            (Body::Command(run_line(run, &variables, context, sink)), Vec::new())
        }
        (None, Some(sql)) => {
            let (body, reads) = match sql_file::named(sql, context, sink) {
                Named::Inline => inline_sql(sql, sink),
                Named::Read(file) => asset::sql_of(&file),
                Named::Faulty => return (no_body(), Vec::new()),
            };
            (body, reads.unwrap_or_default())
        }
        (Some(_), Some(sql)) => {
            sink.push(sql.place().error("`run` and `sql` exclude each other").label("second"));
            (no_body(), Vec::new())
        }
        (None, None) => (no_body(), Vec::new()),
    }
}

/// A command with one output finds its path in a short variable, which depends on what it gives; one with
/// several finds none.
fn warn_of_output(run: Value<'_>, line: &CommandLine, outputs: &[OutputDecl], sink: &mut Sink) {
    let long = |output: &OutputDecl| {
        format!("$GIORNATA_OUTPUT_{}", port::variable(&output.name).to_uppercase())
    };
    let (set, help) = match outputs {
        [] => (None, "it has no output".to_owned()),
        [one] if one.form == OutputDef::Directory => {
            (Some("output_dir"), "its output is the directory `$output_dir`".to_owned())
        }
        [one] if one.emits.is_pieces() => {
            (Some("output_dir"), "its pieces are the files in `$output_dir`".to_owned())
        }
        [_] => (Some("output"), "its output is the file `$output`".to_owned()),
        several => {
            let names: Vec<String> = several.iter().map(|it| format!("`{}`", long(it))).collect();
            (None, format!("its outputs are {}", names.join(", ")))
        }
    };
    let direct = match line {
        CommandLine::Direct(words) => words.iter().flatten().collect(),
        CommandLine::Shell(_) | CommandLine::Script { .. } => Vec::new(),
    };
    let direct = direct.into_iter().filter_map(|piece| match piece {
        WordPiece::Variable(name) => Some(name.as_str()),
        WordPiece::Text(_) => None,
    });
    let used: BTreeSet<&str> = command::variables(line).into_iter().chain(direct).collect();
    for name in ["output", "output_dir"] {
        if used.contains(name) && set != Some(name) {
            let warning = run.place().warning(format!("`run` uses `${name}`"));
            sink.push(warning.label("this variable is not set").help(&help));
        }
    }
}

/// The names under which a step finds its inputs.
fn variables(inputs: &[InputDecl]) -> BTreeSet<String> {
    let named = inputs.iter().filter(|input| input.takes != Takes::Nothing);
    named.map(|input| port::variable(&input.name)).collect()
}

/// Says what SQL reads that is neither an input of the op nor a table of a database that it uses.
pub(super) fn check_tables(draft: &OpDraft, resources: &resource::Declared, sink: &mut Sink) {
    let variables = variables(&draft.op.inputs);
    for read in &draft.tables {
        let is_input = variables.iter().any(|variable| variable.eq_ignore_ascii_case(&read.name));
        if is_input || resources.is_table(&read.name, draft.op.resources.iter()) {
            continue;
        }
        let help = did_you_mean(&read.name, variables.iter().map(String::as_str))
            .unwrap_or_else(|| "the tables of an op are its inputs".to_owned());
        let message = format!("`sql` reads `{}`, which is no input of it", read.name);
        sink.push(read.place.error(message).label("no such input").help(help));
    }
}

/// A list names fields of the job's configuration, a table declares fields of the op's own; a list may have
/// such a table among the names.
fn config(table: Table<'_>, sink: &mut Sink) -> (Schema, Vec<(String, Place)>) {
    let Some(value) = table.get("config") else { return (Schema::shape([]), Vec::new()) };
    if value.as_list().is_some() {
        return listed(value.list("config", sink).unwrap_or_default(), sink);
    }
    if value.as_table().is_none() {
        let help =
            "a list names fields of the job: `[lr]`; a table declares its own: `{depth: int}`";
        let place = value.place();
        sink.push(place.error("`config` of an op must be a list or a table").help(help));
        return (Schema::shape([]), Vec::new());
    }
    (schema(value, sink).unwrap_or_else(|| Schema::shape([])), Vec::new())
}

fn listed(items: Vec<Value<'_>>, sink: &mut Sink) -> (Schema, Vec<(String, Place)>) {
    let (mut own, mut reads) = (None, Vec::new());
    for item in items {
        if item.as_table().is_none() {
            reads.extend(item.text("config", sink).map(|name| (name.to_owned(), item.place())));
        } else if own.is_some() {
            let help = "one table has all fields of its own";
            let error = item.place().error("`config` has two tables").label("second");
            sink.push(error.help(help));
        } else {
            own = Some(schema(item, sink).unwrap_or_else(|| Schema::shape([])));
        }
    }
    (own.unwrap_or_else(|| Schema::shape([])), reads)
}

/// Reads what is done when a step has ended.
pub(super) fn hooks(table: Table<'_>, sink: &mut Sink) -> Hooks {
    let mut read = |key: &str| {
        let Some(value) = table.get(key) else { return Vec::new() };
        let lines: Vec<Value<'_>> = match &value.node.kind {
            Kind::Text(_) => vec![value],
            Kind::List(_) => value.list(key, sink).unwrap_or_default(),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Date(_) | Kind::Table(_) => {
                let message = format!("`{key}` must be a command line or a list of them");
                sink.push(value.place().error(message).label("no command line"));
                return Vec::new();
            }
        };
        lines.into_iter().filter_map(|line| hook(key, line, sink)).collect()
    };
    Hooks { success: read("on_success"), failure: read("on_failure") }
}

fn hook(key: &str, value: Value<'_>, sink: &mut Sink) -> Option<HookDef> {
    let text = value.text(key, sink)?;
    match command::parse(text, &BTreeSet::new()) {
        Ok(line) => Some(HookDef::Run(line)),
        Err(error @ (RunError::Empty | RunError::OpenQuote { .. })) => {
            sink.push(value.place().error(format!("`{key}`: {error}")).label("no command line"));
            None
        }
    }
}

/// An op in the place of one that is not known, with the inputs and outputs that it is used with.
pub(super) fn stand_in(name: &str, place: &Place, inputs: Vec<InputDecl>) -> Op {
    let origin = Origin { file: place.path().to_path_buf(), line: place.line() };
    Op { inputs: inputs.into(), ..Op::new(name, origin, no_body()) }
}
