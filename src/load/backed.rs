//! Reads assets that are the result of a graph of ops (`graph`), and looks the graph up: one step, made of
//! several.

use std::sync::Arc;

use super::asset::{Draft, Fields};
use super::deps::{self, DepDraft};
use super::diagnostic::{Diagnostic, Place, did_you_mean};
use super::library::Library;
use super::node::{Faults, Sink};
use super::output::may_be_table;
use super::resource;
use crate::base::{AssetKey, JobName};
use crate::defs::config::Env;
use crate::defs::{Body, Flow, Graph, GraphBody, Slot, graph_schema};

/// The graph that makes an asset, not looked up.
#[derive(Debug)]
pub(super) struct GraphUse {
    name: String,
    place: Place,
    /// The asset that each input is, by the name of the input.
    inputs: Vec<(String, DepDraft)>,
    /// The asset says itself what kind of result it has.
    pub says_output: bool,
}

impl GraphUse {
    /// What the asset reads, each upstream once.
    pub fn deps(&self) -> Vec<DepDraft> {
        let mut deps: Vec<DepDraft> = Vec::new();
        for (_, dep) in &self.inputs {
            if deps.iter().all(|it| it.upstream != dep.upstream) {
                deps.push(dep.clone());
            }
        }
        deps
    }
}

pub(super) fn read(fields: &Fields<'_>, sink: &mut Sink) -> Option<GraphUse> {
    let graph = fields.own("graph")?;
    let name = graph.text("graph", sink)?.to_owned();
    for key in ["run", "sql"] {
        if let Some(value) = fields.own(key) {
            let message = format!("`graph` and `{key}` exclude each other");
            sink.push(value.place().error(message).label("second"));
        }
    }
    let of_ops = [
        ("retries", "each op has its own"),
        ("timeout", "each op has its own"),
        ("pool", "each op has its own"),
        ("batch", "each op is run for one partition"),
        ("outputs", "an op with pieces is collected within the graph"),
        ("version", "each op has its own"),
    ];
    for (key, help) in of_ops {
        if let Some(value) = fields.own(key) {
            let message = format!("`{key}` cannot be that of an asset with a `graph`");
            sink.push(value.place().error(message).label("of the ops").help(help));
        }
    }
    let inputs = fields.own("deps").map(|value| deps::of_graph(value, sink)).unwrap_or_default();
    for (at, (_, dep)) in inputs.iter().enumerate() {
        let first = inputs[..at].iter().find(|(_, it)| it.upstream == dep.upstream);
        if let Some((_, first)) = first
            && (&first.mapping, first.missing) != (&dep.mapping, dep.missing)
        {
            let message = format!("`{}` is read by two mappings", dep.upstream);
            let help = "an asset reads another one in one way; an op can choose of it";
            sink.push(dep.mapping_place.error(message).label("second").help(help));
        }
    }
    let says_output =
        fields.first_of(["output", "output_dir", "format"]).iter().any(Option::is_some);
    Some(GraphUse { name, place: graph.place(), inputs, says_output })
}

/// Looks up the graphs of assets, and makes them what the assets are made by.
pub(super) fn link(
    drafts: &mut [Draft],
    library: &Library<'_>,
    resources: &resource::Declared,
    sink: &mut Sink,
) {
    for draft in drafts {
        let Some(graph) = draft.graph.take() else { continue };
        let key = draft.asset.key.clone();
        let mut faults = Faults::new();
        let found = library.find_graph(&graph.name, &graph.place, &mut faults, sink);
        if let Some(found) = found.filter(|_| faults.is_empty()) {
            let makes = match &draft.asset.shared {
                None => vec![key.clone()],
                Some(shared) => shared.makes.clone(),
            };
            match body(&key, &makes, &graph, &found) {
                Ok(body) => {
                    let made = |sink: &mut Sink| adopt(draft, &graph, body, resources, sink);
                    sink.noting(&mut faults, made);
                }
                Err(errors) => {
                    errors
                        .into_iter()
                        .for_each(|it| sink.noting(&mut faults, |sink| sink.push(it)));
                }
            }
        }
        sink.disable(&faults, &key);
        draft.sound &= faults.is_empty() && matches!(draft.asset.body, Body::Graph(_));
    }
}

