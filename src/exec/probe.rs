//! Asks a command for the version of something outside: what it prints on its standard output.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::Lifeline;
use super::lifeline::VARIABLE;

/// What a command may print. A version is short; more is a mistake.
const VERSION_MAX_BYTES: u64 = 64 << 10;
// How long a grandchild that left the group may keep us after the leader's end.
const LINGER: Duration = Duration::from_secs(2);

/// Asks for a version: as [`answer`], and there has to be one.
pub fn probe(
    command: &str,
    root: &Path,
    env: &[(OsString, OsString)],
    timeout: Duration,
    lifeline: &Lifeline,
) -> Result<String, String> {
    match answer(command, root, env, timeout, VERSION_MAX_BYTES, lifeline)? {
        answer if answer.is_empty() => Err("printed nothing: it has to print a version".to_owned()),
        answer => Ok(answer),
    }
}

/// Runs `command` by `sh` in `root`, and says what it printed, without white space around it. An error is
/// a sentence without its subject: `exited with status 3: no such host`. It does not outlive this process as
/// long as `lifeline` is held by it.
pub fn answer(
    command: &str,
    root: &Path,
    env: &[(OsString, OsString)],
    timeout: Duration,
    bytes_max: u64,
    lifeline: &Lifeline,
) -> Result<String, String> {
    let mut process = Command::new("/bin/sh");
    process.arg("-c").arg(command).current_dir(root).env_clear();
    process.envs(env.iter().map(|(name, value)| (name, value)));
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process.process_group(0);
    if let Some(marker) = lifeline.start() {
        process.env(VARIABLE, marker);
    }
    let mut child = process.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    let (out, err) = (read(child.stdout.take(), bytes_max), read(child.stderr.take(), bytes_max));
    let ended = wait(&mut child, lifeline, timeout)?;
    let text = |stream: &Receiver<Vec<u8>>| {
        let bytes = stream.recv_timeout(LINGER).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    };
    let said = text(&err);
    let because = said.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
    match (ended.code(), ended.signal()) {
        (Some(0), _) => {}
        (Some(code), _) => return Err(format!("exited with status {code}{because}")),
        (None, signal) => {
            return Err(format!("was killed by signal {}{because}", signal.unwrap_or_default()));
        }
    }
    let answer = text(&out);
    match answer.len() as u64 >= bytes_max {
        true => Err(format!("printed more than {bytes_max} bytes")),
        false => Ok(answer),
    }
}

/// Waits for the end, or brings it about. The group is killed while its leader is not yet reaped: until
/// then nobody else can get its number.
fn wait(
    child: &mut Child,
    lifeline: &Lifeline,
    timeout: Duration,
) -> Result<std::process::ExitStatus, String> {
    let group = Pid::from_child(child);
    lifeline.add(group);
    let ended = pidfd_open(group, PidfdFlags::empty()).and_then(|pidfd| {
        let timeout = Timespec::try_from(timeout).ok();
        // A signal of ours ends the wait early; the command line ends us then anyhow.
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], timeout.as_ref())
    });
    let _ = kill_process_group(group, Signal::KILL);
    lifeline.remove(group);
    let status = child.wait().map_err(|error| format!("its end cannot be learnt: {error}"))?;
    match ended {
        Ok(0) => Err(format!("did not end within {}", humantime::format_duration(timeout))),
        Ok(_) => Ok(status),
        Err(error) => Err(format!("cannot be waited for: {error}")),
    }
}

/// Reads a stream to its end on a thread of its own: no full pipe may stop the command.
fn read(stream: Option<impl Read + Send + 'static>, bytes_max: u64) -> Receiver<Vec<u8>> {
    let (give, taken) = channel();
    if let Some(stream) = stream {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut stream = stream;
            // What cannot be read was not printed. The rest is drained, so that nobody is stopped.
            let _ = stream.by_ref().take(bytes_max).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
            let _ = give.send(bytes);
        });
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &str, timeout: Duration, expected: Result<&str, &str>) {
        let env = [("PATH".into(), "/usr/bin:/bin".into())];
        let found = probe(command, Path::new("/"), &env, timeout, &Lifeline::new());
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found, expected, "{command}");
    }

    #[test]
    fn a_version_is_what_is_printed() {
        let long = Duration::from_secs(60);
        check("echo; echo v1", long, Ok("v1"));
        check("echo why >&2; exit 3", long, Err("exited with status 3: why"));
        check("true", long, Err("printed nothing: it has to print a version"));
        check("kill -9 $$", long, Err("was killed by signal 9"));
        check("exec sleep 60", Duration::from_millis(20), Err("did not end within 20ms"));
    }
}
