//! Types that can be the value of a partition, and how each is kept.
//!
//! A table is kept as CSV through its IO manager, everything else as the bytes of one file. What is
//! kept is what downstream compares: a value whose bytes are the same has not changed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::{Digest, PartitionKey};
use crate::defs::{ColumnType, OutputDef, TableFormat};
use crate::exec::{Content, Part};
use crate::io::{self, Table, manager};

/// The error of a user's function: `?` turns any error into one, and so does `.into()` a text.
///
/// ```
/// fn positive(text: &str) -> Result<f64, giornata::api::BoxError> {
///     let number: f64 = text.parse()?;
///     if number > 0.0 { Ok(number) } else { Err(format!("{number} is not positive").into()) }
/// }
/// assert_eq!(positive("-1").unwrap_err().to_string(), "-1 is not positive");
/// ```
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A type that the partitions of an asset can have. Tables, texts (`String`), bytes (`Vec<u8>`), `i64`, `i32`,
/// `u64`, `u32`, `f64`, `bool`, `()` and JSON are; [`Json`] makes any serde type one; and a type of yours is
/// one with an implementation.
///
/// ```
/// use giornata::api::{BoxError, Form, Raw, Stored, Value};
///
/// struct Celsius(f64);
///
/// impl Value for Celsius {
///     const FORM: Form = Form::File { extension: "txt" };
///
///     fn store(&self) -> Result<Stored, BoxError> {
///         Ok(Stored::Bytes(self.0.to_string().into_bytes()))
///     }
///
///     fn load(raw: &Raw<'_>) -> Result<Celsius, BoxError> {
///         Ok(Celsius(std::str::from_utf8(raw.bytes())?.parse()?))
///     }
/// }
/// # assert!(matches!(Celsius(1.5).store(), Ok(Stored::Bytes(bytes)) if bytes == b"1.5"));
/// ```
pub trait Value: Sized + Send + 'static {
    /// As what it is kept; [`store`](Value::store) must give this form.
    const FORM: Form;

    /// The value as it is kept; equal values must give equal bytes, or what reads them seems to have changed. An
    /// error fails the step. See the example of [`Value`].
    fn store(&self) -> Result<Stored, BoxError>;

    /// The value that was kept, or that a file of a source holds; must be the inverse of
    /// [`store`](Value::store). An error fails the step that reads it, or the query. See the example of [`Value`].
    fn load(raw: &Raw<'_>) -> Result<Self, BoxError>;

    /// One value of several files, for a source whose one partition is several; they come in the order of their
    /// paths. Without an implementation it is an error that says to declare the input with `inputs`.
    ///
    /// ```
    /// use giornata::api::{PartitionKey, Table, Value};
    /// let mm = |mm: i64| {
    ///     let mut table = Table::with_columns(["mm"]);
    ///     table.rows.push(vec![mm.into()]);
    ///     table
    /// };
    /// let (a, b) = (PartitionKey::new("a.csv"), PartitionKey::new("b.csv"));
    /// assert_eq!(Table::join(vec![(a.clone(), mm(1)), (b.clone(), mm(2))])?.rows.len(), 2);
    /// assert!(String::join(vec![(a, "x".to_owned()), (b, "y".to_owned())]).is_err());
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    fn join(parts: Vec<(PartitionKey, Self)>) -> Result<Self, BoxError> {
        let count = parts.len();
        Err(format!("it is {count} files, not one; declare the input with `inputs`").into())
    }
}

/// As what a value is kept; see the examples of [`Value`], a file, and [`Raw`], a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Rows under columns.
    Table,
    /// One file; the ending is without the dot.
    File { extension: &'static str },
}

/// A value that is ready to be kept; see the examples of [`Value`], bytes, and [`Raw`], a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// For [`Form::Table`].
    Table(Table),
    /// For [`Form::File`].
    Bytes(Vec<u8>),
}

