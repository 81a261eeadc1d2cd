//! What every IO manager must do, as one function: ours are tested by it, and those of users can be.

use crate::base::{Digest, PartitionKey};
use crate::io::{IoManager, Kept, Place, Table};

/// Keys that are traps as names of files, in SQL and in patterns.
const KEYS: &[&str] = &[
    "",
    "a",
    "A",
    "a/b",
    "a_b",
    "..",
    ".",
    "/",
    "a b",
    "é 🎨",
    "%61",
    "x'; DROP TABLE t; --",
    "\"",
    "*",
    "a@b",
    "line\nbreak",
    "all",
    "region=eu|date=2024-01-01",
    "\\",
    "nul\u{1}",
];

/// Panics unless the manager keeps every promise of [`IoManager`]: values come back as they were, equal
/// values alike; what is missing is missing; a partition is replaced and removed alone; keys of any
/// characters are told apart; what cannot be stored leaves what was there; versions are those of the values.
///
/// `open` gives a manager with nothing in it, each time. `values` are at least two different values that it
/// can hold; if there are none, bytes and tables are tried.
///
/// ```
/// use giornata::io::MemoryIo;
/// giornata::testing::check_io_manager(|| Box::new(MemoryIo::default()), &[]);
/// ```
#[track_caller]
pub fn check_io_manager(open: impl Fn() -> Box<dyn IoManager>, values: &[Kept]) {
    let samples = if values.is_empty() { samples() } else { values.to_vec() };
    let [first, second, ..] = samples.as_slice() else {
        panic!("the suite needs two values, so that one can replace the other")
    };
    for value in &samples {
        Suite(&*open()).comes_back(value);
    }
    Suite(&*open()).missing_is_missing();
    Suite(&*open()).replaced_and_removed_alone(first, second);
    Suite(&*open()).any_key(&samples);
    Suite(&*open()).outputs_are_apart(first, second);
    Suite(&*open()).refused_leaves_what_was_there(first);
    Suite(&*open()).several_threads(first);
}

/// A table that every manager of tables can hold, another one, and bytes.
fn samples() -> Vec<Kept> {
    let bytes = |bytes: &[u8]| Kept::Bytes { bytes: bytes.to_vec(), extension: "bin".into() };
    let mut samples = tables();
    samples.extend([bytes(b"\x00\xff\r\n"), bytes(b"")]);
    samples
}

/// Tables, which differ in rows and in columns.
pub(crate) fn tables() -> Vec<Kept> {
    let mut one = Table::with_columns(["code", "n", "real", "a b"]);
    one.rows.push(vec!["007".into(), i64::MIN.into(), 3.0.into(), "x".into()]);
    one.rows.push(vec![
        "123".into(),
        i64::MAX.into(),
        f64::MIN_POSITIVE.into(),
        crate::io::Value::Null,
    ]);
    one.rows.push(vec!["é, \"🎨\"\nb".into(), 0.into(), (-0.5).into(), "x".into()]);
    let mut two = Table::with_columns(["n", "code", "more"]);
    two.rows.push(vec![1.into(), "b".into(), 1.5.into()]);
    let empty = Table::with_columns(["code", "n"]);
    vec![Kept::Table(one), Kept::Table(two), Kept::Table(empty)]
}

/// What is no table: a row lacks a value.
fn torn() -> Kept {
    let mut torn = Table::with_columns(["code", "n"]);
    torn.rows.extend([vec!["a".into(), 1.into()], vec!["b".into()]]);
    Kept::Table(torn)
}

struct Suite<'a>(&'a dyn IoManager);

fn at(partition: &str) -> Place {
    Place::of("suite/it", PartitionKey::new(partition))
}

fn version(text: &str) -> Digest {
    Digest::of_blob(text.as_bytes())
}

