//! What the user points at: selections, `asset@partition`, and the partitions that are meant.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::error::{CliError, Excerpt, Kind};
use super::text;
use crate::base::{AssetKey, PartitionIdx, PartitionSet};
use crate::defs::partition::{PartitionExpr, PartitionTextError};
use crate::defs::{Domain, Selection};
use crate::engine::Engine;
use crate::plan::Chosen;

/// One argument: which assets, and which of their partitions if that was said.
#[derive(Debug)]
pub(super) struct Spec {
    /// The argument without the partitions.
    pub text: String,
    pub selection: Selection,
    pub partitions: Option<Expression>,
}

/// A partition expression within the text in which it was typed.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    expr: PartitionExpr,
    text: String,
    offset: usize,
}

impl Expression {
    pub fn parse(text: &str, offset: usize) -> Result<Expression, CliError> {
        if text[offset..].trim().is_empty() {
            let error = CliError::user("no partitions are named here");
            return Err(error.hint("`all` names all of them; without `@` and `-p` all are meant"));
        }
        match PartitionExpr::parse(&text[offset..]) {
            Ok(expr) => Ok(Expression { expr, text: text.to_owned(), offset }),
            Err(error) => Err(CliError::partition(&error, text, offset)),
        }
    }

    /// The partitions of `asset` that are meant.
    pub fn select(&self, engine: &Engine, asset: &AssetKey) -> Result<PartitionSet, CliError> {
        engine.select(asset, &self.expr).map_err(|error| self.unreadable(asset.as_str(), &error))
    }

    /// Whether no partition of `asset` starts in the window of time that is meant.
    pub fn names_nothing(&self, engine: &Engine, asset: &AssetKey) -> bool {
        engine.select(asset, &self.expr).is_err_and(|error| error.is_nothing)
    }

    /// The partitions of a job that are meant. A job has no states of partitions.
    pub fn of_job(&self, domain: &Domain, job: &str) -> Result<PartitionSet, CliError> {
        if self.expr.asks_for_states() {
            let error = CliError::user(format!("the partitions of job `{job}` have no states"));
            return Err(error.hint("name one by its key, or `latest`"));
        }
        let selected = self.expr.select(domain, &|_| PartitionSet::default());
        selected.map_err(|error| self.unreadable(job, &error))
    }

    fn unreadable(&self, asset: &str, error: &PartitionTextError) -> CliError {
        let span: Range<usize> = error.at.start + self.offset..error.at.end + self.offset;
        let excerpt = Excerpt { text: self.text.clone(), span, label: String::new() };
        let hints = error.help.iter().cloned().collect();
        let message = format!("`{asset}`: {}", error.message);
        CliError { kind: Kind::User, error: message.into(), hints, excerpt: Some(excerpt) }
    }
}

impl Spec {
    pub fn parse(argument: &str) -> Result<Spec, CliError> {
        let at = find_at(argument);
        let text = &argument[..at.unwrap_or(argument.len())];
        let selection =
            Selection::parse(text).map_err(|error| CliError::selection(error, argument))?;
        let partitions = at.map(|at| Expression::parse(argument, at + 1)).transpose()?;
        Ok(Spec { text: text.to_owned(), selection, partitions })
    }

    /// What a selection that was read before means.
    pub fn of(selection: Selection) -> Spec {
        Spec { text: selection.as_str().to_owned(), selection, partitions: None }
    }

    pub fn parse_all(arguments: &[String]) -> Result<Vec<Spec>, CliError> {
        arguments.iter().map(|argument| Spec::parse(argument)).collect()
    }

    /// As `parse_all`; no argument means everything.
    pub fn parse_or_all(arguments: &[String]) -> Result<Vec<Spec>, CliError> {
        if arguments.is_empty() { Ok(vec![Spec::parse("*")?]) } else { Spec::parse_all(arguments) }
    }
}

/// The first `@` that is neither in quotes nor that of an owner's address.
fn find_at(argument: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in argument.char_indices() {
        match (c, quote) {
            ('@', None) if is_of_owner(&argument[..at]) => {}
            ('@', None) => return Some(at),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (_, _) => {}
        }
    }
    None
}

/// Whether what stands before an `@` is the beginning of `owner:name@host`.
fn is_of_owner(before: &str) -> bool {
    let word = before.rsplit([' ', ',', '(', '+']).next().unwrap_or(before);
    word.strip_prefix("owner:").is_some_and(|name| !name.is_empty() && !name.contains('@'))
}

/// What several verbs say of specs that take no partitions.
pub(super) fn without_partitions(specs: &[Spec]) -> Result<(), CliError> {
    match specs.iter().find_map(|spec| spec.partitions.as_ref()) {
        Some(expression) => {
            let excerpt = Excerpt {
                text: expression.text.clone(),
                span: expression.offset - 1..expression.text.len(),
                label: "these are the partitions".to_owned(),
            };
            let error = CliError::user("this command is about whole assets");
            Err(CliError { excerpt: Some(excerpt), ..error })
        }
        None => Ok(()),
    }
}

/// The one asset that is meant.
pub(super) fn only(spec: &Spec, set: &BTreeSet<AssetKey>) -> Result<AssetKey, CliError> {
    let mut keys = set.iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key.clone()),
        (_, _) => {
            let message = format!("`{}` names {} assets, and one is needed", spec.text, set.len());
            Err(CliError::user(message))
        }
    }
}

