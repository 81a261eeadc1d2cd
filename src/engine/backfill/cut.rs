//! Cuts what a backfill is about into the runs that carry it out.
//!
//! What has windows is cut by their ends, at the same moments for all assets, so that a month comes with
//! its last day and never before its days. What has keys and no windows is cut by its numbers, and what has
//! no partitions comes last: mostly it reads all of the rest.

use std::collections::BTreeMap;

use crate::base::{AssetKey, PartitionIdx, PartitionSet};
use crate::defs::Domain;

/// Partitions of assets.
pub(super) type Sets = BTreeMap<AssetKey, PartitionSet>;

/// Cuts `targets` into parts of at most `most` partitions of each asset, in the order of time. A moment is never
/// cut: where more partitions of one asset than that end together, they stay together.
pub(super) fn cut(targets: &Sets, domain: &dyn Fn(&AssetKey) -> Domain, most: u64) -> Vec<Sets> {
    let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
    let (mut timed, mut keyed, mut single) = (Vec::new(), Vec::new(), Sets::new());
    for (asset, set) in targets.iter().filter(|(_, set)| !set.is_empty()) {
        let domain = domain(asset);
        if domain.def().is_unpartitioned() {
            single.insert(asset.clone(), set.clone());
        } else if set.max().is_some_and(|part| domain.window(part).is_some()) {
            timed.push(Timed { asset, set, domain, taken: 0 });
        } else {
            keyed.push((asset, set));
        }
    }
    let mut parts = by_time(&mut timed, most);
    for (asset, set) in keyed {
        let pieces = (0..count(set)).step_by(most as usize);
        for (place, first) in pieces.enumerate() {
            if place == parts.len() {
                parts.push(Sets::new());
            }
            let piece = between(set, first, first.saturating_add(most));
            parts[place].insert(asset.clone(), piece);
        }
    }
    if parts.is_empty() && !single.is_empty() {
        parts.push(Sets::new());
    }
    if let Some(last) = parts.last_mut() {
        last.extend(single);
    }
    parts
}

/// An asset that has windows, of which the first `taken` targets are in some part.
struct Timed<'a> {
    asset: &'a AssetKey,
    set: &'a PartitionSet,
    domain: Domain,
    taken: u32,
}

impl Timed<'_> {
    /// When the target ends that has this place among them; what has no window never does.
    fn end(&self, place: u32) -> i64 {
        let part: Option<PartitionIdx> = self.set.select(place);
        let window = part.and_then(|part| self.domain.window(part));
        window.map_or(i64::MAX, |window| window.end.timestamp())
    }

    /// How many targets end no later.
    fn until(&self, end: i64) -> u32 {
        let (mut low, mut high) = (self.taken, count(self.set));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.end(middle) <= end { low = middle + 1 } else { high = middle }
        }
        low
    }
}