impl Suite<'_> {
    #[track_caller]
    fn store(&self, at: &Place, value: &Kept, version: &Digest) {
        let stored = self.0.store(at, value, version);
        stored.unwrap_or_else(|error| panic!("store {at} ({value:?}): {error}"));
    }

    #[track_caller]
    fn load(&self, at: &Place) -> Option<Kept> {
        self.0.load(at).unwrap_or_else(|error| panic!("load {at}: {error}"))
    }

    #[track_caller]
    fn remove(&self, at: &Place) {
        self.0.remove(at).unwrap_or_else(|error| panic!("remove {at}: {error}"));
    }

    #[track_caller]
    fn has(&self, at: &Place, value: &Kept) {
        let found = self.load(at).unwrap_or_else(|| panic!("there is nothing at {at}"));
        assert!(is_same(&found, value), "{at} has {found:?}, not {value:?}");
    }

    /// The versions, by partition.
    #[track_caller]
    fn versions(&self, of: &Place) -> Vec<(String, Digest)> {
        let found = self.0.versions(&of.name, &of.output);
        let found = found.unwrap_or_else(|error| panic!("versions of {of}: {error}"));
        found.into_iter().map(|(key, version)| (key.as_str().to_owned(), version)).collect()
    }

    #[track_caller]
    fn comes_back(&self, value: &Kept) {
        let place = at("2014-07-04");
        self.store(&place, value, &version("1"));
        self.has(&place, value);
        // What came back is stored as what it was.
        let again = self.load(&place).expect("it was there a moment ago");
        self.store(&place, &again, &version("2"));
        self.has(&place, value);
        self.store(&place, value, &version("2"));
        self.has(&place, value);
    }

    #[track_caller]
    fn missing_is_missing(&self) {
        let place = at("nothing");
        assert_eq!(self.load(&place), None, "nothing was stored");
        assert_eq!(self.versions(&place), [], "nothing was stored");
        self.remove(&place);
        let names = self.0.names().unwrap_or_else(|error| panic!("names: {error}"));
        assert_eq!(names, [""; 0], "nothing was stored");
    }

    #[track_caller]
    fn replaced_and_removed_alone(&self, first: &Kept, second: &Kept) {
        let (a, b) = (at("a"), at("b"));
        self.store(&a, first, &version("1"));
        self.store(&b, first, &version("1"));
        self.store(&a, second, &version("2"));
        self.has(&a, second);
        self.has(&b, first);
        let versions = [("a".to_owned(), version("2")), ("b".to_owned(), version("1"))];
        assert_eq!(self.versions(&a), versions, "versions are those of the values");
        // Back to what it was before.
        self.store(&a, first, &version("1"));
        self.has(&a, first);
        self.remove(&a);
        assert_eq!(self.load(&a), None, "it was removed");
        assert_eq!(self.versions(&a), [("b".to_owned(), version("1"))], "one was removed");
        self.has(&b, first);
        self.store(&a, second, &version("3"));
        self.has(&a, second);
        self.remove(&b);
        self.has(&a, second);
    }

    #[track_caller]
    fn any_key(&self, values: &[Kept]) {
        let long = "k".repeat(400);
        let keys = || KEYS.iter().copied().chain([long.as_str()]);
        for (key, value) in keys().zip(values.iter().cycle()) {
            self.store(&at(key), value, &version(key));
        }
        for (key, value) in keys().zip(values.iter().cycle()) {
            self.has(&at(key), value);
        }
        let mut expected: Vec<_> = keys().map(|key| (key.to_owned(), version(key))).collect();
        expected.sort_unstable();
        assert_eq!(self.versions(&at("")), expected, "each key has a version of its own");
        for key in keys() {
            self.remove(&at(key));
            assert_eq!(self.load(&at(key)), None, "{key:?} was removed");
        }
        assert_eq!(self.versions(&at("")), [], "all were removed");
    }

    #[track_caller]
    fn outputs_are_apart(&self, first: &Kept, second: &Kept) {
        let (name, partition) = ("suite/it", PartitionKey::new("a"));
        let other = Place { output: "rejected".to_owned(), ..Place::of(name, partition.clone()) };
        let longer = Place::of("suite/it_2", partition);
        self.store(&at("a"), first, &version("1"));
        self.store(&other, second, &version("2"));
        self.store(&longer, second, &version("3"));
        self.has(&at("a"), first);
        self.has(&other, second);
        self.remove(&at("a"));
        self.has(&other, second);
        self.has(&longer, second);
        assert_eq!(self.versions(&at("a")), [], "the other output is another thing");
        assert_eq!(self.versions(&other).len(), 1);
        let names = self.0.names().unwrap_or_else(|error| panic!("names: {error}"));
        assert!(names.is_empty() || names == ["suite/it_2"], "{names:?}");
    }

    /// The second row of a table is too short: whoever refuses that as it writes has written the first.
    #[track_caller]
    fn refused_leaves_what_was_there(&self, first: &Kept) {
        let place = at("a");
        self.store(&place, first, &version("1"));
        if self.0.store(&place, &torn(), &version("2")).is_err() {
            self.has(&place, first);
            assert_eq!(self.versions(&place), [("a".to_owned(), version("1"))]);
        }
    }

    #[track_caller]
    fn several_threads(&self, value: &Kept) {
        let keys: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        let manager = self.0;
        std::thread::scope(|scope| {
            let mut threads = Vec::with_capacity(keys.len());
            for key in &keys {
                threads.push(scope.spawn(move || {
                    manager.store(&at(key), value, &version(key)).map_err(|e| e.to_string())
                }));
            }
            for (key, thread) in keys.iter().zip(threads) {
                let stored = thread.join().unwrap_or_else(|_| panic!("store `{key}`: it panicked"));
                stored.unwrap_or_else(|error| panic!("store `{key}`: {error}"));
            }
        });
        let expected: Vec<_> = keys.iter().map(|key| (key.clone(), version(key))).collect();
        assert_eq!(self.versions(&at("")), expected, "each was stored");
        keys.iter().for_each(|key| self.has(&at(key), value));
    }
}

