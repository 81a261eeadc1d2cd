//! Sees to it that no process outlives the engine, even if the engine is killed on the spot.
//!
//! One helper for the whole process, started with the first command, waits at a pipe. When that ends (with
//! this process, however it ends) it reads from a file in memory which process groups run, and kills them:
//! so a command costs a few bytes written, and nobody wakes up. What had just been started and is not in the
//! list yet, or has left its group, is known by a variable of its environment. What escapes even that, with
//! the helper killed too, is found at recovery by its environment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process_group};

use crate::base::RunId;

// The first `read` ends at the end of the pipe, or with a farewell when nothing runs. Nobody must be seen
// three times in a row, since a child shows its environment only when it has begun its program. Signals that
// end a terminal's session go to the helper too and are ignored: it ends with the pipe.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
read -r word
[ "$word" = bye ] && exit 0
groups=
while read -r id; do
  [ -n "$id" ] && groups="$groups $id"
done <&1
for id in $groups; do kill -TERM "-$id"; done
seen() { grep -ls "GIORNATA_LIFELINE=$$[.]" /proc/[0-9]*/environ | tr -dc '0-9\n'; }
left=20
calm=0
while [ $left -gt 0 ]; do
  alive=$(seen)
  for id in $alive; do kill -TERM "$id"; done
  for id in $groups; do kill -0 "-$id" && alive=1; done
  if [ -n "$alive" ]; then calm=0; else calm=$((calm + 1)); fi
  [ $calm -gt 2 ] && exit 0
  sleep 0.1
  left=$((left - 1))
done
for id in $groups; do kill -KILL "-$id"; done
for id in $(seen); do kill -KILL "$id"; done
"#;

/// By this variable the helper knows processes that it was not told of.
pub(super) const VARIABLE: &str = "GIORNATA_LIFELINE";

/// The bytes of a line of the list, with its end: any number fits.
const LINE: usize = 12;

/// The helper of this process; clones share it.
#[derive(Clone, Default)]
pub struct Lifeline(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    helper: Option<Helper>,
    /// The groups that run, each with the number of its line in the list.
    groups: BTreeMap<i32, u64>,
}

impl Lifeline {
    /// Starts nothing yet.
    pub fn new() -> Lifeline {
        Lifeline::default()
    }

    /// Makes sure that the helper runs, so that a group can be added the moment it exists. Gives the
    /// value of [`VARIABLE`] by which it knows processes; none if no helper can be started.
    pub(super) fn start(&self) -> Option<String> {
        let mut state = self.lock();
        if state.helper.is_none() {
            state.restart();
        }
        // The point is where the number ends.
        state.helper.as_ref().map(|helper| format!("{}.", helper.child.id()))
    }

    /// A group that is to die with this process.
    pub(super) fn add(&self, group: Pid) {
        let id = group.as_raw_pid();
        let mut state = self.lock();
        let used: BTreeSet<u64> = state.groups.values().copied().collect();
        let free = (0..).find(|line| !used.contains(line)).expect("there are enough numbers");
        state.groups.insert(id, free);
        state.tell(free, Some(id));
    }

