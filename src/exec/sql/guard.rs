//! What a user's statement may do: read its inputs and make tables of its own, nothing else.
//!
//! A statement that reached around its inputs would read what no record says it read.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Begins the name of every table of ours.
pub(super) const OURS: &str = "_giornata_";

/// The name that a view uses inside.
pub(super) const UNION: &str = "_giornata_union";

/// Decides over the actions of a connection; clones share one state.
#[derive(Clone, Default)]
pub(super) struct Guard(Arc<Mutex<State>>);

/// Whether a statement makes or drops a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defines {
    Something,
    Nothing,
}

#[derive(Default)]
struct State {
    /// The inputs of the step that runs, in lower case; `None` while we work ourselves.
    inputs: Option<HashSet<String>>,
    /// Attached databases that it may read, in lower case.
    databases: HashSet<String>,
    /// Inputs of any step: views that exist.
    views: HashSet<String>,
    /// The statement makes or drops something, so SQLite will write its own catalogue for it.
    defines: bool,
    reason: Option<String>,
}

impl Guard {
    pub(super) fn add_view(&self, name: &str) {
        self.lock().views.insert(name.to_lowercase());
    }

    pub(super) fn remove_view(&self, name: &str) {
        self.lock().views.remove(&name.to_lowercase());
    }

    /// From here on the statements are the user's.
    pub(super) fn enter(&self, inputs: HashSet<String>, databases: impl Iterator<Item = String>) {
        let mut state = self.lock();
        state.inputs = Some(inputs);
        state.databases = databases.collect();
    }

    /// From here on they are ours.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.inputs = None;
        state.defines = false;
        state.reason = None;
    }

    /// Why the last statement was refused, if it was.
    pub(super) fn take_reason(&self) -> Option<String> {
        self.lock().reason.take()
    }

    /// To be called before each statement of the user's.
    pub(super) fn next_statement(&self, defines: Defines) {
        self.lock().defines = matches!(defines, Defines::Something);
    }

    pub(super) fn decide(&self, context: &AuthContext<'_>) -> Authorization {
        let mut state = self.lock();
        if state.inputs.is_none() {
            return Authorization::Allow;
        }
        match state.refusal(context) {
            None => Authorization::Allow,
            Some(reason) => {
                state.reason.get_or_insert(reason);
                Authorization::Deny
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refusal(&self, context: &AuthContext<'_>) -> Option<String> {
        use AuthAction as A;
        let database = context.database_name.map(str::to_lowercase).unwrap_or_default();
        let is_resource = self.databases.contains(&database);
        match context.action {
            A::Read { .. } if is_resource => None,
            A::Select | A::Recursive => None,
            A::Function { function_name } => function_refusal(function_name),
            A::Read { table_name, .. } => self.read_refusal(table_name, context.accessor),
            A::Insert { .. }
            | A::Delete { .. }
            | A::Update { .. }
            | A::CreateTable { .. }
            | A::CreateIndex { .. }
            | A::DropTable { .. }
            | A::DropIndex { .. }
                if is_resource =>
            {
                Some(format!("resource `{database}` can only be read here"))
            }
            A::Insert { table_name } | A::Delete { table_name } | A::Update { table_name, .. } => {
                self.write_refusal(table_name)
            }
            A::CreateTable { table_name: name }
            | A::CreateTempTable { table_name: name }
            | A::CreateTempView { view_name: name }
            | A::CreateIndex { index_name: name, .. }
            | A::CreateTempIndex { index_name: name, .. }
            | A::DropTable { table_name: name }
            | A::DropTempTable { table_name: name }
            | A::DropTempView { view_name: name }
            | A::DropIndex { index_name: name, .. }
            | A::DropTempIndex { index_name: name, .. } => self.define_refusal(name),
            // SQLite reindexes what it has just made.
            A::Reindex { .. } if self.defines => None,
            A::Attach { .. } | A::Detach { .. } => {
                Some("ATTACH would read what is no input; declare a source".to_owned())
            }
            A::Pragma { pragma_name, .. } => Some(format!("PRAGMA {pragma_name} is not allowed")),
            A::Transaction { .. } | A::Savepoint { .. } => {
                Some("a step is one transaction already; leave BEGIN and COMMIT out".to_owned())
            }
            _ => Some("only SELECT and statements about tables of its own are allowed".to_owned()),
        }
    }

    fn read_refusal(&self, table: &str, accessor: Option<&str>) -> Option<String> {
        let name = table.to_lowercase();
        let inputs = self.inputs.as_ref()?;
        let through_input = accessor.is_some_and(|view| {
            // The union of parts with differing columns has a name of its own within the view.
            view == UNION || inputs.contains(&view.to_lowercase())
        });
        let catalogue = name.starts_with("sqlite_") || name.starts_with("pragma_");
        if name.starts_with(OURS) && through_input || catalogue && self.defines {
            None
        } else if name.starts_with(OURS) || catalogue {
            // What stands in the text is the view, not what it reads.
            let named = accessor.filter(|_| name.starts_with(OURS)).unwrap_or(table);
            Some(format!("`{named}` is not among the inputs of this asset"))
        } else if self.views.contains(&name) && !inputs.contains(&name) {
            Some(format!("`{table}` is not among the inputs of this asset"))
        } else {
            None
        }
    }

    fn write_refusal(&self, table: &str) -> Option<String> {
        let name = table.to_lowercase();
        if name.starts_with("sqlite_") && self.defines {
            return None;
        }
        if name.starts_with("sqlite_") {
            return Some(format!("`{table}` cannot be written"));
        }
        self.define_refusal(table)
    }

    fn define_refusal(&self, name: &str) -> Option<String> {
        let lower = name.to_lowercase();
        if lower.starts_with(OURS) || self.views.contains(&lower) {
            return Some(format!("`{name}` is an input and cannot be changed; copy it to a table"));
        }
        None
    }
}

fn function_refusal(function: &str) -> Option<String> {
    let name = function.to_ascii_lowercase();
    match name.as_str() {
        "random" | "randomblob" => Some(format!(
            "`{function}()` gives another result each time, so no run could be repeated"
        )),
        "current_timestamp" | "current_date" | "current_time" => {
            Some(format!("`{function}` reads the clock, so no run could be repeated"))
        }
        "load_extension" | "changes" | "total_changes" | "last_insert_rowid" => {
            Some(format!("`{function}()` is not allowed: its result is not of the inputs"))
        }
        _ => None,
    }
}
