//! What another process wants of a run that goes on: the engine that carries it out looks here.

use rusqlite::params;

use super::error::undecodable;
use super::read::run_number;
use super::{Error, Store, Tx};
use crate::base::RunId;

/// What is wanted of a run by somebody who does not carry it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Stop what runs, and start nothing more.
    Cancel,
    /// Finish what runs, and start nothing more.
    Pause,
}

impl Wish {
    pub fn as_str(self) -> &'static str {
        match self {
            Wish::Cancel => "cancel",
            Wish::Pause => "pause",
        }
    }

    pub(super) fn parse(text: &str) -> rusqlite::Result<Wish> {
        let known = [Wish::Cancel, Wish::Pause].into_iter().find(|wish| wish.as_str() == text);
        known.ok_or_else(|| undecodable("wish"))
    }
}

impl Store {
    /// What is wanted of a run, if anything.
    pub fn wish(&self, run: RunId) -> Result<Option<Wish>, Error> {
        self.ask(|sql| {
            let wish =
                sql.maybe("SELECT wish FROM run WHERE id = ?1", [run_number(run)], |row| {
                    row.get::<_, Option<String>>(0)
                })?;
            wish.flatten().map(|text| Wish::parse(&text)).transpose()
        })
    }
}

impl Tx<'_> {
    /// Tells whoever carries out a run what is wanted of it; `false` if it has ended. That a run is to be
    /// cancelled cannot be taken back by a pause.
    pub fn wish(&mut self, run: RunId, wish: Wish) -> Result<bool, Error> {
        let told = self.ask(|sql| {
            sql.exec(
                "UPDATE run SET wish = CASE WHEN wish = 'cancel' THEN wish ELSE ?2 END
                 WHERE id = ?1 AND state = 'running'",
                params![run_number(run), wish.as_str()],
            )
        })?;
        Ok(told > 0)
    }
}
