//! Reads `resources`: what steps share, by name; and the names of those that a step uses.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::asset::{Draft, Fields};
use super::config::at;
use super::diagnostic::{Place, did_you_mean};
use super::form::{Form, Key, key};
use super::node::{Faults, Sink, Value};
use crate::defs::config::Env;
use crate::defs::resource::{is_resource_name, resource_variable};
use crate::defs::{Origin, ResourceDef, ResourceKind};

const KINDS: &[&str] = &["sqlite", "directory", "http"];
static KEYS: &[Key] = &[
    key("type", "What it is.", &Form::Word(KINDS)),
    key("path", "Of a database or a directory, relative to the project's root.", &SETTING),
    key("url", "Where a service is.", &SETTING),
    key("headers", "What is to be sent to a service with each request.", &Form::Map(&SETTING)),
    key(
        "version",
        "Counts for whatever uses it; without it nothing of a resource does.",
        &Form::Written,
    ),
];
static ENV_KEYS: &[Key] =
    &[key("env", "The environment variable that has the value.", &Form::Text)];
static ENV: Form = Form::Table(&[ENV_KEYS]);
static SETTING: Form = Form::Either(&[&Form::Text, &ENV]);
static RESOURCE: Form = Form::Named("resource", &Form::Table(&[KEYS]));
/// The value of `resources` in a file of definitions.
pub(super) static RESOURCES: Form = Form::Optional(&Form::Map(&RESOURCE));

/// What files say about resources.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub defs: BTreeMap<String, Arc<ResourceDef>>,
    /// Declared with an error: who uses them cannot run, and that is told where they are declared.
    pub broken: BTreeMap<String, Faults>,
}

impl Declared {
    /// Reads one more.
    pub fn read(&mut self, name: &str, place: &Place, value: Value<'_>, sink: &mut Sink) {
        let mut faults = Faults::new();
        let def = sink.noting(&mut faults, |sink| {
            let def = read(name, place, value, sink);
            let message = match self.defs.values().find(|def| def.name.eq_ignore_ascii_case(name)) {
                Some(first) if first.name == name => {
                    Some(format!("resource `{name}` is declared twice"))
                }
                Some(first) => {
                    let variable = resource_variable(name);
                    Some(format!("`{}` and `{name}` would both be `${variable}`", first.name))
                }
                None => None,
            };
            if let Some(message) = message {
                sink.push(place.error(message).label("declared again"));
            }
            def
        });
        match def {
            Some(def) if faults.is_empty() => {
                self.defs.insert(name.to_owned(), Arc::new(def));
            }
            Some(_) | None => self.broken.entry(name.to_owned()).or_default().extend(faults),
        }
    }

    /// Looks up what assets use, and what their SQL reads of it.
    pub fn link(&self, drafts: &mut [Draft], sink: &mut Sink) {
        for draft in drafts {
            for (name, place) in std::mem::take(&mut draft.resources) {
                match self.defs.get(&name).filter(|_| !self.broken.contains_key(&name)) {
                    Some(def) => {
                        draft.asset.resources.insert(name, def.version.clone());
                    }
                    None => {
                        draft.sound = false;
                        let key = draft.asset.key.clone();
                        let hiding = sink.hiding(&name);
                        match self.broken.get(&name) {
                            Some(faults) => sink.disable(faults, &key),
                            None if !hiding.is_empty() => sink.disable(&hiding, &key),
                            None => {
                                sink.about(&key, |sink| self.unknown(&name, &place, sink));
                            }
                        }
                    }
                }
            }
            if let Some(reads) = &mut draft.reads {
                reads.retain(|read| !self.is_table(&read.name, draft.asset.resources.keys()));
            }
        }
    }

    /// The version of a resource that counts for staleness, if it has one.
    pub fn version(&self, name: &str) -> Option<String> {
        self.defs.get(name).and_then(|def| def.version.clone())
    }

    /// Says that no resource has the name.
    pub fn unknown(&self, name: &str, place: &Place, sink: &mut Sink) {
        let help = did_you_mean(name, self.defs.keys().map(String::as_str)).unwrap_or_else(|| {
            format!("declare it in a file of definitions: `resources: {{{name}: {{type: directory, path: ..}}}}`")
        });
        let diagnostic = place.error(format!("there is no resource `{name}`"));
        sink.push(diagnostic.label("no resource has this name").help(help));
    }

    /// Whether a name in SQL is a table of a database that is used.
    pub fn is_table<'a>(&self, name: &str, mut used: impl Iterator<Item = &'a String>) -> bool {
        let Some((database, _)) = name.split_once('.') else { return false };
        used.any(|name| {
            let is_sqlite = |def: &Arc<ResourceDef>| def.kind == ResourceKind::Sqlite;
            name.eq_ignore_ascii_case(database) && self.defs.get(name).is_some_and(is_sqlite)
        })
    }

    /// Looks up what an op uses.
    pub fn check(&self, name: &str, place: &Place, faults: &mut Faults, sink: &mut Sink) {
        if let Some(broken) = self.broken.get(name) {
            faults.extend(broken);
        } else if !self.defs.contains_key(name) {
            let hiding = sink.hiding(name);
            if !hiding.is_empty() {
                faults.extend(hiding);
                return;
            }
            sink.noting(faults, |sink| self.unknown(name, place, sink));
        }
    }
}

fn read(name: &str, place: &Place, value: Value<'_>, sink: &mut Sink) -> Option<ResourceDef> {
    let table = value.table(name, sink)?;
    if !is_resource_name(name) {
        let message = format!("`{name}` cannot name a resource");
        let help = "a name is letters, digits and `_`, and begins with a letter; \
                    it names a schema in SQL and a part of a variable";
        sink.push(place.error(message).label("no name").help(help));
        return None;
    }
    let known = table.allow(&[KEYS], &format!("resource `{name}`"), sink);
    let Some(kind) = table.get("type") else {
        if known {
            let message = format!("resource `{name}` does not say what it is");
            let help = "for example `type: sqlite`, `type: directory` or `type: http`";
            sink.push(place.error(message).label("no `type` here").help(help));
        }
        return None;
    };
    let word = kind.word("type", KINDS, sink)?;
    let kind = ResourceKind::ALL.into_iter().find(|kind| kind.name() == word)?;
    let mut settings = Map::new();
    for (entry, value) in table.iter() {
        if !["type", "version"].contains(&entry.key.as_str()) {
            settings.insert(entry.key.clone(), value.json());
        }
    }
    let def = ResourceDef {
        name: name.to_owned(),
        origin: Origin { file: place.path().to_path_buf(), line: place.line() },
        kind,
        settings: Json::Object(settings),
        version: table.get("version").and_then(|value| value.written("version", sink)),
    };
    if !known {
        // What it lacks may be what is misspelt.
        return None;
    }
    if let Err(errors) = def.configure(Env::Keep) {
        for error in errors.0 {
            let at = at(value, &error.path.0);
            sink.push(at.error(format!("resource `{name}`: {error}")).label(format!("a `{word}`")));
        }
    }
    Some(def)
}

/// The names that an asset says.
pub(super) fn used(fields: &Fields<'_>, sink: &mut Sink) -> Vec<(String, Place)> {
    fields.get("resources").map(|value| value.texts("resources", sink)).unwrap_or_default()
}
