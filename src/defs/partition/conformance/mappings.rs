//! `partition_mappings.json`: what is read, what reads, what is absent, which definitions are errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{cases, instant, partitions, read, strings};
use crate::base::{PartitionKey, PartitionSet};
use crate::defs::Domain;
use crate::defs::partition::{
    DynamicDef, KeyTable, Mapping, MappingDef, PartitionsDef, WindowOffset, WindowUnit,
};

/// Cases where ours differs, and why.
const DIFFERENT: &[(&str, &str)] = &[(
    "multi with two equal dimensions -> static, dimension given",
    "the dimension that is given is the one that is mapped, so nothing is ambiguous",
)];

struct Case {
    up: Domain,
    down: Domain,
    mapping: MappingDef,
}

fn definition(def: &Value) -> PartitionsDef {
    if def.is_null() {
        return PartitionsDef::Unpartitioned;
    }
    match def["kind"].as_str().unwrap() {
        "static" => PartitionsDef::Static(
            strings(&def["keys"]).into_iter().map(PartitionKey::new).collect(),
        ),
        "dynamic" => {
            PartitionsDef::Dynamic(DynamicDef::Named(def["name"].as_str().unwrap().to_owned()))
        }
        "multi" => {
            let dims = def["dims"].as_object().unwrap().iter();
            PartitionsDef::Multi(dims.map(|(name, def)| (name.clone(), definition(def))).collect())
        }
        _ => partitions(def),
    }
}

/// `None`: we have no such mapping.
fn mapping(def: &Value, upstream: &Value) -> Option<MappingDef> {
    if def.is_null() {
        return Some(MappingDef::Default);
    }
    let offset = |name: &str| WindowOffset {
        count: i32::try_from(def[name].as_i64().unwrap_or(0)).unwrap(),
        unit: WindowUnit::Windows,
    };
    match def["kind"].as_str().unwrap() {
        "time_window" => {
            Some(MappingDef::Window { from: offset("start_offset"), to: offset("end_offset") })
        }
        "all" => Some(MappingDef::All),
        "last" => Some(MappingDef::Last(1)),
        "identity" => Some(MappingDef::Identity),
        "static" => {
            let mut pairs = Vec::new();
            for (up, downs) in def["downstream_by_upstream"].as_object().unwrap() {
                let one = downs.as_str().map(str::to_owned);
                for down in one.into_iter().chain(strings(downs)) {
                    pairs.push((PartitionKey::new(up.as_str()), PartitionKey::new(down)));
                }
            }
            Some(MappingDef::Static(pairs))
        }
        "multi_to_single" => match def["dimension"].as_str() {
            Some(name) => Some(MappingDef::Dimension(name.to_owned())),
            None => Some(MappingDef::Default),
        },
        "multi" => of_dimensions(&def["dims"], upstream),
        _ => None,
    }
}

/// A mapping per dimension is one of ours if others than the time dimension are mapped as by default.
fn of_dimensions(dims: &Value, upstream: &Value) -> Option<MappingDef> {
    let mut found = MappingDef::Default;
    // A dimension that is not named is taken whole there.
    if dims.as_object()?.len() != upstream["dims"].as_object()?.len() {
        return None;
    }
    for (name, dim) in dims.as_object().unwrap() {
        if dim["dimension"].as_str() != Some(name) {
            return None;
        }
        match dim["mapping"]["kind"].as_str() {
            Some("identity") => {}
            Some("time_window") => found = mapping(&dim["mapping"], upstream)?,
            _ => return None,
        }
    }
    Some(found)
}

/// The key as we write it, for several dimensions.
fn our_key(domain: &Domain, key: &str) -> String {
    let PartitionsDef::Multi(dimensions) = domain.def() else { return key.to_owned() };
    if key.split('|').count() != dimensions.len() {
        return key.to_owned();
    }
    let parts = dimensions.keys().zip(key.split('|'));
    parts.map(|(name, part)| format!("{name}={part}")).collect::<Vec<_>>().join("|")
}

