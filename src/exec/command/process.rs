//! One process and its group, from start to end, on the thread that waits for it.
//!
//! The thread sleeps in one `poll` on the process, its streams and the control, with the next
//! deadline as time-out. The group is killed while its leader is not yet reaped: until then nobody
//! else can get its number.

use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use wait4::Wait4;

use crate::base::Usage;
use crate::exec::lifeline::VARIABLE;
use crate::exec::log::{Begins, Log};
use crate::exec::{Control, Failure, Lifeline, LogInfo, Step, usage};

// What is read of a stream at once.
const BUFFER: usize = 64 << 10;
// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
// How long a grandchild that left the group may keep us after the leader's exit.
const LINGER: Duration = Duration::from_secs(2);
// How often a cancellation is looked for if it cannot wake us.
const TICK: Duration = Duration::from_millis(100);

/// How a process ended.
pub(super) struct Ended {
    pub(super) result: Result<(), Failure>,
    pub(super) log: Option<LogInfo>,
    pub(super) usage: Usage,
}

/// Starts the command and waits for its end, or brings it about.
pub(super) fn run(
    command: &mut Command,
    step: &Step,
    control: &Control,
    lifeline: &Lifeline,
    buffer: &mut Vec<u8>,
    begins: Begins,
) -> Ended {
    let mut log = Log::new(step, control, begins);
    buffer.resize(BUFFER, 0);
    let (result, usage) = match Running::start(command, step, control, lifeline) {
        Ok(running) => running.finish(&mut log, buffer),
        Err(failure) => (Err(failure), Usage::default()),
    };
    Ended { result, log: log.finish(), usage }
}

/// Why a process is being stopped, and what comes next.
enum Phase {
    Running,
    /// SIGTERM was sent; SIGKILL follows at `kill_at`.
    Stopping {
        why: Failure,
        kill_at: Option<Instant>,
    },
}

struct Running<'a> {
    step: &'a Step,
    control: &'a Control,
    lifeline: &'a Lifeline,
    child: Child,
    group: Pid,
    pidfd: OwnedFd,
    /// Both streams of the process, until their end.
    stream: Option<PipeReader>,
    deadline: Option<Instant>,
    phase: Phase,
}

