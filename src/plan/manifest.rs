//! Decides what a result depends on.
//!
//! Three digests, one inside the other. The *step* digest covers all but inputs and partition: its
//! parts are named values, and `why` compares exactly these values. How inputs are mapped is one of them
//! and not in the digest: it shows in what each partition is given. The *content key* covers the
//! step, the partition with its window, and the version of each input partition that the mapping
//! gives: equal keys mean equal results. The *shape* covers the step and the wiring of domains: as long as it
//! stands, the fresh bits of the asset's row mean something.
//!
//! Never in any of them: modification times, absolute paths, the clock, host names, run ids, and
//! nothing of a [`Policy`](crate::defs::Policy).

use std::collections::BTreeMap;

use crate::base::{Digest, PartitionIdx, PartitionSet, StepParts};
use crate::defs::{
    Asset, Body, CommandLine, Domain, GraphBody, Item, Missing, OutputDef, PartitionsDef, Slot,
    Wiring, WordPiece,
};

/// Raised when the engine begins to compute a key, or to hand a step its inputs, in another way.
const SEMANTICS: &str = "2";

/// Lists what decides the results of `asset` apart from inputs and partition. `files` are further project
/// files with their content; `env` holds the keyed digests of declared environment variables.
pub fn step_parts(
    asset: &Asset,
    files: &[(String, Digest)],
    env: &BTreeMap<String, Digest>,
) -> StepParts {
    let mut parts = BTreeMap::new();
    let mut put = |name: String, value: String| parts.insert(name, value);
    put("engine".to_owned(), SEMANTICS.to_owned());
    put("asset".to_owned(), asset.key.to_string());
    match &asset.version {
        Some(version) => {
            put("version".to_owned(), version.clone());
        }
        None => {
            for (name, value) in code_parts(&asset.body) {
                put(name, value);
            }
            for (path, digest) in files {
                put(format!("file.{path}"), digest.to_string());
            }
        }
    }
    for (name, value) in &asset.config {
        put(format!("config.{name}"), value.to_string());
    }
    for name in &asset.env {
        let value = env.get(name).map_or_else(|| "unset".to_owned(), Digest::short);
        put(format!("env.{name}"), value);
    }
    for (name, version) in &asset.resources {
        if let Some(version) = version {
            put(format!("resource.{name}"), version.clone());
        }
    }
    for dep in &asset.deps {
        let missing = match dep.missing {
            Missing::Error => "",
            Missing::Allow => ", missing: allow",
        };
        put(format!("deps.{}", dep.upstream), format!("{}{missing}", dep.mapping));
    }
    put("output".to_owned(), output_text(&asset.output));
    if !asset.checks.is_empty() {
        // How bad a failure is makes no other result.
        let checks = asset.checks.iter().map(|check| check.test.to_string());
        put("checks".to_owned(), checks.collect::<Vec<_>>().join("\n"));
    }
    StepParts(parts)
}

/// Digest of what a step is apart from how its inputs are mapped: which partitions it is given is in the
/// content key of each.
pub fn step_digest(parts: &StepParts) -> Digest {
    parts.digest_with(|name, value| if name.starts_with("deps.") { "" } else { value })
}

/// What of a body decides its results, by name.
pub fn code_parts(body: &Body) -> Vec<(String, String)> {
    let part = |name: &str, value: String| (name.to_owned(), value);
    match body {
        Body::Source(_) => vec![],
        Body::Sql(sql) => {
            vec![part("code", Digest::of_blob(sql.text.trim().as_bytes()).to_string())]
        }
        Body::Function(function) => vec![part("code", function.version.clone())],
        Body::Graph(graph) => graph_parts(graph),
        Body::Command(command) => match (&command.line, command.code) {
            (CommandLine::Script { interpreter, .. }, code) => vec![
                part("interpreter", interpreter.join(" ")),
                part("code", code.map_or_else(String::new, |digest| digest.to_string())),
            ],
            (CommandLine::Shell(line), _) => vec![part("run", line.clone())],
            (CommandLine::Direct(words), _) => {
                let words: Vec<String> = words.iter().map(|word| word_text(word)).collect();
                vec![part("run", words.join(" "))]
            }
        },
    }
}

