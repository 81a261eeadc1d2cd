//! Reads `io`: where results are also put, by name; and which of these an asset says.

use std::collections::BTreeMap;

use super::asset::{Draft, Fields};
use super::command::inside;
use super::diagnostic::{Diagnostic, Place, did_you_mean};
use super::form::{Form, Key, TEXTS, key};
use super::node::{Faults, Sink, Table, Value};
use super::output::{self, FORMATS};
use super::resource;
use crate::base::AssetKey;
use crate::defs::{
    IoDef, Memo, Op, OutputDecl, OutputDef, ResourceKind, TableDef, TableFormat, TableMode,
};

const KINDS: &[&str] = &["file", "table"];
const MODES: &[&str] = &["replace_partition", "append", "merge"];
/// The manager of assets that name none.
const DEFAULT: &str = "default";
/// What an asset says that wants none.
const NONE: &str = "none";
static KEYS: &[Key] = &[
    key("type", "Files below a directory, or tables of a database.", &Form::Word(KINDS)),
    key(
        "path",
        "The directory of the files; without it results are in the store alone.",
        &Form::Text,
    ),
    key("format", "In which form tables are written to files.", &Form::Word(FORMATS)),
    key("on", "The resource that is the database.", &Form::Text),
    key("table", "The name of the table: `{asset}`.", &Form::Text),
    key("mode", "What becomes of rows that are there.", &Form::Word(MODES)),
    key("key", "Columns that tell rows apart, for `mode: merge`.", &TEXTS),
];
static IO_MANAGER: Form = Form::Named("io", &Form::Table(&[KEYS]));
/// The value of `io` in a file of definitions.
pub(super) static IO: Form = Form::Optional(&Form::Map(&IO_MANAGER));

/// What files say about IO managers.
#[derive(Debug, Default)]
pub(super) struct Declared {
    defs: BTreeMap<String, (IoDef, Place)>,
    /// Declared with an error: who uses them cannot run, and that is told where they are declared.
    broken: BTreeMap<String, Faults>,
}

impl Declared {
    /// Reads one more.
    pub fn read(&mut self, name: &str, place: Place, value: Value<'_>, sink: &mut Sink) {
        let mut faults = Faults::new();
        let def = sink.noting(&mut faults, |sink| {
            let def = read(name, value, sink);
            if name == NONE {
                let help = "`io: none` says that an asset has no manager";
                sink.push(
                    place.error("no IO manager can be named `none`").label("reserved").help(help),
                );
            } else if self.defs.contains_key(name) || self.broken.contains_key(name) {
                let message = format!("IO manager `{name}` is declared twice");
                sink.push(place.error(message).label("declared again"));
            }
            def
        });
        match def {
            Some(def) if faults.is_empty() => {
                self.defs.insert(name.to_owned(), (def, place));
            }
            Some(_) | None => self.broken.entry(name.to_owned()).or_default().extend(faults),
        }
    }

    /// Looks up which manager each asset has.
    pub fn link(&self, drafts: &mut [Draft], sink: &mut Sink) {
        let mut tables: BTreeMap<(String, String), AssetKey> = BTreeMap::new();
        for draft in drafts.iter_mut().filter(|draft| !draft.asset.is_source()) {
            let key = draft.asset.key.clone();
            let (found, sound) = sink.about(&key, |sink| self.find(draft, sink));
            draft.sound &= sound;
            let Some((name, def, place)) = found else { continue };
            if let IoDef::Table(def) = &def {
                let table = def.table_of(key.as_str()).to_lowercase();
                if let Some(first) = tables.insert((def.on.clone(), table), key.clone()) {
                    let message = format!("`{first}` and `{key}` are put into one table");
                    let help = "`table: \"{asset}\"` names a table after each";
                    draft.sound = false;
                    let diagnostic = place.error(message).label("also here").help(help);
                    sink.about(&key, |sink| sink.push(diagnostic));
                }
            }
            draft.asset.io = Some(def);
            draft.io = Some((name, place));
        }
    }

    /// Looks up what the managers use.
    pub fn find_databases(&mut self, resources: &resource::Declared, sink: &mut Sink) {
        for (name, (def, place)) in &self.defs {
            let IoDef::Table(TableDef { on, .. }) = def else { continue };
            let faults = self.broken.entry(name.clone()).or_default();
            match resources.defs.get(on) {
                Some(def) if def.kind == ResourceKind::Sqlite => continue,
                Some(def) => {
                    let kind = def.kind.name();
                    let message = format!("`{name}` puts tables into `{on}`, which is a `{kind}`");
                    let error = place.error(message).label("`on` must be a `sqlite`");
                    sink.noting(faults, |sink| sink.push(error));
                }
                None => resources.check(on, place, faults, sink),
            }
        }
        self.broken.retain(|_, faults| !faults.is_empty());
    }