/// The one partition that is meant: as said, or the only one there is.
pub(super) fn one_partition(
    engine: &Engine,
    asset: &AssetKey,
    expression: Option<&Expression>,
) -> Result<Option<PartitionIdx>, CliError> {
    let all = engine.planner().domain(asset).all();
    let set = match expression {
        Some(expression) => expression.select(engine, asset)?,
        None if all.len() == 1 => all.clone(),
        None => return Ok(None),
    };
    match (set.len(), set.min()) {
        (1, Some(part)) => Ok(Some(part)),
        (0, _) | (_, None) => Err(nothing(asset, expression)),
        (n, Some(_)) => {
            let message = format!("{n} partitions of `{asset}` are meant, and one is needed");
            Err(CliError::user(message))
        }
    }
}

/// The partitions that are meant, at least one.
pub(super) fn some_partitions(
    engine: &Engine,
    asset: &AssetKey,
    expression: Option<&Expression>,
) -> Result<PartitionSet, CliError> {
    let set = match expression {
        Some(expression) => expression.select(engine, asset)?,
        None => engine.planner().domain(asset).all().clone(),
    };
    if set.is_empty() { Err(nothing(asset, expression)) } else { Ok(set) }
}

fn nothing(asset: &AssetKey, expression: Option<&Expression>) -> CliError {
    let named = expression.map(|e| format!(" in `{}`", &e.text[e.offset..])).unwrap_or_default();
    CliError::user(format!("there is no partition of `{asset}`{named}"))
}

/// The targets of a run.
pub(super) struct Wanted {
    pub targets: BTreeMap<AssetKey, PartitionSet>,
    /// Those of which no partitions were named, or some when it is not known yet which there are.
    pub chosen: BTreeMap<AssetKey, Chosen>,
}

/// The partitions that a run is to make fresh. `partition` goes with every asset that says none
/// itself.
pub(super) fn requested(
    engine: &Engine,
    specs: &[Spec],
    sets: &[BTreeSet<AssetKey>],
    partition: Option<&Expression>,
) -> Result<Wanted, CliError> {
    engine.in_one_read(|| request(engine, specs, sets, partition))
}

fn request(
    engine: &Engine,
    specs: &[Spec],
    sets: &[BTreeSet<AssetKey>],
    partition: Option<&Expression>,
) -> Result<Wanted, CliError> {
    let mut targets: BTreeMap<AssetKey, PartitionSet> = BTreeMap::new();
    let mut chosen = BTreeMap::new();
    for (spec, set) in specs.iter().zip(sets) {
        let is_source = |key: &AssetKey| engine.project().assets[key].is_source();
        // Sources are looked at in any case; they are targets only if nothing else is meant.
        let only_sources = set.iter().all(is_source);
        let expression = spec.partitions.as_ref().or(partition);
        // Assets over the same partitions mostly stand together, and mean the same by an expression.
        let mut last: Option<(&Domain, PartitionSet)> = None;
        for key in set.iter().filter(|key| only_sources || !is_source(key)) {
            let domain = engine.planner().domain(key);
            let is_growing = || engine.planner().freshness(key).growing;
            let wanted = match (expression, &last) {
                (None, _) => {
                    chosen.insert(key.clone(), Chosen::All);
                    domain.all().clone()
                }
                (Some(expression), _) if is_growing() => {
                    choose(&mut chosen, key, &expression.expr);
                    // What names nothing yet may be about to be made.
                    expression.select(engine, key).unwrap_or_default()
                }
                (Some(expression), Some((known, wanted)))
                    if *known == domain && !expression.expr.asks_for_states() =>
                {
                    wanted.clone()
                }
                (Some(expression), _) => expression.select(engine, key)?,
            };
            last = Some((domain, wanted.clone()));
            *targets.entry(key.clone()).or_default() |= wanted;
        }
    }
    let is_empty = targets.values().all(PartitionSet::is_empty);
    if let (true, true, Some(expression)) = (is_empty, chosen.is_empty(), partition)
        // Where nothing is missing or has failed there is nothing to do, which is no error.
        && !expression.expr.asks_for_states()
    {
        let names = match targets.len() {
            1 => targets.keys().map(|key| format!("`{key}`")).collect(),
            n => text::count(n as u64, "asset"),
        };
        let named = &expression.text[expression.offset..];
        return Err(CliError::user(format!("`{named}` names no partition of {names}")));
    }
    Ok(Wanted { targets, chosen })
}

fn choose(chosen: &mut BTreeMap<AssetKey, Chosen>, asset: &AssetKey, expr: &PartitionExpr) {
    match chosen.entry(asset.clone()).or_insert_with(|| Chosen::By(Vec::new())) {
        Chosen::All => {}
        Chosen::By(expressions) => expressions.push(expr.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_sign_in_quotes_is_part_of_the_selection() {
        assert_eq!(find_at("a@2014"), Some(1));
        assert_eq!(find_at("owner:\"a@b\""), None);
        assert_eq!(find_at("tag:x,owner:ann@x.org"), None);
        assert_eq!(find_at("owner:ann@x.org@2014"), Some(15));
        assert_eq!(find_at("owner:\"a@b\"@x@y"), Some(11));
    }
}
