//! Properties of domains, mappings and expressions over random definitions, clock changes included.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{
    Cadence, CronRule, Domain, DynamicDef, KeyTable, Mapping, MappingDef, PartitionExpr,
    PartitionsDef, TimeWindowDef, WindowOffset, WindowUnit,
};
use crate::base::{PartitionIdx, PartitionKey, PartitionSet};

const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Cairo",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Kolkata",
];
const CRONS: &[&str] = &[
    "0 */6 * * *",
    "*/20 * * * *",
    "30 2,14 * * *",
    "0 9 * * MON-FRI",
    "0 0 1 */3 *",
    "15 1 * * *",
    "0 0 L * *",
];

fn cadence() -> impl Strategy<Value = Cadence> {
    let time = || (0_u32..24, prop_oneof![Just(0_u32), Just(30)]);
    prop_oneof![
        (0_u32..60).prop_map(|minute| Cadence::Hourly { minute }),
        Just(Cadence::Hourly { minute: 0 }),
        Just(Cadence::Daily { hour: 0, minute: 0 }),
        time().prop_map(|(hour, minute)| Cadence::Daily { hour, minute }),
        (0_u32..7, time()).prop_map(|(day, (hour, minute))| Cadence::Weekly { day, hour, minute }),
        (1_u32..32, time()).prop_map(|(day, (hour, minute))| Cadence::Monthly {
            day,
            hour,
            minute
        }),
        proptest::sample::select(CRONS).prop_map(|text| Cadence::Cron(text.to_owned())),
    ]
}

fn window_def(zones: &'static [&'static str]) -> impl Strategy<Value = TimeWindowDef> {
    let start = (2010_i32..2025, 0_i64..366, 0_i64..1440);
    (cadence(), proptest::sample::select(zones), start, -2_i32..3, any::<bool>()).prop_map(
        |(cadence, zone, (year, day, minute), end_offset, near)| {
            // Half of all definitions begin just before something happens to clocks.
            let start = match near {
                true => local(2011, 12, 28) + TimeDelta::try_minutes(minute).unwrap(),
                false => local(year, 1, 1) + TimeDelta::try_minutes(day * 1440 + minute).unwrap(),
            };
            let format = match &cadence {
                Cadence::Cron(_) => "%Y-%m-%dT%H:%M",
                other => TimeWindowDef::default_format(other).unwrap(),
            };
            let timezone: Tz = zone.parse().unwrap();
            let format = format.to_owned();
            // A third of them leave out the second and the third day, as far as they are windows.
            let day = |days: i64| {
                start.date().and_time(Default::default()) + TimeDelta::try_days(days).unwrap()
            };
            let exclusions = if minute % 3 == 0 { vec![day(1), day(2)] } else { Vec::new() };
            let end = None;
            TimeWindowDef { cadence, start, end, timezone, format, end_offset, exclusions }
        },
    )
}

fn local(year: i32, month: u32, day: u32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(0, 0, 0).unwrap()
}

fn resolve(def: PartitionsDef, now: DateTime<Utc>) -> Domain {
    Domain::resolve(Arc::new(def), now, &BTreeMap::new())
}

/// A domain of about the first `days` days, shorter for short windows.
fn domain(def: &TimeWindowDef, days: i64) -> Domain {
    let days = match &def.cadence {
        Cadence::Hourly { .. } | Cadence::Cron(_) => days / 10 + 4,
        Cadence::Daily { .. } | Cadence::Weekly { .. } | Cadence::Monthly { .. } => days,
    };
    let now = def.start.and_utc() + TimeDelta::try_days(days).unwrap();
    resolve(PartitionsDef::TimeWindow(def.clone()), now)
}

fn mapping_def() -> impl Strategy<Value = MappingDef> {
    let unit = proptest::sample::select(&[
        WindowUnit::Windows,
        WindowUnit::Hours,
        WindowUnit::Days,
        WindowUnit::Weeks,
        WindowUnit::Months,
        WindowUnit::Years,
    ]);
    let offset = (-8_i32..5, unit).prop_map(|(count, unit)| WindowOffset { count, unit });
    prop_oneof![
        Just(MappingDef::Default),
        Just(MappingDef::TimeOverlap),
        Just(MappingDef::Identity),
        Just(MappingDef::Last(3)),
        (offset.clone(), offset).prop_map(|(from, to)| MappingDef::Window { from, to }),
    ]
}