fn set(domain: &Domain, keys: &Value) -> PartitionSet {
    if keys.is_null() {
        return domain.all().clone();
    }
    let index = |key: String| domain.any_index(&our_key(domain, &key));
    strings(keys).into_iter().filter_map(index).collect()
}

fn keys(domain: &Domain, set: &PartitionSet) -> Vec<String> {
    set.iter().map(|index| domain.key(index).unwrap().to_string()).collect()
}

impl Case {
    fn read(case: &Value) -> Option<Case> {
        let mut tables = BTreeMap::new();
        for (name, keys) in case["dynamic_keys"].as_object().into_iter().flatten() {
            let keys: Vec<PartitionKey> =
                strings(keys).into_iter().map(PartitionKey::new).collect();
            let all = (0..u32::try_from(keys.len()).unwrap()).collect();
            tables.insert(DynamicDef::Named(name.clone()).table(), KeyTable::new(keys, all));
        }
        let resolve = |def: &Value| {
            Domain::resolve(Arc::new(definition(def)), instant(&case["now"]), &tables)
        };
        Some(Case {
            up: resolve(&case["upstream"]),
            down: resolve(&case["downstream"]),
            mapping: mapping(&case["mapping"], &case["upstream"])?,
        })
    }

    fn failures(&self, case: &Value) -> Vec<String> {
        let mut failures = Vec::new();
        let error = case.get("validation_error").and_then(Value::as_str);
        let is_error = error.is_some();
        // Windows of two zones overlap as others do, and keys of two kinds may be equal; only where
        // they never are is the definition wrong.
        let is_stricter = error.is_some_and(|error| {
            let error = error.to_lowercase();
            error.contains("timezone") || error.contains("must match")
        });
        let ours = self.mapping.validate(self.up.def(), self.down.def());
        if ours.is_err() != is_error && !(ours.is_ok() && is_stricter) {
            failures.push(format!("a definition error: not {is_error}"));
        }
        let Ok(mapping) = Mapping::new(&self.mapping, &self.up, &self.down) else {
            return failures;
        };
        for step in case["to_upstream"].as_array().into_iter().flatten() {
            let down = set(&self.down, &step["downstream_keys"]);
            let theirs = set(&self.up, &step["upstream_keys"]);
            let ours = mapping.upstream_of(&down);
            if step.get("error").is_none() && ours != theirs {
                failures.push(format!("{step} reads {:?}", keys(&self.up, &ours)));
            }
            let mut absent: Vec<String> = down
                .iter()
                .flat_map(|index| mapping.absent(index))
                .map(|k| k.to_string())
                .collect();
            absent.sort();
            absent.dedup();
            let mut named: Vec<String> = strings(&step["required_but_nonexistent"])
                .iter()
                .map(|key| our_key(&self.up, key))
                .collect();
            named.sort();
            // A moved window names what lies before the first window and behind the last one as
            // well: whether that is allowed is declared with `missing`.
            let is_moved = matches!(&self.mapping, MappingDef::Window { from, to } if from.count != 0 || to.count != 0);
            if absent != named && !is_moved {
                failures.push(format!("{step}: absent are {absent:?}"));
            }
        }
        for step in case["to_downstream"].as_array().into_iter().flatten() {
            let up = set(&self.up, &step["upstream_keys"]);
            let theirs = set(&self.down, &step["downstream_keys"]);
            let ours = mapping.downstream_of(&up);
            if step.get("error").is_none() && ours != theirs {
                failures.push(format!("{step} is read by {:?}", keys(&self.down, &ours)));
            }
        }
        failures
    }
}

#[test]
fn conformance_partition_mappings() {
    let table = read("partition_mappings.json");
    let mut wrong = Vec::new();
    let mut read = 0;
    for (id, case) in cases(&table) {
        let Some(ours) = Case::read(case) else { continue };
        read += 1;
        let failures = ours.failures(case);
        if !failures.is_empty() && !DIFFERENT.iter().any(|(name, _)| *name == id) {
            wrong.push(format!("{id}: {failures:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(read >= 45, "only {read} cases could be translated");
}
