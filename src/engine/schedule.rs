//! Decides what can be worked on next: which partitions wait for what, and in which order they go.
//!
//! Knows no processes and no records. A partition is ready when nothing that it reads is open any
//! more; what reads a failed one is blocked, and nothing else is. The ready set is a bitmap per asset,
//! so that a million partitions cost no million queue entries.

use std::collections::HashMap;

use crate::base::{AssetKey, PartitionIdx, PartitionSet};
use crate::defs::Mapping;

/// A dependency of an asset on another one (or itself) within the same schedule.
pub struct Link {
    pub upstream: AssetKey,
    pub mapping: Mapping,
}

/// One asset with what is to be worked on.
pub struct Job {
    pub asset: AssetKey,
    pub open: PartitionSet,
    pub links: Vec<Link>,
}

/// The place of an asset in the schedule.
pub type Place = usize;

/// What a failure takes out of the schedule.
#[derive(Debug, Default)]
pub struct Fallout {
    pub blocked: Vec<(AssetKey, PartitionSet)>,
    /// They asked for what failed when they were made last, and may not do so again.
    pub undecided: Vec<(AssetKey, PartitionSet)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    Blocked,
    Undecided,
}

/// What is open, what is ready, and what waits.
pub struct Schedule {
    nodes: Vec<Node>,
    places: HashMap<AssetKey, Place>,
}

struct Node {
    asset: AssetKey,
    /// Upstream nodes with the mapping, in declared order.
    links: Vec<(Place, Mapping)>,
    /// Nodes that read this one, with the place of the link there.
    consumers: Vec<(Place, usize)>,
    /// Not done: waiting, ready or running.
    open: PartitionSet,
    waiting: PartitionSet,
    ready: PartitionSet,
    /// Length of the longest path downstream: what it holds up.
    rank: u32,
}

impl Schedule {
    /// `jobs` come upstream first. Links to assets without a job are ignored: nothing there is open.
    pub fn new(jobs: Vec<Job>) -> Schedule {
        let places: HashMap<AssetKey, Place> =
            jobs.iter().enumerate().map(|(place, job)| (job.asset.clone(), place)).collect();
        let node = |job: Job| {
            let links = job.links.into_iter();
            let links = links.filter_map(|link| Some((*places.get(&link.upstream)?, link.mapping)));
            Node {
                asset: job.asset,
                links: links.collect(),
                consumers: Vec::new(),
                waiting: job.open.clone(),
                open: job.open,
                ready: PartitionSet::new(),
                rank: 0,
            }
        };
        let nodes = jobs.into_iter().map(node).collect();
        let mut schedule = Schedule { nodes, places };
        schedule.connect();
        for place in 0..schedule.nodes.len() {
            let waiting = schedule.nodes[place].waiting.clone();
            schedule.release(place, &waiting);
        }
        schedule
    }

    fn connect(&mut self) {
        for place in (0..self.nodes.len()).rev() {
            let upstream: Vec<Place> = self.nodes[place].links.iter().map(|(up, _)| *up).collect();
            for (link, up) in upstream.into_iter().enumerate() {
                self.nodes[up].consumers.push((place, link));
                if up != place {
                    self.nodes[up].rank = self.nodes[up].rank.max(self.nodes[place].rank + 1);
                }
            }
        }
    }

    pub fn asset(&self, place: Place) -> &AssetKey {
        &self.nodes[place].asset
    }

    /// Where an asset is, if anything of it is wanted.
    pub fn place(&self, asset: &AssetKey) -> Option<Place> {
        self.places.get(asset).copied()
    }

    /// Takes a partition if it is ready.
    pub fn take(&mut self, place: Place, part: PartitionIdx) -> bool {
        self.nodes[place].ready.remove(part)
    }

    /// Makes a partition ready again that was taken.
    pub fn put_back(&mut self, place: Place, part: PartitionIdx) {
        self.nodes[place].ready.insert(part);
    }

    /// Takes the next ready partition: of the asset that holds up the longest path; of those the
    /// first asset, and of its partitions the first.
    pub fn next(&mut self) -> Option<(Place, PartitionIdx)> {
        let ready = self.nodes.iter().enumerate().filter(|(_, node)| !node.ready.is_empty());
        let (place, _) = ready.max_by_key(|(place, node)| (node.rank, usize::MAX - place))?;
        let part = self.nodes[place].ready.min().expect("only nodes with something ready are left");
        self.nodes[place].ready.remove(part);
        Some((place, part))
    }

    /// Takes all that is ready of the asset of which `next` has just given `part`.
    pub fn take_ready(&mut self, place: Place, part: PartitionIdx) -> PartitionSet {
        let mut ready = std::mem::take(&mut self.nodes[place].ready);
        ready.insert(part);
        ready
    }

    /// True if nothing is open any more.
    pub fn is_done(&self) -> bool {
        self.nodes.iter().all(|node| node.open.is_empty())
    }