fn pick(domain: &Domain, seed: u64) -> PartitionSet {
    let chosen = |index: &PartitionIdx| {
        let mixed = u64::from(*index).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed;
        // Runs of seven, so that ranges occur.
        (mixed / 7 + u64::from(*index) / 7 + seed % 1000).is_multiple_of(3)
    };
    domain.all().iter().filter(chosen).collect()
}

fn select(domain: &Domain, text: &str) -> PartitionSet {
    let expr = PartitionExpr::parse(text).unwrap();
    expr.select(domain, &|_| PartitionSet::new()).unwrap()
}

/// Both directions agree with each other, and sets with single partitions.
fn check_inverse(mapping: &Mapping, up: &Domain, down: &Domain, seed: u64) {
    let mut forward: BTreeMap<PartitionIdx, PartitionSet> = BTreeMap::new();
    for p in down.all() {
        for q in mapping.upstream_of_one(p) {
            forward.entry(q).or_default().insert(p);
        }
    }
    for q in up.all() {
        let image = mapping.downstream_of(&[q].into_iter().collect());
        assert_eq!(image, forward.remove(&q).unwrap_or_default(), "image of {:?}", up.key(q));
    }
    assert!(forward.is_empty(), "partitions that do not exist are read");
    let (some_up, some_down) = (pick(up, seed), pick(down, seed));
    let union: PartitionSet = some_down.iter().flat_map(|p| mapping.upstream_of_one(p)).collect();
    assert_eq!(mapping.upstream_of(&some_down), union);
    let one = |q: PartitionIdx| mapping.downstream_of(&[q].into_iter().collect());
    let union: PartitionSet = some_up.iter().flat_map(one).collect();
    assert_eq!(mapping.downstream_of(&some_up), union);
    let lacks = |p: &PartitionIdx| !mapping.absent(*p).is_empty();
    assert_eq!(mapping.lacking(&some_down), some_down.iter().filter(lacks).collect());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn keys_and_indexes_are_inverse(def in window_def(ZONES)) {
        prop_assert_eq!(def.validate(), Ok(()));
        let domain = domain(&def, 800);
        let mut before: Option<PartitionIdx> = None;
        for index in domain.all() {
            let key = domain.key(index).unwrap();
            prop_assert_eq!(domain.index(key.as_str()), Some(index), "{}", key);
            let window = domain.window(index).unwrap();
            prop_assert!(window.start < window.end, "{key}");
            if let Some(before) = before
                && def.exclusions.is_empty()
            {
                prop_assert_eq!(domain.window(before).unwrap().end, window.start, "{}", key);
            }
            before = Some(index);
        }
    }

    #[test]
    fn another_start_moves_no_index(def in window_def(ZONES), days in 1_i64..200) {
        let mut later = def.clone();
        later.start += TimeDelta::try_days(days).unwrap();
        let now = def.start.and_utc() + TimeDelta::try_days(250).unwrap();
        let whole = resolve(PartitionsDef::TimeWindow(def), now);
        let part = resolve(PartitionsDef::TimeWindow(later.clone()), now);
        prop_assert!(part.all().is_subset(whole.all()));
        prop_assert_eq!(whole.index_space(), part.index_space());
        let begin = super::zone::resolve(later.timezone, later.start);
        let starts = |index: &PartitionIdx| whole.window(*index).unwrap().start >= begin;
        let expected: PartitionSet = whole.all().iter().filter(starts).collect();
        prop_assert_eq!(part.all(), &expected);
    }

    #[test]
    fn sets_are_written_and_read_back(def in window_def(ZONES), seed: u64) {
        let domain = domain(&def, 400);
        let set = pick(&domain, seed);
        let text = domain.render(&set).join(",");
        prop_assert_eq!(&select(&domain, &text), &set, "{}", text);
        let with_gone = &set | &(0..3).collect();
        let mut shown = domain.render(&with_gone);
        let most = seed as usize % 9;
        let more = shown.split_off(shown.len().min(most)).len();
        prop_assert_eq!(domain.render_first(&with_gone, most), (shown, more));
    }

    #[test]
    fn mappings_of_time_are_inverse(
        up in window_def(ZONES),
        down in window_def(ZONES),
        def in mapping_def(),
        same: bool,
        shift in -40_i64..40,
        seed: u64,
    ) {
        let mut down = if same { TimeWindowDef { end_offset: down.end_offset, ..up.clone() } } else { down };
        down.start = up.start + TimeDelta::try_days(shift).unwrap();
        let (up, down) = (domain(&up, 120), domain(&down, 120));
        if let Ok(mapping) = Mapping::new(&def, &up, &down) {
            check_inverse(&mapping, &up, &down, seed);
        }
    }

    #[test]
    fn overlap_is_overlap(up in window_def(ZONES), down in window_def(ZONES)) {
        let down = TimeWindowDef { start: up.start, ..down };
        let (up, down) = (domain(&up, 90), domain(&down, 90));
        let mapping = Mapping::new(&MappingDef::TimeOverlap, &up, &down).unwrap();
        for p in down.all() {
            let window = down.window(p).unwrap();
            let overlaps = |q: &PartitionIdx| up.window(*q).unwrap().overlaps(&window);
            let expected: PartitionSet = up.all().iter().filter(overlaps).collect();
            prop_assert_eq!(mapping.upstream_of_one(p), expected);
        }
    }

    #[test]
    fn any_keys_are_selected_by_their_text(
        names in proptest::collection::btree_set(".{1,6}", 1..12),
        seed: u64,
    ) {
        let keys: Vec<PartitionKey> = names.into_iter().map(PartitionKey::new).collect();
        let domain = resolve(PartitionsDef::Static(keys.clone()), DateTime::UNIX_EPOCH);
        for key in &keys {
            let index = domain.index(key.as_str()).unwrap();
            let one: PartitionSet = [index].into_iter().collect();
            let text = domain.render(&one).join(",");
            prop_assert_eq!(select(&domain, &text), one, "{}", text);
        }
        let set = pick(&domain, seed);
        prop_assert_eq!(select(&domain, &domain.render(&set).join(",")), set);
    }

    #[test]
    fn several_dimensions_keep_every_property(
        date in window_def(&["UTC", "Europe/Berlin"]),
        up_regions in proptest::collection::btree_set("[a-e|=\" ]{1,2}", 1..5),
        down_regions in proptest::collection::btree_set("[a-e|=\" ]{1,2}", 1..5),
        seed: u64,
    ) {
        let multi = |regions: &std::collections::BTreeSet<String>| {
            let regions = regions.iter().map(|name| PartitionKey::new(name.as_str())).collect();
            let dimensions = [
                ("date".to_owned(), PartitionsDef::TimeWindow(date.clone())),
                ("region".to_owned(), PartitionsDef::Static(regions)),
            ];
            let now = date.start.and_utc() + TimeDelta::try_days(9).unwrap();
            resolve(PartitionsDef::Multi(dimensions.into_iter().collect()), now)
        };
        let (up, down) = (multi(&up_regions), multi(&down_regions));
        prop_assert_eq!(up.problem(), None);
        for index in up.all() {
            let key = up.key(index).unwrap();
            prop_assert_eq!(up.index(key.as_str()), Some(index), "{}", key);
            let one: PartitionSet = [index].into_iter().collect();
            prop_assert_eq!(select(&up, key.as_str()), one);
        }
        let set = pick(&up, seed);
        let text = up.render(&set).join(",");
        prop_assert_eq!(select(&up, &text), set, "{}", text);
        prop_assert_eq!(up.ordered().len() as u64, up.len());
        if up.len() * down.len() < 4000 {
            let previous = WindowOffset { count: -1, unit: WindowUnit::Windows };
            let defs = [
                MappingDef::Default,
                MappingDef::Dimension("date".to_owned()),
                MappingDef::Window { from: previous, to: previous },
            ];
            for def in defs {
                check_inverse(&Mapping::new(&def, &up, &down).unwrap(), &up, &down, seed);
            }
        }
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,24}", like in "[-0-9a-z.,|=\"\\\\\\[\\]*() ]{0,16}") {
        let utc = TimeWindowDef {
            cadence: Cadence::Daily { hour: 0, minute: 0 },
            start: local(2024, 1, 1),
            end: None,
            timezone: Tz::UTC,
            format: "%Y-%m-%d".to_owned(),
            end_offset: 0,
            exclusions: Vec::new(),
        };
        let time = domain(&utc, 30);
        let keys = ["a", "b|c", "x=y"].map(PartitionKey::new).to_vec();
        let fixed = resolve(PartitionsDef::Static(keys), DateTime::UNIX_EPOCH);
        let dimensions = [("date", time.def().clone()), ("key", fixed.def().clone())];
        let dimensions = dimensions.map(|(name, def)| (name.to_owned(), def)).into_iter().collect();
        let multi = resolve(PartitionsDef::Multi(dimensions), "2024-02-01T00:00:00Z".parse().unwrap());
        for text in [&text, &like] {
            for domain in [&time, &fixed, &multi] {
                if let Ok(expr) = PartitionExpr::parse(text)
                    && let Err(error) = expr.select(domain, &|_| PartitionSet::new())
                {
                    prop_assert!(text.get(error.at.clone()).is_some(), "{text}: {error:?}");
                }
                prop_assert!(domain.index(text).is_none_or(|index| domain.all().contains(index)));
            }
            let _ = MappingDef::parse(text);
            let _ = CronRule::parse(text);
            let with_format = TimeWindowDef { format: text.clone(), ..utc.clone() };
            let _ = with_format.validate();
            let _ = domain(&with_format, 3).render(time.all());
        }
    }
}