/// Of a table the names and the values count, not what is promised of a column.
fn is_same(a: &Kept, b: &Kept) -> bool {
    match (a, b) {
        (Kept::Table(a), Kept::Table(b)) => {
            let names = |table: &Table| -> Vec<String> {
                table.columns.iter().map(|column| column.name.clone()).collect()
            };
            names(a) == names(b) && a.rows == b.rows
        }
        (Kept::Bytes { .. }, Kept::Bytes { .. }) => a == b,
        (Kept::Table(_), Kept::Bytes { .. }) | (Kept::Bytes { .. }, Kept::Table(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::defs::TableFormat;
    use crate::defs::io::{TableDef, TableMode};
    use crate::io::{FolderIo, IoError, MemoryIo, TablesIo, Versions, Warehouse};

    /// A manager with a directory of its own, which goes with it.
    struct Within<M>(M, #[expect(dead_code, reason = "it is dropped with the manager")] TempDir);

    impl<M: IoManager> IoManager for Within<M> {
        fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
            self.0.store(at, value, version)
        }

        fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
            self.0.load(at)
        }

        fn remove(&self, at: &Place) -> Result<(), IoError> {
            self.0.remove(at)
        }

        fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
            self.0.versions(name, output)
        }

        fn names(&self) -> Result<Vec<String>, IoError> {
            self.0.names()
        }
    }

    fn folder(format: TableFormat) -> Box<dyn IoManager> {
        let dir = tempfile::tempdir().unwrap();
        Box::new(Within(FolderIo::new(dir.path().join("out"), format, "me"), dir))
    }

    fn database(mode: TableMode) -> Box<dyn IoManager> {
        let dir = tempfile::tempdir().unwrap();
        let warehouse = Arc::new(Warehouse::open(&dir.path().join("it.db")).unwrap());
        let def = TableDef { on: "w".to_owned(), table: "{asset}".to_owned(), mode };
        Box::new(Within(TablesIo::new(warehouse, def, "me"), dir))
    }

    #[test]
    fn ours_refuse_what_is_no_table() {
        let ours = [
            Box::new(MemoryIo::default()),
            folder(TableFormat::Csv),
            folder(TableFormat::JsonLines),
            database(TableMode::ReplacePartition),
            database(TableMode::Append),
            database(TableMode::Merge { key: vec!["n".to_owned()] }),
        ];
        for manager in ours {
            assert!(manager.store(&at("a"), &torn(), &version("1")).is_err());
            assert_eq!(manager.load(&at("a")).unwrap(), None);
        }
    }

    #[test]
    fn memory() {
        check_io_manager(|| Box::new(MemoryIo::default()), &[]);
    }

    #[test]
    fn files_of_csv() {
        check_io_manager(|| folder(TableFormat::Csv), &[]);
    }

    #[test]
    fn files_of_json_lines() {
        check_io_manager(|| folder(TableFormat::JsonLines), &[]);
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn files_of_parquet() {
        check_io_manager(|| folder(TableFormat::Parquet), &[]);
    }

    #[test]
    fn tables_whose_partitions_are_replaced() {
        check_io_manager(|| database(TableMode::ReplacePartition), &tables());
    }

    #[test]
    fn tables_to_which_rows_are_added() {
        check_io_manager(|| database(TableMode::Append), &tables());
    }

    #[test]
    fn tables_whose_rows_are_told_apart_by_a_key() {
        // Partitions with the same keys take rows from each other; that has a test of its own.
        let key = vec!["_nr".to_owned()];
        let numbered: Arc<std::sync::atomic::AtomicI64> = Arc::default();
        let open = move || -> Box<dyn IoManager> {
            Box::new(Numbered(database(TableMode::Merge { key: key.clone() }), numbered.clone()))
        };
        check_io_manager(open, &tables());
    }

    /// Gives each row a number that no other has.
    struct Numbered(Box<dyn IoManager>, Arc<std::sync::atomic::AtomicI64>);

    impl IoManager for Numbered {
        fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
            let Kept::Table(table) = value else { return Err("no table".into()) };
            let mut table = table.clone();
            table.columns.push(Table::with_columns(["_nr"]).columns.remove(0));
            let whole = table.columns.len();
            for row in table.rows.iter_mut().filter(|row| row.len() + 1 == whole) {
                row.push(self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed).into());
            }
            self.0.store(at, &Kept::Table(table), version)
        }

        fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
            let Some(Kept::Table(mut table)) = self.0.load(at)? else { return Ok(None) };
            table.columns.pop();
            table.rows.iter_mut().for_each(|row| drop(row.pop()));
            Ok(Some(Kept::Table(table)))
        }

        fn remove(&self, at: &Place) -> Result<(), IoError> {
            self.0.remove(at)
        }

        fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
            self.0.versions(name, output)
        }
    }

    /// Takes everything and forgets partitions.
    struct Forgetful(MemoryIo);

    impl IoManager for Forgetful {
        fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
            self.0.store(&Place::of(&at.name, PartitionKey::unpartitioned()), value, version)
        }

        fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
            self.0.load(&Place::of(&at.name, PartitionKey::unpartitioned()))
        }

        fn remove(&self, at: &Place) -> Result<(), IoError> {
            self.0.remove(at)
        }

        fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
            self.0.versions(name, output)
        }
    }

    #[test]
    #[should_panic(expected = "suite/it@b has")]
    fn a_manager_that_mixes_partitions_is_found() {
        let value = |text: &str| Kept::Bytes { bytes: text.into(), extension: "txt".into() };
        check_io_manager(|| Box::new(Forgetful(MemoryIo::default())), &[value("1"), value("2")]);
    }
}
