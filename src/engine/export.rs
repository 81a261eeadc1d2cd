//! Puts results at paths of the user's, and looks whether they are still what was put there.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Error;
use super::event::{RunEvent, Summary};
use super::exported::Exported;
use super::managed::Places;
use super::open::Engine;
use super::run::{OnEvent, partition_of};
use super::work::error_text;
use crate::base::fault::{self, Write};
use crate::base::{AssetKey, Output, OutputKind, PartitionIdx, PartitionKey, PartitionSet};
use crate::cas::stat::StatKey;
use crate::io::names::file_name;
use crate::io::tree;
use crate::plan::{Plan, ReasonCode, Records};
use crate::store::Store;

/// What is elsewhere and not as the store has it.
pub(super) struct StaleExports {
    files: Vec<StaleExport>,
    places: Places,
}

/// An export that is not what the store has.
struct StaleExport {
    asset: AssetKey,
    part: PartitionIdx,
    found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Somebody has changed it.
    Modified,
}

/// What is known of who put something at the place of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The current result was there before.
    Ours,
    Unknown,
}

/// The path of an export below `root`. Any key has a file name of its own; the one partition of an
/// asset without partitions is `all`.
pub fn export_path(template: &str, partition: &PartitionKey) -> PathBuf {
    let name =
        if partition.is_unpartitioned() { "all".into() } else { file_name(partition.as_str()) };
    PathBuf::from(template.replace("{partition}", &name))
}

/// What a look at the place of an export found.
enum Seen {
    Nothing,
    /// A file of which its state alone does not tell whether it is the result.
    File(StatKey),
    /// The same of a directory.
    Directory(StatKey),
}

impl Seen {
    fn at(path: &Path) -> std::io::Result<Seen> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(Seen::Directory(StatKey::of_tree(path)?)),
            Ok(found) => Ok(Seen::File(StatKey::of(&found))),
            Err(_) => Ok(Seen::Nothing),
        }
    }
}

impl Engine {
    /// Exports of fresh results that are gone or were changed. One `stat` each, unless the state of a
    /// file cannot tell.
    pub(super) fn stale_exports(&mut self, plan: &Plan) -> Result<StaleExports, Error> {
        // Before any file is looked at, as files are stamped.
        let taken_ns = self.fs_clock.now_ns();
        let mut stale = Vec::new();
        for plan in plan.assets.iter().filter(|plan| !plan.fresh.is_empty()) {
            let asset = &plan.asset;
            let Some(template) = self.project.assets[asset].export.clone() else { continue };
            self.recall_exports(asset, &template)?;
            self.move_exports(asset)?;
            let unknown = self.look_at_exports(asset, &template, &plan.fresh);
            let outputs = unknown.iter().map(|(part, ..)| self.ledger.output(asset, *part));
            let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
            let looks: Vec<_> = unknown.into_iter().zip(outputs).collect();
            let looks = looks.into_par_iter().filter_map(|((part, path, seen), output)| {
                Some((part, differs(&path, seen, &output?)))
            });
            let rev = self.ledger.rev();
            let known = self.exported.get_mut(asset).expect("it was recalled");
            for (part, found) in looks.collect::<Vec<_>>() {
                match found? {
                    Ok(stat) => known.put(part, rev, stat, taken_ns),
                    Err(found) => stale.push(StaleExport { asset: asset.clone(), part, found }),
                }
            }
        }
        Ok(StaleExports { files: stale, places: self.look_at_places(plan)? })
    }

    /// Has in memory what is remembered of an asset's exports.
    fn recall_exports(&mut self, asset: &AssetKey, template: &str) -> Result<(), Error> {
        if !self.exported.contains_key(asset) {
            let bytes = self.ledger.ask(|store| store.memory(asset))?;
            let known = Exported::from_bytes(bytes.as_deref(), template);
            self.exported.insert(asset.clone(), known);
        }
        Ok(())
    }

    /// Makes it true as of now.
    fn move_exports(&mut self, asset: &AssetKey) -> Result<(), Error> {
        let known = self.exported.get_mut(asset).expect("it was recalled");
        let changed = match self.ledger.row(asset).max_changed > known.rev() {
            true => self.ledger.changed_since(asset, known.rev()),
            false => PartitionSet::new(),
        };
        let changed = self.ledger.marks(asset, &changed);
        self.ledger.check()?;
        known.move_to(self.ledger.rev(), &changed);
        Ok(())
    }

    /// Stats the exports of some partitions; gives those that are not known to be in place.
    fn look_at_exports(
        &self,
        asset: &AssetKey,
        template: &str,
        parts: &PartitionSet,
    ) -> Vec<(PartitionIdx, PathBuf, Seen)> {
        let (known, domain) = (&self.exported[asset], self.planner.domain(asset));
        let (root, slack) = (&self.root, self.slack);
        let parts: Vec<PartitionIdx> = parts.iter().collect();
        let look = |part: PartitionIdx| {
            let partition = domain.key(part).unwrap_or_else(PartitionKey::unpartitioned);
            let path = root.join(export_path(template, &partition));
            match Seen::at(&path) {
                Ok(Seen::File(now) | Seen::Directory(now)) if known.vouches(part, &now, slack) => {
                    None
                }
                Ok(seen) => Some((part, path, seen)),
                // What comes and goes while it is looked at is no result.
                Err(_) => Some((part, path, Seen::Nothing)),
            }
        };
        parts.into_par_iter().filter_map(look).collect()
    }

