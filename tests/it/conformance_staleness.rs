//! A recorded table of staleness, told to our engine in our own notation, step by step.
//!
//! `GIORNATA_CONFORMANCE_DIR` names another folder with a larger table of the same form. Translated is
//! by rule: an asset without a code version has another content each time it is made, one with a
//! version makes what its version and its inputs say; what is materialized is forced, and nothing
//! upstream is made for it; an observed source is a command that prints its version.
//!
//! Where the table has one of the recorded limits, ours is another answer, and [`Deviation`] says by
//! which rule. All answers are proven: what we call fresh is what an empty store would make, and what
//! we call stale where the table has it fresh is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use giornata::base::{AssetKey, FixedClock, PartitionIdx, PartitionKey, PartitionSet};
use giornata::defs::PartitionsDef;
use giornata::engine::{Access, Engine, Made, Options, RunOptions, State, Value};
use giornata::exec::{Control, NoFunctions};
use giornata::plan::{Reach, ReasonCode, Request, Why};
use serde_json::Value as Json;

use super::freshness_rig::key;

/// Why our answer is another one than the table's, each with what makes ours right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deviation {
    /// A partitioned asset as a whole is fresh there, whatever its partitions are. Ours is fresh only
    /// if all of them are.
    Whole,
    /// Staleness does not travel past one edge there. Ours may be stale as long as anything upstream is
    /// not fresh: an empty store would make that first.
    PastOneEdge,
    /// Reading all of a time window is ignored there. Ours looks at every partition.
    AllOfTimeWindow,
    /// An edge of a hundred partitions or more is ignored there. Ours looks at every partition.
    WideEdge,
    /// Version texts are joined without a separator there, so that `1` and `23` are `12` and `3`.
    Joined,
    /// A dependency that is itself to be made is a change of data there. Ours says so, and what it
    /// comes from.
    UpstreamFirst,
}

