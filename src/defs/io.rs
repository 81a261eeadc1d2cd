//! Where results are also put, beside the store: the declaration of an IO manager.

use std::path::PathBuf;

use super::TableFormat;

/// One declared IO manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IoDef {
    /// The content store alone.
    Store,
    /// Files below a directory, relative to the project's root; tables in a format.
    Folder { dir: PathBuf, format: TableFormat },
    /// Tables of a database.
    Table(TableDef),
    /// A manager of the program that declares the project.
    Program,
}

/// Tables of a SQLite database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDef {
    /// The name of the resource.
    pub on: String,
    /// The name of a table, with `{asset}` in it unless it is for one asset.
    pub table: String,
    pub mode: TableMode,
}

/// What becomes of rows that are there when others are put.
///
/// ```
/// use giornata::api::{Io, Project, Resource, Table, TableMode};
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("shop", dir.path());
/// let warehouse = Resource::sqlite("warehouse", "shop.db");
/// let customers = Io::tables(&warehouse, TableMode::Merge { key: vec!["id".to_owned()] });
/// let import = project.asset("customer").keys(["mon", "tue"]).io(&customers).compute(|ctx| {
///     let mut table = Table::with_columns(["id", "seen"]);
///     table.rows.push(vec![7.into(), ctx.partition().as_str().into()]);
///     Ok(table)
/// });
/// project.get(&import, "mon")?;
/// project.get(&import, "tue")?;
/// let database = giornata::api::Warehouse::open(&dir.path().join("shop.db"))?;
/// assert_eq!(database.query("SELECT id, seen FROM customer", &[])?.rows, [[7.into(), "tue".into()]]);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableMode {
    /// The rows of the same partition go.
    ReplacePartition,
    /// All rows stay, those of earlier versions too.
    Append,
    /// The rows of the same partition go, and every row with the same values in these columns, wherever
    /// it came from.
    Merge { key: Vec<String> },
}

impl TableDef {
    /// The table for `name`: `mart/revenue` is `mart_revenue`.
    ///
    /// ```
    /// use giornata::defs::io::{TableDef, TableMode};
    /// let table = "report_{asset}".to_owned();
    /// let def = TableDef { on: "warehouse".to_owned(), table, mode: TableMode::Append };
    /// assert_eq!(def.table_of("mart/revenue"), "report_mart_revenue");
    /// ```
    pub fn table_of(&self, name: &str) -> String {
        let plain = |c: char| if c.is_alphanumeric() { c } else { '_' };
        let name: String = name.chars().map(plain).collect();
        self.table.replace("{asset}", &name)
    }
}