    /// To be called before the group's leader is reaped: then its number may become another's.
    pub(super) fn remove(&self, group: Pid) {
        let mut state = self.lock();
        if let Some(line) = state.groups.remove(&group.as_raw_pid()) {
            state.tell(line, None);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// If somebody killed the helper, another takes over; without one, recovery does its work.
    fn tell(&mut self, line: u64, group: Option<i32>) {
        let told = self
            .helper
            .as_mut()
            .is_some_and(|helper| helper.is_alive() && helper.write(line, group).is_ok());
        if !told {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.helper = Helper::start().ok();
        let Some(helper) = &mut self.helper else { return };
        let lines: BTreeMap<u64, i32> = self.groups.iter().map(|(id, line)| (*line, *id)).collect();
        // What lies between them must be lines too.
        let last = lines.keys().next_back().map_or(0, |last| last + 1);
        let told = (0..last).all(|line| helper.write(line, lines.get(&line).copied()).is_ok());
        if !told {
            self.helper = None;
        }
    }
}

struct Helper {
    child: Child,
    /// A line for each group. The helper has it as its standard output, of which it reads.
    list: File,
}

impl Helper {
    fn start() -> io::Result<Helper> {
        let list = File::from(memfd_create("giornata-groups", MemfdFlags::CLOEXEC)?);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "giornata-lifeline"]).current_dir("/");
        command.stdin(Stdio::piped()).stdout(list.try_clone()?).stderr(Stdio::null());
        command.env_clear().env("PATH", "/usr/bin:/bin").process_group(0);
        Ok(Helper { child: command.spawn()?, list })
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn write(&mut self, line: u64, group: Option<i32>) -> io::Result<()> {
        let id = group.map(|id| id.to_string()).unwrap_or_default();
        let text = format!("{id:>width$}\n", width = LINE - 1);
        self.list.write_all_at(text.as_bytes(), line * LINE as u64)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(stdin) = self.helper.as_mut().and_then(|helper| helper.child.stdin.as_mut())
            && self.groups.is_empty()
        {
            // If it is dead, it has nothing to do either.
            let _ = stdin.write_all(b"bye\n");
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Ends at once after a farewell: no group is left in its list.
        let _ = self.child.wait();
    }
}

/// Kills what dead runs of the project at `root` left behind; says how many process groups.
///
/// A process is known by `GIORNATA_ROOT` and `GIORNATA_RUN` in the environment it was started with.
/// Only Linux shows that; elsewhere nothing is found.
pub fn sweep_leftovers(runs: &[RunId], root: &Path) -> usize {
    if runs.is_empty() {
        return 0;
    }
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let groups: BTreeSet<i32> = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|id| is_leftover(*id, runs, root))
        .filter_map(|id| Some(getpgid(Pid::from_raw(id)).ok()?.as_raw_pid()))
        .filter(|group| *group != getpgrp().as_raw_pid())
        .collect();
    let killed = groups.iter().filter_map(|group| Pid::from_raw(*group));
    killed.filter(|group| kill_process_group(*group, Signal::KILL).is_ok()).count()
}

fn is_leftover(id: i32, runs: &[RunId], root: &Path) -> bool {
    let Ok(environ) = fs::read(format!("/proc/{id}/environ")) else { return false };
    let value = |name: &[u8]| {
        let mut variables = environ.split(|byte| *byte == 0);
        variables.find_map(|variable| variable.strip_prefix(name))
    };
    let run = value(b"GIORNATA_RUN=").and_then(|run| std::str::from_utf8(run).ok()?.parse().ok());
    value(b"GIORNATA_ROOT=").map(OsStr::from_bytes) == Some(root.as_os_str())
        && run.is_some_and(|run| runs.contains(&RunId(run)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use super::*;
    use crate::exec::Control;

    fn sleeper(environment: &[(&str, &str)]) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 600 & wait"]).process_group(0);
        command.envs(environment.iter().copied()).spawn().unwrap()
    }

    /// The end of a process that somebody is about to kill.
    fn signal_of(mut child: Child) -> Option<i32> {
        let control = Control::new();
        for _ in 0..3000 {
            if let Some(status) = child.try_wait().unwrap() {
                return status.signal();
            }
            control.wait(Duration::from_millis(10));
        }
        child.kill().unwrap();
        None
    }

    #[test]
    fn the_end_of_the_pipe_is_the_end_of_what_runs() {
        let (listed, removed, other) = (sleeper(&[]), sleeper(&[]), sleeper(&[]));
        let lifeline = Lifeline::new();
        lifeline.start();
        lifeline.add(Pid::from_child(&removed));
        lifeline.add(Pid::from_child(&listed));
        lifeline.remove(Pid::from_child(&removed));
        drop(lifeline);
        assert_eq!(signal_of(listed), Some(15));
        for mut survivor in [removed, other] {
            assert_eq!(survivor.try_wait().unwrap(), None);
            kill_process_group(Pid::from_child(&survivor), Signal::KILL).unwrap();
            survivor.wait().unwrap();
        }
    }

    #[test]
    fn what_was_not_listed_yet_is_known_by_its_environment() {
        let lifeline = Lifeline::new();
        let marker = lifeline.start().unwrap();
        let mut other = sleeper(&[(VARIABLE, &format!("1{marker}"))]);
        let unlisted = sleeper(&[(VARIABLE, &marker)]);
        // Something runs, so that it is no farewell.
        let listed = sleeper(&[]);
        lifeline.add(Pid::from_child(&listed));
        drop(lifeline);
        assert_eq!(signal_of(unlisted), Some(15));
        assert_eq!(signal_of(listed), Some(15));
        assert_eq!(other.try_wait().unwrap(), None);
        kill_process_group(Pid::from_child(&other), Signal::KILL).unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_killed_helper_is_replaced() {
        let lifeline = Lifeline::new();
        let child = sleeper(&[]);
        lifeline.start();
        lifeline.add(Pid::from_child(&child));
        let kill_helper = || {
            let mut state = lifeline.lock();
            let helper = &mut state.helper.as_mut().unwrap().child;
            helper.kill().unwrap();
            // Its end of the pipe is closed only when it is gone; the pipe stays ours.
            let pipe = helper.stdin.take();
            helper.wait().unwrap();
            helper.stdin = pipe;
        };
        kill_helper();
        // The next word finds it dead, and the new helper learns of all groups.
        let another = sleeper(&[]);
        lifeline.add(Pid::from_child(&another));
        drop(lifeline);
        assert_eq!(signal_of(child), Some(15));
        assert_eq!(signal_of(another), Some(15));
    }

    #[test]
    fn leftovers_are_known_by_their_environment() {
        let root = tempfile::tempdir().unwrap();
        let text = root.path().to_str().unwrap();
        let dead = sleeper(&[("GIORNATA_ROOT", text), ("GIORNATA_RUN", "3")]);
        let mut live = sleeper(&[("GIORNATA_ROOT", text), ("GIORNATA_RUN", "4")]);
        // A child shows its parent's environment until it has started its program.
        let ready = |child: &Child| {
            let id = child.id() as i32;
            is_leftover(id, &[RunId(3), RunId(4)], root.path())
        };
        let control = Control::new();
        while !(ready(&dead) && ready(&live)) {
            control.wait(Duration::from_millis(1));
        }
        assert_eq!(sweep_leftovers(&[], root.path()), 0);
        assert_eq!(sweep_leftovers(&[RunId(3), RunId(9)], Path::new("/elsewhere")), 0);
        assert_eq!(sweep_leftovers(&[RunId(3), RunId(9)], root.path()), 1);
        assert_eq!(signal_of(dead), Some(9));
        assert_eq!(live.try_wait().unwrap(), None);
        kill_process_group(Pid::from_child(&live), Signal::KILL).unwrap();
        live.wait().unwrap();
    }
}
