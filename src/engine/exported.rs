//! Remembers exported files from look to look, so that a look at a hundred thousand of them reads one
//! value for each asset and stats each file once.
//!
//! An entry says: this file, in this state, was the result as of a revision. If the version of the
//! partition has not changed since and the file is in that state, it is in place; nothing else is asked.
//! What is not remembered is compared by content, so a lost entry costs time and nothing else.

use serde::{Deserialize, Serialize};

use crate::base::{Column, Digest, PartitionIdx, Rev};
use crate::cas::stat::{self, Slack, StatEntry, StatKey};

/// What is remembered of the exports of one asset.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Exported {
    /// Where they are exported to.
    template: String,
    /// What has changed later may make entries untrue.
    rev: u32,
    /// By partition.
    entries: Vec<Entry>,
    #[serde(skip)]
    is_new: bool,
}

/// One exported file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Entry {
    part: PartitionIdx,
    /// The file was the result as of this revision.
    rev: u32,
    stat: StatKey,
    taken_ns: i64,
}

impl Exported {
    /// Reads what `to_bytes` wrote; nothing is remembered of another template, or if another version of
    /// the program wrote it.
    pub fn from_bytes(bytes: Option<&[u8]>, template: &str) -> Exported {
        let read = bytes.and_then(|bytes| postcard::from_bytes::<Exported>(bytes).ok());
        let known = read.filter(|known| known.template == template);
        known.unwrap_or_else(|| Exported { template: template.to_owned(), ..Exported::default() })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("there is nothing in it that cannot be written")
    }

    /// The revision as of which it is true.
    pub fn rev(&self) -> Rev {
        Rev(self.rev)
    }

    /// Whether there is something to write, once.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }

    /// Makes it true as of `rev`; `changed` has what changed after [`Exported::rev`].
    pub fn move_to(&mut self, rev: Rev, changed: &Column) {
        self.rev = self.rev.max(rev.0);
        if changed.is_empty() {
            return;
        }
        let before = self.entries.len();
        let changed_at = |part| changed.get(part).map_or(Rev(0), |mark| mark.changed_at);
        self.entries.retain(|entry| entry.rev >= changed_at(entry.part).0);
        self.is_new |= self.entries.len() != before;
    }

    /// Whether the file of `part` is known to be in place, by its state of now.
    pub fn vouches(&self, part: PartitionIdx, now: &StatKey, slack: Slack) -> bool {
        let Ok(at) = self.place(part) else { return false };
        let Entry { stat, taken_ns, .. } = self.entries[at];
        // The digest says nothing here: which content it was is said by the revision.
        let digest = Digest::from_bytes([0; 32]);
        stat::trusted(&StatEntry { stat, digest, taken_ns }, now, slack)
    }

    /// Whether the current result of `part` was put in its place before, whatever is there now.
    pub fn knows(&self, part: PartitionIdx) -> bool {
        self.place(part).is_ok()
    }

    /// Remembers a file that is the result as of `rev`.
    pub fn put(&mut self, part: PartitionIdx, rev: Rev, stat: StatKey, taken_ns: i64) {
        let entry = Entry { part, rev: rev.0, stat, taken_ns };
        match self.place(part) {
            Ok(at) => self.entries[at] = entry,
            Err(at) => self.entries.insert(at, entry),
        }
        self.is_new = true;
    }

    fn place(&self, part: PartitionIdx) -> Result<usize, usize> {
        // Mostly every partition is there.
        match self.entries.get(part as usize) {
            Some(entry) if entry.part == part => Ok(part as usize),
            Some(_) | None => self.entries.binary_search_by_key(&part, |entry| entry.part),
        }
    }
}
