//! Finds the assets that a parsed selection means in a project.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use globset::GlobMatcher;

use super::{Kind, Node, SelectionError, SelectionErrorKind, Value, did_you_mean};
use crate::base::AssetKey;
use crate::defs::{Asset, Body, Project};

type Keys = BTreeSet<AssetKey>;

pub(super) fn evaluate(
    root: &Node,
    project: &Project,
    status: &dyn Fn(&str) -> Keys,
) -> Result<Keys, SelectionError> {
    let mut readers: BTreeMap<&AssetKey, Vec<&AssetKey>> = BTreeMap::new();
    for (key, asset) in &project.assets {
        for dep in asset.deps.iter().filter(|dep| dep.upstream != *key) {
            readers.entry(&dep.upstream).or_default().push(key);
        }
    }
    let graph = Graph { project, readers, status };
    let keys = graph.keys(root)?;
    if keys.is_empty() {
        let error = SelectionError::new(
            SelectionErrorKind::Empty,
            root.span.clone(),
            "the selection is empty",
        );
        let error = error.label("no asset is meant by this");
        return Err(match graph.help_for_nothing(root) {
            Some(help) => error.help(help),
            None => error,
        });
    }
    Ok(keys)
}

struct Graph<'a> {
    project: &'a Project,
    readers: BTreeMap<&'a AssetKey, Vec<&'a AssetKey>>,
    status: &'a dyn Fn(&str) -> Keys,
}

