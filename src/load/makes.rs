//! Reads a step that makes several assets (`makes`): each is read as if all that the step says stood with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asset::{self, Code, Context, DESCRIBE_KEYS, Draft, Fields};
use super::check;
use super::diagnostic::Place;
use super::form::{Form, Key, TEXTS, key};
use super::node::{Entry, Kind, Sink, Table, Value};
use super::output;
use crate::base::AssetKey;
use crate::defs::SharedStep;

/// The key that makes a step of an asset.
pub(super) static MAKES_KEYS: &[Key] = &[key(
    "makes",
    "The assets that one step makes, any of them without the others: names, or names with their keys.",
    &MAKES,
)];
static MAKES: Form = Form::Either(&[&TEXTS, &Form::Map(&MEMBER)]);
static MEMBER: Form = Form::Optional(&Form::Table(&[DESCRIBE_KEYS, MEMBER_KEYS]));
/// What one of the assets may say beside the step.
static MEMBER_KEYS: &[Key] = &[
    key(
        "output",
        "The name of the file that the step makes at `$GIORNATA_OUTPUT_NAME`.",
        &Form::Text,
    ),
    key("output_dir", "Whether the step makes a directory there.", &Form::Bool),
    key("format", "The result is a table, kept in this form.", &Form::Word(output::FORMATS)),
    key("export", "A path at which results are also put: `{partition}`, `{asset}`.", &Form::Text),
    key("checks", "What must hold of the result: `rows > 0`, `not_null(a)`.", &check::CHECKS),
];
/// Of these one decides about the others.
const OUTPUT_KEYS: &[&str] = &["output", "output_dir", "format"];

/// One of the assets, as it is declared.
struct Member<'a> {
    key: AssetKey,
    place: Place,
    own: &'a [Entry],
}

/// Reads all assets of a step. `defaults` says what the project has for an asset of a name.
pub(super) fn read<'a>(
    name: &AssetKey,
    step: Table<'a>,
    makes: Value<'a>,
    code: &Code,
    defaults: &dyn Fn(&AssetKey) -> Vec<Table<'a>>,
    context: &Context<'_>,
    sink: &mut Sink,
) -> Vec<Draft> {
    let (members, sound) = sink.about(name, |sink| {
        let members = members(makes, sink);
        judge(step, makes, code, &members, sink);
        members
    });
    let makes = members.iter().map(|member| member.key.clone()).collect();
    let shared = Arc::new(SharedStep { name: name.to_string(), makes });
    let draft = |member: Member<'_>| {
        let entries = merged(step, member.own);
        let own = Table { entries: &entries, ..step };
        let fields = Fields { own, defaults: defaults(&member.key) };
        let mut draft =
            asset::read(&member.key, member.place, &fields, code.clone(), context, sink);
        draft.sound &= sound;
        draft.asset.shared = Some(Arc::clone(&shared));
        // What a default says does not count here.
        draft.asset.policy.batch = None;
        draft.asset.group.get_or_insert_with(|| name.to_string());
        draft
    };
    members.into_iter().map(draft).collect()
}

fn members<'a>(makes: Value<'a>, sink: &mut Sink) -> Vec<Member<'a>> {
    let mut members: Vec<Member<'a>> = Vec::new();
    let mut push =
        |name: &str, place: Place, own: &'a [Entry], sink: &mut Sink| match AssetKey::parse(name) {
            Ok(key) => members.push(Member { key, place, own }),
            Err(error) => sink.push(place.error(error.to_string()).label("no name")),
        };
    if let Some(table) = makes.as_table() {
        for (entry, value) in table.iter() {
            let own = match &value.node.kind {
                Kind::Null => Some(&[][..]),
                _ => value.table(&entry.key, sink).map(|own| {
                    let whose = format!("asset `{}`", entry.key);
                    own.allow(&[DESCRIBE_KEYS, MEMBER_KEYS], &whose, sink);
                    own.entries
                }),
            };
            if let Some(own) = own {
                push(&entry.key, table.key_place(entry), own, sink);
            }
        }
    } else {
        for (name, place) in makes.texts("makes", sink) {
            push(&name, place, &[], sink);
        }
    }
    members
}

