//! Reads `types` and `pools`: types of values beyond those that are built in, and how many steps of a
//! pool may run at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::asset::Draft;
use super::diagnostic::{Place, did_you_mean};
use super::form::{Form, Key, key};
use super::node::{Faults, Sink, Table, Value, repeated_below};
use super::port::{TypeUse, type_of};
use crate::defs::{Builtin, Predicate, TypeDef, TypeRef};

static TYPE_KEYS: &[Key] = &[
    key("is", "The type that it is built on: `int`.", &Form::Text),
    key("that", "What must be true beyond that, as SQL over `$value`.", &Form::Text),
];
static SIZE: Form = Form::Integer(1, SIZE_MAX);
/// The value of `types`.
pub(super) static TYPES: Form = Form::Optional(&Form::Map(&Form::Table(&[TYPE_KEYS])));
/// The value of `pools`.
pub(super) static POOLS: Form = Form::Map(&SIZE);
/// A pool has room for at most so many steps.
const SIZE_MAX: i64 = 100_000;

/// A definition, and the errors in it.
#[derive(Debug)]
pub(super) struct Declared<T> {
    pub def: T,
    pub place: Place,
    pub faults: Faults,
}

/// Types and pools by name.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub types: BTreeMap<String, Declared<TypeDef>>,
    /// Of each type, what it is built on.
    uses: Vec<(String, TypeUse)>,
    pub pools: BTreeMap<String, Declared<u32>>,
}

/// Reports a name that stands in two places; neither counts.
pub(super) fn twice<T>(
    what: &str,
    name: &str,
    place: &Place,
    first: &mut Declared<T>,
    sink: &mut Sink,
) {
    let error = place.error(format!("{what} `{name}` is declared twice")).label("declared again");
    let error = if first.place.path() == place.path() {
        error.related(first.place.span.clone(), "first declared here")
    } else {
        let at = format!("{}:{}", first.place.path().display(), first.place.line());
        error.help(format!("it is first declared at {at}"))
    };
    sink.noting(&mut first.faults, |sink| sink.push(error));
}

impl Words {
    pub fn read_types(&mut self, table: Table<'_>, sink: &mut Sink) {
        for (entry, value) in table.iter() {
            let place = table.key_place(entry);
            if let Some(first) = self.types.get_mut(&entry.key) {
                twice("type", &entry.key, &place, first, sink);
                continue;
            }
            let mut faults = Faults::new();
            let mut uses = Vec::new();
            let def = sink.noting(&mut faults, |sink| {
                repeated_below(value, sink);
                type_def(&entry.key, &place, value, &mut uses, sink)
            });
            self.uses.extend(uses.into_iter().map(|it| (entry.key.clone(), it)));
            self.types.insert(entry.key.clone(), Declared { def, place, faults });
        }
    }

    pub fn read_pools(&mut self, table: Table<'_>, sink: &mut Sink) {
        for (entry, value) in table.iter() {
            let place = table.key_place(entry);
            if let Some(first) = self.pools.get_mut(&entry.key) {
                twice("pool", &entry.key, &place, first, sink);
                continue;
            }
            let mut faults = Faults::new();
            let size =
                sink.noting(&mut faults, |sink| value.integer(&entry.key, 1..SIZE_MAX + 1, sink));
            let size = size.and_then(|size| u32::try_from(size).ok()).unwrap_or(1);
            self.pools.insert(entry.key.clone(), Declared { def: size, place, faults });
        }
    }

    /// Looks up what the types are built on.
    pub fn resolve(&mut self, sink: &mut Sink) {
        for (name, type_use) in std::mem::take(&mut self.uses) {
            let mut faults = Faults::new();
            self.check_type(&type_use, &mut faults, sink);
            if let Some(circle) =
                self.circle(&name).filter(|circle| circle.iter().min() == Some(&name))
            {
                let circle = circle.join(" -> ");
                let place = &type_use.1;
                let message = format!("types are built on each other in a circle: {circle}");
                sink.noting(&mut faults, |sink| {
                    sink.push(place.error(message).label("leads back"));
                });
            }
            if let Some(declared) = self.types.get_mut(&name) {
                declared.faults.extend(faults);
            }
        }
    }

    /// The way from a type back to itself.
    fn circle(&self, name: &str) -> Option<Vec<String>> {
        let mut way = vec![name.to_owned()];
        loop {
            let of = &self.types.get(way.last()?.as_str())?.def.of;
            let next = named(of)?.to_string();
            let back = next == name;
            if !back && way.contains(&next) {
                return None;
            }
            way.push(next);
            if back {
                return Some(way);
            }
        }
    }