    /// The manager of an asset, if it has one, and where that is said.
    fn find(&self, draft: &mut Draft, sink: &mut Sink) -> Option<(String, IoDef, Place)> {
        let own = draft.io.take();
        let is_own = own.is_some();
        let (name, place) = match own {
            Some((name, _)) if name == NONE => return None,
            Some(own) => own,
            None => (DEFAULT.to_owned(), self.defs.get(DEFAULT)?.1.clone()),
        };
        if let Some(faults) = self.broken.get(&name) {
            sink.disable(faults, &draft.asset.key);
            draft.sound = false;
            return None;
        }
        let Some((def, _)) = self.defs.get(&name) else {
            let hiding = sink.hiding(&name);
            if !hiding.is_empty() {
                sink.disable(&hiding, &draft.asset.key);
                draft.sound = false;
                return None;
            }
            sink.push(self.unknown(&name, &place));
            return None;
        };
        match unfit(def, &draft.asset.output) {
            None => Some((name, def.clone(), place)),
            // A default is for those that it fits.
            Some(_) if !is_own => None,
            Some(why) => {
                sink.push(place.error(why).label(format!("`{name}`")));
                None
            }
        }
    }
}

impl Declared {
    fn unknown(&self, name: &str, place: &Place) -> Diagnostic {
        let help = did_you_mean(name, self.defs.keys().map(String::as_str)).unwrap_or_else(|| {
            format!(
                "declare it in a file of definitions: `io: {{{name}: {{type: file, path: ..}}}}`"
            )
        });
        let message = format!("there is no IO manager `{name}`");
        place.error(message).label("no manager has this name").help(help)
    }

    /// The manager that an op says, for what it gives.
    pub fn of_op(
        &self,
        (name, place): &(String, Place),
        op: &Op,
        faults: &mut Faults,
        sink: &mut Sink,
    ) -> Option<IoDef> {
        if name == NONE {
            return None;
        }
        if let Some(broken) = self.broken.get(name) {
            faults.extend(broken);
            return None;
        }
        let hiding = sink.hiding(name);
        let Some((def, _)) = self.defs.get(name) else {
            match hiding.is_empty() {
                true => sink.noting(faults, |sink| sink.push(self.unknown(name, place))),
                false => faults.extend(hiding),
            }
            return None;
        };
        sink.noting(faults, |sink| {
            if op.memo == Memo::ByContent {
                let help = "what another run has made is put nowhere";
                let error = place.error("`io` and `memo` exclude each other");
                sink.push(error.label("this op says `memo`").help(help));
            }
            for output in &*op.outputs {
                if let Some(why) = unfit_for_op(def, output) {
                    let message = format!("its output `{}` cannot be put: {why}", output.name);
                    sink.push(place.error(message).label(format!("`{name}`")));
                }
            }
        });
        Some(def.clone())
    }
}

/// Why what an op gives at an output cannot be put there.
fn unfit_for_op(def: &IoDef, output: &OutputDecl) -> Option<&'static str> {
    match (def, &output.form) {
        (_, OutputDef::Directory) => Some("it is a directory"),
        // Each of its files is a value.
        (IoDef::Folder { .. }, OutputDef::Pieces) => None,
        (IoDef::Table(_), OutputDef::File { .. } | OutputDef::Pieces)
            if unfit(def, &output.form).is_some() =>
        {
            Some("a database takes tables; `type: table` says that an output is one")
        }
        (
            IoDef::Store | IoDef::Program | IoDef::Folder { .. } | IoDef::Table(_),
            OutputDef::Table(_) | OutputDef::File { .. } | OutputDef::Pieces | OutputDef::None,
        ) => None,
    }
}

/// Why results of this form cannot be put there.
fn unfit(def: &IoDef, output: &OutputDef) -> Option<&'static str> {
    match (def, output) {
        (IoDef::Store | IoDef::Program, _)
        | (IoDef::Folder { .. }, OutputDef::Table(_) | OutputDef::File { .. } | OutputDef::None)
        | (IoDef::Table(_), OutputDef::Table(_) | OutputDef::None) => None,
        (IoDef::Table(_), OutputDef::File { name }) if output::is_table(name) => None,
        (IoDef::Table(_), OutputDef::File { .. } | OutputDef::Directory | OutputDef::Pieces) => {
            Some(
                "a database takes tables, and this asset makes none; `format: csv` says that a command writes rows",
            )
        }
        (IoDef::Folder { .. }, OutputDef::Directory | OutputDef::Pieces) => {
            Some("`io` puts tables and files; `export` puts a directory at a path")
        }
    }
}

