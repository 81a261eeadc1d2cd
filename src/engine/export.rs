//! Puts results at paths of the user's, and looks whether they are still what was put there.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Error;
use super::event::{RunEvent, Summary};
use super::names::file_name;
use super::open::Engine;
use super::run::{OnEvent, partition_of};
use super::work::error_text;
use crate::base::{AssetKey, Output, OutputKind, PartitionIdx, PartitionKey, PartitionSet};
use crate::cas::stat::{self, StatEntry, StatKey};
use crate::io::tree;
use crate::plan::{Plan, ReasonCode};
use crate::store::Store;

/// An export that is not what the store has.
pub(super) struct StaleExport {
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

/// The path of an export below `root`. Any key has a file name of its own; the one partition of an
/// asset without partitions is `all`.
pub fn export_path(template: &str, partition: &PartitionKey) -> PathBuf {
    let name =
        if partition.is_unpartitioned() { "all".into() } else { file_name(partition.as_str()) };
    PathBuf::from(template.replace("{partition}", &name))
}

impl Engine {
    /// Exports of fresh results that are gone or were changed. One `stat` each.
    pub(super) fn stale_exports(&self, plan: &Plan) -> Result<Vec<StaleExport>, Error> {
        let mut stale = Vec::new();
        for part in &plan.assets {
            let Some(template) = &self.project.assets[&part.asset].export else { continue };
            for index in &part.fresh {
                let partition = partition_of(self, &part.asset, index);
                let path = export_path(template, &partition);
                let Some(output) = self.ledger.output(&part.asset, index)? else { continue };
                if let Some(found) = self.differs(&path, &output)? {
                    stale.push(StaleExport { asset: part.asset.clone(), part: index, found });
                }
            }
        }
        Ok(stale)
    }

    fn differs(&self, path: &Path, output: &Output) -> Result<Option<Found>, Error> {
        let full = self.root.join(path);
        let Ok(metadata) = std::fs::metadata(&full) else { return Ok(Some(Found::Nothing)) };
        if output.kind == OutputKind::Tree {
            return Ok((!metadata.is_dir()).then_some(Found::Modified));
        }
        let known = self.stats.get(path);
        if known.is_some_and(|entry| {
            entry.digest == output.digest
                && stat::trusted(entry, &StatKey::of(&metadata), self.slack)
        }) {
            return Ok(None);
        }
        if metadata.len() != output.size {
            return Ok(Some(Found::Modified));
        }
        let hashed =
            crate::cas::hash_file(&full).map_err(|source| Error::Look { path: full, source });
        Ok((hashed?.0 != output.digest).then_some(Found::Modified))
    }

    /// Puts back what is gone or was changed.
    pub(super) fn export_again(
        &mut self,
        stale: &[StaleExport],
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        for StaleExport { asset, part, found } in stale {
            if *found == Found::Modified {
                let partition = partition_of(self, asset, *part);
                let template = self.project.assets[asset].export.as_deref().unwrap_or_default();
                let path = export_path(template, &partition);
                let message = format!(
                    "`{}` was changed by somebody else ({}); it is put back as the store has it",
                    path.display(),
                    ReasonCode::OutputModifiedOutside
                );
                events(self, RunEvent::Warning { message });
            }
            self.export_results(asset, &PartitionSet::from_iter([*part]), summary, events)?;
        }
        Ok(())
    }

    /// Exports current results, if the asset is exported. What cannot be exported is a failure of that
    /// partition; its result is recorded all the same.
    pub(super) fn export_results(
        &mut self,
        asset: &AssetKey,
        parts: &PartitionSet,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        let Some(template) = self.project.assets[asset].export.clone() else { return Ok(()) };
        let mut stats = Vec::new();
        for part in parts {
            let partition = partition_of(self, asset, part);
            let path = export_path(&template, &partition);
            let Some(output) = self.ledger.output(asset, part)? else { continue };
            match self.export(&output, &path) {
                Ok(entry) => {
                    stats.extend(entry.map(|entry| (path.clone(), entry)));
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
        if !stats.is_empty() {
            self.ledger.write(|batch| batch.tx().put_stats(&stats))?;
            self.stats.extend(stats);
        }
        Ok(())
    }

    /// Refuses to replace a directory of the user's: one that is not empty and holds something else
    /// than a tree of this store.
    fn spare(&self, to: &Path) -> Result<(), Error> {
        let io = |source| Error::Write { path: to.to_owned(), source };
        let Ok(found) = std::fs::symlink_metadata(to) else { return Ok(()) };
        let is_empty = || std::fs::read_dir(to).is_ok_and(|mut names| names.next().is_none());
        if found.is_symlink() || found.is_dir() && is_empty() {
            return Ok(());
        }
        // What cannot be a tree, such as a socket in it, is not ours either.
        let tree = found.is_dir().then(|| tree::store(to, &mut super::blobs::Digester).ok());
        let ours = match tree.flatten() {
            Some(tree) => self.ledger.ask(Store::trees)?.contains(&tree.digest),
            None => false,
        };
        if ours {
            return Ok(());
        }
        let text = "something is there that giornata did not put there, or that was changed since; \
                    move it away, or export to another path";
        Err(io(std::io::Error::new(std::io::ErrorKind::AlreadyExists, text)))
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

    /// Writes one result to `path`; gives what the stat cache is to remember of it.
    fn export(&self, output: &Output, path: &Path) -> Result<Option<StatEntry>, Error> {
        let full = self.root.join(path);
        if output.kind == OutputKind::Tree {
            self.spare(&full)?;
            self.write_tree(output, &full)?;
            return Ok(None);
        }
        self.write_file(output, &full)?;
        // After the rename, which moves the change time. The clock is read after that too, but in the
        // same moment by the file system's clock, so the entry is trusted from the next moment on.
        let io = |source| Error::Io { path: full.clone(), source };
        let stat = StatKey::of(&std::fs::metadata(&full).map_err(io)?);
        let taken_ns = self.fs_clock.now_ns();
        Ok(Some(StatEntry { stat, digest: output.digest, taken_ns }))
    }

    /// Writes the content of a file or table to `to`, whole or not at all.
    pub(super) fn write_file(&self, output: &Output, to: &Path) -> Result<(), Error> {
        let io = |source| Error::Write { path: to.to_owned(), source };
        let dir = to.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(dir).map_err(io)?;
        match self.ledger.small(&output.digest)? {
            None => Ok(self.cas.export(&output.digest, to)?),
            Some(bytes) => {
                // Next to its final name: a rename is atomic only within one file system.
                let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io)?;
                file.write_all(&bytes).map_err(io)?;
                let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                file.as_file().set_permissions(everybody).map_err(io)?;
                file.persist(to).map_err(|error| io(error.error))?;
                Ok(())
            }
        }
    }

    /// Writes a directory to `to`, in place of what is there.
    pub(super) fn write_tree(&self, output: &Output, to: &Path) -> Result<(), Error> {
        let io = |source| Error::Write { path: to.to_owned(), source };
        let dir = to.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(dir).map_err(io)?;
        let blobs = super::blobs::Source::new(self.cas.clone(), self.ledger.clone());
        let scratch = tempfile::Builder::new().prefix(".giornata-").tempdir_in(dir).map_err(io)?;
        let made = scratch.path().join("tree");
        tree::write_out(&output.digest, &blobs, &made).map_err(|e| io(std::io::Error::other(e)))?;
        if to.exists() {
            std::fs::rename(to, scratch.path().join("old")).map_err(io)?;
        }
        std::fs::rename(&made, to).map_err(io)
    }
}
