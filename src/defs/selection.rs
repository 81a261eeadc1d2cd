//! Decides which assets a text such as `+monthly_climate`, `tag:mart,kind:sql` or `not roots(*)` names.
//!
//! One grammar holds Dagster's and dbt's: `key: tag: owner: group: kind: status: path: is:`, names with
//! `*`, `and` `or` `not`, parentheses, `roots()` and `sinks()`, `N+x` and `x+N`; a comma is `and`, a
//! space is `or`. From tight to loose: `+`, `not`, `and` and comma, `or` and space. Sources are assets
//! as others are. There is deliberately no second, older form that a text falls back to: what does not
//! parse is an error, and so is what selects nothing.

mod evaluate;
mod parse;
mod steps;

use std::collections::BTreeSet;
use std::ops::Range;

use globset::GlobMatcher;

use super::{Flow, Project};
use crate::base::{AssetKey, similar};

/// A parsed selection.
///
/// ```
/// use giornata::defs::Selection;
/// assert!(Selection::parse("+monthly_climate and not tag:slow").is_ok());
/// assert_eq!(Selection::parse("tag:").unwrap_err().span, 4..4);
/// ```
#[derive(Debug, Clone)]
pub struct Selection {
    root: Node,
    text: String,
}

/// Why a text selects nothing; `span` holds bytes of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectionError {
    pub kind: SelectionErrorKind,
    pub message: String,
    pub span: Range<usize>,
    /// What stands at `span`.
    pub label: String,
    pub help: Option<String>,
}

/// What kind of thing is wrong with a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectionErrorKind {
    /// The text is not of the grammar.
    Syntax,
    /// A name that nothing has.
    Unknown,
    /// A name whose definition is broken, or that reads something broken.
    Broken(AssetKey),
    /// Nothing is selected by what was understood.
    Empty,
}

/// The words after `status:`, each a state of a partition.
pub const STATES: [&str; 8] =
    ["running", "failed", "blocked", "missing", "stale", "maybe_stale", "fresh", "orphaned"];

#[derive(Debug, Clone)]
struct Node {
    span: Range<usize>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Everything,
    /// A name without `*`.
    Name(String),
    Glob(GlobMatcher),
    Path(GlobMatcher),
    Tag {
        key: String,
        value: String,
    },
    Owner(Value),
    Group(Value),
    OfSort(Value),
    Status(String),
    Source,
    NoSource,
    /// `up` and `down` layers from what is within; `None` is no step at all in that direction.
    Around {
        of: Box<Node>,
        up: Option<u32>,
        down: Option<u32>,
    },
    Roots(Box<Node>),
    Sinks(Box<Node>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

/// The value of an attribute: a text, or `<null>` for those that have none.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Is(String),
    Null,
}

/// Equal texts mean the same.
impl PartialEq for Selection {
    fn eq(&self, other: &Selection) -> bool {
        self.text == other.text
    }
}

impl Selection {
    pub fn parse(text: &str) -> Result<Selection, SelectionError> {
        Ok(Selection { root: parse::parse(text)?, text: text.to_owned() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The assets that are meant. `status` answers which assets have a partition in a state.
    pub fn select(
        &self,
        project: &Project,
        status: &dyn Fn(&str) -> BTreeSet<AssetKey>,
    ) -> Result<BTreeSet<AssetKey>, SelectionError> {
        evaluate::evaluate(&self.root, project, status)
    }

    /// The steps of a flow that are meant, by their places. Only names, `*`, layers and words apply: a
    /// step has no tags, owners or states.
    pub fn select_steps(&self, flow: &Flow) -> Result<BTreeSet<u32>, SelectionError> {
        steps::evaluate(&self.root, flow)
    }

    /// True if `select` asks for states, so that the project has to be looked at first.
    pub fn asks_for_status(&self) -> bool {
        self.root.any(&|kind| matches!(kind, Kind::Status(_)))
    }

    /// True if everything there is was asked for, so that what is broken is meant as well.
    pub fn is_everything(&self) -> bool {
        matches!(self.root.kind, Kind::Everything)
    }
}

impl Node {
    fn any(&self, test: &dyn Fn(&Kind) -> bool) -> bool {
        let within = match &self.kind {
            Kind::Around { of, .. } | Kind::Roots(of) | Kind::Sinks(of) | Kind::Not(of) => {
                of.any(test)
            }
            Kind::And(nodes) | Kind::Or(nodes) => nodes.iter().any(|node| node.any(test)),
            Kind::Everything
            | Kind::Name(_)
            | Kind::Glob(_)
            | Kind::Path(_)
            | Kind::Tag { .. }
            | Kind::Owner(_)
            | Kind::Group(_)
            | Kind::OfSort(_)
            | Kind::Status(_)
            | Kind::Source
            | Kind::NoSource => false,
        };
        within || test(&self.kind)
    }
}

impl SelectionError {
    fn new(kind: SelectionErrorKind, span: Range<usize>, message: impl Into<String>) -> Self {
        SelectionError { kind, message: message.into(), span, label: String::new(), help: None }
    }

    fn syntax(span: Range<usize>, message: impl Into<String>) -> Self {
        SelectionError::new(SelectionErrorKind::Syntax, span, message)
    }

    fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `did you mean ...`, if one of `known` is similar to `name`.
fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    similar(name, known).map(|best| format!("did you mean `{best}`?"))
}

#[cfg(test)]
mod tests;