    /// Writes down what is new about exported files.
    pub(super) fn keep_exports(&mut self) -> Result<(), Error> {
        let is_new = |known: &mut Exported| known.take_news();
        let news: Vec<(AssetKey, Vec<u8>)> = self
            .exported
            .iter_mut()
            .filter_map(|(asset, known)| is_new(known).then(|| (asset.clone(), known.to_bytes())))
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        self.ledger.write(|batch| {
            for (asset, bytes) in &news {
                batch.tx().put_memory(asset, bytes)?;
            }
            Ok(())
        })
    }

    /// Puts back what is gone or was changed.
    pub(super) fn export_again(
        &mut self,
        stale: StaleExports,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        for StaleExport { asset, part, found } in &stale.files {
            if *found == Found::Modified {
                let partition = partition_of(self, asset, *part);
                let template = self.project.assets[asset].export.as_deref().unwrap_or_default();
                let path = export_path(template, &partition);
                let (shown, code) = (path.display(), ReasonCode::OutputModifiedOutside);
                let before = self.before(asset, *part);
                let spared = match self.ledger.output(asset, *part)? {
                    Some(output) => self.spare(&output, &self.root.join(&path), before).err(),
                    None => None,
                };
                if let Some(error) = spared {
                    summary.failed += 1;
                    let why = error_text(&error);
                    let message = format!(
                        "`{shown}` was changed by somebody else ({code}); it is left as it is: {why}"
                    );
                    events(self, RunEvent::Warning { message });
                    continue;
                }
                let message = format!(
                    "`{shown}` was changed by somebody else ({code}); it is put back as the store has it"
                );
                events(self, RunEvent::Warning { message });
            }
            self.export_files(asset, &PartitionSet::from_iter([*part]), summary, events)?;
        }
        self.mend_places(&stale.places, summary, events)
    }

    /// Puts current results wherever else they are to be.
    pub(super) fn export_results(
        &mut self,
        asset: &AssetKey,
        parts: &PartitionSet,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        self.export_files(asset, parts, summary, events)?;
        self.put_results(asset, parts, summary, events)
    }

    fn before(&self, asset: &AssetKey, part: PartitionIdx) -> Before {
        match self.exported.get(asset).is_some_and(|known| known.knows(part)) {
            true => Before::Ours,
            false => Before::Unknown,
        }
    }

    /// Exports current results, if the asset is exported. What cannot be exported is a failure of that
    /// partition; its result is recorded all the same.
    fn export_files(
        &mut self,
        asset: &AssetKey,
        parts: &PartitionSet,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        let Some(template) = self.project.assets[asset].export.clone() else { return Ok(()) };
        self.recall_exports(asset, &template)?;
        for part in parts {
            let partition = partition_of(self, asset, part);
            let path = export_path(&template, &partition);
            let Some(output) = self.ledger.output(asset, part)? else { continue };
            match self.export(&output, &path, self.before(asset, part)) {
                Ok(stat) => {
                    if let Some(known) = self.exported.get_mut(asset) {
                        // The clock is read after the file was put there, but in the same moment by
                        // the file system's clock: the entry is trusted from the next moment on.
                        known.put(part, self.ledger.rev(), stat, self.fs_clock.now_ns());
                    }
                    let (asset, path) = (asset.clone(), path);
                    events(self, RunEvent::Exported { asset, partition, path });
                }
                Err(error) => {
                    summary.failed += 1;
                    let message =
                        format!("failed to export to `{}`: {}", path.display(), error_text(&error));
                    events(self, RunEvent::Warning { message });
                }
            }
        }
        Ok(())
    }

    /// Refuses to replace what may be the user's: a directory that is not empty and holds something else
    /// than a tree of this store. One that was put there before is ours as long as it has no name in it
    /// that `output` has not. A file is replaced whatever it holds.
    fn spare(&self, output: &Output, to: &Path, before: Before) -> Result<(), Error> {
        if output.kind != OutputKind::Tree {
            return Ok(());
        }
        let Ok(found) = std::fs::symlink_metadata(to) else { return Ok(()) };
        let is_empty = || std::fs::read_dir(to).is_ok_and(|mut names| names.next().is_none());
        if found.is_symlink() || found.is_dir() && is_empty() {
            return Ok(());
        }
        // What cannot be a tree, such as a socket in it, is not ours either.
        let tree = found.is_dir().then(|| tree::store(to, &mut super::blobs::Digester).ok());
        if let Some(tree) = tree.flatten()
            && self.ledger.ask(Store::trees)?.contains(&tree.digest)
        {
            return Ok(());
        }
        let stranger = match before {
            Before::Ours if found.is_dir() => {
                let blobs = super::blobs::Source::new(self.cas.clone(), self.ledger.clone());
                let stranger = tree::stranger(to, &output.digest, &blobs);
                match stranger.map_err(|error| unwritten(to)(std::io::Error::other(error)))? {
                    Some(stranger) => format!("`{}` in it", stranger.display()),
                    None => return Ok(()),
                }
            }
            Before::Ours | Before::Unknown => "something".to_owned(),
        };
        let text = format!(
            "{stranger} is there that giornata did not put there, or that was changed since; \
             move it away, or export to another path"
        );
        Err(unwritten(to)(std::io::Error::new(std::io::ErrorKind::AlreadyExists, text)))
    }

