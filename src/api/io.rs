//! Where a program's results are also put, and where its jobs hand values from step to step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::datum::described;
use super::job::Table;
use super::resource::{Resource, Used};
use super::value;
use crate::base::{Digest, PartitionKey, error_text};
use crate::defs::{FlowStep, IoDef, TableDef, TableFormat, TableMode};
use crate::exec::{Datum, Held};
use crate::io::{FolderIo, IoManager, Kept, MemoryIo, Place, TablesIo, Warehouse, WarehouseError};

/// An IO manager as declarations name it: a place for values beside the store.
///
/// An asset with one has its results there too, each partition by itself; the store stays the truth, and
/// each run puts right what is missing.
///
/// An op of a job with one hands its values on through it instead of in memory. In a run on the store
/// ([`Project::run`](super::Project::run), or the command line) its values are put there too, before the step
/// is recorded, and the store stays the truth: steps read what it has, unless they say
/// [`input_io`](super::OpBuilder::input_io). What a retry takes over has been put by the run that is retried;
/// [`memo`](super::OpBuilder::memo) does not hold for what is put.
///
/// ```
/// use giornata::api::{Io, Project, Resource, Table, TableMode};
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("shop", dir.path());
/// let warehouse = Resource::sqlite("warehouse", "data/warehouse.db");
/// let mart = Io::tables(&warehouse, TableMode::ReplacePartition);
/// let sold = project.asset("mart/sold").keys(["eu", "us"]).io(&mart).compute(|ctx| {
///     let mut table = Table::with_columns(["pieces"]);
///     table.rows.push(vec![(ctx.partition().as_str().len() as i64).into()]);
///     Ok(table)
/// });
/// project.get_range(&sold, "all")?;
/// let database = giornata::io::Warehouse::open(&dir.path().join("data/warehouse.db"))?;
/// let rows = database.query("SELECT pieces, _partition FROM mart_sold ORDER BY 2", &[])?.rows;
/// assert_eq!(rows, [[2.into(), "eu".into()], [2.into(), "us".into()]]);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Clone)]
pub struct Io(Kind);

#[derive(Clone)]
enum Kind {
    Ready(Arc<dyn IoManager>),
    Folder { dir: PathBuf, format: TableFormat },
    Tables { on: Used, def: TableDef },
}

