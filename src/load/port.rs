//! Reads the inputs and outputs of ops and graphs: `takes`, `output`, `outputs`, and the types in them.

use super::diagnostic::Place;
use super::form::{Form, Key, TEXTS, key};
use super::io::PortIo;
use super::node::{Kind, Sink, Table, Value};
use super::output::{FORMATS, table_format};
use crate::base::AssetKey;
use crate::defs::{
    Body, Builtin, Emits, InputDecl, Least, OutputDecl, OutputDef, PathPattern, PatternPiece,
    TableFormat, Takes, TypeRef,
};

static INPUT_KEYS: &[Key] = &[
    key("type", "It takes one value, of this type.", &Form::Text),
    key("many", "It takes several values, each of this type.", &Form::Text),
];
static INPUT_IO_KEYS: &[Key] =
    &[key("io", "The IO manager that reads its value from where it was put.", &Form::Text)];
static OUTPUT_KEYS: &[Key] = &[
    key("type", "The type of its value, or of each piece.", &Form::Text),
    key("file", "The name of the file.", &Form::Text),
    key("files", "The pattern of files of which each is a piece: `{piece}.json`.", &Form::Text),
    key("format", "It is a table, kept in this form.", &Form::Word(FORMATS)),
    key("dir", "Whether it is a directory.", &Form::Bool),
    key("optional", "Whether it may be left out; what reads it is then skipped.", &Form::Bool),
    key("io", "The IO manager by which it is also put elsewhere.", &Form::Text),
];
static INPUT: Form = Form::Either(&[&Form::Text, &Form::Table(&[INPUT_KEYS])]);
static OP_INPUT: Form = Form::Either(&[&Form::Text, &Form::Table(&[INPUT_KEYS, INPUT_IO_KEYS])]);
/// The value of `takes` of a graph.
pub(super) static TAKES: Form = Form::Either(&[&TEXTS, &Form::Map(&INPUT)]);
/// The value of `takes` of an op.
pub(super) static OP_TAKES: Form = Form::Either(&[&TEXTS, &Form::Map(&OP_INPUT)]);
/// One output.
pub(super) static OUTPUT: Form =
    Form::Named("output", &Form::Either(&[&Form::Text, &Form::Table(&[OUTPUT_KEYS])]));

/// A type that is named somewhere.
pub(super) type TypeUse = (TypeRef, Place);

/// Reads a type; what is none counts as any, so that nothing else is said of it.
pub(super) fn type_of(value: Value<'_>, types: &mut Vec<TypeUse>, sink: &mut Sink) -> TypeRef {
    let Some(text) = value.text("type", sink) else { return TypeRef::Any };
    match TypeRef::parse(text) {
        Ok(found) => {
            types.push((found.clone(), value.place()));
            found
        }
        Err(error) => {
            sink.push(value.place().error(error.to_string()).label("no type"));
            TypeRef::Any
        }
    }
}

/// The name of a port as a variable.
pub(super) fn variable(name: &str) -> String {
    AssetKey::parse(name).map_or_else(|_| name.to_owned(), |key| key.variable())
}

/// Whether a name can be that of an input or an output, and has a variable to itself.
fn is_free<'a>(
    what: &str,
    name: &str,
    place: &Place,
    others: impl Iterator<Item = &'a str>,
    sink: &mut Sink,
) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || !name.bytes().all(word) {
        let message = format!("`{name}` cannot name an {what}: it is letters, digits, `_` and `-`");
        sink.push(place.error(message).label("no name"));
        return false;
    }
    let own = variable(name).to_uppercase();
    if let Some(other) = others.into_iter().find(|other| variable(other).to_uppercase() == own) {
        let message = format!("the {what}s `{other}` and `{name}` are one variable to a command");
        sink.push(place.error(message).label(format!("${own}")).help("rename one"));
        return false;
    }
    true
}