    /// Writes the recorded result of a partition to `to`, an absolute path, whole or not at all.
    pub fn export_to(&self, asset: &AssetKey, part: PartitionIdx, to: &Path) -> Result<(), Error> {
        let output = self.ledger.output(asset, part)?;
        self.ledger.check()?;
        let output = output.ok_or_else(|| {
            let partition = partition_of(self, asset, part);
            Error::NoResult { asset: asset.clone(), partition }
        })?;
        match output.kind {
            OutputKind::Tree => self.write_tree(&output, to),
            OutputKind::File | OutputKind::Table => self.write_file(&output, to),
        }
    }

    /// Writes one result to `path`; gives the state of the file or directory.
    fn export(&self, output: &Output, path: &Path, before: Before) -> Result<StatKey, Error> {
        let full = self.root.join(path);
        self.spare(output, &full, before)?;
        match output.kind {
            OutputKind::Tree => self.write_tree(output, &full)?,
            OutputKind::File | OutputKind::Table => self.write_file(output, &full)?,
        }
        // After the rename, which moves the change time.
        let stat = match output.kind {
            OutputKind::Tree => StatKey::of_tree(&full),
            OutputKind::File | OutputKind::Table => full.metadata().map(|it| StatKey::of(&it)),
        };
        stat.map_err(|source| Error::Io { path: full, source })
    }

    /// Writes the content of a file or table to `to`, whole or not at all.
    pub(super) fn write_file(&self, output: &Output, to: &Path) -> Result<(), Error> {
        let io = |source| Error::Write { path: to.to_owned(), source };
        let dir = to.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(dir).map_err(io)?;
        match self.ledger.small(&output.digest)? {
            None => Ok(self.cas.export(&output.digest, to)?),
            Some(bytes) => self
                .through_scratch(dir, |scratch| {
                    fault::check(Write::File("write", to))?;
                    let mut file = tempfile::NamedTempFile::new_in(scratch)?;
                    file.write_all(&bytes)?;
                    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                    file.as_file().set_permissions(everybody)?;
                    file.persist(to).map(|_| ()).map_err(|error| error.error)
                })
                .map_err(io),
        }
    }

    /// Writes a directory to `to`, in place of what is there.
    pub(super) fn write_tree(&self, output: &Output, to: &Path) -> Result<(), Error> {
        let io = |source| Error::Write { path: to.to_owned(), source };
        let dir = to.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(dir).map_err(io)?;
        let blobs = super::blobs::Source::new(self.cas.clone(), self.ledger.clone());
        let write = |scratch: &Path| {
            let scratch = tempfile::Builder::new().prefix(".giornata-").tempdir_in(scratch)?;
            let made = scratch.path().join("tree");
            tree::write_out(&output.digest, &blobs, &made).map_err(std::io::Error::other)?;
            if to.exists() {
                std::fs::rename(to, scratch.path().join("old"))?;
            }
            std::fs::rename(&made, to)
        };
        self.through_scratch(dir, write).map_err(io)
    }

    /// Writes by way of a directory on the same file system, from which a rename puts it in its place at
    /// once. That of the store is swept if this process dies; `dir` is for places on other file systems.
    fn through_scratch(
        &self,
        dir: &Path,
        write: impl Fn(&Path) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let written = self.cas.scratch_dir().map(&write);
        match written {
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::CrossesDevices => write(dir),
            Ok(written) => written,
            // A store that is read-only.
            Err(_) => write(dir),
        }
    }
}

/// Whether what was seen is another thing than the result; if it is not, the state in which it was read.
fn differs(path: &Path, seen: Seen, output: &Output) -> Result<Result<StatKey, Found>, Error> {
    let is_tree = output.kind == OutputKind::Tree;
    let (stat, digest) = match seen {
        Seen::Nothing => return Ok(Err(Found::Nothing)),
        Seen::Directory(stat) if is_tree => {
            // What cannot be read as a tree is not the one that was put there.
            let tree = tree::store(path, &mut super::blobs::Digester);
            (stat, tree.ok().map(|tree| tree.digest))
        }
        Seen::File(stat) if !is_tree && stat.size == output.size => {
            let hashed = crate::cas::hash_file(path);
            let hashed = hashed.map_err(|source| Error::Look { path: path.to_owned(), source })?;
            (stat, Some(hashed.0))
        }
        Seen::Directory(_) | Seen::File(_) => return Ok(Err(Found::Modified)),
    };
    Ok(if digest == Some(output.digest) { Ok(stat) } else { Err(Found::Modified) })
}

fn unwritten(to: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Write { path: to.to_owned(), source }
}
