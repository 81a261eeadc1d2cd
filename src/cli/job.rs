//! Which job is meant, and what a user reads about it.

use std::sync::Arc;

use serde_json::Value;

use super::error::CliError;
use super::session::Workspace;
use super::table::{self, Align};
use super::{diagnostics, text};
use crate::base::JobName;
use crate::base::similar::similar;
use crate::defs::config::{Presence, Schema};
use crate::defs::{Emits, Flow, FlowStep, HookDef, Job, OutputDecl, Takes, TypeRef, Work};
use crate::load::Diagnostic;

/// The job of a name.
pub(super) fn find(
    workspace: &mut Workspace<'_>,
    name: Option<&str>,
) -> Result<Arc<Job>, CliError> {
    let jobs = &workspace.project.jobs;
    let names: Vec<&str> = jobs.keys().map(|name| name.as_str()).collect();
    let known = match names.as_slice() {
        [] => "there are none: jobs are declared under `jobs` in a YAML file".to_owned(),
        names => format!("there are `{}`", names.join("`, `")),
    };
    let Some(name) = name else {
        return Err(CliError::user("which job is meant is missing").hint(known));
    };
    if let Some(job) = jobs.get(name) {
        return Ok(Arc::clone(job));
    }
    let stops = |it: &&Diagnostic| it.stops.iter().any(|job| job.as_str() == name);
    let errors: Vec<&Diagnostic> = workspace.diagnostics.iter().filter(stops).collect();
    if !errors.is_empty() {
        workspace.term.tell(&diagnostics::render_all(errors));
        return Err(CliError::user(format!("job `{name}` has errors")));
    }
    let mut error = CliError::user(format!("there is no job `{name}`"));
    if workspace.diagnostics.iter().any(Diagnostic::is_error) {
        error = error.hint("some files have errors: `giornata check` shows them");
    }
    let similar = similar(name, names.iter().copied());
    Err(error.hint(similar.map_or(known, |near| format!("did you mean `{near}`?"))))
}

/// The job that is asked for where assets can be asked for as well: by `--job`, or by its name alone if
/// no asset has it.
pub(super) fn named(
    workspace: &mut Workspace<'_>,
    job: Option<&str>,
    arguments: &[String],
) -> Result<Option<Arc<Job>>, CliError> {
    if job.is_some() {
        return find(workspace, job).map(Some);
    }
    let [argument] = arguments else { return Ok(None) };
    let project = &workspace.project;
    let is_asset = project.assets.keys().chain(&project.broken).any(|key| key.as_str() == argument);
    let stopped = workspace.diagnostics.iter().flat_map(|it| &it.stops);
    let is_job = project.jobs.keys().chain(stopped).any(|name: &JobName| name.as_str() == argument);
    if is_asset || !is_job {
        return Ok(None);
    }
    find(workspace, Some(argument)).map(Some)
}

/// Everything about a job.
pub(super) fn render(job: &Job, assets: Option<usize>) -> String {
    let mut out = format!("{}\n", job.name);
    if let Some(description) = &job.description {
        out += &format!("  {description}\n");
    }
    out.push('\n');
    for (name, value) in lines(job, assets) {
        out += format!("{name:<12} {value}").trim_end();
        out.push('\n');
    }
    if let Work::Flow(flow) = &job.work {
        out.push('\n');
        out += &steps(flow);
    }
    out
}

fn lines(job: &Job, assets: Option<usize>) -> Vec<(&'static str, String)> {
    let mut lines = match &job.work {
        Work::Select(selection) => {
            let count = assets.map(|n| format!(" ({})", text::count(n as u64, "asset")));
            vec![("selects", format!("{}{}", selection.as_str(), count.unwrap_or_default()))]
        }
        Work::Flow(flow) => vec![("made of", text::count(flow.steps.len() as u64, "step"))],
    };
    lines.push(("declared in", format!("{}:{}", job.origin.file.display(), job.origin.line)));
    if !job.partitions.is_unpartitioned() {
        lines.push(("partitions", text::keys(&job.partitions)));
    }
    fields("", &job.config, &job.values, &mut lines);
    for (name, values) in &job.presets {
        let values = if job.config.holds_secret() { "..".to_owned() } else { values.to_string() };
        lines.push(("preset", format!("{name}: {values}")));
    }
    let hooks = [("on success", &job.hooks.success), ("on failure", &job.hooks.failure)];
    for (when, hooks) in hooks {
        lines.extend(hooks.iter().map(|hook| (when, hook_text(hook))));
    }
    let tags: Vec<String> = job.tags.iter().map(|(name, it)| format!("{name}={it}")).collect();
    if !tags.is_empty() {
        lines.push(("tags", tags.join(", ")));
    }
    lines
}

/// What can be configured: a line for each field, with its value where one is given or implied.
fn fields(before: &str, schema: &Schema, values: &Value, lines: &mut Vec<(&'static str, String)>) {
    for (name, field) in schema.fields().into_iter().flat_map(|fields| fields.iter()) {
        let path = format!("{before}{name}");
        let given = values.get(name);
        if matches!(field.schema, Schema::Shape(_)) {
            fields(&format!("{path}."), &field.schema, given.unwrap_or(&Value::Null), lines);
            continue;
        }
        let value = match (given, &field.presence) {
            (Some(_), _) | (None, Presence::Default(_)) if field.schema.holds_secret() => {
                " (set)".to_owned()
            }
            (Some(value), _) | (None, Presence::Default(value)) => format!(" = {value}"),
            (None, Presence::Optional) => " (optional)".to_owned(),
            (None, Presence::BySchema | Presence::Required) if field.is_required() => {
                " (required)".to_owned()
            }
            (None, Presence::BySchema | Presence::Required) => String::new(),
        };
        lines.push(("config", format!("{path}: {}{value}", field.schema)));
    }
}

fn hook_text(hook: &HookDef) -> String {
    match hook {
        HookDef::Run(line) => text::command(line),
        HookDef::Function(_) => "a function".to_owned(),
    }
}

fn steps(flow: &Flow) -> String {
    let columns = [
        ("STEP", Align::Left),
        ("OP", Align::Left),
        ("READS", Align::Left),
        ("GIVES", Align::Left),
    ];
    table::render(&columns, flow.steps.iter().map(|step| row(flow, step)).collect())
}

fn row(flow: &Flow, step: &FlowStep) -> Vec<String> {
    let typed = |kind: &TypeRef| match kind {
        TypeRef::Any => String::new(),
        TypeRef::Builtin(_) | TypeRef::Named(_) => format!(": {kind}"),
    };
    let inputs = step.op.inputs.iter().zip(&step.wires).map(|(input, wiring)| {
        let many = if input.takes == Takes::Many { ", many" } else { "" };
        format!("{}{}{many} = {}", input.name, typed(&input.kind), text::wiring(flow, wiring))
    });
    let after = step.after.iter().map(|at| format!("after {}", flow.steps[*at as usize].path));
    let reads: Vec<String> = inputs.chain(after).collect();
    let gives = step.op.outputs.iter().map(|output: &OutputDecl| {
        let how = match output.emits {
            Emits::Required => "",
            Emits::Optional => " (optional)",
            Emits::Pieces(_) => " (pieces)",
        };
        format!("{}{}{how}", output.name, typed(&output.kind))
    });
    let gives = gives.collect::<Vec<_>>().join(", ");
    let own = step.path.rsplit('.').next().is_some_and(|name| name == step.op.name);
    let op = if own { text::body(&step.op.body).to_owned() } else { step.op.name.clone() };
    vec![step.path.to_string(), op, reads.join(", "), gives]
}
