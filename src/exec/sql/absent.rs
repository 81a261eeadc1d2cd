//! Decides which columns an input without any partition has: those that the statement names.
//!
//! What it would have nobody knows, and what it had in another step must not count: the columns are a
//! matter of the statement alone, and every one of them is as empty as the input.

use std::ops::Range;

use super::Run;
use super::text::Script;
use crate::exec::Input;

impl Run<'_> {
    /// Gives an input without any partition the column that an error says is missing. False if that was
    /// not the matter, or helps nothing.
    pub(super) fn has_named(&self, at: &Range<usize>, error: &rusqlite::Error) -> bool {
        let message = message(error);
        let Some(column) = column(&message) else { return false };
        let lacks = |input: &&Input| {
            let loads = self.database.loads.borrow();
            let named = loads.named(input);
            loads.is_empty(input) && !named.iter().any(|name| name.eq_ignore_ascii_case(column))
        };
        let inputs: Vec<&Input> = self.step.inputs.iter().filter(lacks).collect();
        // A name may be meant for any of them, or for two that are joined by it.
        let each = inputs.iter().map(|input| vec![*input]);
        let several = (inputs.len() > 1).then(|| inputs.clone());
        each.chain(several).any(|inputs| self.helps(at, &message, &inputs, column))
    }

    fn helps(&self, at: &Range<usize>, message: &str, inputs: &[&Input], column: &str) -> bool {
        let named = |input: &Input| self.database.loads.borrow().named(input);
        let before: Vec<Vec<String>> = inputs.iter().map(|input| named(input)).collect();
        let with = |names: &Vec<String>| {
            names.iter().cloned().chain([column.to_owned()]).collect::<Vec<_>>()
        };
        let after: Vec<Vec<String>> = before.iter().map(with).collect();
        if !self.set_named(inputs, &after, at) {
            return false;
        }
        let connection = &self.database.connection;
        let helps = match connection.prepare(&self.body.text[at.clone()]) {
            Ok(_) => true,
            Err(error) => self::message(&error) != message,
        };
        // It is the user's statement, whose refusals are told when it is prepared in earnest.
        self.database.guard.take_reason();
        helps || !self.set_named(inputs, &before, at)
    }

    /// Redefines the views of inputs.
    fn set_named(&self, inputs: &[&Input], named: &[Vec<String>], at: &Range<usize>) -> bool {
        let database = self.database;
        database.guard.leave();
        let mut loads = database.loads.borrow_mut();
        let mut each = inputs.iter().zip(named);
        let set =
            each.all(|(input, named)| loads.set_named(&database.connection, input, named).is_ok());
        database.guard.enter(self.names(), self.databases());
        database.guard.next_statement(Script::defines(&self.body.text, at));
        set
    }
}

fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// The column that a message says is missing, without what stands before it.
fn column(message: &str) -> Option<&str> {
    const JOINED: &str = "cannot join using column ";
    if let Some(rest) = message.strip_prefix(JOINED) {
        return rest.split_once(" - column not present").map(|(column, _)| column);
    }
    let name = message.strip_prefix("no such column: ")?;
    Some(name.rsplit('.').next().unwrap_or(name))
}