impl Io {
    /// In memory, as long as the program runs: for tests, and for what is not worth a file.
    ///
    /// ```
    /// use giornata::api::{Io, job, op};
    /// let one = op("one").io(&Io::memory()).run(|_| Ok(1_i64));
    /// let j = job("j").define(|g| { one.call(g); });
    /// assert_eq!(j.execute_in_process()?.value::<i64>("one")?, 1);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn memory() -> Io {
        Io::of(MemoryIo::default())
    }

    /// In files below a directory, which is relative to the project's root, or absolute; tables as CSV. The
    /// value of an asset is `ASSET.ENDING`, with partitions `ASSET@PARTITION.ENDING`; that of a step is
    /// `JOB/STEP+OUTPUT.ENDING`, its pieces `JOB/STEP+OUTPUT@PIECE.ENDING`.
    ///
    /// ```
    /// use giornata::api::{Io, Launch, job, op};
    /// # let dir = tempfile::tempdir()?;
    /// let op_1 = op("op_1").run(|_| Ok(vec![1_i64, 2].iter().sum::<i64>()));
    /// let op_2 = op("op_2").input::<i64>("n").run(|_, n| Ok(n + 1));
    /// let my_job = job("my_job").io(&Io::files("out")).define(|g| { op_2.call(g, op_1.call(g)); });
    /// my_job.execute(&Launch::new().root(dir.path()))?;
    /// assert_eq!(std::fs::read_to_string(dir.path().join("out/my_job/op_2+result.json"))?, "4");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn files(dir: impl Into<PathBuf>) -> Io {
        Io::files_as(dir, TableFormat::Csv)
    }

    /// As [`files`](Io::files), with tables in another format.
    ///
    /// ```
    /// use giornata::api::{Io, Project, Table, TableFormat};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("stock", dir.path());
    /// let lines = Io::files_as("out", TableFormat::JsonLines);
    /// let stock = project.asset("stock").io(&lines).compute(|_| {
    ///     let mut table = Table::with_columns(["pieces"]);
    ///     table.rows.push(vec![4.into()]);
    ///     Ok(table)
    /// });
    /// project.get(&stock, ())?;
    /// assert_eq!(std::fs::read_to_string(dir.path().join("out/stock.jsonl"))?, "{\"pieces\":4}\n");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn files_as(dir: impl Into<PathBuf>, format: TableFormat) -> Io {
        Io(Kind::Folder { dir: dir.into(), format })
    }

    /// In tables of a database, named after the asset: `mart/sold` is `mart_sold`; of a job after the job, the step
    /// and the output: `nightly_load_result`. Each row has its partition in
    /// the column `_partition`. What is no table cannot be put there, and fails. See the example of [`Io`].
    pub fn tables(on: &Resource<Warehouse>, mode: TableMode) -> Io {
        let (table, name) = ("{asset}".to_owned(), on.name().to_owned());
        Io(Kind::Tables { on: on.used(), def: TableDef { on: name, table, mode } })
    }

    /// Tables have this name instead, with `{asset}` in it for that of the asset. Nothing else has tables.
    ///
    /// ```
    /// use giornata::api::{Io, Project, Resource, Table, TableMode};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("shop", dir.path());
    /// let warehouse = Resource::sqlite("warehouse", "warehouse.db");
    /// let stock = Io::tables(&warehouse, TableMode::ReplacePartition).table("raw_{asset}");
    /// let pieces = project.asset("pieces").io(&stock).compute(|_| Ok(Table::with_columns(["n"])));
    /// project.get(&pieces, ())?;
    /// let database = giornata::api::Warehouse::open(&dir.path().join("warehouse.db"))?;
    /// assert!(database.query("SELECT n FROM raw_pieces", &[])?.rows.is_empty());
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    #[must_use]
    pub fn table(mut self, name: &str) -> Io {
        if let Kind::Tables { def, .. } = &mut self.0 {
            def.table = name.to_owned();
        }
        self
    }

    /// A manager of your own; see [`IoManager`], and
    /// [`check_io_manager`](../testing/fn.check_io_manager.html) for a test of what it promises.
    ///
    /// ```
    /// use giornata::api::{Io, job, op};
    /// use giornata::io::MemoryIo;
    /// let one = op("one").io(&Io::of(MemoryIo::default())).run(|_| Ok(1_i64));
    /// let j = job("j").define(|g| { one.call(g); });
    /// assert_eq!(j.execute_in_process()?.value::<i64>("one")?, 1);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn of(manager: impl IoManager + 'static) -> Io {
        Io(Kind::Ready(Arc::new(manager)))
    }

    /// As the definition of an asset has it.
    pub(super) fn def(&self) -> IoDef {
        match &self.0 {
            Kind::Ready(_) => IoDef::Program,
            Kind::Folder { dir, format } => IoDef::Folder { dir: dir.clone(), format: *format },
            Kind::Tables { def, .. } => IoDef::Table(def.clone()),
        }
    }

    /// The manager, if it needs nothing of a run.
    pub(super) fn ready(&self) -> Option<&Arc<dyn IoManager>> {
        match &self.0 {
            Kind::Ready(manager) => Some(manager),
            Kind::Folder { .. } | Kind::Tables { .. } => None,
        }
    }

    /// The resource that it needs.
    pub(super) fn used(&self) -> Option<&Used> {
        match &self.0 {
            Kind::Tables { on, .. } => Some(on),
            Kind::Ready(_) | Kind::Folder { .. } => None,
        }
    }

    /// The manager for a run, with databases as `find` has them; fails with what is wrong with the resource
    /// that it needs.
    fn open(&self, root: &Path, find: &Find<'_>) -> Result<Arc<dyn IoManager>, String> {
        Ok(match &self.0 {
            Kind::Ready(manager) => manager.clone(),
            Kind::Folder { dir, format } => Arc::new(FolderIo::new(root.join(dir), *format, "")),
            Kind::Tables { on, def } => {
                let name = &on.name;
                let warehouse = find(name).ok_or_else(|| {
                    format!("resource `{name}` is no database, so no table can be put")
                })?;
                let own = connection(warehouse);
                let own =
                    own.map_err(|error| format!("resource `{name}`: {}", error_text(&error)))?;
                Arc::new(TablesIo::new(own, def.clone(), ""))
            }
        })
    }
}

/// The databases of a run by the names of their resources.
type Find<'f> = dyn Fn(&str) -> Option<Arc<Warehouse>> + 'f;

/// A connection of the manager's own: values are read after the run has ended, and by then whoever has
/// provided the resource wants it back. What is in memory has no other connection.
fn connection(shared: Arc<Warehouse>) -> Result<Arc<Warehouse>, WarehouseError> {
    if shared.path().is_file() { Warehouse::open(shared.path()).map(Arc::new) } else { Ok(shared) }
}

/// What an op says about where its values are.
#[derive(Clone, Default)]
pub(super) struct OpIo {
    /// Of outputs without one of their own.
    pub(super) all: Option<Io>,
    pub(super) outputs: BTreeMap<String, Io>,
    pub(super) inputs: BTreeMap<String, Io>,
}

