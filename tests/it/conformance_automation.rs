//! A recorded table of automation, told to our engine in our own notation, tick by tick.
//!
//! `GIORNATA_CONFORMANCE_DIR` names another folder with a larger table of the same form. Translated is by rule:
//! what is made has another content each time, what is materialized is forced, and nothing upstream is made for
//! it. What was requested counts as being made until it is. `eager` and `on_missing` of windows of time are about the
//! latest one there, which ours says with `and latest`.
//!
//! Where our answer is another one than the table's, [`Deviation`] says by which rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use giornata::base::{AssetKey, PartitionKey, PartitionSet};
use giornata::engine::{Engine, KeyChange, Rule, RunOptions};
use giornata::exec::Control;
use giornata::plan::{Reach, Request};
use serde_json::Value;

use crate::watch_rig::Rig;

/// Why our answer is another one than the table's, each with what makes ours right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deviation {
    /// What is there at the first look is no news there. Ours compares states, so that nothing is missed that
    /// happened before anybody looked.
    FirstLook,
    /// After a tick it is waited there until each input was made anew. Ours makes what is not fresh: an input that
    /// stayed as it is needs nothing.
    WaitsForInputs,
    /// A request is repeated there although it is not carried out yet. Ours counts as being made.
    Repeats,
    /// What was never made counts there as changed with its code. Ours is `missing`, which says so.
    NeverMade,
    /// Ours has no way to leave one input out of a condition: what it changes makes stale.
    NotSaid,
}

/// What we answer where the table says something else: the case, the number of the tick from 0, our answer.
const DEVIATIONS: &[(&str, usize, &str, Deviation)] = &[
    (
        "eager: a new daily partition appears without parents",
        0,
        "B@2024-03-02",
        Deviation::FirstLook,
    ),
    ("on_missing: new daily partition", 0, "B@2024-03-02", Deviation::FirstLook),
    ("on_missing: new dynamic partition", 0, "B@f1", Deviation::FirstLook),
    ("on_cron: after the tick and the parents", 2, "B", Deviation::WaitsForInputs),
    ("on_cron: after the tick and the parents", 3, "", Deviation::WaitsForInputs),
    ("code_version_changed", 1, "", Deviation::NeverMade),
    ("missing", 1, "", Deviation::Repeats),
];

/// Cases that cannot be said in our notation.
const LEFT_OUT: &[(&str, Deviation)] = &[("eager, ignoring one parent", Deviation::NotSaid)];

/// Another folder with tables.
#[expect(clippy::disallowed_methods, reason = "the tests' caller says where the tables are")]
fn folder() -> Option<PathBuf> {
    std::env::var_os("GIORNATA_CONFORMANCE_DIR").map(PathBuf::from)
}

