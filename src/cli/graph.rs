//! `giornata graph`: what reads what, as a tree for people, as text for other programs, or drawn.

mod flow;
mod formats;
mod layout;
mod svg;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};

use super::error::CliError;
use super::session::Session;
use super::targets::{Spec, without_partitions};
use super::{Done, job, text};
use crate::base::AssetKey;
use crate::defs::{MappingDef, Project, Work};
use crate::engine::Access;

/// Show which asset reads which, or the steps of a job
///
/// `text` is a tree from the sources down; what is already there is not spelt out again. `svg` is a
/// drawing without scripts and without requests; `dot` and `mermaid` are for other programs.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// Which assets; all if not given. Edges are those between them. Or the name of a job.
    #[arg(value_name = "SELECTION|JOB")]
    selection: Vec<String>,
    /// The steps of this job, even if an asset has the name as well.
    #[arg(long, value_name = "JOB", conflicts_with = "selection")]
    job: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Dot,
    Mermaid,
    Json,
    Svg,
}

/// Assets or steps and the edges between them, upstream first.
pub(super) struct Picture {
    of: Of,
    nodes: Vec<Node>,
    /// By their ends, from upstream to downstream.
    edges: Vec<Edge>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Assets,
    Steps,
}

struct Node {
    name: String,
    kind: String,
    shape: Shape,
    description: String,
    partitions: String,
}

/// Sources are told apart without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Source,
    Asset,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: usize,
    to: usize,
    /// How partitions are mapped, or pieces; empty where that needs no word.
    how: String,
}

pub(super) fn run(args: &GraphArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    if let Some(job) = job::named(&mut workspace, args.job.as_deref(), &args.selection)? {
        let title = job.name.to_string();
        match &job.work {
            Work::Flow(flow) => {
                let output = flow::picture(flow).render(args, &title);
                workspace.term.print(&output);
                return Ok(Done::Fine);
            }
            Work::Select(selection) => {
                let hint = format!("`giornata graph \"{}\"` shows the assets", selection.as_str());
                let error = CliError::user(format!("job `{title}` selects assets"));
                return Err(error.hint(hint));
            }
        }
    }
    let specs = Spec::parse_or_all(&args.selection)?;
    without_partitions(&specs)?;
    let no_assets = workspace.project.assets.is_empty() && args.selection.is_empty();
    let sets = if no_assets {
        Vec::new()
    } else if specs.iter().any(|spec| spec.selection.asks_for_status()) {
        workspace.open(&specs, Access::Read, &[])?.1
    } else {
        workspace.select(&specs, None)?
    };
    workspace.mention_broken();
    let keys: BTreeSet<AssetKey> = sets.into_iter().flatten().collect();
    let picture = Picture::new(&workspace.project, &keys);
    let output = picture.render(args, &workspace.project.name);
    workspace.term.print(&output);
    Ok(Done::Fine)
}

impl Picture {
    fn render(&self, args: &GraphArgs, title: &str) -> String {
        match if args.json { Format::Json } else { args.format } {
            Format::Text => tree::render(self),
            Format::Dot => formats::dot(self),
            Format::Mermaid => formats::mermaid(self),
            Format::Json => formats::json(self),
            Format::Svg => svg::render(self, title),
        }
    }

    fn new(project: &Project, keys: &BTreeSet<AssetKey>) -> Picture {
        let order: Vec<AssetKey> =
            project.topological().into_iter().filter(|key| keys.contains(key)).collect();
        let place: BTreeMap<&AssetKey, usize> = order.iter().zip(0..).collect();
        let mut edges = Vec::new();
        for (to, key) in order.iter().enumerate() {
            for dep in &project.assets[key].deps {
                let Some(&from) = place.get(&dep.upstream) else { continue };
                let how = match &dep.mapping {
                    MappingDef::Default => String::new(),
                    other => other.to_string(),
                };
                edges.push(Edge { from, to, how });
            }
        }
        edges.sort();
        let node = |key: &AssetKey| {
            let asset = &project.assets[key];
            Node {
                name: key.to_string(),
                kind: text::body(&asset.body).to_owned(),
                shape: if asset.is_source() { Shape::Source } else { Shape::Asset },
                description: asset.description.clone().unwrap_or_default(),
                partitions: text::partitions(asset),
            }
        };
        Picture { of: Of::Assets, nodes: order.iter().map(node).collect(), edges }
    }

    /// Whether an asset reads earlier partitions of its own.
    fn reads_itself(&self, node: usize) -> bool {
        self.edges.iter().any(|edge| edge.from == node && edge.to == node)
    }
}

/// A picture for tests: nodes by name, with the texts of a hostile author.
#[cfg(test)]
fn sample() -> Picture {
    let node = |key: &str, shape, description: &str| Node {
        name: key.to_owned(),
        kind: if shape == Shape::Source { "source" } else { "sql" }.to_owned(),
        shape,
        description: description.to_owned(),
        partitions: "one".to_owned(),
    };
    let edge = |from, to, how: &str| Edge { from, to, how: how.to_owned() };
    Picture {
        of: Of::Assets,
        nodes: vec![
            node("raw", Shape::Source, ""),
            node("mart/a", Shape::Asset, "\"]</title><script>alert('x')</script>&\\\n\u{1}"),
            node("b", Shape::Asset, ""),
        ],
        edges: vec![edge(0, 1, ""), edge(0, 2, "all"), edge(1, 1, "last(1)"), edge(1, 2, "")],
    }
}
