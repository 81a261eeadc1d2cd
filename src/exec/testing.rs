//! Steps for the tests of this module, in a directory of their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{Content, Emitted, InJob, Input, Of, Part, Produced, Resources, Step, StepPaths};
use crate::base::{AssetKey, Digest, JobName, PartitionKey, RunId, StepName};
use crate::defs::{
    Asset, Body, CommandBody, CommandLine, FunctionBody, FunctionSlot, InputDecl, Op, Origin,
    OutputDecl, OutputDef, PartitionsDef, Policy, Retries, SqlBody, StepDef, TableFormat, TypeRef,
};

/// A step and the directory in which it may write.
pub(super) struct StepBuilder {
    asset: Asset,
    step: Step,
}

/// A built step; its directory lives as long.
pub(super) struct TestStep {
    step: Step,
    _dir: Option<Arc<TempDir>>,
}

impl std::ops::Deref for TestStep {
    type Target = Step;

    fn deref(&self) -> &Step {
        &self.step
    }
}

thread_local! {
    static DIR: Arc<TempDir> = Arc::new(tempfile::tempdir().unwrap());
}

pub(super) fn emitted() -> Emitted {
    Emitted::only(Produced::File(PathBuf::from("x")))
}

impl StepBuilder {
    pub(super) fn shell(line: &str) -> StepBuilder {
        StepBuilder::command(CommandLine::Shell(line.to_owned()))
    }

    pub(super) fn command(line: CommandLine) -> StepBuilder {
        let body = CommandBody { line, code: None, named_files: Vec::new() };
        StepBuilder::new(Body::Command(body), OutputDef::File { name: "out.txt".into() })
    }

    pub(super) fn sql(text: &str) -> StepBuilder {
        let body = SqlBody { text: text.to_owned(), first_line: 4 };
        StepBuilder::new(Body::Sql(body), OutputDef::Table(TableFormat::Csv))
    }

    pub(super) fn function() -> StepBuilder {
        let body = FunctionBody { version: "1".to_owned(), slot: FunctionSlot::Op(0) };
        StepBuilder::new(Body::Function(body), OutputDef::File { name: "out.json".into() })
    }

    fn new(body: Body, output: OutputDef) -> StepBuilder {
        let asset = Asset {
            key: AssetKey::parse("mart/it").unwrap(),
            origin: Origin { file: "assets/it.sql".into(), line: 1 },
            partitions: PartitionsDef::Unpartitioned,
            body,
            deps: Vec::new(),
            output,
            shared: None,
            export: None,
            io: None,
            config: BTreeMap::new(),
            env: Default::default(),
            resources: BTreeMap::new(),
            inputs: Vec::new(),
            version: None,
            checks: Vec::new(),
            policy: Policy::default(),
            automation: None,
            description: None,
            group: None,
            owners: Vec::new(),
            tags: BTreeMap::new(),
            kinds: Default::default(),
        };
        let root = DIR.with(|dir| dir.path().to_owned());
        let staging = root.join("staging");
        std::fs::create_dir_all(&staging).unwrap();
        let log = root.join("logs/it.log");
        let step = Step {
            def: Arc::new(StepDef::of_asset(&asset)),
            of: Of::Asset(asset.key.clone()),
            partition: PartitionKey::unpartitioned(),
            window: None,
            window_rfc3339: None,
            inputs: Vec::new(),
            config: BTreeMap::new(),
            run: RunId(7),
            now: chrono::DateTime::UNIX_EPOCH,
            attempt: 1,
            paths: StepPaths { root, staging, log },
            resources: Resources::default(),
            secrets: Arc::default(),
            env: Arc::new(vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())]),
            log_max_bytes: 1 << 20,
            types: Arc::default(),
        };
        StepBuilder { asset, step }
    }

    pub(super) fn retries(mut self, retries: Retries) -> StepBuilder {
        self.asset.policy.retries = retries;
        self
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> StepBuilder {
        self.asset.policy.timeout = Some(timeout);
        self
    }

    pub(super) fn log_max(mut self, bytes: u64) -> StepBuilder {
        self.step.log_max_bytes = bytes;
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> StepBuilder {
        Arc::make_mut(&mut self.step.env).push((OsString::from(name), OsString::from(value)));
        self
    }

    pub(super) fn output(mut self, output: OutputDef) -> StepBuilder {
        self.asset.output = output;
        self
    }

    /// A step of a job: `nightly/it` of an op with these outputs and, in the order of the parts that are
    /// given, inputs.
    pub(super) fn op(mut self, piece: Option<&str>, outputs: &[OutputDecl]) -> StepBuilder {
        let job = JobName::parse("nightly").unwrap();
        let mut op = Op::new("it", self.asset.origin.clone(), self.asset.body.clone());
        op.outputs = outputs.into();
        op.retries = self.asset.policy.retries.clone();
        op.timeout = self.asset.policy.timeout;
        let op = Arc::new(op);
        self.step.def = Arc::new(op.step(StepName::of(&job, "it")));
        let (path, piece) = ("it".into(), piece.map(Arc::from));
        let (own, read) = (Arc::default(), Arc::default());
        self.step.of = Of::Job(Arc::new(InJob { job, asset: None, path, op, piece, own, read }));
        self
    }

    /// A value at an input of a type.
    pub(super) fn typed(mut self, name: &str, kind: &str, parts: Vec<Part>) -> StepBuilder {
        let kind = TypeRef::parse(kind).unwrap();
        let decl = InputDecl { kind, ..InputDecl::one(name) };
        let def = Arc::make_mut(&mut self.step.def);
        def.inputs = def.inputs.iter().cloned().chain([decl]).collect();
        self.input(name, parts)
    }

    pub(super) fn asset(mut self, edit: impl FnOnce(&mut Asset)) -> StepBuilder {
        edit(&mut self.asset);
        self
    }

    pub(super) fn edit(mut self, edit: impl FnOnce(&mut Step)) -> StepBuilder {
        edit(&mut self.step);
        self
    }

    pub(super) fn partition(mut self, key: &str) -> StepBuilder {
        self.step.partition = PartitionKey::new(key);
        self
    }

    pub(super) fn input(mut self, name: &str, parts: Vec<Part>) -> StepBuilder {
        let single = parts.len() == 1;
        let name = AssetKey::parse(name).unwrap();
        let variable = name.variable();
        self.step.inputs.push(Input {
            name: (&name).into(),
            variable,
            single,
            parts,
            items: Vec::new(),
        });
        self
    }

    pub(super) fn build(self) -> TestStep {
        let mut step = self.step;
        if let Of::Asset(_) = step.of {
            step.def = Arc::new(StepDef::of_asset(&self.asset));
        }
        TestStep { step, _dir: Some(DIR.with(Arc::clone)) }
    }
}

impl TestStep {
    pub(super) fn root(&self) -> &Path {
        &self.paths.root
    }
}

/// What a step with one output made.
pub(super) fn only(mut made: Vec<Emitted>) -> Produced {
    assert_eq!(made.len(), 1, "{made:?}");
    made.remove(0).what
}

/// A part of a CSV table.
pub(super) fn csv(key: &str, text: &str) -> Part {
    part(key, text, Content::Inline(text.as_bytes().into()))
}

/// A part whose bytes are `text`, wherever they are.
pub(super) fn part(key: &str, text: &str, content: Content) -> Part {
    let digest = Digest::of_blob(text.as_bytes());
    Part {
        key: PartitionKey::new(key),
        version: digest,
        content_digest: digest,
        content,
        extension: "csv".to_owned(),
        format: Some(TableFormat::Csv),
        schema: None,
        columns: Arc::default(),
    }
}
