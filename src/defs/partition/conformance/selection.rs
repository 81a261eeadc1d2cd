//! `partition_selection.json`: texts that name partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::DateTime;

use super::{cases, read, strings};
use crate::base::{PartitionKey, PartitionSet};
use crate::defs::Domain;
use crate::defs::partition::{PartitionExpr, PartitionTextError, PartitionsDef};

fn select(domain: &Domain, text: &str) -> Result<PartitionSet, PartitionTextError> {
    PartitionExpr::parse(text)?.select(domain, &|_| PartitionSet::new())
}

#[test]
fn conformance_partition_selection() {
    let table = read("partition_selection.json");
    let mut wrong = Vec::new();
    for (id, case) in cases(&table) {
        let keys = strings(&table["key_sets"][case["keys"].as_str().unwrap()]);
        let def = PartitionsDef::Static(keys.into_iter().map(PartitionKey::new).collect());
        let domain = Domain::resolve(Arc::new(def), DateTime::UNIX_EPOCH, &BTreeMap::new());
        let ours = select(&domain, case["text"].as_str().unwrap());
        let expected = case.get("expect").map(|keys| {
            let index = |key: &String| domain.index(key).unwrap();
            strings(keys).iter().map(index).collect::<PartitionSet>()
        });
        let is_backwards = ours.as_ref().is_err_and(|error| error.message.contains("backwards"));
        let fits = match (&ours, &expected) {
            (Ok(ours), Some(expected)) => ours == expected,
            // A range backwards is an error here, there it is empty.
            (Err(_), Some(expected)) => is_backwards && expected.is_empty(),
            // A key needs no quotes for a character that means nothing here.
            (Ok(ours), None) => {
                let error = case["expect_error"].as_str().unwrap();
                error.contains("unexpected character") && ours.len() == 1
            }
            (Err(_), None) => true,
        };
        if !fits {
            wrong.push(format!("{id}: {ours:?}, not {expected:?}"));
        }
        if let Ok(set) = ours {
            let text = domain.render(&set).join(",");
            assert_eq!(select(&domain, &text), Ok(set), "{text}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
