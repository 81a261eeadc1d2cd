//! Puts results where IO managers keep them, and finds what is missing there and what is too much.
//!
//! The content store stays the truth: a result is recorded first and put afterwards, and each run compares
//! versions. So what a crash left undone between the two is done by the next run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use super::event::{RunEvent, Summary};
use super::open::Engine;
use super::run::{OnEvent, partition_of};
use super::work::error_text;
use crate::base::{AssetKey, Digest, PartitionIdx, PartitionSet};
use crate::defs::{Asset, IoDef};
use crate::exec::{Content, Part, caught};
use crate::io::{
    FolderIo, IoError, IoManager, Kept, Place, TablesIo, Versions, Warehouse, manager,
};
use crate::plan::{Plan, Records};
use crate::store::Store;

/// What is not as the store has it.
#[derive(Default)]
pub(super) struct Places {
    /// Not put, or in another version.
    missing: Vec<(AssetKey, PartitionSet)>,
    /// Partitions that the asset does not have any more.
    strays: Vec<(Arc<dyn IoManager>, Place)>,
    /// Assets that are not in the project any more, or are put elsewhere.
    orphans: Vec<(Arc<dyn IoManager>, String)>,
}

/// Where managers put: one of those that share it knows the names of all. Declarations may call one
/// database or directory by several names, so the paths are real ones.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    Database(PathBuf),
    Folder(PathBuf),
    Program(usize),
    /// In a database that is not open.
    Unknown,
}

impl Engine {
    /// The resource in which the results of `asset` are put.
    pub(super) fn resource_of_io(asset: &Asset) -> Option<&str> {
        match &asset.io {
            Some(IoDef::Table(def)) => Some(&def.on),
            Some(IoDef::Store | IoDef::Folder { .. } | IoDef::Program) | None => None,
        }
    }

    /// The manager of an asset that has one. What it needs is set up.
    pub(super) fn manager(
        &mut self,
        asset: &AssetKey,
    ) -> Result<Option<Arc<dyn IoManager>>, Error> {
        let found = match &self.project.assets[asset].io {
            None | Some(IoDef::Store) => return Ok(None),
            Some(IoDef::Folder { dir, format }) => {
                let (dir, format) = (self.root.join(dir), *format);
                return Ok(Some(Arc::new(FolderIo::new(dir, format, &self.io_owner()?))));
            }
            Some(IoDef::Program) => match self.functions.io(asset) {
                Some(own) => Ok(Arc::new(Caught(own)) as _),
                None => Err(asset.to_string()),
            },
            Some(IoDef::Table(def)) => {
                let def = def.clone();
                self.open_resources([def.on.as_str()])?;
                let owner = self.io_owner()?;
                let warehouse = self.pool.value::<Warehouse>(&def.on);
                let tables = |warehouse| TablesIo::new(warehouse, def.clone(), &owner);
                warehouse.map(tables).map(|it| Arc::new(it) as _).ok_or(def.on)
            }
        };
        let problem = |name| format!("`{name}` is no database, or no IO manager, of this program");
        found.map(Some).map_err(|name| Error::Resources { problems: vec![problem(name)] })
    }

    /// Tells what this store has put into a database from what others have.
    fn io_owner(&mut self) -> Result<String, Error> {
        if let Some(owner) = &self.io_owner {
            return Ok(owner.clone());
        }
        let secret = self.ledger.store_mut(Store::secret)?;
        let mut owner = Digest::builder("giornata 2026 owner of what is put");
        owner.part(secret);
        Ok(self.io_owner.insert(owner.finish().short()).clone())
    }

    /// Compares versions: of the assets of a plan, and of what is not in the project any more.
    pub(super) fn look_at_places(&mut self, plan: &Plan) -> Result<Places, Error> {
        let mut places = Places::default();
        let mut managers = Vec::new();
        for part in &plan.assets {
            let asset = &part.asset;
            let Some(manager) = self.manager(asset)? else { continue };
            let versions =
                manager.versions(asset.as_str(), "").map_err(|e| wrong(asset.as_str(), e))?;
            let domain = self.planner.domain(asset).clone();
            let is_put = |part: &PartitionIdx| {
                let version = self.ledger.mark(asset, *part).map(|mark| mark.version);
                domain.key(*part).is_some_and(|key| versions.get(&key) == version.as_ref())
            };
            let missing: PartitionSet = part.fresh.iter().filter(|part| !is_put(part)).collect();
            self.ledger.check()?;
            if !missing.is_empty() {
                places.missing.push((asset.clone(), missing));
            }
            for key in versions.into_keys() {
                if domain.index(key.as_str()).is_none() {
                    places.strays.push((manager.clone(), Place::of(asset.as_str(), key)));
                }
            }
            managers.push((asset, manager));
        }
        // A name that is not there may only be one that cannot be read at the moment.
        if self.project.broken.is_empty() && !managers.is_empty() {
            let wheres = self.wheres();
            let managers: BTreeMap<&Where, Arc<dyn IoManager>> = managers
                .into_iter()
                .map(|(asset, manager)| (&wheres[asset.as_str()], manager))
                .collect();
            for (place, manager) in managers {
                let names = manager.names().map_err(|e| wrong("what was put", e))?;
                let is_own = |name: &String| {
                    let there = wheres.get(name.as_str());
                    there.is_some_and(|there| there == place || *there == Where::Unknown)
                };
                let orphans = names.into_iter().filter(|name| !is_own(name));
                places.orphans.extend(orphans.map(|name| (manager.clone(), name)));
            }
        }
        Ok(places)
    }