/// Reports what does not go together with several assets.
fn judge(step: Table<'_>, makes: Value<'_>, code: &Code, members: &[Member<'_>], sink: &mut Sink) {
    if members.is_empty() {
        let help = "for example `makes: [left, right]`";
        sink.push(makes.place().error("`makes` names no asset").label("nothing here").help(help));
    }
    let is_sql = matches!(code, Code::SqlFile { .. }) || step.get("sql").is_some();
    if is_sql {
        let help = "a command makes several: `run: ./both.sh`, `makes: [left, right]`";
        let message = "a SQL asset makes one table";
        sink.push(makes.place().error(message).label("several assets").help(help));
    }
    if let Some(value) = step.get("batch") {
        let help =
            "one step makes several assets of one partition, or several partitions of one asset";
        let message = "`batch` cannot be that of several assets";
        sink.push(value.place().error(message).label("several partitions").help(help));
    }
    for name in ["output", "outputs"] {
        let Some(value) = step.get(name) else { continue };
        let message = format!("`{name}` cannot be that of several assets");
        let help = match name {
            "output" => "`makes: {left: {output: left.csv}}` names the file of one of them",
            _ => "a step with `outputs` makes the pieces of one asset",
        };
        sink.push(value.place().error(message).label("of which of them?").help(help));
    }
    let mut seen: BTreeMap<String, &Member<'_>> = BTreeMap::new();
    for member in members {
        let Some(first) = seen.insert(member.key.variable().to_uppercase(), member) else {
            continue;
        };
        let (key, other) = (&member.key, &first.key);
        let message = match key == other {
            true => format!("`makes` names `{key}` twice"),
            false => format!(
                "`{other}` and `{key}` would both be at `$GIORNATA_OUTPUT_{}`",
                key.variable().to_uppercase()
            ),
        };
        let second = member.place.error(message).label("second");
        sink.push(second.related(first.place.span.clone(), "first"));
    }
}

/// What an asset says, and what the step says where the asset does not.
fn merged(step: Table<'_>, own: &[Entry]) -> Vec<Entry> {
    let says = |name: &str| own.iter().any(|entry| entry.key == name);
    let says_output = OUTPUT_KEYS.iter().any(|name| says(name));
    let is_replaced = |entry: &&Entry| {
        let name = entry.key.as_str();
        name == "makes" || says(name) || (says_output && OUTPUT_KEYS.contains(&name))
    };
    let rest = step.entries.iter().filter(|entry| !is_replaced(entry));
    own.iter().chain(rest).cloned().collect()
}

/// What one step makes is sound as a whole or not at all: with one of its assets missing it would be another
/// step.
pub(super) fn settle(drafts: &mut BTreeMap<AssetKey, Draft>, sink: &mut Sink) {
    let shared = |draft: &Draft| draft.asset.shared.clone();
    let mut steps: Vec<Arc<SharedStep>> = drafts.values().filter_map(shared).collect();
    steps.sort_by(|a, b| a.makes.cmp(&b.makes));
    steps.dedup();
    for step in steps {
        let is_whole = |key: &AssetKey| {
            drafts.get(key).is_some_and(|draft| {
                draft.sound && draft.asset.shared.as_ref().is_some_and(|own| *own == step)
            })
        };
        if step.makes.iter().all(is_whole) {
            continue;
        }
        let makes: BTreeSet<&AssetKey> = step.makes.iter().collect();
        for diagnostic in &mut sink.diagnostics {
            let concerns = |key: &AssetKey| makes.contains(key) || key.as_str() == step.name;
            if diagnostic.disables.iter().any(concerns) {
                let others = makes.iter().filter(|key| !diagnostic.disables.contains(key));
                let others: Vec<AssetKey> = others.map(|key| (*key).clone()).collect();
                diagnostic.disables.extend(others);
            }
        }
        for key in &step.makes {
            drafts.entry(key.clone()).and_modify(|draft| draft.sound = false);
        }
    }
}
