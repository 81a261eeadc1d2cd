//! The salsa database: what is small, structural and wide-reaching, one memo per asset.
//!
//! Facts about single partitions are no queries: they are columns that the records hold, and a query
//! that reads them depends on the asset's `epoch`, which moves when its records do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use super::freshness::{Freshness, compute};
use super::manifest;
use super::records::Records;
use crate::base::{AssetKey, Digest, PartitionSet, StepParts};
use crate::defs::partition::Asked;
use crate::defs::{
    Asset, Domain, DynamicDef, KeyTable, Mapping, MappingDef, Missing, PartitionsDef,
};

/// One declared asset or source.
#[salsa::input(debug)]
pub struct AssetInput {
    #[returns(ref)]
    pub def: Arc<Asset>,
    /// Further project files that count, with their content.
    #[returns(ref)]
    pub files: Arc<Vec<(String, Digest)>>,
    /// Moves when the records of the asset do.
    #[returns(copy)]
    pub epoch: u64,
    /// Of a volatile asset: the partitions that were made in this invocation.
    #[returns(ref)]
    pub renewed: Arc<PartitionSet>,
    /// Of a source: why it could not be looked at.
    #[returns(ref)]
    pub fault: Option<Arc<str>>,
}

/// The keys of one dynamic or static set.
#[salsa::input]
pub struct TableInput {
    #[returns(ref)]
    pub table: Arc<KeyTable>,
}

/// What every query may look at.
#[salsa::input(singleton)]
pub struct World {
    #[returns(ref)]
    pub assets: Arc<BTreeMap<AssetKey, AssetInput>>,
    #[returns(ref)]
    pub tables: Arc<BTreeMap<String, TableInput>>,
    #[returns(ref)]
    pub env: Arc<BTreeMap<String, Digest>>,
    #[returns(copy)]
    pub now: DateTime<Utc>,
}

/// A database with the records of the moment beside it.
#[salsa::db]
pub trait Db: salsa::Database {
    fn records(&self) -> &dyn Records;
}

/// The only implementation of [`Db`].
#[salsa::db]
#[derive(Clone)]
pub struct PlanDb {
    storage: salsa::Storage<Self>,
    records: Arc<dyn Records>,
}

impl PlanDb {
    /// `executed` counts the queries that ran, as opposed to those whose memo was still good.
    pub fn new(records: Arc<dyn Records>, executed: Arc<AtomicU64>) -> PlanDb {
        let count = move |event: salsa::Event| {
            if let salsa::EventKind::WillExecute { .. } = event.kind {
                executed.fetch_add(1, Ordering::Relaxed);
            }
        };
        PlanDb { storage: salsa::Storage::new(Some(Box::new(count))), records }
    }
}

#[salsa::db]
impl salsa::Database for PlanDb {}

#[salsa::db]
impl Db for PlanDb {
    fn records(&self) -> &dyn Records {
        &*self.records
    }
}

/// A dependency with its mapping between the two domains of the moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    pub upstream: AssetKey,
    pub input: AssetInput,
    pub mapping: Mapping,
    pub missing: Missing,
}

impl Edge {
    /// Whether each partition that the mapping names has to have a value.
    pub fn must_exist(&self) -> bool {
        match self.missing {
            Missing::Error => true,
            Missing::Allow => false,
        }
    }

    /// In which form a step is given the input.
    pub fn given(&self) -> manifest::Given {
        if self.mapping.is_single() { manifest::Given::One } else { manifest::Given::Several }
    }

    /// Whether a consumer reads all partitions there are, and that is not known yet.
    pub fn waits_for_keys(&self, upstream: &Freshness) -> bool {
        upstream.growing && !self.mapping.is_by_key()
    }

    /// Whether [`Edge::readable`] is every partition that exists.
    pub fn reads_all_there_are(&self) -> bool {
        self.must_exist() && !self.mapping.is_constant()
    }

    /// The upstream partitions that a step may be given, apart from their values: those that exist, and
    /// where all steps read the same ones, these. Where inputs may be missing, one that cannot be had
    /// is none.
    pub fn readable(&self, upstream: &Freshness) -> PartitionSet {
        let mut readable = upstream.domain.all().clone();
        if self.mapping.is_constant() {
            readable &= self.mapping.upstream_of_one(0);
        }
        if !self.must_exist() {
            readable -= &upstream.blocked;
        }
        readable
    }

