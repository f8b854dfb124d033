//! What can be told of the machine without PostgreSQL.

use howdah_model::diagnosis::{Check, Finding, Name};
use serde_json::json;

/// The checks of the machine.
pub(super) fn checks() -> [Check; 3] {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let burst = "servers of this platform have no burst credits";
    [
        load(&read("/proc/loadavg"), cpus),
        memory(&read("/proc/meminfo")),
        Check::skipped(Name::CpuBurst, burst),
    ]
}

fn finding<const N: usize>(all: [(&str, serde_json::Value); N]) -> Finding {
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// From `/proc/loadavg`.
fn load(text: &str, cpus: usize) -> Check {
    let Some(load) = text.split_whitespace().next().and_then(|one| one.parse::<f64>().ok()) else {
        return Check::skipped(Name::Load, "the system does not tell its load");
    };
    let of_one = load / cpus.max(1) as f64;
    let found = finding([("load", json!(load)), ("cpus", json!(cpus))]);
    Check::measured(Name::Load, of_one, found)
}

/// From `/proc/meminfo`.
fn memory(text: &str) -> Check {
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let (Some(total), Some(available)) = (kilobytes("MemTotal"), kilobytes("MemAvailable")) else {
        return Check::skipped(Name::Memory, "the system does not tell its memory");
    };
    let per_cent = (100.0 * (1.0 - available / total.max(1.0))).round();
    let found = finding([
        ("used_per_cent", json!(per_cent)),
        ("available_kb", json!(available)),
        ("total_kb", json!(total)),
    ]);
    Check::measured(Name::Memory, per_cent, found)
}

#[cfg(test)]
mod tests {
    use howdah_model::diagnosis::Status;

    use super::*;

    #[test]
    fn load_is_for_each_cpu_and_memory_that_can_be_freed_is_free() {
        let status = |text, cpus| load(text, cpus).status;
        assert_eq!(status("3.10 2.0 1.0 1/99 7\n", 4), Status::Green);
        assert_eq!(status("3.10 2.0 1.0 1/99 7\n", 2), Status::Yellow);
        assert_eq!(status("3.10 2.0 1.0 1/99 7\n", 1), Status::Red);
        assert_eq!(status("", 1), Status::Skipped);
        let status = |available: u32| {
            memory(&format!("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: {available} kB\n"))
                .status
        };
        assert_eq!([500, 90, 20].map(status), [Status::Green, Status::Yellow, Status::Red]);
        assert_eq!(memory("MemTotal: 1000 kB\n").status, Status::Skipped);
    }
}
