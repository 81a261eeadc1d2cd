//! `giornata graph`: what reads what, as a tree for people, as text for other programs, or drawn.

mod formats;
mod layout;
mod svg;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};

use super::error::CliError;
use super::session::Session;
use super::targets::{Spec, without_partitions};
use super::{Done, text};
use crate::base::AssetKey;
use crate::defs::{MappingDef, Project};
use crate::engine::Access;

/// Show which asset reads which
///
/// `text` is a tree from the sources down; what is already there is not spelt out again. `svg` is a
/// drawing without scripts and without requests; `dot` and `mermaid` are for other programs.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// Which assets; all if not given. Edges are those between them.
    #[arg(value_name = "SELECTION")]
    selection: Vec<String>,
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

/// Assets and the edges between them, upstream first.
pub(super) struct Picture {
    nodes: Vec<Node>,
    /// By their ends, from upstream to downstream.
    edges: Vec<Edge>,
}

struct Node {
    key: AssetKey,
    kind: &'static str,
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
    /// How partitions are mapped; empty where that needs no word.
    mapping: String,
}

pub(super) fn run(args: &GraphArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
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
    let output = match if args.json { Format::Json } else { args.format } {
        Format::Text => tree::render(&picture),
        Format::Dot => formats::dot(&picture),
        Format::Mermaid => formats::mermaid(&picture),
        Format::Json => formats::json(&picture),
        Format::Svg => svg::render(&picture, &workspace.project.name),
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

impl Picture {
    fn new(project: &Project, keys: &BTreeSet<AssetKey>) -> Picture {
        let order: Vec<AssetKey> =
            project.topological().into_iter().filter(|key| keys.contains(key)).collect();
        let place: BTreeMap<&AssetKey, usize> = order.iter().zip(0..).collect();
        let mut edges = Vec::new();
        for (to, key) in order.iter().enumerate() {
            for dep in &project.assets[key].deps {
                let Some(&from) = place.get(&dep.upstream) else { continue };
                let mapping = match &dep.mapping {
                    MappingDef::Default => String::new(),
                    other => other.to_string(),
                };
                edges.push(Edge { from, to, mapping });
            }
        }
        edges.sort();
        let node = |key: &AssetKey| {
            let asset = &project.assets[key];
            Node {
                key: key.clone(),
                kind: text::body(&asset.body),
                shape: if asset.is_source() { Shape::Source } else { Shape::Asset },
                description: asset.description.clone().unwrap_or_default(),
                partitions: text::partitions(asset),
            }
        };
        Picture { nodes: order.iter().map(node).collect(), edges }
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
        key: AssetKey::parse(key).expect("a name"),
        kind: if shape == Shape::Source { "source" } else { "sql" },
        shape,
        description: description.to_owned(),
        partitions: "one".to_owned(),
    };
    let edge = |from, to, mapping: &str| Edge { from, to, mapping: mapping.to_owned() };
    Picture {
        nodes: vec![
            node("raw", Shape::Source, ""),
            node("mart/a", Shape::Asset, "\"]</title><script>alert('x')</script>&\\\n\u{1}"),
            node("b", Shape::Asset, ""),
        ],
        edges: vec![edge(0, 1, ""), edge(0, 2, "all"), edge(1, 1, "last(1)"), edge(1, 2, "")],
    }
}