/// Whether a name can be that of an input.
pub(super) fn is_input<'a>(
    name: &str,
    place: &Place,
    others: impl Iterator<Item = &'a str>,
    sink: &mut Sink,
) -> bool {
    if ["output", "output_dir"].contains(&variable(name).as_str()) {
        let message = format!("an input cannot be called `{name}`");
        sink.push(place.error(message).label("a command finds its output under this name"));
        return false;
    }
    is_free("input", name, place, others, sink)
}

/// Reads `takes`: names, or names with types. Inputs of ops may say by which manager they are read.
pub(super) fn takes(
    value: Value<'_>,
    types: &mut Vec<TypeUse>,
    mut io: Option<&mut Vec<PortIo>>,
    sink: &mut Sink,
) -> Vec<InputDecl> {
    let mut inputs: Vec<InputDecl> = Vec::new();
    match &value.node.kind {
        Kind::List(_) => {
            for (name, place) in value.texts("takes", sink) {
                if is_input(&name, &place, inputs.iter().map(|it| &*it.name), sink) {
                    inputs.push(InputDecl::one(&name));
                }
            }
        }
        Kind::Table(_) => {
            for (entry, kind) in value.as_table().into_iter().flat_map(Table::iter) {
                let place = Place { span: entry.key_span.clone(), ..value.place() };
                if is_input(&entry.key, &place, inputs.iter().map(|it| &*it.name), sink) {
                    inputs.push(input(&entry.key, kind, types, io.as_deref_mut(), sink));
                }
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Date(_) => {
            let help = "for example `takes: [x]` or `takes: {x: int}`";
            let place = value.place();
            sink.push(place.error("`takes` must be a list of names or a table").help(help));
        }
    }
    inputs
}

fn input(
    name: &str,
    value: Value<'_>,
    types: &mut Vec<TypeUse>,
    io: Option<&mut Vec<PortIo>>,
    sink: &mut Sink,
) -> InputDecl {
    let decl = |takes, kind| InputDecl { name: name.into(), takes, kind };
    if value.as_text() == Some("nothing") {
        return decl(Takes::Nothing, TypeRef::Any);
    }
    let Some(table) = value.as_table() else {
        return decl(Takes::One, type_of(value, types, sink));
    };
    let keys: &[&[Key]] = if io.is_some() { &[INPUT_KEYS, INPUT_IO_KEYS] } else { &[INPUT_KEYS] };
    let known = table.allow(keys, &format!("the input `{name}`"), sink);
    let reader = io.and_then(|io| io_of(name, table, io, sink));
    match (table.get("many"), table.get("type")) {
        (Some(many), None) => decl(Takes::Many, type_of(many, types, sink)),
        (Some(many), Some(kind)) => {
            let message = "`many` and `type` exclude each other";
            sink.push(kind.place().error(message).label("one value, or several"));
            decl(Takes::Many, type_of(many, types, sink))
        }
        (None, Some(kind)) => decl(Takes::One, type_of(kind, types, sink)),
        (None, None) => {
            if known && reader.is_none() {
                let message = format!("the input `{name}` does not say what it takes");
                let help = "for example `int`, or `{many: int}` for one of each of several steps";
                sink.push(table.place().error(message).help(help));
            }
            decl(Takes::One, TypeRef::Any)
        }
    }
}

/// Reads which manager an input or an output says.
fn io_of(name: &str, table: Table<'_>, io: &mut Vec<PortIo>, sink: &mut Sink) -> Option<()> {
    let value = table.get("io")?;
    let manager = value.text("io", sink)?.to_owned();
    io.push((name.into(), (manager, value.place())));
    Some(())
}

/// Reads `output` and `outputs`; without both there is one, `result`.
pub(super) fn outputs(
    table: Table<'_>,
    body: &Body,
    types: &mut Vec<TypeUse>,
    io: &mut Vec<PortIo>,
    sink: &mut Sink,
) -> Vec<OutputDecl> {
    let mut reader = Outputs { body, types, io, sink, found: Vec::new() };
    match (table.get("output"), table.get("outputs")) {
        (None, None) => reader.found.push(reader.plain(OutputDecl::RESULT)),
        (Some(value), None) => reader.one(OutputDecl::RESULT, value),
        (None, Some(value)) => reader.several(value),
        (Some(_), Some(value)) => {
            let message = "`output` and `outputs` exclude each other";
            reader.sink.push(value.place().error(message).label("second"));
            reader.several(value);
        }
    }
    let Outputs { found, sink, .. } = reader;
    if matches!(body, Body::Sql(_)) {
        let place = || table.get("outputs").or(table.get("output")).map(Value::place);
        let pieces = found.iter().any(|output| output.emits.is_pieces());
        if let Some(place) = place().filter(|_| found.len() > 1 || pieces) {
            let help = "a command makes files: `run: ..`";
            sink.push(place.error("SQL gives one table").label("not one table").help(help));
        }
    }
    found
}

struct Outputs<'a> {
    body: &'a Body,
    types: &'a mut Vec<TypeUse>,
    io: &'a mut Vec<PortIo>,
    sink: &'a mut Sink,
    found: Vec<OutputDecl>,
}

impl Outputs<'_> {
    /// An output of which only the name is said.
    fn plain(&self, name: &str) -> OutputDecl {
        let (form, kind) = match self.body {
            Body::Sql(_) => (OutputDef::Table(TableFormat::Csv), TypeRef::Builtin(Builtin::Table)),
            Body::Source(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => {
                (OutputDef::File { name: name.to_owned() }, TypeRef::Any)
            }
        };
        OutputDecl { name: name.into(), emits: Emits::Required, form, kind }
    }

    fn several(&mut self, value: Value<'_>) {
        match &value.node.kind {
            Kind::Text(_) => self.one(OutputDecl::RESULT, value),
            Kind::List(_) => {
                for (name, place) in value.texts("outputs", self.sink) {
                    if self.is_free(&name, &place) {
                        let plain = self.plain(&name);
                        self.found.push(plain);
                    }
                }
            }
            Kind::Table(_) => {
                for (entry, output) in value.as_table().into_iter().flat_map(Table::iter) {
                    let place = Place { span: entry.key_span.clone(), ..value.place() };
                    if self.is_free(&entry.key, &place) {
                        self.one(&entry.key, output);
                    }
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Date(_) => {
                let help = "for example `outputs: {left: int, right: {optional: true}}`";
                let message =
                    "`outputs` must be a table of names, or a pattern such as `{piece}.json`";
                self.sink.push(value.place().error(message).help(help));
            }
        }
    }

    fn is_free(&mut self, name: &str, place: &Place) -> bool {
        let others = self.found.iter().map(|output| &*output.name);
        is_free("output", name, place, others, self.sink)
    }

    /// A text with a dot or a brace is a file, any other a type.
    fn one(&mut self, name: &str, value: Value<'_>) {
        let mut output = self.plain(name);
        match &value.node.kind {
            Kind::Null => {}
            Kind::Text(text) if text.contains('{') => self.files(&mut output, value, Least::None),
            Kind::Text(text) if text.contains('.') => self.file(&mut output, value),
            Kind::Text(_) => self.kind(&mut output, value),
            Kind::Table(_) => {
                if let Some(table) = value.as_table() {
                    self.table(&mut output, table);
                }
            }
            Kind::Bool(_) | Kind::Number(_) | Kind::Date(_) | Kind::List(_) => {
                let message = format!("the output `{name}` must be a type, a file or a table");
                let help = "for example `int`, `report.html` or `{type: int, optional: true}`";
                self.sink.push(value.place().error(message).help(help));
            }
        }
        self.found.push(output);
    }

    fn table(&mut self, output: &mut OutputDecl, table: Table<'_>) {
        table.allow(&[OUTPUT_KEYS], &format!("the output `{}`", output.name), self.sink);
        io_of(&output.name, table, self.io, self.sink);
        if let Some(value) = table.get("type") {
            self.kind(output, value);
        }
        let optional = table.get("optional").and_then(|it| it.boolean("optional", self.sink));
        let optional = optional == Some(true);
        if optional {
            output.emits = Emits::Optional;
        }
        match (table.get("file"), table.get("files")) {
            (None, None) => {}
            (Some(file), None) => self.file(output, file),
            (None, Some(files)) => {
                self.files(output, files, if optional { Least::Skip } else { Least::None });
            }
            (Some(_), Some(files)) => {
                let message = "`file` and `files` exclude each other";
                self.sink.push(files.place().error(message).label("one file, or pieces"));
            }
        }
        self.directory(output, table);
        let Some(value) = table.get("format") else { return };
        if let Some(named) = table.get("file").or_else(|| table.get("files")) {
            let message = "`format` is for a table without a name of its own";
            let help = "the ending of a name says its format: `.csv`, `.jsonl`";
            let error = value.place().error(message).label("beside a name");
            let at = named.place();
            self.sink.push(error.related(at.span, "the name").help(help));
        } else if let Some(format) = table_format(value, self.sink) {
            output.form = OutputDef::Table(format);
        }
    }

    fn directory(&mut self, output: &mut OutputDecl, table: Table<'_>) {
        let Some(value) = table.get("dir") else { return };
        if value.boolean("dir", self.sink) != Some(true) {
            return;
        }
        let others = ["file", "files", "format", "type"];
        if let Some(other) = others.into_iter().find(|key| table.get(key).is_some()) {
            let message = format!("`dir` and `{other}` exclude each other");
            self.sink.push(value.place().error(message).label("a directory is no file"));
        } else if matches!(self.body, Body::Sql(_)) {
            let message = "SQL gives a table, no directory";
            self.sink.push(value.place().error(message).label("a directory"));
        } else {
            output.form = OutputDef::Directory;
        }
    }

    fn kind(&mut self, output: &mut OutputDecl, value: Value<'_>) {
        output.kind = type_of(value, self.types, self.sink);
        let is_table = output.kind == TypeRef::Builtin(Builtin::Table);
        match self.body {
            Body::Sql(_) => {
                if !is_table && matches!(output.kind, TypeRef::Builtin(_)) {
                    let message = format!("SQL gives a table, not `{}`", output.kind);
                    self.sink.push(value.place().error(message).label("no table"));
                }
            }
            Body::Source(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => {
                if is_table {
                    output.form = OutputDef::Table(TableFormat::Csv);
                }
            }
        }
    }

    fn file(&mut self, output: &mut OutputDecl, value: Value<'_>) {
        let Some(name) = value.text("file", self.sink) else { return };
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            let message = format!("an output is the name of a file, not `{name}`");
            self.sink.push(value.place().error(message).label("a name without `/`"));
            return;
        }
        if matches!(self.body, Body::Sql(_)) {
            let message = "SQL gives a table, no file of its own";
            let help = "`{format: csv}` or `{format: jsonl}` says how it is kept";
            self.sink.push(value.place().error(message).label("a file").help(help));
            return;
        }
        output.form = OutputDef::File { name: name.to_owned() };
    }

    /// A pattern with one capture: the keys of pieces are words that stand in names of steps.
    fn files(&mut self, output: &mut OutputDecl, value: Value<'_>, least: Least) {
        output.emits = Emits::Pieces(least);
        let Some(text) = value.text("files", self.sink) else { return };
        let pattern = match PathPattern::parse(text) {
            Ok(pattern) => pattern,
            Err(error) => {
                let help = "for example `\"{piece}.json\"`";
                let error = value.place().error(error.to_string());
                self.sink.push(error.label("no pattern").help(help));
                return;
            }
        };
        let is_plain = |piece: &PatternPiece| match piece {
            PatternPiece::Literal(text) => !text.contains('/'),
            PatternPiece::Capture { format, .. } => format.is_none(),
            PatternPiece::Glob(_) => false,
        };
        if pattern.captures().count() != 1 || !pattern.pieces.iter().all(is_plain) {
            let message = format!("`{text}` does not say what tells one piece from another");
            let help =
                "one capture says it, and nothing but a name stands around it: `{piece}.json`";
            self.sink.push(value.place().error(message).label("one capture").help(help));
            return;
        }
        output.form = OutputDef::File { name: text.to_owned() };
    }
}
