//! Inserts many rows with few statements: one that inserts several goes from each to the next within the table,
//! and need not look for its place again.

use std::sync::OnceLock;

use rusqlite::ToSql;

use super::Store;

/// Rows of one statement. Each has a copy of the program, so that many more of them gain nothing.
const ROWS: usize = 32;

/// A statement for one row, and for several.
pub(super) struct Insert {
    head: &'static str,
    row: &'static str,
    tail: &'static str,
    texts: OnceLock<[String; 2]>,
}

/// Takes the next value of a row.
pub(super) type Put<'a> = &'a mut dyn FnMut(&dyn ToSql) -> rusqlite::Result<()>;

impl Insert {
    /// `head` goes up to the names of the columns, `row` is what stands for each row, as in `(?, ?)`, and
    /// `tail` follows them.
    pub(super) const fn new(head: &'static str, row: &'static str, tail: &'static str) -> Insert {
        Insert { head, row, tail, texts: OnceLock::new() }
    }

    fn texts(&self) -> &[String; 2] {
        self.texts.get_or_init(|| {
            let Insert { head, row, tail, .. } = self;
            [1, ROWS].map(|rows| format!("{head} VALUES {} {tail}", vec![*row; rows].join(", ")))
        })
    }
}

impl Store {
    /// Inserts rows, best in the order of the table. `bind` puts the values of a row, one for each place that
    /// the statement leaves open.
    pub(super) fn insert<R>(
        &self,
        insert: &Insert,
        rows: impl Iterator<Item = R>,
        mut bind: impl FnMut(R, Put<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let [one, many] = insert.texts();
        let mut rows = rows.peekable();
        let mut batch: Vec<R> = Vec::new();
        while rows.peek().is_some() {
            batch.extend(rows.by_ref().take(ROWS));
            if batch.len() == ROWS {
                self.insert_together(many, batch.drain(..), &mut bind)?;
                continue;
            }
            for row in batch.drain(..) {
                self.insert_together(one, [row].into_iter(), &mut bind)?;
            }
        }
        Ok(())
    }

    fn insert_together<R>(
        &self,
        text: &str,
        rows: impl Iterator<Item = R>,
        bind: &mut impl FnMut(R, Put<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.count_statement(text)?;
        let mut statement = self.conn.prepare_cached(text)?;
        let mut place = 0;
        for row in rows {
            bind(row, &mut |value| {
                place += 1;
                statement.raw_bind_parameter(place, value)
            })?;
        }
        statement.raw_execute()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Durability;

    #[test]
    fn any_number_of_rows_is_inserted_with_few_statements() {
        static INSERT: Insert = Insert::new(
            "INSERT INTO key_table (name, idx, key, present, added_rev)",
            "('t', ?, ?, 1, 0)",
            "",
        );
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Durability::Fast).unwrap();
        for (rows, statements) in [(0_u32, 0), (1, 1), (31, 31), (32, 1), (65, 3)] {
            store.conn.execute("DELETE FROM key_table", []).unwrap();
            let before = store.statements();
            let keys = (0..rows).map(|row| (row, format!("k{row}")));
            store
                .insert(&INSERT, keys, |(row, key), put| {
                    put(&row)?;
                    put(&key)
                })
                .unwrap();
            assert_eq!(store.statements() - before, statements, "{rows}");
            let (keys, present) = store.key_rows("t").unwrap();
            assert_eq!(present.len(), u64::from(rows));
            assert!((0..).zip(&keys).all(|(row, key)| key.as_str() == format!("k{row}")));
        }
    }
}
