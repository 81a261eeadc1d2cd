//! Checks where results are also put: not where another result goes, and not where it would be
//! taken for input.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::asset::Draft;
use super::diagnostic::{Diagnostic, Place};
use super::graph::{closure, downstream};
use super::node::Sink;
use super::overlap::{self, Shape};
use crate::base::AssetKey;
use crate::defs::{Body, IoDef, SourceDef};

/// Checks all exports; those with an error are no longer sound.
pub(super) fn check(
    drafts: &BTreeMap<AssetKey, Draft>,
    needs: &BTreeMap<AssetKey, BTreeSet<AssetKey>>,
    sink: &mut Sink,
) -> BTreeSet<AssetKey> {
    let exports: Vec<Export<'_>> = drafts
        .values()
        .flat_map(|draft| Export::new(draft).into_iter().chain(Export::below(draft)))
        .collect();
    let mut broken = BTreeSet::new();
    if exports.is_empty() {
        return broken;
    }
    let mut report = |key: &AssetKey, diagnostic: Diagnostic| {
        if diagnostic.is_error() {
            broken.insert(key.clone());
        }
        sink.about(key, |sink| sink.push(diagnostic));
    };
    let mut seen: BTreeMap<&str, &AssetKey> = BTreeMap::new();
    for export in exports.iter().filter(|export| export.is_file) {
        if let Some(first) = seen.insert(export.path.trim_start_matches("./"), export.key) {
            let message = format!("`{first}` and `{}` are exported to one path", export.key);
            report(export.key, export.place.error(message).label("also here"));
        }
    }
    let files: BTreeSet<&Path> =
        drafts.values().map(|draft| draft.asset.origin.file.as_path()).collect();
    for export in &exports {
        if let Some(kept) = overwritten(export.path, &files) {
            let message = format!("the export of `{}` would overwrite `{kept}`", export.key);
            let diagnostic = export.place.error(message).label("this path is not free");
            report(export.key, diagnostic.help("export to a directory of its own, such as `out`"));
        }
    }
    let readers: Vec<Reader<'_>> = drafts.values().flat_map(readers).collect();
    let downstream = downstream(needs);
    for export in &exports {
        let hit = readers.iter().find(|it| it.shapes.iter().any(|it| it.overlaps(&export.shape)));
        if let Some(reader) = hit {
            let follows = closure(&BTreeSet::from([reader.key.clone()]), &downstream);
            report(export.key, reader.diagnostic(export, follows.contains(export.key)));
        }
    }
    broken
}

/// What nobody wants to be replaced by a result, besides the files with definitions.
const KEPT: &[&str] = &["giornata.toml", ".env", ".git", ".giornata"];

/// What would be lost if a result were put at `path`: something there, below it, or that it is in.
fn overwritten(path: &str, files: &BTreeSet<&Path>) -> Option<String> {
    let path: PathBuf =
        Path::new(path).components().skip_while(|c| *c == Component::CurDir).collect();
    let kept = KEPT.iter().map(Path::new);
    let within = kept.clone().find(|kept| path.starts_with(kept));
    let around = kept.chain(files.iter().copied()).find(|kept| kept.starts_with(&path));
    within.or(around).map(|kept| kept.display().to_string())
}

struct Export<'a> {
    key: &'a AssetKey,
    path: &'a str,
    place: &'a Place,
    shape: Shape,
    /// Else files of many assets lie below it.
    is_file: bool,
}

impl Export<'_> {
    fn new(draft: &Draft) -> Option<Export<'_>> {
        let (path, place) = (draft.asset.export.as_deref()?, draft.export.as_ref()?);
        let shape = overlap::of_export(path, &draft.asset.partitions);
        Some(Export { key: &draft.asset.key, path, place, shape, is_file: true })
    }

    /// The files of an IO manager.
    fn below(draft: &Draft) -> Vec<Export<'_>> {
        let (Some(IoDef::Folder { dir, .. }), Some((_, place))) = (&draft.asset.io, &draft.io)
        else {
            return Vec::new();
        };
        let Some(path) = dir.to_str() else { return Vec::new() };
        let shapes = overlap::of_glob(&format!("{path}/**"));
        let export = |shape| Export { key: &draft.asset.key, path, place, shape, is_file: false };
        shapes.into_iter().map(export).collect()
    }
}

/// Something that looks at files.
struct Reader<'a> {
    key: &'a AssetKey,
    /// `the source `raw`` or `the `inputs` of `report``.
    what: String,
    shapes: Vec<Shape>,
}

fn readers(draft: &Draft) -> Vec<Reader<'_>> {
    let key = &draft.asset.key;
    let mut readers: Vec<Reader<'_>> = draft
        .inputs
        .iter()
        .map(|(glob, _)| Reader {
            key,
            what: format!("the `inputs` of `{key}`"),
            shapes: overlap::of_glob(glob),
        })
        .collect();
    match &draft.asset.body {
        Body::Source(SourceDef::Files { pattern, .. }) => readers.push(Reader {
            key,
            what: format!("the source `{key}`"),
            shapes: overlap::of_pattern(pattern),
        }),
        Body::Source(SourceDef::Dir { path, .. }) => readers.push(Reader {
            key,
            what: format!("the source `{key}`"),
            shapes: overlap::of_glob(&format!("{path}/**")),
        }),
        Body::Source(SourceDef::Observe { .. } | SourceDef::Pieces { .. })
        | Body::Sql(_)
        | Body::Command(_)
        | Body::Function(_)
        | Body::Graph(_) => {}
    }
    readers
}

impl Reader<'_> {
    /// `follows`: the exported asset depends on what is read.
    fn diagnostic(&self, export: &Export<'_>, follows: bool) -> Diagnostic {
        let Export { key, path, place, .. } = export;
        let what = &self.what;
        if follows {
            place
                .error(format!("the export of `{key}` would be read as its own input"))
                .label(format!("`{path}` falls under {what}"))
                .help("export to a path that no source and no `inputs` match")
        } else {
            place
                .warning(format!("the export of `{key}` is read as if it came from outside"))
                .label(format!("`{path}` falls under {what}"))
                .help(format!("read `{key}` itself instead, so that it is made first"))
        }
    }
}
