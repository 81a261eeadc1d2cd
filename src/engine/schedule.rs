//! Decides what can be worked on next: which partitions wait for what, and in which order they go.
//!
//! Knows no processes and no records. A partition is ready when nothing that it reads is open any
//! more; what reads a failed one is blocked, and nothing else is. The ready set is a bitmap per asset,
//! so that a million partitions cost no million queue entries.

use std::cell::Cell;
use std::collections::HashMap;

use super::report::RunOrder;
use crate::base::{AssetKey, PartitionIdx, PartitionSet};
use crate::defs::{Domain, Mapping};

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
    /// Says when the windows of its partitions start.
    pub domain: Domain,
    /// How many partitions one step makes at the most.
    pub batch: usize,
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
    order: RunOrder,
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
    domain: Domain,
    batch: usize,
    /// The ready partition that goes first in the order of time, with its start: most are asked for often.
    head: Cell<Option<(PartitionIdx, Option<i64>)>>,
}

impl Node {
    /// Whether a step for what is ready would make fewer partitions than it can, while others are to come.
    fn is_partial(&self) -> bool {
        self.batch > 1 && !self.waiting.is_empty() && self.ready.len() < self.batch as u64
    }

    /// Takes the next ready partition in this order.
    fn take(&mut self, order: RunOrder) -> Option<PartitionIdx> {
        let part = match order {
            RunOrder::Critical | RunOrder::Oldest => self.ready.min(),
            RunOrder::Newest => self.ready.max(),
        }?;
        self.ready.remove(part);
        Some(part)
    }

    /// When the partition starts that goes first in the order of time. `None`: it has no window, and what
    /// reads all of it waits.
    fn start(&self, part: PartitionIdx) -> Option<i64> {
        match self.head.get() {
            Some((known, start)) if known == part => start,
            Some(_) | None => {
                let start = self.domain.window(part).map(|window| window.start.timestamp());
                self.head.set(Some((part, start)));
                start
            }
        }
    }
}