impl Graph<'_> {
    fn keys(&self, node: &Node) -> Result<Keys, SelectionError> {
        Ok(match &node.kind {
            Kind::Everything => self.project.assets.keys().cloned().collect(),
            Kind::Name(name) => Keys::from([self.named(name, &node.span)?]),
            Kind::Glob(glob) => self.filter(|asset| glob.is_match(asset.key.as_str())),
            Kind::Path(glob) => self.filter(|asset| is_below(asset, glob)),
            Kind::Tag { key, value } => self.filter(|asset| asset.tags.get(key) == Some(value)),
            Kind::Owner(value) => self.filter(|asset| has(asset.owners.iter(), value)),
            Kind::Group(value) => self.filter(|asset| has(asset.group.iter(), value)),
            Kind::OfSort(value) => self.filter(|asset| {
                has(asset.kinds.iter(), value) || *value == Value::Is(own_kind(asset).to_owned())
            }),
            Kind::Status(state) => (self.status)(state),
            Kind::Source => self.filter(Asset::is_source),
            Kind::NoSource => self.filter(|asset| !asset.is_source()),
            Kind::Around { of, up, down } => self.around(self.keys(of)?, *up, *down),
            Kind::Roots(of) => {
                let keys = self.keys(of)?;
                self.without(&keys, |key| self.upstream(key))
            }
            Kind::Sinks(of) => {
                let keys = self.keys(of)?;
                self.without(&keys, |key| self.downstream(key))
            }
            Kind::Not(of) => {
                let keys = self.keys(of)?;
                self.filter(|asset| !keys.contains(&asset.key))
            }
            Kind::And(nodes) => {
                let mut all = nodes.iter().map(|node| self.keys(node));
                let first = all.next().unwrap_or_else(|| Ok(Keys::new()))?;
                all.try_fold(first, |keys, next| Ok(&keys & &next?))?
            }
            Kind::Or(nodes) => {
                let mut keys = Keys::new();
                for node in nodes {
                    keys.extend(self.keys(node)?);
                }
                keys
            }
        })
    }

    fn filter(&self, test: impl Fn(&Asset) -> bool) -> Keys {
        self.project.assets.values().filter(|asset| test(asset)).map(|a| a.key.clone()).collect()
    }

    fn named(&self, name: &str, span: &Range<usize>) -> Result<AssetKey, SelectionError> {
        if let Some((key, _)) = self.project.assets.get_key_value(name) {
            return Ok(key.clone());
        }
        if let Some(key) = self.project.broken.get(name) {
            let kind = SelectionErrorKind::Broken(key.clone());
            let message = format!("`{name}` cannot be used, because of an error in its definition");
            return Err(SelectionError::new(kind, span.clone(), message));
        }
        let message = format!("there is no asset `{name}`");
        let error = SelectionError::new(SelectionErrorKind::Unknown, span.clone(), message)
            .label("nothing has this name");
        let known = self.project.assets.keys().chain(&self.project.broken).map(AssetKey::as_str);
        if self.project.jobs.keys().any(|job| job.as_str() == name) {
            let help =
                format!("`{name}` is a job, which is named alone, as in `giornata run {name}`");
            return Err(error.help(help));
        }
        if self.project.assets.values().any(|asset| asset.group.as_deref() == Some(name)) {
            return Err(error.help(format!("`group:{name}` are the assets of this group")));
        }
        Err(match did_you_mean(name, known) {
            Some(help) => error.help(help),
            None => error.help("`giornata list` names all assets"),
        })
    }

    fn upstream<'k>(&'k self, key: &AssetKey) -> Vec<&'k AssetKey> {
        let deps = self.project.assets.get(key).map(|asset| asset.deps.iter());
        deps.into_iter().flatten().map(|dep| &dep.upstream).collect()
    }

    fn downstream<'k>(&'k self, key: &AssetKey) -> Vec<&'k AssetKey> {
        self.readers.get(key).cloned().unwrap_or_default()
    }

    fn around(&self, keys: Keys, up: Option<u32>, down: Option<u32>) -> Keys {
        let above = self.reach(&keys, up.unwrap_or(0), |key| self.upstream(key));
        let below = self.reach(&keys, down.unwrap_or(0), |key| self.downstream(key));
        keys.into_iter().chain(above).chain(below).collect()
    }

    fn reach<'k>(
        &'k self,
        keys: &Keys,
        layers: u32,
        next: impl Fn(&AssetKey) -> Vec<&'k AssetKey>,
    ) -> Keys {
        let mut found = keys.clone();
        let mut front: Vec<AssetKey> = keys.iter().cloned().collect();
        for _ in 0..layers {
            let beyond = front.iter().flat_map(&next).cloned();
            front = beyond.filter(|key| found.insert(key.clone())).collect();
            if front.is_empty() {
                break;
            }
        }
        found
    }

    /// Those of `keys` whose neighbours are not among `keys`.
    fn without<'k>(&self, keys: &Keys, next: impl Fn(&AssetKey) -> Vec<&'k AssetKey>) -> Keys {
        let alone =
            |key: &&AssetKey| next(key).iter().all(|other| other == key || !keys.contains(*other));
        keys.iter().filter(alone).cloned().collect()
    }

    /// A tag that exists, though with other values, is worth a word.
    fn help_for_nothing(&self, root: &Node) -> Option<String> {
        let Kind::Tag { key, .. } = &root.kind else { return None };
        let assets = self.project.assets.values();
        let values: BTreeSet<&String> = assets.filter_map(|asset| asset.tags.get(key)).collect();
        let written: Vec<String> = values.iter().map(|v| format!("`tag:{key}={v}`")).collect();
        (!written.is_empty()).then(|| format!("there is {}", written.join(", ")))
    }
}

fn has<'a>(mut values: impl Iterator<Item = &'a String>, value: &Value) -> bool {
    match value {
        Value::Is(text) => values.any(|value| value == text),
        Value::Null => values.next().is_none(),
    }
}

fn is_below(asset: &Asset, glob: &GlobMatcher) -> bool {
    let file = asset.origin.file.as_path();
    file.ancestors().any(|path| !path.as_os_str().is_empty() && glob.is_match(path))
}

/// The kind that an asset has without being told.
fn own_kind(asset: &Asset) -> &'static str {
    match asset.body {
        Body::Source(_) => "source",
        Body::Sql(_) => "sql",
        Body::Command(_) => "command",
        Body::Function(_) => "function",
        Body::Graph(_) => "graph",
    }
}
