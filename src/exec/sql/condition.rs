//! Judges a condition over `$value` before there is a value.

use std::collections::HashSet;

use super::Database;
use super::guard::Defines;
use super::text::Script;

const BEFORE: &str = "SELECT (";

/// The statement that evaluates a condition.
pub(super) fn select(condition: &str) -> String {
    format!("{BEFORE}{condition}) AS holds")
}

/// What is wrong with a condition, if anything is: the byte at which it is, and a sentence.
///
/// ```
/// use giornata::exec::judge_condition;
/// assert_eq!(judge_condition("$value % 2 = 0"), None);
/// let (offset, message) = judge_condition("$value > 0 and lenght($value) < 9").unwrap();
/// assert_eq!((offset, message.as_str()), (15, "no such function: lenght"));
/// let (offset, message) = judge_condition("$valeu > 0").unwrap();
/// assert_eq!((offset, message.as_str()), (0, "`$valeu` is unknown; the value is `$value`"));
/// ```
pub fn judge_condition(condition: &str) -> Option<(usize, String)> {
    let text = select(condition);
    let (offset, message) = judge(&text).err()?;
    Some((offset.saturating_sub(BEFORE.len()).min(condition.len()), message))
}

fn judge(text: &str) -> Result<(), (usize, String)> {
    let script = Script::parse(text).map_err(|it| (it.offset, it.message))?;
    if let [first, _, ..] = script.statements.as_slice() {
        return Err((first.end, "there is more than one statement".to_owned()));
    }
    let database = Database::open().map_err(|error| (0, error.to_string()))?;
    database.guard.enter(HashSet::new(), std::iter::empty());
    database.guard.next_statement(Defines::Nothing);
    let statement = match database.connection.prepare(text) {
        Ok(statement) => statement,
        Err(rusqlite::Error::SqlInputError { msg, offset, .. }) => {
            let whole = 0..text.len();
            let named = msg.split_once(": ").and_then(|(_, name)| script.find(text, &whole, name));
            let at = usize::try_from(offset).ok().or(named).unwrap_or(0);
            return Err((at, database.guard.take_reason().unwrap_or(msg)));
        }
        Err(error) => return Err((0, error.to_string())),
    };
    for place in 1..=statement.parameter_count() {
        let name = statement.parameter_name(place).unwrap_or("?");
        if name.get(1..) != Some("value") {
            let at = script.find(text, &(0..text.len()), name).unwrap_or(0);
            return Err((at, format!("`{name}` is unknown; the value is `$value`")));
        }
    }
    Ok(())
}