/// Everything that each of the ops is made of, and how they are wired.
fn graph_parts(graph: &GraphBody) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    let slot = |slot: &Slot| {
        let step = &graph.flow.steps[slot.step as usize];
        format!("{}.{}", step.path, step.op.outputs[slot.output as usize].name)
    };
    let input = |at: u32| format!("input {}", graph.flow.inputs[at as usize].name);
    let item = |item: &Item| match item {
        Item::One(of) => slot(of),
        Item::Each(of) => format!("each {}", slot(of)),
        Item::Input(at) => input(*at),
        Item::Value(value) => value.to_string(),
    };
    let wire = |wiring: &Wiring| match wiring {
        Wiring::One(of) => slot(of),
        Wiring::Each(of) => format!("each {}", slot(of)),
        Wiring::Collect(of) => format!("collect {}", slot(of)),
        Wiring::List(items) => {
            format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join(", "))
        }
        Wiring::Input(at) => input(*at),
        Wiring::Value(value) => value.to_string(),
    };
    for step in graph.counting() {
        let mut put =
            |name: &str, value: String| parts.push((format!("op.{}.{name}", step.path), value));
        match &step.op.version {
            Some(version) => put("version", version.clone()),
            None => {
                for (name, value) in code_parts(&step.op.body) {
                    put(&name, value);
                }
            }
        }
        for (decl, wiring) in step.op.inputs.iter().zip(&step.wires) {
            put(
                &format!("in.{}", decl.name),
                format!("{:?} {} {}", decl.takes, decl.kind, wire(wiring)),
            );
        }
        for at in &step.after {
            let after = &graph.flow.steps[*at as usize].path;
            put(&format!("after.{after}"), String::new());
        }
        for decl in &*step.op.outputs {
            let form = output_text(&decl.form);
            put(&format!("output.{}", decl.name), format!("{:?} {} {form}", decl.emits, decl.kind));
        }
    }
    for (input, variable) in graph.flow.inputs.iter().zip(&graph.inputs) {
        parts.push((format!("graph.{}", input.name), variable.clone()));
    }
    parts.push(("result".to_owned(), slot(&graph.result)));
    parts
}

fn word_text(word: &[WordPiece]) -> String {
    let pieces = word.iter().map(|piece| match piece {
        WordPiece::Text(text) => format!("{text:?}"),
        WordPiece::Variable(name) => format!("${name}"),
    });
    pieces.collect()
}

fn output_text(output: &OutputDef) -> String {
    match output {
        OutputDef::Table(format) => format!("table {}", format.extension()),
        OutputDef::File { name } => format!("file {name}"),
        OutputDef::Directory => "directory".to_owned(),
        OutputDef::Pieces => "pieces".to_owned(),
        OutputDef::None => "none".to_owned(),
    }
}

/// Digest of all that is the same for every partition: if it differs from the row's, no fresh bit counts.
/// `upstream` comes in the order in which the content key covers the inputs.
pub fn shape(step: &Digest, own: &PartitionsDef, upstream: &[(&str, &PartitionsDef)]) -> Digest {
    let mut builder = Digest::builder("giornata 2026 shape");
    builder.digest(step).part(own.spec()).number(upstream.len() as u64);
    for (name, def) in upstream {
        builder.part(name).part(def.spec());
    }
    builder.finish()
}

/// Digest of what the recorded pieces of an asset are: as long as the maker has this version, they are
/// its pieces.
pub fn pieces_shape(pieces: &Asset, maker: &Digest) -> Digest {
    let mut builder = Digest::builder("giornata 2026 pieces");
    builder.part(pieces.partitions.spec()).part(format!("{:?}", pieces.body)).digest(maker);
    builder.finish()
}

/// How a step is given an input: decided by the kind of the mapping, never by the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// One value.
    One,
    /// Any number of them: a directory, or the rows of all.
    Several,
}

/// Digest of one input: which partitions of `upstream` the mapping gives, in which form, and the version of
/// each. `None` if one of them has no version.
pub fn input_digest(
    name: &str,
    given: Given,
    upstream: &Domain,
    mapped: &PartitionSet,
    version: &dyn Fn(PartitionIdx) -> Option<Digest>,
) -> Option<Digest> {
    let mut builder = Digest::builder("giornata 2026 input");
    let form = match given {
        Given::One => 1,
        Given::Several => 2,
    };
    builder.part(name).number(form).number(mapped.len());
    for part in key_order(upstream, mapped) {
        builder.part(upstream.key(part)?.as_str()).digest(&version(part)?);
    }
    Some(builder.finish())
}

/// Digest of everything that decides the result of one partition.
pub fn content_key(
    step: &Digest,
    domain: &Domain,
    part: PartitionIdx,
    inputs: &[Digest],
) -> Digest {
    let mut builder = Digest::builder("giornata 2026 content key");
    builder.digest(step);
    builder.part(domain.key(part).as_ref().map_or("", |key| key.as_str()));
    // A cron or a zone may change while the text of the key stays: the step sees the instants.
    match domain.window(part) {
        Some(window) => {
            builder.number(2).number(window.start.timestamp() as u64);
            builder.number(window.end.timestamp() as u64)
        }
        None => builder.number(0),
    };
    builder.number(inputs.len() as u64);
    for input in inputs {
        builder.digest(input);
    }
    builder.finish()
}

/// The members of `set` in the order in which a step is given them: by time for time windows, by key for
/// everything else, so that the order in which files arrived decides nothing.
pub fn key_order(domain: &Domain, set: &PartitionSet) -> Vec<PartitionIdx> {
    let mut members: Vec<PartitionIdx> = set.iter().collect();
    match domain.def() {
        PartitionsDef::Unpartitioned | PartitionsDef::TimeWindow(_) => {}
        PartitionsDef::Static(_) | PartitionsDef::Dynamic(_) | PartitionsDef::Multi(_) => {
            members.sort_by_cached_key(|part| domain.key(*part));
        }
    }
    members
}
