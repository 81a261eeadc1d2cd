//! Finds the steps of a flow that a parsed selection means.
//!
//! Steps have names and edges, and nothing else that a selection could ask for. The name of a graph's
//! call means all the steps within it.

use std::collections::BTreeSet;
use std::ops::Range;

use globset::GlobMatcher;

use super::{Kind, Node, SelectionError, SelectionErrorKind, did_you_mean};
use crate::defs::Flow;

type Steps = BTreeSet<u32>;

pub(super) fn evaluate(root: &Node, flow: &Flow) -> Result<Steps, SelectionError> {
    let mut upstream = Vec::with_capacity(flow.steps.len());
    let mut downstream: Vec<Vec<u32>> = vec![Vec::new(); flow.steps.len()];
    for (at, step) in (0..).zip(&flow.steps) {
        let reads: Steps =
            step.reads().map(|slot| slot.step).chain(step.after.iter().copied()).collect();
        reads.iter().for_each(|up| downstream[*up as usize].push(at));
        upstream.push(reads.into_iter().collect());
    }
    let graph = Graph { flow, upstream, downstream };
    let steps = graph.steps(root)?;
    if steps.is_empty() {
        let message = "the selection is empty";
        let error = SelectionError::new(SelectionErrorKind::Empty, root.span.clone(), message);
        return Err(error.label("no op is meant by this"));
    }
    Ok(steps)
}

struct Graph<'a> {
    flow: &'a Flow,
    upstream: Vec<Vec<u32>>,
    downstream: Vec<Vec<u32>>,
}

impl Graph<'_> {
    fn steps(&self, node: &Node) -> Result<Steps, SelectionError> {
        Ok(match &node.kind {
            Kind::Everything => self.filter(|_| true),
            Kind::Name(name) => self.named(name, &node.span)?,
            Kind::Glob(glob) => self.matching(glob, &node.span)?,
            Kind::Around { of, up, down } => {
                let steps = self.steps(of)?;
                let above = reach(&steps, up.unwrap_or(0), &self.upstream);
                let below = reach(&steps, down.unwrap_or(0), &self.downstream);
                &above | &below
            }
            Kind::Roots(of) => without(self.steps(of)?, &self.upstream),
            Kind::Sinks(of) => without(self.steps(of)?, &self.downstream),
            Kind::Not(of) => &self.filter(|_| true) - &self.steps(of)?,
            Kind::And(nodes) => {
                let mut all = nodes.iter().map(|node| self.steps(node));
                let first = all.next().unwrap_or_else(|| Ok(Steps::new()))?;
                all.try_fold(first, |steps, next| Ok(&steps & &next?))?
            }
            Kind::Or(nodes) => {
                let mut steps = Steps::new();
                for node in nodes {
                    steps.extend(self.steps(node)?);
                }
                steps
            }
            Kind::Path(_)
            | Kind::Tag { .. }
            | Kind::Owner(_)
            | Kind::Group(_)
            | Kind::OfSort(_)
            | Kind::Status(_)
            | Kind::Source
            | Kind::NoSource => {
                let message = "ops are selected by their names";
                let error = SelectionError::syntax(node.span.clone(), message);
                return Err(error.label("ops have nothing of this kind"));
            }
        })
    }

    fn filter(&self, test: impl Fn(&str) -> bool) -> Steps {
        let steps = (0..).zip(&self.flow.steps);
        steps.filter(|(_, step)| test(&step.path)).map(|(at, _)| at).collect()
    }

    /// What a pattern matches. In other tools `*x` means what is upstream, so it is told apart.
    fn matching(&self, glob: &GlobMatcher, span: &Range<usize>) -> Result<Steps, SelectionError> {
        let steps = self.filter(|path| glob.is_match(path));
        let text = glob.glob().glob();
        let is_step = |name: &str| self.flow.steps.iter().any(|step| *step.path == *name);
        let help = match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(name), _) if is_step(name) => {
                format!("`{name}` and all that is upstream of it are `+{name}`")
            }
            (_, Some(name)) if is_step(name) => {
                format!("`{name}` and all that is downstream of it are `{name}+`")
            }
            _ => return Ok(steps),
        };
        // The name alone matches as well; who means only that writes it without the `*`.
        if steps.len() == 1 {
            let message = format!("`{text}` is a pattern of names, which only one op has");
            let error = SelectionError::new(SelectionErrorKind::Unknown, span.clone(), message);
            return Err(error.label("a pattern").help(help));
        }
        Ok(steps)
    }

    fn named(&self, name: &str, span: &Range<usize>) -> Result<Steps, SelectionError> {
        let within = |path: &str| {
            path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let steps = self.filter(within);
        if !steps.is_empty() {
            return Ok(steps);
        }
        let message = format!("there is no op `{name}`");
        let error = SelectionError::new(SelectionErrorKind::Unknown, span.clone(), message)
            .label("nothing has this name");
        let stars = name.trim_matches('*');
        let known = self.flow.steps.iter().map(|step| &*step.path);
        Err(match did_you_mean(stars, known) {
            Some(help) => error.help(help),
            None => error,
        })
    }
}

/// `from`, and what is at most so many edges away.
fn reach(from: &Steps, layers: u32, next: &[Vec<u32>]) -> Steps {
    let mut found = from.clone();
    let mut front: Vec<u32> = from.iter().copied().collect();
    for _ in 0..layers {
        let beyond = front.iter().flat_map(|step| &next[*step as usize]).copied();
        front = beyond.filter(|step| found.insert(*step)).collect();
        if front.is_empty() {
            break;
        }
    }
    found
}

/// Those without a neighbour among them.
fn without(steps: Steps, next: &[Vec<u32>]) -> Steps {
    let alone = |step: &&u32| !next[**step as usize].iter().any(|other| steps.contains(other));
    steps.iter().filter(alone).copied().collect()
}