impl<'a> Running<'a> {
    fn start(
        command: &mut Command,
        step: &'a Step,
        control: &'a Control,
        lifeline: &'a Lifeline,
    ) -> Result<Running<'a>, Failure> {
        if control.is_stopping() {
            return Err(Failure::Cancelled);
        }
        if let Some(marker) = lifeline.start() {
            command.env(VARIABLE, marker);
        }
        let program = command.get_program().display().to_string();
        let fail = |error: io::Error| Failure::Spawn {
            program: program.clone(),
            reason: spawn_advice(&error),
        };
        // One pipe, so that the log has what was written in the order in which it was.
        let (stream, writer) = io::pipe().map_err(fail)?;
        let both = writer.try_clone().map_err(fail)?;
        command.stdout(both).stderr(writer);
        let spawned = spawn(command, control);
        // The process has our ends of the pipe.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = spawned.map_err(fail)?;
        let group = Pid::from_child(&child);
        lifeline.add(group);
        let pidfd = match pidfd_open(group, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _ = kill_process_group(group, Signal::KILL);
                lifeline.remove(group);
                let _ = child.wait();
                return Err(fail(error.into()));
            }
        };
        let stream = Some(stream);
        let deadline = step.def.timeout.map(|timeout| now() + timeout);
        let phase = Phase::Running;
        Ok(Running { step, control, lifeline, child, group, pidfd, stream, deadline, phase })
    }

    fn finish(mut self, log: &mut Log<'_>, buffer: &mut [u8]) -> (Result<(), Failure>, Usage) {
        while !self.wait(log, buffer) {
            self.advance();
        }
        // The leader is dead and not reaped, so the group's number is still its own.
        let _ = kill_process_group(self.group, Signal::KILL);
        self.lifeline.remove(self.group);
        // It has ended, so this does not wait.
        let (status, usage) = match self.child.try_wait4() {
            Ok(Some(used)) => (Ok(used.status), usage::of_child(&used.rusage)),
            Ok(None) => (self.child.wait(), Usage::default()),
            Err(error) => (Err(error), Usage::default()),
        };
        self.drain(log, buffer);
        let result = match self.phase {
            Phase::Stopping { why, .. } => Err(why),
            Phase::Running => exit_result(status),
        };
        (result, usage)
    }

    /// Sleeps until something happens, and reads what there is; says whether the leader has ended.
    fn wait(&mut self, log: &mut Log<'_>, buffer: &mut [u8]) -> bool {
        let timeout = self.time_left();
        let stopping = matches!(self.phase, Phase::Stopping { .. });
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        fds.extend(self.stream.iter().map(|stream| PollFd::new(stream, PollFlags::IN)));
        if let Some(wake) = self.control.wake().filter(|_| !stopping) {
            fds.push(PollFd::from_borrowed_fd(wake, PollFlags::IN));
        }
        if !poll_fds(&mut fds, timeout) {
            return false;
        }
        let ended = !fds[0].revents().is_empty();
        // The next one is that of the streams, as long as there is one.
        let ready = self.stream.is_some() && !fds[1].revents().is_empty();
        drop(fds);
        if ready {
            self.read(log, buffer);
        }
        ended
    }

    /// Reads once, and lets go of the streams at their end.
    fn read(&mut self, log: &mut Log<'_>, buffer: &mut [u8]) {
        let Some(stream) = &mut self.stream else { return };
        match stream.read(buffer) {
            Ok(0) => self.stream = None,
            Ok(read) => log.add(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.stream = None,
        }
    }

    /// Stops what is cancelled or late, at first kindly.
    fn advance(&mut self) {
        match &mut self.phase {
            Phase::Running if self.control.is_cancelled() => self.stop(Failure::Cancelled),
            Phase::Running => {
                if let (Some(deadline), Some(after)) = (self.deadline, self.step.def.timeout)
                    && now() >= deadline
                {
                    self.stop(Failure::TimedOut { after });
                }
            }
            Phase::Stopping { kill_at, .. } => {
                if kill_at.is_some_and(|kill_at| now() >= kill_at) {
                    *kill_at = None;
                    let _ = kill_process_group(self.group, Signal::KILL);
                }
            }
        }
    }

    fn stop(&mut self, why: Failure) {
        let _ = kill_process_group(self.group, Signal::TERM);
        self.phase = Phase::Stopping { why, kill_at: Some(now() + GRACE) };
    }

    fn time_left(&self) -> Option<Duration> {
        let next = match &self.phase {
            Phase::Running => self.deadline,
            Phase::Stopping { kill_at, .. } => *kill_at,
        };
        let left = next.map(|next| next.saturating_duration_since(now()));
        match self.control.wake() {
            Some(_) => left,
            None => Some(left.map_or(TICK, |left| left.min(TICK))),
        }
    }

    /// Reads what is left in the pipe, for a while: a process that left the group may hold it.
    fn drain(&mut self, log: &mut Log<'_>, buffer: &mut [u8]) {
        let until = now() + LINGER;
        while let Some(stream) = &self.stream {
            let left = until.saturating_duration_since(now());
            if poll_fds(&mut [PollFd::new(stream, PollFlags::IN)], Some(left)) {
                self.read(log, buffer);
            }
            if left.is_zero() {
                return;
            }
        }
    }
}

/// Says whether any of them is ready; an interruption counts as a time-out.
fn poll_fds(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> bool {
    // Rounded up by the kernel's clock, not by us: a wake-up just before the deadline polls again.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    poll(fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
}

fn exit_result(status: io::Result<ExitStatus>) -> Result<(), Failure> {
    let status = status.map_err(|error| Failure::Spawn {
        program: "the process".to_owned(),
        reason: format!("its end cannot be learnt: {error}"),
    })?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(status), _) => Err(Failure::Exit { status }),
        (None, signal) => Err(Failure::Signal { signal: signal.unwrap_or_default() }),
    }
}

/// A program that was written a moment ago can be busy: another thread's child may have inherited the
/// descriptor that wrote it and not have started its own program yet.
fn spawn(command: &mut Command, control: &Control) -> io::Result<Child> {
    const TRIES: u32 = 8;
    for n in 0..TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                if control.wait(Duration::from_millis(1 << n)) {
                    break;
                }
            }
            spawned => return spawned,
        }
    }
    command.spawn()
}

fn spawn_advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "not found; its interpreter (the first line after `#!`) may be missing".to_owned()
        }
        io::ErrorKind::PermissionDenied => "permission denied; `chmod +x` it".to_owned(),
        io::ErrorKind::ArgumentListTooLong => {
            "its arguments and environment are too long; pass a file".to_owned()
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            "the system cannot execute it; a script needs `#!` and an interpreter on its first line"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the deadlines of a process are measured here")]
fn now() -> Instant {
    Instant::now()
}