    /// Upstream partitions that can be read now and could not when they were `seen`, or the reverse.
    pub fn came_or_went(&self, seen: Option<&PartitionSet>, upstream: &Freshness) -> PartitionSet {
        match seen {
            // Mostly nothing has: then no set needs to be made in order to know it.
            Some(seen) if self.reads_all_there_are() && seen == upstream.domain.all() => {
                PartitionSet::new()
            }
            Some(seen) => seen ^ &self.readable(upstream),
            None => self.readable(upstream),
        }
    }
}

/// What decides the results of an asset apart from inputs and partition.
#[derive(Debug, Clone, PartialEq)]
pub struct StepVersion {
    pub parts: StepParts,
    /// Without how the inputs are mapped: that shows in what each partition is given.
    pub digest: Digest,
}

/// The partitions that exist now.
#[salsa::tracked(returns(ref))]
pub fn domain(db: &dyn Db, asset: AssetInput) -> Domain {
    let partitions = &asset.def(db).partitions;
    let world = World::get(db);
    if let PartitionsDef::Dynamic(DynamicDef::Source(source)) = partitions
        && let Some(input) = world.assets(db).get(source).filter(|input| **input != asset)
        && input.def(db).partitions == *partitions
    {
        // One value for all assets over the files of one source: they compare by address.
        return domain(db, *input).clone();
    }
    let names = partitions.key_tables();
    let mut tables = BTreeMap::new();
    if !names.is_empty() {
        let known = world.tables(db);
        for name in names {
            if let Some(table) = known.get(&name) {
                tables.insert(name, table.table(db).clone());
            }
        }
    }
    Domain::resolve(Arc::new(partitions.clone()), world.now(db), &tables)
}

/// The edges to upstream assets, in declared order.
#[salsa::tracked(returns(ref))]
pub fn edges(db: &dyn Db, asset: AssetInput) -> Arc<Vec<Edge>> {
    let own = domain(db, asset);
    let assets = World::get(db).assets(db);
    let edge = |dep: &crate::defs::Dep| {
        let input = *assets.get(&dep.upstream).expect("a project names only assets that exist");
        let mapping = match &dep.mapping {
            MappingDef::Asked => {
                // What was asked for moves with the records of the asset.
                let _epoch = asset.epoch(db);
                let rows = db.records().asked(&asset.def(db).key, &dep.upstream);
                let up = domain(db, input);
                let mut asked = Asked::default();
                for row in rows.values() {
                    // One that is gone keeps its number, so that who asked for it is found.
                    let known = row.keys.iter();
                    let known =
                        known.filter_map(|(key, it)| Some((up.any_index(key.as_str())?, *it)));
                    asked.put(row.part, row.base, known);
                }
                Mapping::asked(Arc::new(asked), up, own)
            }
            declared => Mapping::new(declared, domain(db, input), own)
                .expect("a mapping was validated when the project was made"),
        };
        Edge { upstream: dep.upstream.clone(), input, mapping, missing: dep.missing }
    };
    Arc::new(asset.def(db).deps.iter().map(edge).collect())
}

/// The step of an asset.
#[salsa::tracked(returns(ref))]
pub fn step(db: &dyn Db, asset: AssetInput) -> Arc<StepVersion> {
    let env = World::get(db).env(db);
    let parts = manifest::step_parts(asset.def(db), asset.files(db), env);
    let digest = manifest::step_digest(&parts);
    Arc::new(StepVersion { parts, digest })
}

/// The digest under which the fresh bits of an asset's row count.
#[salsa::tracked(returns(copy))]
pub fn shape(db: &dyn Db, asset: AssetInput) -> Digest {
    let def = asset.def(db);
    let assets = World::get(db).assets(db);
    let mut upstream = Vec::with_capacity(def.deps.len());
    for dep in &def.deps {
        let input = assets.get(&dep.upstream).expect("a project names only assets that exist");
        upstream.push((dep.upstream.as_str(), &input.def(db).partitions));
    }
    manifest::shape(&step(db, asset).parts.digest(), &def.partitions, &upstream)
}

/// The state of every partition of an asset.
#[salsa::tracked(returns(ref))]
pub fn freshness(db: &dyn Db, asset: AssetInput) -> Arc<Freshness> {
    Arc::new(compute(db, asset))
}
