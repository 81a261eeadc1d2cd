//! The log of a step: what it wrote as it was read, cut in the middle where there is too much, without
//! secrets.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use super::secrets::Masker;
use super::{Control, LogInfo, Step};
use crate::base::fault;

// The end of a log is kept in memory until the step ends, so it is small whatever the limit.
const TAIL_MAX: u64 = 1 << 20;
const MESSAGE_MAX: usize = 4096;

/// Writes a log; the file is made with the first byte.
pub(super) struct Log<'a> {
    step: &'a Step,
    begins: Begins,
    control: &'a Control,
    masker: Masker<'a>,
    file: Option<File>,
    head_left: u64,
    /// What comes after the head: the last of it.
    tail: Ring,
    /// The end for a message.
    message: Ring,
    bytes: u64,
    /// Of the disk: the step goes on without a log.
    error: Option<io::Error>,
}

impl<'a> Log<'a> {
    pub(super) fn new(step: &'a Step, control: &'a Control, begins: Begins) -> Log<'a> {
        let tail_max = TAIL_MAX.min(step.log_max_bytes / 4);
        Log {
            step,
            begins,
            control,
            masker: Masker::new(&step.secrets),
            file: None,
            head_left: step.log_max_bytes - tail_max,
            tail: Ring::new(tail_max as usize),
            message: Ring::new(MESSAGE_MAX),
            bytes: 0,
            error: None,
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.step.secrets.is_empty() {
            self.take(bytes);
        } else {
            let shown = self.masker.push(bytes);
            self.take(&shown);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.control.log(self.step, bytes);
        self.bytes += bytes.len() as u64;
        self.message.add(bytes);
        let head = self.head_left.min(bytes.len() as u64) as usize;
        self.head_left -= head as u64;
        if head > 0 {
            self.write(&bytes[..head]);
        }
        self.tail.add(&bytes[head..]);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        let written = fault::check(fault::Write::File("write", &self.step.paths.log))
            .and_then(|()| self.open()?.write_all(bytes));
        self.error = written.err();
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(open(self.step, self.begins)?);
        }
        Ok(self.file.as_mut().expect("it was opened"))
    }

    /// Writes the tail; to be called when the step has ended.
    pub(super) fn finish(mut self) -> Option<LogInfo> {
        let rest = self.masker.finish();
        self.take(&rest);
        if self.bytes == 0 {
            return None;
        }
        let dropped = self.tail.dropped;
        if dropped > 0 {
            self.write(format!("\n[giornata: {dropped} bytes are left out here]\n").as_bytes());
        }
        let tail = std::mem::take(&mut self.tail.bytes);
        if !tail.is_empty() {
            self.write(&Vec::from(tail));
        }
        let path = self.step.paths.log.clone();
        let mut tail = self.message.text();
        if let Some(error) = &self.error {
            tail.push_str(&format!("\n[giornata: the log could not be written: {error}]"));
        }
        Some(LogInfo { path, bytes: self.bytes, dropped, tail })
    }
}

/// Where the log of an execution begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// As the step says: a later attempt is written after the ones before it.
    AsTheStep,
    /// After what is there: it is run beside the step.
    After,
}

fn open(step: &Step, begins: Begins) -> io::Result<File> {
    let path = &step.paths.log;
    let mut options = OpenOptions::new();
    options.create(true);
    if step.attempt > 1 || begins == Begins::After {
        options.append(true);
    } else {
        options.write(true).truncate(true);
    }
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            options.open(path)?
        }
        opened => opened?,
    };
    if step.attempt > 1 && begins == Begins::AsTheStep {
        writeln!(file, "[giornata: attempt {}]", step.attempt)?;
    }
    Ok(file)
}

/// The last bytes of a stream.
struct Ring {
    bytes: VecDeque<u8>,
    max: usize,
    dropped: u64,
}

impl Ring {
    fn new(max: usize) -> Ring {
        Ring { bytes: VecDeque::new(), max, dropped: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        let skip = bytes.len().saturating_sub(self.max);
        let excess = (self.bytes.len() + bytes.len() - skip).saturating_sub(self.max);
        self.bytes.drain(..excess);
        self.bytes.extend(&bytes[skip..]);
        self.dropped += (skip + excess) as u64;
    }

    /// Whole lines, if at least one is whole.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let whole = match text.split_once('\n') {
            Some((_, rest)) if self.dropped > 0 && !rest.is_empty() => rest,
            Some(_) | None => &text,
        };
        whole.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_ring_has_the_last_bytes(pieces: Vec<Vec<u8>>, max in 0usize..50) {
            let mut ring = Ring::new(max);
            pieces.iter().for_each(|piece| ring.add(piece));
            let all = pieces.concat();
            let kept = all.len().min(max);
            prop_assert_eq!(Vec::from(ring.bytes), &all[all.len() - kept..]);
            prop_assert_eq!(ring.dropped as usize, all.len() - kept);
        }
    }
}
