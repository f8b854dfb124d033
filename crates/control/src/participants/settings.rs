//! Server settings of a participant, from its plan and from what its server has.
//!
//! A plan states memory as if it had a machine of its own. Here many instances share one, and
//! PostgreSQL takes shared buffers page by page as it uses them, so what matters is that no
//! instance alone can take more than a share of the machine: one counts on at most a quarter of
//! it, and of that a quarter becomes shared buffers, a sixteenth of the machine. On a server of
//! 4 GiB an instance of standard-0 (1 GiB) has 256 MB of shared buffers, and so has every larger
//! plan; on one of 64 GiB standard-4 has the 3.75 GB that its plan stands for.

use std::collections::BTreeMap;

use howdah_model::extension;
use howdah_model::plan::Plan;
use howdah_model::size::Bytes;

const MIB: u64 = 1024 * 1024;
/// What a shared participant counts on, in MiB: as much as the smallest dedicated one.
const SHARED_RAM_MIB: u64 = 1024;
/// Sessions of a shared participant. Its many databases have 20 each and hardly ever use them;
/// the gateway and the roles hold each to its own limit.
const SHARED_CONNECTIONS: u32 = 500;
/// Connections beyond the tenants', for the platform itself.
const RESERVE: u32 = 10;

/// The settings: name and value, unquoted. `server_memory` is in bytes.
#[must_use]
pub fn of(plan: &Plan, shared: bool, server_memory: u64) -> BTreeMap<String, String> {
    let (ram, connections, vcpu) = if shared {
        (SHARED_RAM_MIB, SHARED_CONNECTIONS, 2)
    } else {
        (plan.ram_mib, plan.connections, plan.vcpu.max(1))
    };
    let ram = ram.min(server_memory / MIB / 4).max(64);
    let megabytes = |mib: u64| format!("{mib}MB");
    let mut settings = BTreeMap::from([
        ("max_connections", (connections + RESERVE).to_string()),
        ("shared_buffers", megabytes(ram / 4)),
        ("effective_cache_size", megabytes(ram / 4 * 3)),
        // Half of the memory, if every session sorted at once; at least PostgreSQL's own quarter.
        ("work_mem", megabytes((ram / 2 / u64::from(connections)).max(1))),
        ("maintenance_work_mem", megabytes((ram / 16).clamp(16, 2048))),
        ("max_wal_size", megabytes(ram.clamp(256, 8192))),
        ("max_parallel_workers", vcpu.to_string()),
        ("max_parallel_workers_per_gather", (vcpu / 2).to_string()),
        ("track_io_timing", "on".to_owned()),
    ]);
    for name in extension::SETTINGS {
        settings.insert(name, extension::allowed(plan.tier));
    }
    if shared {
        // One tenant must not fill the disk of all with one sort.
        settings.insert("temp_file_limit", megabytes(1024));
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The settings that a standby must not have lower than its leader.
const NOT_BELOW_LEADER: &[&str] = &["max_connections"];

/// Settings of a follower: its own, but none below the leader's that must not be.
#[must_use]
pub fn at_least(
    mut own: BTreeMap<String, String>,
    leader: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<u64>().ok());
    for name in NOT_BELOW_LEADER {
        if let Some(value) = leader.get(*name)
            && number(Some(value)) > number(own.get(*name))
        {
            own.insert((*name).to_owned(), value.clone());
        }
    }
    own
}

/// Whether two plans lead to the same settings, so that an instance made for one serves the other.
#[must_use]
pub fn same(one: &Plan, other: &Plan) -> bool {
    let extensions = |plan: &Plan| extension::allowed(plan.tier);
    (one.ram_mib, one.connections, one.vcpu) == (other.ram_mib, other.connections, other.vcpu)
        && extensions(one) == extensions(other)
}

/// What people are told when a server has less memory than the plan stands for; nothing when it
/// has enough. `server_memory` is in bytes.
#[must_use]
pub fn note(plan: &Plan, server_memory: u64) -> Option<String> {
    let share = server_memory / 4;
    if server_memory == 0 || plan.ram_mib * MIB <= share {
        return None;
    }
    Some(format!(
        "{} stands for {} of memory. Its server has {}, so its settings are made for {}.",
        plan.name,
        Bytes(plan.ram_mib * MIB),
        Bytes(server_memory),
        Bytes(share)
    ))
}

#[cfg(test)]
mod tests {
    use howdah_model::plan::{PLANS, find};

    use super::*;

    const GIB: u64 = 1024 * MIB;

    fn setting(plan: &str, shared: bool, memory: u64, name: &str) -> String {
        of(find(plan).expect("a plan"), shared, memory)[name].clone()
    }

    #[test]
    fn settings_follow_the_plan_where_the_server_has_the_memory() {
        assert_eq!(setting("standard-0", false, 64 * GIB, "shared_buffers"), "256MB");
        assert_eq!(setting("standard-0", false, 64 * GIB, "effective_cache_size"), "768MB");
        assert_eq!(setting("standard-0", false, 64 * GIB, "work_mem"), "4MB");
        assert_eq!(setting("standard-4", false, 64 * GIB, "shared_buffers"), "3840MB");
        assert_eq!(setting("standard-2", false, 64 * GIB, "max_connections"), "410");
        assert!(note(find("standard-4").expect("a plan"), 64 * GIB).is_none());
    }

    #[test]
    fn no_instance_reserves_more_than_a_sixteenth_of_its_server() {
        for plan in PLANS {
            for shared in [false, true] {
                for memory in [0, GIB, 4 * GIB, 512 * GIB] {
                    let value = of(plan, shared, memory)["shared_buffers"].clone();
                    let buffers: u64 = value.trim_end_matches("MB").parse().expect("megabytes");
                    assert!(buffers * MIB <= (memory / 16).max(16 * MIB), "{plan} {memory}");
                }
            }
        }
        let note = note(find("standard-4").expect("a plan"), 4 * GIB).expect("a note");
        assert_eq!(
            note,
            "standard-4 stands for 15.0 GB of memory. Its server has 4.0 GB, so its settings are \
             made for 1.0 GB."
        );
    }

    #[test]
    fn g16_a_follower_of_a_smaller_plan_keeps_the_limits_of_its_leader() {
        let of = |plan| of(find(plan).expect("a plan"), false, 64 * GIB);
        let small = at_least(of("standard-0"), &of("standard-2"));
        assert_eq!(small["max_connections"], "410");
        assert_eq!(small["shared_buffers"], "256MB", "memory is its own plan's");
        let large = at_least(of("standard-2"), &of("standard-0"));
        assert_eq!(large["max_connections"], "410");
    }

    #[test]
    fn the_pool_serves_standard_0_and_premium_0_alike_and_nobody_else() {
        let standard = find("standard-0").expect("a plan");
        let alike: Vec<_> = PLANS.iter().filter(|plan| same(standard, plan)).collect();
        assert_eq!(
            alike.iter().map(|plan| plan.name).collect::<Vec<_>>(),
            ["standard-0", "premium-0"]
        );
    }
}