    /// Where the results of each asset are put, of those that are.
    fn wheres(&self) -> BTreeMap<&str, Where> {
        // Many assets, few places.
        let mut known: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        let mut real = |path: PathBuf| {
            let known = known
                .entry(path)
                .or_insert_with_key(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
            known.clone()
        };
        let mut wheres = BTreeMap::new();
        for (key, asset) in &self.project.assets {
            let place = match &asset.io {
                None | Some(IoDef::Store) => continue,
                Some(IoDef::Folder { dir, .. }) => Where::Folder(real(self.root.join(dir))),
                Some(IoDef::Table(def)) => match self.pool.value::<Warehouse>(&def.on) {
                    Some(open) => Where::Database(real(open.path().to_owned())),
                    None => Where::Unknown,
                },
                Some(IoDef::Program) => match self.functions.io(key) {
                    Some(own) => Where::Program(Arc::as_ptr(&own).cast::<()>() as usize),
                    None => continue,
                },
            };
            wheres.insert(key.as_str(), place);
        }
        wheres
    }

    /// Puts what is missing, and removes what is too much.
    pub(super) fn mend_places(
        &mut self,
        places: &Places,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        for (manager, place) in &places.strays {
            let removed = manager.remove(place);
            self.tell_if_wrong(removed, &format!("remove `{place}`"), summary, events);
        }
        for (manager, name) in &places.orphans {
            let removed = manager.remove_all(name);
            self.tell_if_wrong(removed, &format!("remove `{name}`"), summary, events);
        }
        for (asset, parts) in &places.missing {
            self.put_results(asset, parts, summary, events)?;
        }
        Ok(())
    }

    /// Puts current results where the asset's manager keeps them. What cannot be put is a failure of that
    /// partition; its result is recorded all the same.
    pub(super) fn put_results(
        &mut self,
        asset: &AssetKey,
        parts: &PartitionSet,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        let Some(manager) = self.manager(asset)? else { return Ok(()) };
        for part in parts {
            let place = Place::of(asset.as_str(), partition_of(self, asset, part));
            let put = self.kept(asset, part).and_then(|kept| match kept {
                Some((kept, version)) => manager.store(&place, &kept, &version),
                None => Ok(()),
            });
            self.tell_if_wrong(put, &format!("put `{place}` where `io` says"), summary, events);
        }
        Ok(())
    }

    fn tell_if_wrong(
        &self,
        done: Result<(), IoError>,
        what: &str,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) {
        if let Err(error) = done {
            summary.failed += 1;
            let message = format!("failed to {what}: {}", error_text(&*error));
            events(self, RunEvent::Warning { message: self.pool.mask(&message).into_owned() });
        }
    }

    /// A current result as managers take it, with its version; `None` if there is none.
    fn kept(
        &self,
        asset: &AssetKey,
        part: PartitionIdx,
    ) -> Result<Option<(Kept, Digest)>, IoError> {
        let key = partition_of(self, asset, part);
        match self.parts_of(&self.project.assets[asset], part, &key)?.as_slice() {
            [] => Ok(None),
            [one, ..] => Ok(Some((kept_of(one)?, one.version))),
        }
    }

    /// Removes results that were forgotten from where they were put.
    pub(super) fn take_back(
        &mut self,
        targets: &BTreeMap<AssetKey, PartitionSet>,
    ) -> Result<(), Error> {
        for (asset, parts) in targets {
            let Some(manager) = self.manager(asset)? else { continue };
            for part in parts {
                let place = Place::of(asset.as_str(), partition_of(self, asset, part));
                manager.remove(&place).map_err(|error| wrong(&place.to_string(), error))?;
            }
        }
        Ok(())
    }
}

/// A manager of the program's: what panics in it fails what it was asked for, and nothing else.
struct Caught(Arc<dyn IoManager>);

impl Caught {
    fn ask<T>(&self, ask: impl FnOnce(&dyn IoManager) -> Result<T, IoError>) -> Result<T, IoError> {
        caught(|| ask(&*self.0))?
    }
}

impl IoManager for Caught {
    fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
        self.ask(|own| own.store(at, value, version))
    }

    fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
        self.ask(|own| own.load(at))
    }

    fn remove(&self, at: &Place) -> Result<(), IoError> {
        self.ask(|own| own.remove(at))
    }

    fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
        self.ask(|own| own.versions(name, output))
    }

    fn names(&self) -> Result<Vec<String>, IoError> {
        self.ask(|own| own.names())
    }

    fn remove_all(&self, name: &str) -> Result<(), IoError> {
        self.ask(|own| own.remove_all(name))
    }
}

fn wrong(what: &str, source: IoError) -> Error {
    Error::Manager { what: what.to_owned(), source }
}

/// A part as managers take it.
pub(super) fn kept_of(part: &Part) -> Result<Kept, IoError> {
    let read;
    let bytes: &[u8] = match &part.content {
        Content::Inline(bytes) => bytes,
        Content::Blob(path) | Content::File(path) => {
            read = std::fs::read(path)?;
            if Digest::of_blob(&read) != part.content_digest {
                return Err(format!("its content at `{}` is damaged", path.display()).into());
            }
            &read
        }
        Content::Tree { .. } => return Err("it is a directory; `export` puts one at a path".into()),
    };
    Ok(match part.format {
        Some(format) => {
            Kept::Table(manager(format).read(bytes, part.schema.as_deref(), &part.columns)?)
        }
        None => Kept::Bytes { bytes: bytes.to_vec(), extension: part.extension.clone().into() },
    })
}
