//! Runs what `cargo bench --bench config` times, over few fields: it must find what it says it finds.

use giornata::defs::config::Env;
use serde_json::{Value, json};

#[path = "../../benches/config/scenario.rs"]
mod scenario;

use scenario::{FIELDS, Scenario};

#[test]
fn the_benched_configurations_are_what_they_are_called() {
    assert_eq!(FIELDS % 10, 0);
    let Scenario { declared, schema, right, wrong, misspelt } = Scenario::new(20);
    assert_eq!(declared.as_object().map(serde_json::Map::len), Some(12));
    let errors =
        |value: &Value| schema.validate(value, Env::Keep).map_or_else(|e| e.0.len(), |_| 0);
    assert_eq!(errors(&right), 0);
    assert_eq!(errors(&json!({})), 0);
    assert_eq!(errors(&wrong), 20);
    // A shape that is misspelt hides its five fields.
    assert_eq!(errors(&misspelt), 12);
}