/// The flow of a graph, and which of its outputs is the result. What makes several assets gives a result for
/// each, named like its variable.
fn body(
    key: &AssetKey,
    makes: &[AssetKey],
    used: &GraphUse,
    graph: &Graph,
) -> Result<GraphBody, Vec<Diagnostic>> {
    let name = &used.name;
    let mut errors = inputs(used, graph);
    let job = match JobName::parse(makes.first().unwrap_or(key).as_str()) {
        Ok(job) => job,
        Err(error) => return Err(vec![used.place.error(error.to_string())]),
    };
    let result = match graph.compile(&job) {
        // It has been compiled before, for itself.
        Err(mistakes) => {
            errors.extend(
                mistakes.iter().map(|it| used.place.error(format!("graph `{name}`: {it}"))),
            );
            None
        }
        Ok(flow) => match results(&flow, key, makes) {
            Ok((result, others)) => Some((flow, result, others)),
            Err(reason) => {
                let what = if makes.len() > 1 { format!("`{key}`") } else { "an asset".to_owned() };
                let message = format!("graph `{name}` cannot make {what}: {reason}");
                errors.push(used.place.error(message).label("this graph"));
                None
            }
        },
    };
    match result {
        Some((flow, result, others)) if errors.is_empty() => {
            let variable = |input: &crate::defs::InputDecl| {
                let given = used.inputs.iter().find(|(name, _)| **name == *input.name);
                given.map(|(_, dep)| dep.upstream.variable()).unwrap_or_default()
            };
            let inputs = flow.inputs.iter().map(variable).collect();
            Ok(GraphBody { flow: Arc::new(flow), inputs, result, others })
        }
        Some(_) | None => Err(errors),
    }
}

/// The result that an asset is, and those that the others of the step are.
fn results(flow: &Flow, key: &AssetKey, makes: &[AssetKey]) -> Result<(Slot, Vec<Slot>), String> {
    if let [_] = makes {
        return Ok((flow.sole_result()?, Vec::new()));
    }
    let result = flow.result_named(&key.variable())?;
    let others = makes.iter().filter(|other| *other != key);
    // What another one lacks is told there.
    let others = others.filter_map(|other| flow.result_named(&other.variable()).ok());
    Ok((result, others.collect()))
}

fn inputs(used: &GraphUse, graph: &Graph) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let known = || graph.inputs.iter().map(|input| &*input.name);
    for (input, dep) in &used.inputs {
        if known().all(|name| name != input) {
            let message = format!("graph `{}` has no input `{input}`", used.name);
            let help = did_you_mean(input, known());
            errors.push(dep.place.error(message).label("unknown input").help_if(help));
        }
    }
    for name in known().filter(|name| used.inputs.iter().all(|(input, _)| input != name)) {
        let message =
            format!("nothing says which asset the input `{name}` of graph `{}` is", used.name);
        let help = format!("for example `deps: {{{name}: ASSET}}`");
        errors.push(used.place.error(message).label("this graph").help(help));
    }
    errors
}

/// Gives the asset what its ops have: all of that counts for it.
fn adopt(
    draft: &mut Draft,
    used: &GraphUse,
    body: GraphBody,
    resources: &resource::Declared,
    sink: &mut Sink,
) {
    let asset = &mut draft.asset;
    for step in body.flow.steps.iter().filter(|step| step.op.io.is_some()) {
        let message = format!("`{}` of graph `{}` says `io`", step.path, used.name);
        let help = "that is for jobs; an asset says itself where its result is put";
        sink.push(used.place.error(message).label("makes an asset").help(help));
    }
    for step in body.counting() {
        asset.env.extend(step.op.env.iter().cloned());
        for name in &step.op.resources {
            asset.resources.insert(name.clone(), resources.version(name));
        }
    }
    match graph_schema(&body.flow) {
        Err(mistakes) => {
            for mistake in mistakes {
                let message = format!("graph `{}`: {mistake}", used.name);
                sink.push(used.place.error(message).label("this graph"));
            }
        }
        Ok(schema) => {
            let given = asset.config.clone().into_iter().collect();
            match schema.validate(&serde_json::Value::Object(given), Env::Keep) {
                Ok(config) if config.withheld.is_empty() => {
                    let fields = config.value.as_object().cloned().unwrap_or_default();
                    asset.config = fields.into_iter().collect();
                }
                Ok(_) => {
                    let message =
                        "the configuration of an asset can hold no secrets and no variables";
                    sink.push(used.place.error(message).label("its ops are configured so"));
                }
                Err(errors) => {
                    for error in errors.0 {
                        let message = format!("`config`: {error}");
                        sink.push(used.place.error(message).label("the ops of this graph"));
                    }
                }
            }
        }
    }
    if !used.says_output {
        asset.output = body.flow.output(body.result).form.clone();
        if asset.checks.iter().any(|check| check.test.needs_rows()) && !may_be_table(&asset.output)
        {
            let message = "checks look at rows, and this graph makes no table";
            let help =
                "the result of a graph is a table if the op that gives it says `format: csv`";
            sink.push(used.place.error(message).label("this graph").help(help));
        }
    }
    asset.body = Body::Graph(body);
}