    /// Looks up a type that is named somewhere.
    pub fn check_type(&self, (kind, place): &TypeUse, faults: &mut Faults, sink: &mut Sink) {
        let Some(name) = named(kind) else { return };
        if let Some(declared) = self.types.get(&**name) {
            faults.extend(&declared.faults);
            return;
        }
        let known = ["any", "int", "float", "bool", "string", "null", "table", "bytes"];
        let known = known.into_iter().chain(self.types.keys().map(String::as_str));
        let help = did_you_mean(name, known)
            .unwrap_or_else(|| format!("declare it: `types: {{{name}: {{is: int, that: ..}}}}`"));
        let error = place.error(format!("there is no type `{name}`"));
        sink.noting(faults, |sink| sink.push(error.label("no type has this name").help(help)));
    }

    /// Looks up the pool that an op is in.
    pub fn check_pool(&self, name: &str, place: &Place, faults: &mut Faults, sink: &mut Sink) {
        if let Some(declared) = self.pools.get(name) {
            faults.extend(&declared.faults);
            return;
        }
        let help = did_you_mean(name, self.pools.keys().map(String::as_str))
            .unwrap_or_else(|| format!("declare it: `pools: {{{name}: 2}}`"));
        let error = place.error(format!("there is no pool `{name}`"));
        sink.noting(faults, |sink| sink.push(error.label("no pool has this name").help(help)));
    }

    /// Looks up the pools that assets are in.
    pub fn link(&self, drafts: &mut [Draft], sink: &mut Sink) {
        for draft in drafts {
            let (Some(name), Some(place)) = (&draft.asset.policy.pool, draft.pool.take()) else {
                continue;
            };
            let key = draft.asset.key.clone();
            let mut faults = Faults::new();
            sink.about(&key, |sink| self.check_pool(name, &place, &mut faults, sink));
            draft.sound &= faults.is_empty();
            sink.disable(&faults, &key);
        }
    }

    /// What is sound of both.
    pub fn finish(self) -> (BTreeMap<String, TypeDef>, BTreeMap<Arc<str>, u32>) {
        let types = self.types.into_iter().filter(|(_, it)| it.faults.is_empty());
        let pools = self.pools.into_iter().filter(|(_, it)| it.faults.is_empty());
        (
            types.map(|(name, declared)| (name, declared.def)).collect(),
            pools.map(|(name, declared)| (name.into(), declared.def)).collect(),
        )
    }
}

/// The name of the user's type in it.
fn named(kind: &TypeRef) -> Option<&Arc<str>> {
    match kind {
        TypeRef::Named(name) => Some(name),
        TypeRef::Builtin(Builtin::List(inner) | Builtin::Map(inner)) => named(inner),
        TypeRef::Any | TypeRef::Builtin(_) => None,
    }
}

fn type_def(
    name: &str,
    place: &Place,
    value: Value<'_>,
    uses: &mut Vec<TypeUse>,
    sink: &mut Sink,
) -> TypeDef {
    let mut def =
        TypeDef { name: name.into(), of: TypeRef::Any, that: Predicate::Sql(String::new()) };
    match TypeRef::parse(name) {
        Ok(TypeRef::Named(_)) => {}
        Ok(_) => {
            let message = format!("`{name}` is built in and cannot be declared anew");
            sink.push(place.error(message).label("a type that there is"));
        }
        Err(_) => {
            let message = format!("`{name}` cannot name a type");
            let label = "a letter, then letters, digits, `_` and `-`";
            sink.push(place.error(message).label(label));
        }
    }
    let Some(table) = value.table(name, sink) else { return def };
    let known = table.allow(&[TYPE_KEYS], &format!("type `{name}`"), sink);
    if let Some(value) = table.get("is") {
        def.of = type_of(value, uses, sink);
    }
    match table.get("that").map(|value| (value, value.text("that", sink))) {
        Some((value, Some(text))) if text.trim().is_empty() => {
            sink.push(value.place().error("`that` is empty").label("no condition"));
        }
        Some((_, Some(text))) => def.that = Predicate::Sql(text.to_owned()),
        Some((_, None)) => {}
        None if !known => {}
        None => {
            let message = format!("type `{name}` does not say which values it has");
            let help = "for example `that: \"$value % 2 = 0\"`";
            sink.push(table.place().error(message).label("no `that` here").help(help));
        }
    }
    def
}
