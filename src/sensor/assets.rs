//! What a sensor on results of assets asks for: a request when any or all of them have another result.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Evaluation;
use crate::base::{AssetKey, RunRequest};
use crate::defs::{AssetsDef, Needs, Sensor, Starts, template};

/// What such a sensor knows of the results that it has dealt with; JSON in the store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AssetsCursor {
    pub assets: BTreeMap<AssetKey, Dealt>,
}

/// Of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dealt {
    /// Changes up to this revision are known.
    pub rev: u32,
    /// Keys of partitions that have changed, and were asked for by no request yet; one that is empty stands for
    /// the asset as a whole.
    pub waiting: BTreeSet<String>,
}

/// The word that stands for a partition.
const PARTITION: &str = "partition";

/// Whether each partition is a request of its own: whether the sensor says `{partition}` somewhere.
pub fn is_by_partition(sensor: &Sensor) -> bool {
    let mut texts: Vec<String> = sensor.tags.values().cloned().collect();
    texts.extend(sensor.run_key.clone());
    match &sensor.starts {
        Starts::Job { config, partition, .. } => {
            texts.push(config.to_string());
            texts.extend(partition.clone());
        }
        Starts::Assets { partition, .. } => texts.extend(partition.clone()),
        Starts::Told => {}
    }
    texts.iter().any(|text| text.contains("{partition}"))
}

/// The requests for all that waits, which waits no longer then.
pub fn requests(sensor: &Sensor, def: &AssetsDef, cursor: &mut AssetsCursor) -> Evaluation {
    let waiting = |asset: &AssetKey| cursor.assets.get(asset).map(|dealt| &dealt.waiting);
    let mut ready: BTreeMap<String, Vec<AssetKey>> = BTreeMap::new();
    for asset in &def.assets {
        for key in waiting(asset).into_iter().flatten() {
            ready.entry(key.clone()).or_default().push(asset.clone());
        }
    }
    if def.needs == Needs::All {
        ready.retain(|_, assets| assets.len() == def.assets.len());
    }
    let mut evaluation = Evaluation::default();
    let mut changed: BTreeSet<AssetKey> = BTreeSet::new();
    for (key, assets) in &ready {
        match request(sensor, key, assets) {
            Ok(request) => evaluation.requests.push(request),
            Err(fault) => evaluation.faults.push(fault),
        }
        for asset in assets {
            if let Some(dealt) = cursor.assets.get_mut(asset) {
                dealt.waiting.remove(key);
            }
        }
        changed.extend(assets.iter().cloned());
    }
    let names: Vec<&str> = changed.iter().map(AssetKey::as_str).collect();
    evaluation.reason = match names.as_slice() {
        [] => String::new(),
        [one] => format!("{one} has another result"),
        several => format!("{} have other results", several.join(", ")),
    };
    evaluation
}

fn request(sensor: &Sensor, key: &str, assets: &[AssetKey]) -> Result<RunRequest, String> {
    let names: Vec<&str> = assets.iter().map(AssetKey::as_str).collect();
    let word = |name: &str, _: Option<&str>| match name {
        "assets" => Some(names.join(",")),
        PARTITION => Some(key.to_owned()),
        _ => None,
    };
    let wrong = |error: template::TemplateError| error.to_string();
    let what = super::wanted(&sensor.starts, &word).map_err(wrong)?;
    let what = what.ok_or_else(|| format!("sensor `{}` starts nothing", sensor.name))?;
    let run_key = sensor.run_key.as_ref().map(|text| template::write(text, &word));
    let run_key = run_key.transpose().map_err(wrong)?;
    let tags = super::labels(&sensor.tags, &word).map_err(wrong)?;
    Ok(RunRequest { run_key, what, tags, as_of: None, back: 0 })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::JobName;
    use crate::defs::{Origin, Selection, Trigger};
    use proptest::prelude::*;

    fn sensor(needs: Needs, partition: Option<&str>) -> (Sensor, AssetsDef) {
        let assets = ["a", "b"].map(|name| AssetKey::parse(name).unwrap()).into();
        let def = AssetsDef { assets, needs };
        let sensor = Sensor {
            name: JobName::parse("both").unwrap(),
            origin: Origin { file: "a.yaml".into(), line: 1 },
            on: Trigger::Assets(def.clone()),
            starts: Starts::Assets {
                select: Selection::parse("c").unwrap(),
                partition: partition.map(str::to_owned),
            },
            run_key: None,
            tags: BTreeMap::new(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            is_on: true,
            description: None,
        };
        (sensor, def)
    }

    fn wait(cursor: &mut AssetsCursor, asset: &str, key: &str) {
        let dealt = cursor.assets.entry(AssetKey::parse(asset).unwrap()).or_default();
        dealt.waiting.insert(key.to_owned());
    }

    #[test]
    fn all_means_that_each_has_changed_since_the_last_request() {
        let (sensor, def) = sensor(Needs::All, None);
        let mut cursor = AssetsCursor::default();
        wait(&mut cursor, "a", "");
        assert_eq!(requests(&sensor, &def, &mut cursor).requests, []);
        wait(&mut cursor, "b", "");
        let evaluation = requests(&sensor, &def, &mut cursor);
        assert_eq!(evaluation.requests.len(), 1);
        assert_eq!(evaluation.reason, "a, b have other results");
        wait(&mut cursor, "b", "");
        assert_eq!(requests(&sensor, &def, &mut cursor).requests, []);
    }

    proptest! {
        /// In whichever order partitions change: each change is asked for after it, and none without one.
        #[test]
        fn no_change_is_lost(changes in proptest::collection::vec((0..2_usize, 0..3_u8), 0..20), looks in any::<u32>()) {
            let (sensor, def) = sensor(Needs::All, Some("{partition}"));
            prop_assert!(is_by_partition(&sensor));
            let mut cursor = AssetsCursor::default();
            let mut open = [BTreeSet::new(), BTreeSet::new()];
            for (at, (asset, key)) in changes.iter().enumerate() {
                wait(&mut cursor, ["a", "b"][*asset], &key.to_string());
                open[*asset].insert(*key);
                if looks & (1 << at) == 0 {
                    continue;
                }
                let both: BTreeSet<u8> = open[0].intersection(&open[1]).copied().collect();
                let evaluation = requests(&sensor, &def, &mut cursor);
                prop_assert_eq!(evaluation.requests.len(), both.len());
                open.iter_mut().for_each(|open| open.retain(|key| !both.contains(key)));
            }
        }
    }
}