/// What was kept, to be read.
///
/// A type of the user's can be rows, too:
///
/// ```
/// use giornata::api::{BoxError, Cell, Form, Project, Raw, Stored, Table, Value};
///
/// struct Readings(Vec<f64>);
///
/// impl Value for Readings {
///     const FORM: Form = Form::Table;
///
///     fn store(&self) -> Result<Stored, BoxError> {
///         let mut table = Table::with_columns(["mm"]);
///         table.rows = self.0.iter().map(|mm| vec![(*mm).into()]).collect();
///         Ok(Stored::Table(table))
///     }
///
///     fn load(raw: &Raw<'_>) -> Result<Readings, BoxError> {
///         let table = raw.table()?;
///         let place = table.column("mm").ok_or("there is no column `mm`")?;
///         Ok(Readings(table.rows.iter().filter_map(|row| row[place].as_real()).collect()))
///     }
/// }
///
/// # let dir = tempfile::tempdir()?;
/// # std::fs::write(dir.path().join("rain.csv"), "mm,day\n1.5,a\n2.0,b\n")?;
/// let mut project = Project::new("weather", dir.path());
/// let rain = project.source("rain").files_as::<Readings>("rain.csv");
/// let doubled = project
///     .asset("doubled")
///     .input(&rain)
///     .compute(|_, rain| Ok(Readings(rain.0.iter().map(|mm| mm * 2.0).collect())));
/// assert_eq!(project.get(&doubled, ())?.0, [3.0, 4.0]);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    bytes: &'a [u8],
    format: Option<TableFormat>,
    schema: Option<&'a str>,
    columns: &'a BTreeMap<String, ColumnType>,
}

static NO_COLUMNS: BTreeMap<String, ColumnType> = BTreeMap::new();

impl<'a> Raw<'a> {
    pub(super) fn of(
        bytes: &'a [u8],
        format: Option<TableFormat>,
        schema: Option<&'a str>,
    ) -> Raw<'a> {
        Raw { bytes, format, schema, columns: &NO_COLUMNS }
    }

    /// The bytes as they are; see the example of [`Value`].
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The rows, if the file is in a tabular format (CSV, JSON Lines); else an error, and one for what is no such
    /// file. See the example of [`Raw`].
    pub fn table(&self) -> Result<Table, BoxError> {
        let format = self.format.ok_or("it is no table; tables are `.csv` and `.jsonl` files")?;
        Ok(manager(format).read(self.bytes, self.schema, self.columns)?)
    }
}

impl Form {
    /// The output of an asset of this form.
    pub(super) fn output(self, name: &str) -> OutputDef {
        match self {
            Form::Table => OutputDef::Table(TableFormat::Csv),
            Form::File { extension } => {
                let stem = name.rsplit('/').next().unwrap_or(name);
                OutputDef::File { name: format!("{stem}.{extension}") }
            }
        }
    }
}

impl Value for Table {
    const FORM: Form = Form::Table;

    fn store(&self) -> Result<Stored, BoxError> {
        Ok(Stored::Table(self.clone()))
    }

    fn load(raw: &Raw<'_>) -> Result<Table, BoxError> {
        raw.table()
    }

    /// The rows of all, in the order of the parts; all must have the same columns.
    fn join(parts: Vec<(PartitionKey, Table)>) -> Result<Table, BoxError> {
        let mut parts = parts.into_iter();
        let Some((first, mut all)) = parts.next() else { return Ok(Table::default()) };
        for (key, table) in parts {
            let names = |table: &Table| -> Vec<String> {
                table.columns.iter().map(|column| column.name.clone()).collect()
            };
            if names(&all) != names(&table) {
                let reason = format!("`{first}` and `{key}` have different columns");
                return Err(reason.into());
            }
            all.rows.extend(table.rows);
        }
        Ok(all)
    }
}

impl Value for String {
    const FORM: Form = Form::File { extension: "txt" };

    fn store(&self) -> Result<Stored, BoxError> {
        Ok(Stored::Bytes(self.clone().into_bytes()))
    }