#[test]
fn keys_of_files_are_keys_of_days() {
    let names = ["2024-01-03", "2024-01-01", "junk", "2024-01-09"];
    let keys: Vec<PartitionKey> = names.map(PartitionKey::new).to_vec();
    let def = DynamicDef::Source(crate::base::AssetKey::parse("raw").unwrap());
    let table = KeyTable::new(keys, [0, 2, 3].into_iter().collect());
    let tables = BTreeMap::from([(def.table(), table)]);
    let now = "2024-01-06T00:00:00Z".parse().unwrap();
    let up = Domain::resolve(Arc::new(PartitionsDef::Dynamic(def)), now, &tables);
    let daily = TimeWindowDef {
        cadence: Cadence::Daily { hour: 0, minute: 0 },
        start: local(2024, 1, 1),
        end: None,
        timezone: Tz::UTC,
        format: "%Y-%m-%d".to_owned(),
        end_offset: 0,
        exclusions: Vec::new(),
    };
    let down = resolve(PartitionsDef::TimeWindow(daily), now);
    let mapping = Mapping::new(&MappingDef::Default, &up, &down).unwrap();
    let day = |key: &str| down.index(key).unwrap();
    assert_eq!(mapping.upstream_of_one(day("2024-01-03")).iter().collect::<Vec<_>>(), [0]);
    assert_eq!(mapping.absent(day("2024-01-02")), [PartitionKey::new("2024-01-02")]);
    assert_eq!(mapping.absent(day("2024-01-03")), []);
    // The file of 1 January is gone, but the day that read it is still its image.
    let image = mapping.downstream_of(&[1].into_iter().collect());
    assert_eq!(image.iter().collect::<Vec<_>>(), [day("2024-01-01")]);
    assert!(mapping.is_single());
    check_inverse(&mapping, &up, &down, 1);
    assert_eq!(select(&up, "2024-01-02..2024-01-05").iter().collect::<Vec<_>>(), [0]);
    assert_eq!(select(&up, "2024-01").len(), 2);
    assert_eq!(select(&up, "last(2)").iter().collect::<Vec<_>>(), [2, 3]);
}