fn by_time(timed: &mut [Timed<'_>], most: u32) -> Vec<Sets> {
    let mut parts = Vec::new();
    while timed.iter().any(|it| it.taken < count(it.set)) {
        // As far as the asset lets us go that has the most of them.
        let is_more = |it: &&Timed<'_>| it.taken.saturating_add(most) < count(it.set);
        let ends = timed.iter().filter(is_more).map(|it| it.end(it.taken + (most - 1)));
        let end = ends.min().unwrap_or(i64::MAX);
        let mut part = Sets::new();
        for it in timed.iter_mut() {
            let until = it.until(end);
            if until > it.taken {
                part.insert(it.asset.clone(), between(it.set, it.taken, until));
            }
            it.taken = until;
        }
        parts.push(part);
    }
    parts
}

fn count(set: &PartitionSet) -> u32 {
    u32::try_from(set.len()).unwrap_or(u32::MAX)
}

/// The members from one place to before another, in the order of their numbers.
fn between(set: &PartitionSet, from: u32, to: u32) -> PartitionSet {
    let Some(first) = set.select(from) else { return PartitionSet::new() };
    let mut window = PartitionSet::new();
    match set.select(to) {
        Some(end) => window.insert_range(first..end),
        None => window.insert_range(first..),
    };
    set & window
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PartitionKey;
    use crate::defs::PartitionsDef;
    use crate::defs::partition::{Cadence, TimeWindowDef};
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn domain(asset: &AssetKey) -> Domain {
        let windows = |cadence: Cadence| {
            PartitionsDef::TimeWindow(TimeWindowDef {
                format: TimeWindowDef::default_format(&cadence).unwrap().to_owned(),
                cadence,
                start: "2020-01-01T00:00:00".parse().unwrap(),
                end: None,
                timezone: chrono_tz::UTC,
                end_offset: 0,
                exclusions: Vec::new(),
            })
        };
        let regions = || {
            let keys = ["eu", "jp", "us"].map(PartitionKey::new).to_vec();
            PartitionsDef::Static(keys)
        };
        let day = || windows(Cadence::Daily { hour: 0, minute: 0 });
        let def = match asset.as_str() {
            "day" => day(),
            "month" => windows(Cadence::Monthly { day: 1, hour: 0, minute: 0 }),
            "region" => regions(),
            "both" => PartitionsDef::Multi(
                [("day".to_owned(), day()), ("region".to_owned(), regions())].into(),
            ),
            _ => PartitionsDef::Unpartitioned,
        };
        let now = "2020-03-05T00:00:00Z".parse().unwrap();
        Domain::resolve(Arc::new(def), now, &BTreeMap::new())
    }

    fn targets(names: &[&str]) -> Sets {
        let target = |name: &&str| {
            let key = AssetKey::parse(name).unwrap();
            let all = domain(&key).all().clone();
            (key, all)
        };
        names.iter().map(target).collect()
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
    fn check(names: &[&str], most: u64, expect: Expect) {
        let parts = cut(&targets(names), &domain, most);
        let of = |(asset, set): (&AssetKey, &PartitionSet)| {
            format!("{asset} {}", domain(asset).render(set).join(","))
        };
        let lines: Vec<String> =
            parts.iter().map(|part| part.iter().map(of).collect::<Vec<_>>().join("; ")).collect();
        expect.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_month_comes_with_its_last_day() {
        check(
            &["day", "month", "once"],
            25,
            expect![[r#"
                day 2020-01-01..2020-01-25
                day 2020-01-26..2020-02-19; month 2020-01
                day 2020-02-20..2020-03-04; month 2020-02; once """#]],
        );
        check(&["once"], 1, expect![[r#"once """#]]);
        check(&[], 3, expect![""]);
    }

    #[test]
    fn what_has_no_window_is_cut_by_its_keys_and_a_moment_stays_whole() {
        check(
            &["month", "region"],
            2,
            expect![[r#"
                month 2020-01..2020-02; region eu..jp
                region us"#]],
        );
        let parts = cut(&targets(&["both"]), &domain, 2);
        assert_eq!(parts.len(), 64, "a day has three regions");
    }

    proptest! {
        #[test]
        fn every_target_is_in_one_part_and_none_is_too_big(
            days in proptest::collection::btree_set(0u32..64, 0..64),
            months in proptest::collection::btree_set(0u32..2, 0..2),
            most in 1u64..20,
        ) {
            let mut wanted = Sets::new();
            for (name, places) in [("day", days), ("month", months)] {
                let key = AssetKey::parse(name).unwrap();
                let all: Vec<PartitionIdx> = domain(&key).all().iter().collect();
                let set = places.into_iter().map(|place| all[place as usize]).collect();
                wanted.insert(key, set);
            }
            let mut seen = Sets::new();
            let mut last = i64::MIN;
            for part in cut(&wanted, &domain, most) {
                let mut first = i64::MAX;
                let mut end = last;
                for (asset, set) in part {
                    prop_assert!(!set.is_empty() && set.len() <= most);
                    for index in &set {
                        let at = domain(&asset).window(index).unwrap().end.timestamp();
                        (first, end) = (first.min(at), end.max(at));
                    }
                    let seen = seen.entry(asset).or_default();
                    prop_assert!(seen.is_disjoint(&set));
                    *seen |= set;
                }
                prop_assert!(first > last, "parts follow each other in time");
                last = end;
            }
            wanted.retain(|_, set| !set.is_empty());
            prop_assert_eq!(seen, wanted);
        }
    }
}