fn read(name: &str, value: Value<'_>, sink: &mut Sink) -> Option<IoDef> {
    let table = value.table(name, sink)?;
    let known = table.allow(&[KEYS], &format!("IO manager `{name}`"), sink);
    let Some(kind) = table.get("type") else {
        if known {
            let message = format!("IO manager `{name}` does not say what it is");
            let help = "for example `type: file` or `type: table`";
            sink.push(table.place().error(message).label("no `type` here").help(help));
        }
        return None;
    };
    let is_table = kind.word("type", KINDS, sink)? == "table";
    let others =
        if is_table { &["path", "format"][..] } else { &["on", "table", "mode", "key"][..] };
    for other in others.iter().filter_map(|other| Some((*other, table.get(other)?))) {
        let kind = if is_table { "tables" } else { "files" };
        let message = format!("`{}` has no meaning for {kind}", other.0);
        sink.push(other.1.place().error(message).label("of the other `type`"));
    }
    if is_table { tables(name, table, sink) } else { files(table, sink) }
}

fn files(table: Table<'_>, sink: &mut Sink) -> Option<IoDef> {
    let format = match table.get("format") {
        Some(value) => output::table_format(value, sink)?,
        None => TableFormat::Csv,
    };
    let Some(value) = table.get("path") else { return Some(IoDef::Store) };
    let text = value.text("path", sink)?;
    let dir = if text.starts_with('/') { Some(text.into()) } else { inside(text) };
    let dir = dir.filter(|_| !text.contains(['{', '}']));
    if dir.is_none() {
        let message = "`path` must be a directory inside the project, or an absolute path";
        let help = "files are named after asset and partition: `mart/revenue@2014-07.csv`";
        sink.push(value.place().error(message).label("no directory").help(help));
    }
    Some(IoDef::Folder { dir: dir?, format })
}

fn tables(name: &str, table: Table<'_>, sink: &mut Sink) -> Option<IoDef> {
    let Some(on) = table.get("on") else {
        let message = format!("IO manager `{name}` does not say in which database the tables are");
        let help = "`on` names a resource of type `sqlite`";
        sink.push(table.place().error(message).label("no `on` here").help(help));
        return None;
    };
    let on = on.text("on", sink)?.to_owned();
    let pattern = match table.get("table") {
        Some(value) => table_name(value, sink)?,
        None => "{asset}".to_owned(),
    };
    let key: Vec<String> = table
        .get("key")
        .map(|value| value.texts("key", sink))
        .unwrap_or_default()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let mode = match table.get("mode").map(|value| value.word("mode", MODES, sink)) {
        Some(None) => return None,
        None | Some(Some("replace_partition")) => TableMode::ReplacePartition,
        Some(Some("append")) => TableMode::Append,
        Some(Some(_)) => TableMode::Merge { key: key.clone() },
    };
    let merges = matches!(mode, TableMode::Merge { .. });
    if merges == key.is_empty() {
        let (message, help) = if merges {
            ("`mode: merge` must say what tells rows apart", "for example `key: [id]`")
        } else {
            ("`key` is for `mode: merge` only", "in the other modes rows belong to a partition")
        };
        sink.push(table.place().error(message).label("here").help(help));
    }
    Some(IoDef::Table(TableDef { on, table: pattern, mode }))
}

fn table_name(value: Value<'_>, sink: &mut Sink) -> Option<String> {
    let text = value.text("table", sink)?;
    let rest = text.replace("{asset}", "");
    let lower = text.to_lowercase();
    let mistake: Option<&str> = if rest.contains(['{', '}']) {
        Some("`table` knows `{asset}` only")
    } else if text.is_empty() || lower.starts_with("sqlite_") || lower == "_giornata" {
        Some("no table of yours can have this name")
    } else {
        None
    };
    match mistake {
        None => Some(text.to_owned()),
        Some(message) => {
            let diagnostic: Diagnostic = value.place().error(message);
            sink.push(
                diagnostic.label("no name of a table").help("for example `table: \"{asset}\"`"),
            );
            None
        }
    }
}

/// The name that an asset says.
pub(super) fn named(fields: &Fields<'_>, sink: &mut Sink) -> Option<(String, Place)> {
    let value = fields.get("io")?;
    Some((value.text("io", sink)?.to_owned(), value.place()))
}
