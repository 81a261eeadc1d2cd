//! Reads when an asset is brought up to date by itself: `automation`.

use super::asset::Context;
use super::node::{Sink, Value};
use crate::defs::Condition;

/// Reads a condition.
pub(super) fn read(value: Value<'_>, context: &Context<'_>, sink: &mut Sink) -> Option<Condition> {
    let text = value.text("automation", sink)?;
    match Condition::parse(text, context.sets.timezone) {
        Ok(condition) => Some(condition),
        Err(error) => {
            let mut place = value.place();
            // The place of the mistake itself, where the file has the text as it is.
            let file = place.file.text.get(place.span.clone()).unwrap_or_default();
            if let Some(at) = file.find(text) {
                let start = place.span.start + at;
                place.span = start + error.at.start..start + error.at.end;
            }
            let help = "for example `eager`, `on_missing and latest` or `on_cron(\"0 3 * * *\")`";
            sink.push(place.error(error.to_string()).label("in this condition").help(help));
            None
        }
    }
}