    fn load(raw: &Raw<'_>) -> Result<String, BoxError> {
        let text = std::str::from_utf8(raw.bytes()).map_err(|_| "it is not UTF-8")?;
        Ok(text.to_owned())
    }
}

impl Value for Vec<u8> {
    const FORM: Form = Form::File { extension: "bin" };

    fn store(&self) -> Result<Stored, BoxError> {
        Ok(Stored::Bytes(self.clone()))
    }

    fn load(raw: &Raw<'_>) -> Result<Vec<u8>, BoxError> {
        Ok(raw.bytes().to_vec())
    }
}

/// Single values are kept as JSON.
macro_rules! json_values {
    ($($T:ty),*) => {
        $(impl Value for $T {
            const FORM: Form = Form::File { extension: "json" };

            fn store(&self) -> Result<Stored, BoxError> {
                Ok(Stored::Bytes(serde_json::to_vec(self)?))
            }

            fn load(raw: &Raw<'_>) -> Result<$T, BoxError> {
                Ok(serde_json::from_slice(raw.bytes())?)
            }
        })*
    };
}

json_values!(i64, i32, u64, u32, f64, bool, (), serde_json::Value);

/// Any serde type, kept as JSON. Maps should have an order of their own (`BTreeMap`): a `HashMap` is
/// written in another order each time, so it would seem to have changed.
///
/// ```
/// use giornata::api::{Json, Project};
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("numbers", dir.path());
/// let primes = project.asset("primes").compute(|_| Ok(Json(vec![2, 3, 5, 7])));
/// assert_eq!(project.get(&primes, ())?.0, [2, 3, 5, 7]);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned + Send + 'static> Value for Json<T> {
    const FORM: Form = Form::File { extension: "json" };

    fn store(&self) -> Result<Stored, BoxError> {
        Ok(Stored::Bytes(serde_json::to_vec(&self.0)?))
    }

    fn load(raw: &Raw<'_>) -> Result<Json<T>, BoxError> {
        Ok(Json(serde_json::from_slice(raw.bytes())?))
    }
}

/// Why a part could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("it is a directory, which has no value in Rust; ask for its path")]
    Directory,
    #[error("read `{}`", path.display())]
    Io {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{}` changed while it was read; run again", path.display())]
    Changed { path: std::path::PathBuf },
    #[error(transparent)]
    Value(BoxError),
}

/// Reads one part.
pub(super) fn read<V: Value>(part: &Part) -> Result<V, Unread> {
    let bytes = bytes(part)?;
    let schema = part.schema.as_deref();
    let raw = Raw { bytes: &bytes, format: part.format, schema, columns: &part.columns };
    V::load(&raw).map_err(Unread::Value)
}

/// The bytes of a part, which are those that were promised.
pub(super) fn bytes(part: &Part) -> Result<Cow<'_, [u8]>, Unread> {
    match &part.content {
        Content::Inline(bytes) => Ok(Cow::Borrowed(bytes)),
        Content::Blob(path) | Content::File(path) if path.is_dir() => Err(Unread::Directory),
        Content::Blob(path) | Content::File(path) => {
            let io = |source| Unread::Io { path: path.clone(), source };
            let bytes = std::fs::read(path).map_err(io)?;
            match Digest::of_blob(&bytes) == part.content_digest {
                true => Ok(Cow::Owned(bytes)),
                false => Err(Unread::Changed { path: path.clone() }),
            }
        }
        Content::Tree { .. } => Err(Unread::Directory),
    }
}

/// Reads all parts as one value; there is at least one.
pub(super) fn read_joined<V: Value>(parts: &[Part]) -> Result<V, Unread> {
    match parts {
        [one] => read(one),
        several => {
            let read = |part: &Part| Ok((part.key.clone(), read(part)?));
            let values = several.iter().map(read).collect::<Result<_, Unread>>()?;
            V::join(values).map_err(Unread::Value)
        }
    }
}

/// A table as the bytes that are kept.
pub(super) fn encode(table: &Table) -> Result<io::Encoded, io::Error> {
    manager(TableFormat::Csv).write(table)
}
