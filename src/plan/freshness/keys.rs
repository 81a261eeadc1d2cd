//! Computes the content keys of one asset, over the versions that somebody else knows.

use super::super::db::Edge;
use super::super::manifest;
use crate::base::{Digest, PartitionIdx};
use crate::defs::{Domain, Missing};

/// One dependency, for computing keys.
pub struct InputView<'a> {
    pub edge: &'a Edge,
    pub domain: &'a Domain,
}

/// Computes content keys of one asset. What all partitions read alike is hashed once.
pub struct KeyMaker<'a> {
    step: Digest,
    domain: &'a Domain,
    inputs: &'a [InputView<'a>],
    version: &'a dyn Fn(usize, PartitionIdx) -> Option<Digest>,
    constant: Vec<Option<Digest>>,
}

impl<'a> KeyMaker<'a> {
    /// `version` answers for (place of the dependency, upstream partition).
    pub fn new(
        step: Digest,
        domain: &'a Domain,
        inputs: &'a [InputView<'a>],
        version: &'a dyn Fn(usize, PartitionIdx) -> Option<Digest>,
    ) -> KeyMaker<'a> {
        KeyMaker { step, domain, inputs, version, constant: vec![None; inputs.len()] }
    }

    /// `None` if an input has no version.
    pub fn content_key(&mut self, part: PartitionIdx) -> Option<Digest> {
        let digests = self.inputs(part)?;
        Some(manifest::content_key(&self.step, self.domain, part, &digests))
    }

    /// The digest of each input; `None` if one has no version.
    pub fn inputs(&mut self, part: PartitionIdx) -> Option<Vec<Digest>> {
        let mut digests = Vec::with_capacity(self.inputs.len());
        for dep in 0..self.inputs.len() {
            let digest = match self.constant[dep] {
                Some(digest) => digest,
                None => self.input(dep, part)?,
            };
            digests.push(digest);
        }
        Some(digests)
    }

    fn input(&mut self, dep: usize, part: PartitionIdx) -> Option<Digest> {
        let InputView { edge, domain } = &self.inputs[dep];
        let mut mapped = edge.mapping.upstream_of_one(part);
        let version = |part: PartitionIdx| (self.version)(dep, part);
        match edge.missing {
            Missing::Error => {}
            // A partition without a version is not part of the input.
            Missing::Allow => {
                mapped = mapped.iter().filter(|part| version(*part).is_some()).collect();
            }
        }
        let name = edge.upstream.as_str();
        let digest = manifest::input_digest(name, edge.given(), domain, &mapped, &version)?;
        if edge.mapping.is_constant() {
            self.constant[dep] = Some(digest);
        }
        Some(digest)
    }
}