impl Schedule {
    /// `jobs` come upstream first. Links to assets without a job are ignored: nothing there is open.
    pub fn new(jobs: Vec<Job>, order: RunOrder) -> Schedule {
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
                domain: job.domain,
                batch: job.batch,
                head: Cell::default(),
            }
        };
        let nodes = jobs.into_iter().map(node).collect();
        let mut schedule = Schedule { nodes, places, order };
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

    /// Takes the next ready partition in the order of the schedule. In the critical one it is of the asset
    /// that holds up the longest path; of those the first asset, and of its partitions the first. In the
    /// order of time what has no window goes first, and of one moment what holds up the longest path. Batches
    /// that are not full go last, as long as they may become so.
    pub fn next(&mut self) -> Option<(Place, PartitionIdx)> {
        self.next_whole().or_else(|| self.first(Node::is_partial))
    }

    /// As [`Schedule::next`], without batches that may yet become full.
    pub fn next_whole(&mut self) -> Option<(Place, PartitionIdx)> {
        self.first(|node| !node.is_partial())
    }

    fn first(&mut self, of: impl Fn(&Node) -> bool) -> Option<(Place, PartitionIdx)> {
        let order = self.order;
        let ready = |(_, node): &(Place, &Node)| !node.ready.is_empty() && of(node);
        let ready = self.nodes.iter().enumerate().filter(ready);
        let (place, _) = ready.max_by_key(|(place, node)| {
            let sooner = match order {
                RunOrder::Critical => 0,
                RunOrder::Oldest => node
                    .ready
                    .min()
                    .and_then(|part| node.start(part))
                    .map_or(i64::MAX, |start| -start),
                RunOrder::Newest => {
                    node.ready.max().and_then(|part| node.start(part)).unwrap_or(i64::MAX)
                }
            };
            (sooner, node.rank, usize::MAX - *place)
        })?;
        Some((place, self.nodes[place].take(order)?))
    }

    /// Takes another ready partition of the asset of which `next` has just given one.
    pub fn next_of(&mut self, place: Place) -> Option<PartitionIdx> {
        self.nodes[place].take(self.order)
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

    /// Takes partitions out that were given up before; as [`Schedule::fail`].
    pub fn give_up(&mut self, place: Place, parts: &PartitionSet) -> Fallout {
        let node = &mut self.nodes[place];
        node.waiting -= parts;
        node.ready -= parts;
        self.fail(place, parts)
    }

    /// Says that partitions failed. Everything that reads them, however far
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
    use crate::defs::partition::{Cadence, TimeWindowDef};
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
        let links = links.iter().map(link).collect();
        Job { asset: key(name), open: (0..n).collect(), links, domain: own, batch: 1 }
    }

    fn in_order(order: RunOrder, jobs: Vec<Job>) -> Schedule {
        Schedule::new(jobs, order)
    }

    /// The last two days of January and the first two of February, and the months that read them.
    fn calendar() -> Vec<Job> {
        let windows = |cadence: Cadence, start: &str| {
            let def = PartitionsDef::TimeWindow(TimeWindowDef {
                format: TimeWindowDef::default_format(&cadence).unwrap().to_owned(),
                cadence,
                start: start.parse().unwrap(),
                end: Some("2020-02-03T00:00:00".parse().unwrap()),
                timezone: chrono_tz::UTC,
                end_offset: 0,
                exclusions: Vec::new(),
            });
            let now = "2020-03-01T00:00:00Z".parse().unwrap();
            Domain::resolve(Arc::new(def), now, &Default::default())
        };
        let day = windows(Cadence::Daily { hour: 0, minute: 0 }, "2020-01-30T00:00:00");
        let month = windows(Cadence::Monthly { day: 1, hour: 0, minute: 0 }, "2020-01-01T00:00:00");
        let reads = Mapping::new(&MappingDef::TimeOverlap, &day, &month).unwrap();
        let links = vec![Link { upstream: key("day"), mapping: reads }];
        vec![
            Job {
                asset: key("day"),
                open: day.all().clone(),
                links: vec![],
                domain: day,
                batch: 1,
            },
            Job { asset: key("month"), open: month.all().clone(), links, domain: month, batch: 1 },
            job("once", 1, &[]),
        ]
    }

    #[test]
    fn in_the_order_of_time_all_of_a_moment_goes_before_the_next_one() {
        let names = |order| {
            let mut schedule = in_order(order, calendar());
            let mut names = Vec::new();
            while let Some((place, part)) = schedule.next() {
                let key = schedule.nodes[place].domain.key(part).unwrap();
                names.push(format!("{}@{key}", schedule.asset(place)));
                schedule.done(place, &PartitionSet::from_iter([part]));
            }
            names.join(" ")
        };
        assert_eq!(
            names(RunOrder::Oldest),
            "once@0 day@2020-01-30 day@2020-01-31 month@2020-01 day@2020-02-01 day@2020-02-02 month@2020-02"
        );
        assert_eq!(
            names(RunOrder::Newest),
            "once@0 day@2020-02-02 day@2020-02-01 month@2020-02 day@2020-01-31 day@2020-01-30 month@2020-01"
        );
        assert_eq!(
            names(RunOrder::Critical),
            "day@2020-01-30 day@2020-01-31 day@2020-02-01 day@2020-02-02 month@2020-01 month@2020-02 once@0"
        );
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
        let chain = in_order(
            RunOrder::Critical,
            vec![
                job("lone", 1, &[]),
                job("raw", 2, &[]),
                job("clean", 2, &[("raw", 2, MappingDef::Identity)]),
                job("sum", 1, &[("clean", 2, MappingDef::All)]),
            ],
        );
        assert_eq!(drain(chain), "raw@0 raw@1 clean@0 clean@1 lone@0 sum@0");
    }

    #[test]
    fn a_batch_waits_for_what_is_to_come() {
        let copies = Job { batch: 2, ..job("copy", 3, &[("raw", 3, MappingDef::Identity)]) };
        let jobs = vec![job("raw", 3, &[]), copies];
        let mut schedule = in_order(RunOrder::Critical, jobs);
        let (raw, copy) = (0, 1);
        let all: Vec<_> = std::iter::from_fn(|| schedule.next()).collect();
        assert_eq!(all, [(raw, 0), (raw, 1), (raw, 2)]);
        let mut done = |part| schedule.done(raw, &PartitionSet::from_iter([part]));
        done(0);
        assert_eq!(schedule.next_whole(), None, "two are to come");
        schedule.done(raw, &PartitionSet::from_iter([1]));
        assert_eq!((schedule.next_whole(), schedule.next_of(copy)), (Some((copy, 0)), Some(1)));
        schedule.done(raw, &PartitionSet::from_iter([2]));
        assert_eq!(schedule.next_whole(), Some((copy, 2)), "nothing is to come");
    }

    #[test]
    fn a_failure_blocks_only_what_reads_it() {
        let mut schedule = in_order(
            RunOrder::Critical,
            vec![
                job("raw", 2, &[]),
                job("clean", 2, &[("raw", 2, MappingDef::Identity)]),
                job("sum", 1, &[("clean", 2, MappingDef::All)]),
            ],
        );
        let (place, part) = schedule.next().unwrap();
        let blocked = schedule.fail(place, &PartitionSet::from_iter([part]));
        assert!(blocked.undecided.is_empty());
        let names: Vec<_> =
            blocked.blocked.iter().map(|(a, s)| format!("{a}:{}", s.len())).collect();
        assert_eq!(names, ["clean:1", "sum:1"]);
        assert_eq!(drain(schedule), "raw@1 clean@1");
    }
}
