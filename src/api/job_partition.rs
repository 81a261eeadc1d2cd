//! For which of its partitions a job runs: in this process, and on the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::Error;
use super::system::SystemClock;
use crate::base::{Clock, PartitionKey};
use crate::defs::template::At;
use crate::defs::{Domain, Job};
use crate::engine::{self, Engine, partition_of, spans};

/// One partition of a job, as its steps are told it.
pub(super) struct Part {
    pub(super) key: PartitionKey,
    /// Start and end as local dates.
    pub(super) dates: Option<(String, String)>,
    /// The same in RFC 3339.
    pub(super) window: Option<(String, String)>,
}

/// A job with its values as they are for the partition that is meant.
pub(super) struct OfPart {
    pub(super) job: Arc<Job>,
    pub(super) part: Part,
}

impl OfPart {
    /// In this process, where only the clock says which partitions there are.
    pub(super) fn in_process(
        job: &Arc<Job>,
        partition: Option<&PartitionKey>,
    ) -> Result<OfPart, Error> {
        if let Some(source) = job.partitions.sources().first() {
            let problem = format!("only a run on the store knows the partitions of `{source}`");
            return Err(refused(job, problem));
        }
        let partitions = Arc::new(job.partitions.clone());
        let domain = Domain::resolve(partitions, SystemClock.now(), &BTreeMap::new());
        OfPart::of(job, &domain, partition)
    }

    /// On the store, after a look at the sources that the partitions follow; with what was noticed there.
    pub(super) fn on_store(
        engine: &mut Engine,
        job: &Arc<Job>,
        partition: Option<&PartitionKey>,
    ) -> Result<(OfPart, Vec<String>), Error> {
        let sources: Vec<_> = job.partitions.sources().into_iter().collect();
        let warnings = if sources.is_empty() { Vec::new() } else { engine.refresh(&sources)? };
        let domain = engine.job_domain(job)?;
        Ok((OfPart::of(job, &domain, partition)?, warnings))
    }

    fn of(
        job: &Arc<Job>,
        domain: &Domain,
        partition: Option<&PartitionKey>,
    ) -> Result<OfPart, Error> {
        let index = partition_of(job, domain, partition).map_err(|it| refused(job, it))?;
        let key = partition.cloned().unwrap_or_else(PartitionKey::unpartitioned);
        let Some(at) = index.and_then(|index| At::of(domain, index)) else {
            return Ok(OfPart { job: job.clone(), part: Part { key, dates: None, window: None } });
        };
        let filled = job.at(&at).map_err(|mistakes| {
            let told = mistakes.iter().map(|(path, error)| format!("`{path}`: {error}"));
            let problems = told.collect();
            Error::Engine(engine::Error::Launch { job: job.name.to_string(), problems })
        })?;
        let window = index.and_then(|index| domain.window(index));
        let (dates, window) = window.map(|window| spans(&job.partitions, window)).unzip();
        Ok(OfPart { job: Arc::new(filled), part: Part { key, dates, window } })
    }
}

fn refused(job: &Job, problem: String) -> Error {
    engine::Error::Launch { job: job.name.to_string(), problems: vec![problem] }.into()
}
