//! Jobs of many ops: one after the other, all of one, and one for each piece.

use giornata::api::{Alone, Edge, Graph, Job, JobReport, Launch, One, Op, Plain, Project, job, op};
use tempfile::TempDir;

pub const OPS: usize = 10_000;

type AddOne = Op<(One<i64>,), Alone<Plain<i64>>>;

fn return_one(g: &Graph) -> Edge<i64> {
    op("return_one").run(|_| Ok(1_i64)).call(g)
}

fn add_one() -> AddOne {
    op("add_one").input::<i64>("number").run(|_, number| Ok(number + 1))
}

/// A project of one job in a directory of its own.
pub struct Stored {
    project: Project,
    _dir: TempDir,
}

pub fn stored(job: Job) -> Stored {
    let dir = tempfile::tempdir().expect("there is room for a temporary directory");
    let mut project = Project::new("ops", dir.path());
    project.job(job);
    Stored { project, _dir: dir }
}

impl Stored {
    pub fn run(&mut self, job: &str) -> JobReport {
        self.project.run(job, &Launch::new()).expect("the store is sound")
    }
}

/// `ops` ops, each of which reads the one before.
pub fn chain(ops: usize) -> Job {
    let add_one = add_one();
    job("chain").define(|g| {
        let mut number = return_one(g);
        for _ in 1..ops {
            number = add_one.call(g, number);
        }
    })
}

/// One op, `ops - 2` that read it, and one that reads all of those.
pub fn fan(ops: usize) -> Job {
    let add_one = add_one();
    let sum = op("sum").list::<i64>("numbers").run(|_, numbers| Ok(numbers.iter().sum::<i64>()));
    job("fan").define(|g| {
        let number = return_one(g);
        let all: Vec<Edge<i64>> = (2..ops).map(|_| add_one.call(g, number)).collect();
        sum.call(g, all);
    })
}

/// One op that gives `ops - 2` pieces, one op for each of them, and one that collects.
pub fn map(ops: usize) -> Job {
    let load = op("load")
        .pieces::<i64>()
        .run(move |_| Ok((2..ops).map(|n| (format!("p{n}"), 1)).collect()));
    let add_one = add_one();
    let sum = op("sum").list::<i64>("numbers").run(|_, numbers| Ok(numbers.iter().sum::<i64>()));
    job("map").define(|g| {
        let added = load.call(g).map(|n| add_one.call(g, n));
        sum.call(g, added.collect());
    })
}