    /// Says that partitions have their right value now; what waited only for them becomes ready.
    pub fn done(&mut self, place: Place, parts: &PartitionSet) {
        self.nodes[place].open -= parts;
        for (consumer, link) in self.nodes[place].consumers.clone() {
            let node = &self.nodes[consumer];
            if node.waiting.is_empty() {
                continue;
            }
            let mapping = &node.links[link].1;
            // Every partition reads the same: nothing is released before the last one is done.
            if mapping.is_constant()
                && let Some(first) = node.waiting.min()
                && !mapping.upstream_of_one(first).is_disjoint(&self.nodes[place].open)
            {
                continue;
            }
            let candidates = mapping.downstream_of(parts) & &node.waiting;
            self.release(consumer, &candidates);
        }
    }

    fn release(&mut self, place: Place, candidates: &PartitionSet) {
        let node = &self.nodes[place];
        let mut held = PartitionSet::new();
        for (up, mapping) in &node.links {
            let open = &self.nodes[*up].open;
            if open.is_empty() {
                continue;
            }
            if candidates.len() > 64 {
                held |= mapping.downstream_of(open);
            } else {
                let reads_open =
                    |part: &PartitionIdx| !mapping.upstream_of_one(*part).is_disjoint(open);
                held.extend(candidates.iter().filter(reads_open));
            }
        }
        let free = candidates - &held;
        let node = &mut self.nodes[place];
        node.waiting -= &free;
        node.ready |= free;
    }

    /// Says that partitions failed or were given up. Everything that reads them, however far
    /// downstream, leaves the schedule and is returned.
    pub fn fail(&mut self, place: Place, parts: &PartitionSet) -> Fallout {
        self.nodes[place].open -= parts;
        let mut fallout = Fallout::default();
        let mut front = vec![(place, parts.clone(), Certainty::Blocked)];
        while let Some((place, parts, certainty)) = front.pop() {
            for (consumer, link) in self.nodes[place].consumers.clone() {
                let node = &mut self.nodes[consumer];
                let mapping = &node.links[link].1;
                let hit = mapping.downstream_of(&parts) & &node.waiting;
                if hit.is_empty() {
                    continue;
                }
                let certainty = match mapping.as_asked() {
                    Some(_) => Certainty::Undecided,
                    None => certainty,
                };
                node.waiting -= &hit;
                node.open -= &hit;
                let list = match certainty {
                    Certainty::Blocked => &mut fallout.blocked,
                    Certainty::Undecided => &mut fallout.undecided,
                };
                list.push((node.asset.clone(), hit.clone()));
                front.push((consumer, hit, certainty));
            }
        }
        fallout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defs::{Domain, KeyTable, MappingDef, PartitionsDef};
    use std::sync::Arc;

    fn key(name: &str) -> AssetKey {
        AssetKey::parse(name).unwrap()
    }

    /// A static domain of `n` keys.
    fn domain(n: u32) -> Domain {
        let keys: Vec<_> = (0..n).map(|i| crate::base::PartitionKey::new(format!("{i}"))).collect();
        let def = Arc::new(PartitionsDef::Static(keys.clone()));
        let table = KeyTable::new(keys, (0..n).collect());
        let tables = def.key_tables().into_iter().map(|name| (name, table.clone())).collect();
        Domain::resolve(def, chrono::DateTime::UNIX_EPOCH, &tables)
    }

    fn job(name: &str, n: u32, links: &[(&str, u32, MappingDef)]) -> Job {
        let own = domain(n);
        let link = |(upstream, m, def): &(&str, u32, MappingDef)| Link {
            upstream: key(upstream),
            mapping: Mapping::new(def, &domain(*m), &own).unwrap(),
        };
        Job { asset: key(name), open: (0..n).collect(), links: links.iter().map(link).collect() }
    }

    /// Runs everything in order and says the order.
    fn drain(mut schedule: Schedule) -> String {
        let mut order = Vec::new();
        while let Some((place, part)) = schedule.next() {
            order.push(format!("{}@{part}", schedule.asset(place)));
            schedule.done(place, &PartitionSet::from_iter([part]));
        }
        assert!(schedule.is_done());
        order.join(" ")
    }

    #[test]
    fn what_holds_up_the_longest_path_goes_first() {
        let chain = Schedule::new(vec![
            job("lone", 1, &[]),
            job("raw", 2, &[]),
            job("clean", 2, &[("raw", 2, MappingDef::Identity)]),
            job("sum", 1, &[("clean", 2, MappingDef::All)]),
        ]);
        assert_eq!(drain(chain), "raw@0 raw@1 clean@0 clean@1 lone@0 sum@0");
    }

    #[test]
    fn a_failure_blocks_only_what_reads_it() {
        let mut schedule = Schedule::new(vec![
            job("raw", 2, &[]),
            job("clean", 2, &[("raw", 2, MappingDef::Identity)]),
            job("sum", 1, &[("clean", 2, MappingDef::All)]),
        ]);
        let (place, part) = schedule.next().unwrap();
        let blocked = schedule.fail(place, &PartitionSet::from_iter([part]));
        assert!(blocked.undecided.is_empty());
        let names: Vec<_> =
            blocked.blocked.iter().map(|(a, s)| format!("{a}:{}", s.len())).collect();
        assert_eq!(names, ["clean:1", "sum:1"]);
        assert_eq!(drain(schedule), "raw@1 clean@1");
    }
}