/// What every asset runs: what it was told to make, else its version, its stamp and all it reads.
const MAKE: &str = r#"
told="$GIORNATA_ROOT/told"
read -r names < "$told/names"
test ! -e "$told/fail.$GIORNATA_ASSET" || exit 1
id="$GIORNATA_ASSET.$GIORNATA_PARTITION"
if test -e "$told/version.$id"; then exec cat "$told/version.$id"; fi
cat "$told/code.$GIORNATA_ASSET"
test ! -e "$told/stamp.$id" || cat "$told/stamp.$id"
for name in $names; do
  eval "input=\${GIORNATA_INPUT_$name:-}"
  test -n "$input" || continue
  for file in "$input" "$input"/*; do
    test ! -f "$file" || { printf '<'; cat "$file"; printf '>'; }
  done
done
"#;

fn table() -> Json {
    #[expect(clippy::disallowed_methods, reason = "the tests' caller says where the tables are")]
    let folder = std::env::var_os("GIORNATA_CONFORMANCE_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/conformance"))
    });
    let text = std::fs::read_to_string(folder.join("staleness.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn names(list: &Json) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|name| name.as_str().unwrap()).collect()
}

fn entries(table: &Json) -> impl Iterator<Item = (&str, &Json)> {
    table.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// Our `partitions` of a definition.
fn partitions(def: &Json) -> String {
    let keys: Vec<String> = match def["kind"].as_str().unwrap() {
        "static" => names(&def["keys"]).into_iter().map(|key| format!("{key:?}")).collect(),
        "static_n" => (0..def["n"].as_u64().unwrap()).map(|i| format!("\"p{i:03}\"")).collect(),
        cadence @ ("hourly" | "daily" | "weekly" | "monthly") => {
            let end = def["end"].as_str().map(|end| format!(", end: {end}")).unwrap_or_default();
            return format!("{{{cadence}: {{start: {}{end}}}}}", def["start"].as_str().unwrap());
        }
        other => panic!("no kind {other}"),
    };
    format!("[{}]", keys.join(", "))
}

fn mapping(name: &str) -> &str {
    match name {
        "prev" => "window(-1, -1)",
        "last" => "last(1)",
        "all" | "identity" => name,
        other => panic!("no mapping {other}"),
    }
}

/// Our definitions. What is absent is no error in the table, so it is none here.
fn definitions(define: &Json) -> String {
    let (mut sources, mut assets) = (String::from("sources: {}\n"), String::from("assets:\n"));
    for (name, def) in entries(define) {
        if let Some(kind) = def["external"].as_str() {
            sources = sources.replace("{}", "");
            sources += &match kind {
                "plain" => format!("  {name}: {{files: told/plain}}\n"),
                "observable" => format!("  {name}: {{observe: cat told/answer.{name}}}\n"),
                other => panic!("no external asset {other}"),
            };
            continue;
        }
        assets += &format!("  {name}:\n    run: 'sh \"$GIORNATA_ROOT/make.sh\" > \"$output\"'\n");
        assets += "    output: made\n";
        if let Some(version) = def["code_version"].as_str() {
            assets += &format!("    version: {version:?}\n");
        }
        if def["partitions"].is_object() {
            assets += &format!("    partitions: {}\n", partitions(&def["partitions"]));
        }
        let deps = names(&def["deps"]);
        assets += if deps.is_empty() { "" } else { "    deps:\n" };
        for dep in deps {
            let map = def["mappings"][dep].as_str().map(mapping);
            let map = map.map(|map| format!(", map: \"{map}\"")).unwrap_or_default();
            assets += &format!("      {dep}: {{missing: allow{map}}}\n");
        }
    }
    sources + &assets
}

/// A project in a directory.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        bench.write("giornata.toml", "[settings]\ndurability = \"fast\"\n");
        bench.write("make.sh", MAKE);
        bench.write("told/plain", "plain\n");
        bench
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn remove(&self, path: &str) {
        let _ = std::fs::remove_file(self.path(path));
    }

    fn open(&self) -> Engine {
        let loaded = giornata::load::project(self.dir.path()).unwrap();
        assert_eq!(loaded.diagnostics, []);
        let options = Options {
            root: self.dir.path().to_owned(),
            access: Access::Write,
            clock: Arc::new(FixedClock("2026-01-01T00:00:00Z".parse().unwrap())),
            env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            set: vec![],
            functions: Arc::new(NoFunctions),
        };
        Engine::open(loaded.project, options).unwrap()
    }

    /// The same project with an empty store, in which everything is made.
    fn rebuilt(&self) -> (Bench, Engine) {
        let other = Bench::new();
        for path in ["told", "assets"] {
            for entry in std::fs::read_dir(self.path(path)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let text = std::fs::read_to_string(self.path(path).join(&name)).unwrap();
                if !name.starts_with("fail.") {
                    other.write(&format!("{path}/{name}"), &text);
                }
            }
        }
        let mut engine = other.open();
        refresh(&mut engine);
        let assets = engine.project().assets.values().filter(|asset| !asset.is_source());
        let all = |key: &AssetKey| engine.planner().domain(key).all().clone();
        let targets = assets.map(|asset| (asset.key.clone(), all(&asset.key))).collect();
        materialize(
            &mut engine,
            &Request { targets, chosen: Default::default(), reach: Reach::Upstream, force: false },
        );
        (other, engine)
    }
}

fn refresh(engine: &mut Engine) {
    let assets: Vec<AssetKey> = engine.project().assets.keys().cloned().collect();
    engine.refresh(&assets).unwrap();
}

fn materialize(engine: &mut Engine, request: &Request) {
    let options = RunOptions::default();
    engine.materialize(request, &options, &Control::new(), &mut |_, _| {}).unwrap();
}

fn content(engine: &Engine, asset: &AssetKey, part: PartitionIdx) -> String {
    match engine.value(asset, part).unwrap() {
        Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        Value::File(path) => std::fs::read_to_string(path).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// One scenario on its way.
struct Scenario<'a> {
    id: &'a str,
    bench: Bench,
    engine: Option<Engine>,
    step: usize,
    /// Versions of each asset by name, as the table has them: with ours, and with the content.
    versions: BTreeMap<(AssetKey, String), BTreeSet<(String, String)>>,
    deviations: BTreeMap<Deviation, usize>,
    faults: Vec<String>,
}

impl Scenario<'_> {
    fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().unwrap()
    }

    fn apply(&mut self, step: &Json) {
        self.step += 1;
        if step["define"].is_object() {
            self.define(&step["define"]);
        }
        if step["materialize"].is_array() {
            self.materialize(step);
        }
        for (name, version) in entries(&step["observe"]) {
            self.bench.write(&format!("told/answer.{name}"), version.as_str().unwrap());
            self.engine().observe(&[key(name)]).unwrap();
        }
        for (name, version) in entries(&step["report"]) {
            let text = version.as_str().unwrap_or("INITIAL");
            for part in &self.parts(name, step) {
                let id = format!("{name}.{}", self.key_of(name, part));
                self.bench.write(&format!("told/version.{id}"), text);
                let path = Some(self.bench.path(&format!("told/version.{id}")));
                self.engine().report(&key(name), part, &Made { version: None, path }).unwrap();
            }
        }
        for name in names(&step["wipe"]) {
            let parts = self.parts(name, step);
            self.engine().wipe(&BTreeMap::from([(key(name), parts)])).unwrap();
        }
        refresh(self.engine());
        self.check(&step["expect"]);
    }

    /// The partitions that a step is about: the one that it names, or all.
    fn parts(&mut self, name: &str, step: &Json) -> PartitionSet {
        let domain = self.engine().planner().domain(&key(name));
        match step["partition"].as_str() {
            Some(part) => PartitionSet::from_iter([domain.index(part).unwrap()]),
            None => domain.all().clone(),
        }
    }

    fn key_of(&mut self, name: &str, part: PartitionIdx) -> PartitionKey {
        self.engine().planner().domain(&key(name)).key(part).unwrap()
    }

    fn define(&mut self, define: &Json) {
        self.bench.write("assets/all.yaml", &definitions(define));
        let all: Vec<String> =
            entries(define).map(|(name, _)| key(name).variable().to_uppercase()).collect();
        self.bench.write("told/names", &format!("{}\n", all.join(" ")));
        for (name, def) in entries(define) {
            let code = def["code_version"].as_str().unwrap_or("");
            self.bench.write(&format!("told/code.{name}"), code);
            let answer = format!("told/answer.{name}");
            if def["external"] == "observable" && !self.bench.path(&answer).exists() {
                self.bench.write(&answer, "INITIAL");
            }
        }
        self.engine = None;
        self.engine = Some(self.bench.open());
        refresh(self.engine());
    }

    fn materialize(&mut self, step: &Json) {
        let fails = names(&step["fail"]);
        fails.iter().for_each(|name| self.bench.write(&format!("told/fail.{name}"), ""));
        let mut targets = BTreeMap::new();
        for name in names(&step["materialize"]) {
            let parts = self.parts(name, step);
            for index in &parts {
                let id = format!("{name}.{}", self.key_of(name, index));
                let said = step["data_versions"][name].as_str();
                if !fails.contains(&name) {
                    self.tell(&id, said);
                }
            }
            targets.insert(key(name), parts);
        }
        let request =
            Request { targets, chosen: Default::default(), reach: Reach::Only, force: true };
        materialize(self.engine(), &request);
        fails.iter().for_each(|name| self.bench.remove(&format!("told/fail.{name}")));
    }

    /// What a partition is about to make: a given version, or where there is no code version one that
    /// never was.
    fn tell(&self, id: &str, said: Option<&str>) {
        let (version, stamp) = (format!("told/version.{id}"), format!("told/stamp.{id}"));
        match said {
            Some(text) => self.bench.write(&version, text),
            None => self.bench.remove(&version),
        }
        let asset = id.split('.').next().unwrap();
        let code = std::fs::read_to_string(self.bench.path(&format!("told/code.{asset}"))).unwrap();
        if code.is_empty() {
            self.bench.write(&stamp, &format!("run {}", self.step));
        } else {
            self.bench.remove(&stamp);
        }
    }

    fn check(&mut self, expect: &Json) {
        let (_rebuilt_dir, rebuilt) = self.bench.rebuilt();
        let engine = self.engine.take().unwrap();
        for (id, wanted) in entries(expect) {
            let (name, part) = match id.split_once('[') {
                Some((name, part)) => (name, part.trim_end_matches(']')),
                None => (id, ""),
            };
            let asset = key(name);
            if part == "*" {
                self.check_whole(&engine, &asset, wanted);
                continue;
            }
            let index = engine.planner().domain(&asset).index(part).unwrap();
            let found = Found::new(&engine, &rebuilt, &asset, index);
            let faults = self.compare(&engine, &found, wanted);
            let place = format!("{}, step {}: {id}", self.id, self.step);
            self.faults.extend(faults.into_iter().map(|fault| format!("{place}: {fault}")));
            self.version(&found, wanted["data_version"].as_str().unwrap());
        }
        self.engine = Some(engine);
    }

    fn deviate(&mut self, deviation: Deviation) {
        *self.deviations.entry(deviation).or_default() += 1;
    }

    fn check_whole(&mut self, engine: &Engine, asset: &AssetKey, wanted: &Json) {
        assert_eq!(wanted["status"], "FRESH", "the table knows no other answer");
        let fresh = engine.status(asset).unwrap().sets[&State::Fresh].clone();
        if fresh != *engine.planner().domain(asset).all() {
            self.deviate(Deviation::Whole);
        }
    }

    /// Everything in which our answer is another one than the table's, without a rule that says so.
    fn compare(&mut self, engine: &Engine, found: &Found, wanted: &Json) -> Vec<String> {
        let mut faults = Vec::new();
        if found.state == "fresh" && found.content != found.rebuilt {
            faults.push(format!("fresh, though an empty store would make {:?}", found.rebuilt));
        }
        let status = wanted["status"].as_str().unwrap();
        let ours = match (status, found.waits) {
            ("MISSING", _) => "missing",
            ("STALE", true) => "maybe_stale",
            ("STALE", false) => "stale",
            ("FRESH", true) => {
                self.deviate(Deviation::PastOneEdge);
                "maybe_stale"
            }
            ("FRESH", false) => match limit(engine, found) {
                Some(deviation) if found.state == "stale" && found.content != found.rebuilt => {
                    self.deviate(deviation);
                    "stale"
                }
                Some(_) | None => "fresh",
            },
            (other, _) => panic!("no status {other}"),
        };
        if found.state != ours {
            faults.push(format!("is {}, not {ours}: {:#?}", found.state, found.why));
        }
        if status == "STALE" {
            faults.extend(self.causes(found, wanted));
        }
        faults
    }

    /// Each cause in the table is one of ours, and where nothing upstream waits, ours are no others.
    fn causes(&mut self, found: &Found, wanted: &Json) -> Vec<String> {
        let mut ours = causes(&found.why);
        let mut faults = Vec::new();
        for cause in wanted["causes"].as_array().into_iter().flatten() {
            let on = cause["dependency"].as_str().unwrap_or("");
            let place = match cause["dependency_partition"].as_str() {
                Some(part) => format!("{on}@{part}"),
                None => on.to_owned(),
            };
            let category = category(cause["category"].as_str().unwrap());
            let at = ours.iter().position(|(code, named)| {
                category.contains(code) && (named.as_str() == place || named.as_str() == on)
            });
            if let Some(at) = at {
                ours.swap_remove(at);
                continue;
            }
            let first = ours.iter().position(|(code, named)| {
                *code == ReasonCode::UpstreamStale && named.split('@').next() == Some(on)
            });
            match first {
                Some(_) => self.deviate(Deviation::UpstreamFirst),
                None => faults.push(format!("no cause {cause}: {:#?}", found.why)),
            }
        }
        ours.retain(|(code, _)| *code != ReasonCode::UpstreamStale);
        if !ours.is_empty() {
            faults.push(format!("causes that the table has not: {ours:?}"));
        }
        // Roots: what a cause of data comes from is that the other has other data, and nothing else.
        for root in wanted["root_causes"].as_array().into_iter().flatten() {
            let asset = root["asset"].as_str().unwrap();
            let category = category(root["category"].as_str().unwrap());
            let known = roots(&found.why).iter().any(|(of, code, named)| {
                // Data is another's, code and wiring are one's own; what is first made comes from itself.
                let whose =
                    if category.contains(&ReasonCode::UpstreamChanged) { named } else { of };
                let whose = whose.split('@').next();
                whose == Some(asset) && category.contains(code)
                    || *code == ReasonCode::Missing && of == asset
            });
            if !known {
                faults.push(format!("no root {root}: {:#?}", found.why));
            }
        }
        faults
    }

    /// Equal names are equal versions of one asset.
    fn version(&mut self, found: &Found, name: &str) {
        let place = format!("{}, step {}: {}", self.id, self.step, found.asset);
        if (name == "NULL") != found.version.is_none() {
            self.faults.push(format!("{place}: version {:?} for {name}", found.version));
        }
        let (Some(version), Some(content)) = (&found.version, &found.content) else { return };
        let id = (found.asset.clone(), name.to_owned());
        let known = self.versions.entry(id.clone()).or_default();
        known.insert((version.clone(), content.clone()));
        if known.len() > 1 {
            // The same text, however it is cut.
            let joined = |text: &str| text.replace(['<', '>'], "");
            let texts: BTreeSet<String> = known.iter().map(|(_, text)| joined(text)).collect();
            match texts.len() {
                1 => self.deviate(Deviation::Joined),
                _ => self.faults.push(format!("{place}: {name} is several: {known:?}")),
            }
        }
        let others = self.versions.iter().filter(|(other, _)| other.0 == id.0 && other.1 != id.1);
        for ((_, other), set) in others {
            if set.iter().any(|(known, _)| known == version) {
                let fault = format!("{place}: {name} is {other}: {version}");
                self.faults.push(fault);
            }
        }
    }
}

/// What we say about one partition.
struct Found {
    asset: AssetKey,
    part: PartitionIdx,
    state: &'static str,
    why: Why,
    /// Something that it reads is not fresh.
    waits: bool,
    version: Option<String>,
    content: Option<String>,
    /// What an empty store would make.
    rebuilt: Option<String>,
}

impl Found {
    fn new(engine: &Engine, rebuilt: &Engine, asset: &AssetKey, part: PartitionIdx) -> Found {
        let planner = engine.planner();
        let is_source = planner.def(asset).is_source();
        let mark = planner.records().column(asset).get(part).filter(|mark| mark.has_value());
        let why = engine.why(asset, part).unwrap();
        let edges = planner.edges(asset).clone();
        let waits = edges.iter().any(|edge| {
            let mapped = edge.mapping.upstream_of_one(part);
            !mapped.is_subset(&planner.freshness(&edge.upstream).fresh())
        });
        let version = mark.map(|mark| mark.version.to_string());
        let made = version.is_some() && !is_source;
        let content =
            if is_source { version.clone() } else { made.then(|| content(engine, asset, part)) };
        let there = match is_source {
            true => content.clone(),
            false => Some(self::content(rebuilt, asset, part)),
        };
        let state = why.state;
        Found { asset: asset.clone(), part, state, why, waits, version, content, rebuilt: there }
    }
}

/// The limit of the table that lets it call something fresh which is not.
fn limit(engine: &Engine, found: &Found) -> Option<Deviation> {
    let edges = engine.planner().edges(&found.asset);
    edges.iter().find_map(|edge| {
        let upstream = engine.planner().def(&edge.upstream);
        let mapped = edge.mapping.upstream_of_one(found.part);
        if mapped.len() >= 100 {
            Some(Deviation::WideEdge)
        } else if matches!(upstream.partitions, PartitionsDef::TimeWindow(_))
            && edge.mapping.is_constant()
        {
            Some(Deviation::AllOfTimeWindow)
        } else if found.content.as_ref().map(|text| text.replace(['<', '>'], ""))
            == found.rebuilt.as_ref().map(|text| text.replace(['<', '>'], ""))
        {
            Some(Deviation::Joined)
        } else {
            None
        }
    })
}

/// What the table's categories are called here.
fn category(name: &str) -> &'static [ReasonCode] {
    match name {
        "CODE" => &[ReasonCode::CodeChanged],
        "DATA" => &[
            ReasonCode::UpstreamChanged,
            ReasonCode::InputChanged,
            ReasonCode::InputAdded,
            ReasonCode::InputRemoved,
            ReasonCode::ObservedVersionChanged,
            ReasonCode::PreviousPartitionChanged,
        ],
        "DEPENDENCIES" => &[ReasonCode::InputsAdded, ReasonCode::InputsRemoved],
        other => panic!("no category {other}"),
    }
}

/// The causes with the asset, or the partition of it, that they name.
fn causes(why: &Why) -> Vec<(ReasonCode, String)> {
    let named = |cause: &giornata::plan::Cause| match cause.code {
        ReasonCode::CodeChanged => String::new(),
        _ => cause.text.split('`').nth(1).unwrap_or("").to_owned(),
    };
    why.causes.iter().map(|cause| (cause.code, named(cause))).collect()
}

/// The causes that have no causes themselves, with whose they are and what they name.
fn roots(why: &Why) -> Vec<(String, ReasonCode, String)> {
    let mut found = Vec::new();
    for (cause, (code, named)) in why.causes.iter().zip(causes(why)) {
        if cause.upstream.is_empty() {
            found.push((why.asset.to_string(), code, named));
        }
        cause.upstream.iter().for_each(|why| found.extend(roots(why)));
    }
    found
}

fn run(case: &Json) -> (BTreeMap<Deviation, usize>, Vec<String>) {
    let mut scenario = Scenario {
        id: case["id"].as_str().unwrap(),
        bench: Bench::new(),
        engine: None,
        step: 0,
        versions: BTreeMap::new(),
        deviations: BTreeMap::new(),
        faults: Vec::new(),
    };
    case["steps"].as_array().unwrap().iter().for_each(|step| scenario.apply(step));
    (scenario.deviations, scenario.faults)
}

/// Runs all scenarios; says how often each rule of deviation is met. All other answers are the table's.
fn run_all(table: &Json) -> BTreeMap<Deviation, usize> {
    let cases = table["cases"].as_array().unwrap();
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut deviations, mut faults) = (BTreeMap::new(), Vec::new());
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (more, fault) = run(case);
            for (deviation, count) in more {
                *deviations.entry(deviation).or_insert(0) += count;
            }
            faults.extend(fault);
        }
        (deviations, faults)
    };
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        [work(), other.join().unwrap()]
    });
    let mut deviations: BTreeMap<Deviation, usize> = BTreeMap::new();
    let mut faults: Vec<String> = Vec::new();
    for (more, fault) in both {
        more.into_iter().for_each(|(rule, count)| *deviations.entry(rule).or_default() += count);
        faults.extend(fault);
    }
    assert!(faults.is_empty(), "{deviations:?}\n{}", faults.join("\n"));
    deviations
}

#[test]
fn conformance_staleness() {
    println!("deviations: {:?}", run_all(&table()));
}

/// Scenarios of our own, expected as the recorded limits have it: each rule is met.
#[test]
fn conformance_staleness_limits() {
    let table = include_str!("../data/conformance/staleness_limits.json");
    let met = run_all(&serde_json::from_str(table).unwrap());
    for rule in [Deviation::AllOfTimeWindow, Deviation::WideEdge, Deviation::Joined] {
        assert!(met.contains_key(&rule), "{rule:?} is not in {met:?}");
    }
}
