//! What an execution took of the machine: the processes of a command, or the thread of anything else.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wait4::ResourceUsage;

use crate::base::Usage;

/// The most memory that this process has had, in KiB, as far as it was looked at.
static OURS_KIB: AtomicU64 = AtomicU64::new(0);

// Linux says of a process that it had at least what its parent had when it was started. Its counters are
// not exact, so what is not clearly more is taken for ours.
const SLACK_KIB: u64 = 1024;

/// Of a process that has ended, and of those that it has waited for. Its memory is known only where it had
/// more than this process.
pub(super) fn of_child(used: &ResourceUsage) -> Usage {
    let peak_kib = used.maxrss >> 10;
    let ours_kib = OURS_KIB.load(Ordering::Relaxed);
    // To look costs more than a small process takes, and there is no need where it had less than ours
    // had then.
    let is_known = peak_kib > ours_kib + SLACK_KIB && {
        let ours_kib = own_peak_kib().unwrap_or(u64::MAX - SLACK_KIB);
        OURS_KIB.store(ours_kib, Ordering::Relaxed);
        peak_kib > ours_kib + SLACK_KIB
    };
    Usage {
        cpu_ms: Some(rounded_ms(used.utime + used.stime)),
        peak_kib: is_known.then_some(peak_kib),
    }
}

fn own_peak_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Measures what runs on this thread.
pub(super) struct OnThread(Duration);

impl OnThread {
    pub(super) fn begin() -> OnThread {
        OnThread(thread_time())
    }

    pub(super) fn end(self) -> Usage {
        let took = thread_time().saturating_sub(self.0);
        Usage { cpu_ms: Some(rounded_ms(took)), peak_kib: None }
    }
}

fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn rounded_ms(time: Duration) -> u64 {
    u64::try_from((time + Duration::from_micros(500)).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_known_where_it_is_not_ours() {
        let ours_kib = own_peak_kib().unwrap();
        let used = |kib: u64| ResourceUsage {
            utime: Duration::from_micros(700),
            stime: Duration::from_millis(2),
            maxrss: kib << 10,
        };
        // Other tests run beside this one, and add to what we have.
        let much = ours_kib + (1 << 30);
        assert_eq!(of_child(&used(ours_kib)), Usage { cpu_ms: Some(3), peak_kib: None });
        assert_eq!(of_child(&used(much)), Usage { cpu_ms: Some(3), peak_kib: Some(much) });
    }

    #[test]
    fn the_time_of_a_thread_is_that_of_its_own_work() {
        let watch = OnThread::begin();
        let mut sum = 0_u64;
        while thread_time().saturating_sub(watch.0) < Duration::from_millis(3) {
            sum = std::hint::black_box(sum.wrapping_mul(3) + 1);
        }
        assert!(watch.end().cpu_ms >= Some(3));
    }
}