impl OpIo {
    pub(super) fn each(&self) -> impl Iterator<Item = &Io> {
        self.all.iter().chain(self.outputs.values()).chain(self.inputs.values())
    }
}

/// The managers of one step in a run.
pub(super) struct StepIo {
    name: String,
    /// Of the run.
    partition: PartitionKey,
    outputs: Vec<Option<Arc<dyn IoManager>>>,
    inputs: Vec<Option<Arc<dyn IoManager>>>,
}

impl StepIo {
    /// Of a step that does not run.
    pub(super) fn none() -> StepIo {
        let (outputs, inputs) = (Vec::new(), Vec::new());
        StepIo { name: String::new(), partition: PartitionKey::unpartitioned(), outputs, inputs }
    }

    pub(super) fn open(
        step: &FlowStep,
        table: &Table,
        partition: &PartitionKey,
        root: &Path,
        find: &Find<'_>,
    ) -> Result<StepIo, String> {
        let open = |io: Option<&Io>| io.map(|io| io.open(root, find)).transpose();
        let outputs = step.def.outputs.iter().map(|it| open(table.output_io(step, &it.name)));
        let inputs = step.def.inputs.iter().map(|it| open(table.input_io(step, &it.name)));
        Ok(StepIo {
            name: step.def.name.to_string(),
            partition: partition.clone(),
            outputs: outputs.collect::<Result<_, _>>()?,
            inputs: inputs.collect::<Result<_, _>>()?,
        })
    }

    /// Where the value of an output is put; `step` is the step with its job.
    pub(super) fn place(&self, step: &str, output: &str, piece: Option<&str>) -> Place {
        Place::of_step(step, output, &self.partition, piece)
    }

    /// Puts a value where its output says; what is handed on is then read from there.
    pub(super) fn put(
        &self,
        output: u32,
        name: &str,
        piece: Option<&str>,
        datum: Datum,
    ) -> Result<Datum, String> {
        let Some(io) = &self.outputs[output as usize] else { return Ok(datum) };
        let kept = datum.held().keep()?;
        self.put_kept(output, name, piece, &kept)?;
        let at = self.place(&self.name, name, piece);
        Ok(Datum::new(Placed { io: io.clone(), at }))
    }

    /// The same for a value in the form in which it is kept.
    pub(super) fn put_kept(
        &self,
        output: u32,
        name: &str,
        piece: Option<&str>,
        kept: &Kept,
    ) -> Result<(), String> {
        let Some(io) = &self.outputs[output as usize] else { return Ok(()) };
        let at = self.place(&self.name, name, piece);
        io.store(&at, kept, &version_of(kept)).map_err(|error| format!("put `{at}`: {error}"))
    }

    /// The value for an input that is read by a manager of its own.
    pub(super) fn take(&self, input: usize, name: &str, datum: Datum) -> Result<Datum, String> {
        let Some(io) = self.inputs.get(input).and_then(Option::as_ref) else { return Ok(datum) };
        match datum.get::<Placed>() {
            Some(Placed { at, .. }) => Ok(Datum::new(Placed { io: io.clone(), at: at.clone() })),
            None => Err(StepIo::not_put(name)),
        }
    }

    /// The value at a place, for an input that is read by a manager of its own.
    pub(super) fn read(&self, input: usize, at: Place) -> Option<Datum> {
        let io = self.inputs.get(input).and_then(Option::as_ref)?;
        Some(Datum::new(Placed { io: io.clone(), at }))
    }

    pub(super) fn reads(&self, input: usize) -> bool {
        self.inputs.get(input).is_some_and(Option::is_some)
    }

    pub(super) fn not_put(input: &str) -> String {
        format!(
            "the input `{input}` is read by an IO manager, and nothing has put it anywhere; say `io` of the \
             job, or of the op that makes it"
        )
    }
}

/// A value that an IO manager has.
struct Placed {
    io: Arc<dyn IoManager>,
    at: Place,
}

impl Held for Placed {
    fn keep(&self) -> Result<Kept, String> {
        let at = &self.at;
        let found = self.io.load(at).map_err(|error| format!("read `{at}`: {error}"))?;
        found.ok_or_else(|| format!("read `{at}`: nothing is there any more"))
    }

    fn describe(&self) -> String {
        described(self.keep())
    }
}

fn version_of(kept: &Kept) -> Digest {
    match kept {
        Kept::Bytes { bytes, .. } => Digest::of_blob(bytes),
        Kept::Table(table) => match value::encode(table) {
            Ok(encoded) => Digest::of_blob(&encoded.bytes),
            // A database takes more than a text can hold.
            Err(_) => Digest::of_blob(format!("{table:?}").as_bytes()),
        },
    }
}
