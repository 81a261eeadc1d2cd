//! Steps for the tests of this module, in a directory of their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{Content, Input, Part, Produced, Resources, Step, StepPaths};
use crate::base::{AssetKey, Digest, PartitionKey, RunId};
use crate::defs::{
    Asset, Body, CommandBody, CommandLine, Origin, OutputDef, PartitionsDef, Policy, Retries,
    SqlBody, TableFormat,
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

pub(super) fn produced() -> Produced {
    Produced::File(PathBuf::from("x"))
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

    fn new(body: Body, output: OutputDef) -> StepBuilder {
        let asset = Asset {
            key: AssetKey::parse("mart/it").unwrap(),
            origin: Origin { file: "assets/it.sql".into(), line: 1 },
            partitions: PartitionsDef::Unpartitioned,
            body,
            deps: Vec::new(),
            output,
            export: None,
            io: None,
            config: BTreeMap::new(),
            env: Default::default(),
            resources: BTreeMap::new(),
            inputs: Vec::new(),
            version: None,
            checks: Vec::new(),
            policy: Policy::default(),
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
            asset: Arc::new(asset.clone()),
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
            timeout: None,
        };
        StepBuilder { asset, step }
    }

    pub(super) fn retries(mut self, retries: Retries) -> StepBuilder {
        self.asset.policy.retries = retries;
        self
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> StepBuilder {
        self.step.timeout = Some(timeout);
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
        self.step.inputs.push(Input { name, variable, single, parts });
        self
    }

    pub(super) fn build(self) -> TestStep {
        let step = Step { asset: Arc::new(self.asset), ..self.step };
        TestStep { step, _dir: Some(DIR.with(Arc::clone)) }
    }
}

impl TestStep {
    pub(super) fn root(&self) -> &Path {
        &self.paths.root
    }
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