fn table() -> Value {
    let folder = folder().unwrap_or_else(|| {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/conformance"))
    });
    let text = std::fs::read_to_string(folder.join("automation.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Our condition for one of the table.
fn condition(text: &str, has_windows: bool) -> String {
    let latest = if has_windows { " and latest" } else { "" };
    let word = text.trim_start_matches("AC.");
    match word.split('(').next().unwrap() {
        "eager" => format!("eager{latest}"),
        "on_missing" => format!("on_missing{latest}"),
        "missing" => "missing".to_owned(),
        "code_version_changed" => "code_changed".to_owned(),
        "on_cron" => word.to_owned(),
        other => panic!("no condition {other}"),
    }
}

/// Our definitions for assets of the table.
fn definitions(assets: &Value) -> String {
    let mut yaml = String::new();
    let is_source = |(_, def): &(&str, &Value)| def["external"] == true;
    for (index, heading) in ["sources:\n", "assets:\n"].into_iter().enumerate() {
        let mut those = entries(assets).filter(|it| is_source(it) == (index == 0)).peekable();
        if those.peek().is_some() {
            yaml += heading;
        }
        for (name, def) in those {
            yaml += &format!("  {name}:\n");
            if index == 0 {
                yaml += &format!("    files: told/{name}\n");
                continue;
            }
            let version = def["code_version"].as_str().unwrap_or("0");
            yaml += &format!("    run: 'sh make.sh {version}'\n    output: made.txt\n");
            let deps: Vec<&str> = texts(&def["deps"]).collect();
            yaml += &format!("    deps: [{}]\n", deps.join(", "));
            let partitions = &def["partitions"];
            yaml += &match partitions["kind"].as_str() {
                None => String::new(),
                Some("static") => {
                    let keys: Vec<&str> = texts(&partitions["keys"]).collect();
                    format!("    partitions: {{static: [{}]}}\n", keys.join(", "))
                }
                Some("dynamic") => {
                    format!(
                        "    partitions: {{dynamic: {}}}\n",
                        partitions["name"].as_str().unwrap()
                    )
                }
                Some(kind) => {
                    let start = partitions["start"].as_str().unwrap();
                    format!("    partitions: {{{kind}: {{start: {start}}}}}\n")
                }
            };
            if let Some(text) = def["condition"].as_str() {
                let has_windows = partitions["start"].is_string();
                yaml += &format!("    automation: '{}'\n", condition(text, has_windows));
            }
        }
    }
    yaml
}

/// Another content each time it is called; a failure where it is told.
const MAKE: &str = r#"
test ! -e "fail.$GIORNATA_ASSET" || exit 1
n=$(cat count 2>/dev/null || echo 0)
echo $((n + 1)) > count
cat count > "$output"
"#;

/// Requested and not made yet.
type Open = BTreeMap<AssetKey, PartitionSet>;

fn parts(engine: &Engine, key: &AssetKey, partition: &Value) -> PartitionSet {
    let domain = engine.planner().domain(key);
    match partition.as_str() {
        Some(partition) => domain.index(partition).into_iter().collect(),
        None => domain.all().clone(),
    }
}

fn materialize(rig: &Rig, step: &Value, open: &mut Open) {
    let failing: BTreeSet<&str> = texts(&step["fail"]).collect();
    for name in texts(&step["materialize"]) {
        let key = AssetKey::parse(name).unwrap();
        let mut engine = rig.engine();
        let all = engine.planner().order().to_vec();
        engine.refresh(&all).unwrap();
        let set = parts(&engine, &key, &step["partition"]);
        if let Some(open) = open.get_mut(&key) {
            *open -= &set;
        }
        let flag = rig.path(&format!("fail.{name}"));
        if failing.contains(name) {
            std::fs::write(&flag, "").unwrap();
        }
        let request = Request {
            targets: [(key, set)].into(),
            chosen: BTreeMap::new(),
            reach: Reach::Only,
            force: !failing.contains(name),
        };
        let control = Control::new();
        let options = RunOptions::default();
        let summary = engine.materialize(&request, &options, &control, &mut |_, _| {}).unwrap();
        assert_eq!(summary.is_success(), !failing.contains(name), "{summary:?}");
        let _ = std::fs::remove_file(flag);
    }
}

/// What is asked for at a time; it is open from then on.
fn evaluate(rig: &Rig, at: &str, open: &mut Open) -> String {
    rig.hands.set(at);
    let mut engine = rig.engine();
    let all = engine.planner().order().to_vec();
    engine.refresh(&all).unwrap();
    let asked = engine.asked_by(&Rule::AsDeclared, open).unwrap();
    let mut texts = Vec::new();
    for (key, set) in asked {
        let domain = engine.planner().domain(&key);
        for part in &set {
            let partition = domain.key(part).unwrap();
            let at = if partition.is_unpartitioned() { "" } else { "@" };
            texts.push(format!("{key}{at}{partition}"));
        }
        *open.entry(key).or_default() |= set;
    }
    texts.join(" ")
}

fn expected(requested: &Value) -> String {
    let one = |(name, what): (&str, &Value)| match what.as_array() {
        None => vec![name.to_owned()],
        Some(_) => texts(what).map(|key| format!("{name}@{key}")).collect(),
    };
    entries(requested).flat_map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn conformance_automation() {
    let table = table();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for case in table["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        if LEFT_OUT.iter().any(|(left_out, _)| *left_out == id) {
            continue;
        }
        let mut assets = case["assets"].clone();
        let rig = Rig::new(&definitions(&assets));
        rig.write("make.sh", MAKE);
        let (mut open, mut tick) = (Open::new(), 0);
        for step in case["steps"].as_array().unwrap() {
            if let Some(at) = step["evaluate"].as_str() {
                let found = evaluate(&rig, at, &mut open);
                let deviation = DEVIATIONS.iter().position(|(of, no, ..)| *of == id && *no == tick);
                let ours = match deviation {
                    Some(at) => {
                        used.insert(at);
                        DEVIATIONS[at].2.to_owned()
                    }
                    None => expected(&step["requested"]),
                };
                if found != ours {
                    wrong.push(format!("{id}, tick {tick}: `{found}`, and not `{ours}`"));
                }
                tick += 1;
            } else if step["materialize"].is_array() {
                materialize(&rig, step, &mut open);
            } else if step["define"].is_object() {
                for (name, def) in entries(&step["define"]) {
                    assets[name] = def.clone();
                }
                rig.write("assets/a.yaml", &definitions(&assets));
            } else if step["observe"].is_object() {
                for (name, version) in entries(&step["observe"]) {
                    rig.write(&format!("told/{name}"), version.as_str().unwrap());
                }
            } else {
                for (name, keys) in entries(&step["add_partitions"]) {
                    let of = |(_, def): &(&str, &Value)| def["partitions"]["name"] == name;
                    let (asset, _) = entries(&assets).find(of).unwrap();
                    let keys: Vec<PartitionKey> = texts(keys).map(PartitionKey::new).collect();
                    let asset = AssetKey::parse(asset).unwrap();
                    rig.engine().change_keys(&asset, KeyChange::Add, &keys).unwrap();
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0], "{wrong:#?}");
    if folder().is_none() {
        assert_eq!(used.len(), DEVIATIONS.len(), "a deviation that is none any more");
    }
}
