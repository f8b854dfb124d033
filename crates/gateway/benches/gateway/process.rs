//! What the kernel knows of a process.

use std::fs;
use std::time::Duration;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// Of 10 ms each, the times that the clock found it in its own code, and in the kernel.
    pub(crate) user: u64,
    pub(crate) system: u64,
    /// Times that it was taken from the processor though it had work.
    pub(crate) preempted: u64,
}

impl Used {
    /// Of a process, by all its threads.
    pub(crate) fn by(pid: u32) -> Self {
        let times = times(pid);
        Self {
            cpu: own(pid),
            user: times.map_or(0, |times| times[0]),
            system: times.map_or(0, |times| times[1]),
            preempted: preempted(pid),
        }
    }

    /// Since an earlier look.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            preempted: self.preempted.saturating_sub(earlier.preempted),
        }
    }

    /// The part of its own code.
    pub(crate) fn user_share(&self) -> f64 {
        self.user as f64 / ((self.user + self.system).max(1)) as f64
    }
}

/// Processor time of a process and of all its children, those that have ended included.
pub(crate) fn family(pid: u32) -> Duration {
    // Of the children that ended, the kernel keeps sums, which it shows in units of 10 ms.
    let ended = times(pid).map_or(0, |times| times[2] + times[3]);
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok()).map(own);
    own(pid) + Duration::from_millis(10 * ended) + children.sum::<Duration>()
}

/// By the scheduler's own clock, in nanoseconds.
fn own(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_one = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.filter_map(of_one).sum())
}

/// Of 10 ms each: in its own code, in the kernel, and both of its children that have ended.
fn times(pid: u32) -> Option<[u64; 4]> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse().ok();
    Some([next()?, next()?, next()?, next()?])
}

fn preempted(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_one = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("status")).ok()?;
        let line = text.lines().find(|line| line.starts_with("nonvoluntary_ctxt_switches:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    threads.filter_map(of_one).sum()
}

/// Processor time of everybody on the machine.
pub(crate) fn machine() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    // All but the two that count idle time, the time that the hypervisor took, and those that
    // are counted elsewhere already.
    let busy = [0, 1, 2, 5, 6].map(|field| ticks.get(field).copied().unwrap_or_default());
    Duration::from_millis(10 * busy.iter().sum::<u64>())
}

/// Resident memory, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Rss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    1024 * kilobytes.unwrap_or_default()
}
