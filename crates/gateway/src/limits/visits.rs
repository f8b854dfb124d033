//! Log-ins that are unfinished, by address: nobody can take all of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One address may have this part of all unfinished log-ins.
const SHARE: usize = 16;
/// And so many in any case, as many clients can be behind one address.
const LEAST_SHARE: usize = 64;
/// The clients of this machine, together, may have this part.
const SHARE_OF_LOOPBACK: usize = 2;

/// Where a client comes from, as far as it is hard to come from elsewhere: an IPv4 address, or the
/// /64 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Neighbourhood(IpAddr);

impl Neighbourhood {
    /// The one of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                Ipv6Addr::from(u128::from(address) >> 64 << 64).into()
            }
            address => address,
        })
    }
}

type Counts = Arc<Mutex<HashMap<Neighbourhood, u32>>>;

/// The unfinished log-ins of all addresses. There are at most as many as there are log-ins.
#[derive(Debug)]
pub struct Visits {
    counts: Counts,
    /// The most that one address may have.
    each: u32,
    /// The most that the clients of this machine may have.
    loopback: u32,
}

/// One of the unfinished log-ins of an address; given back when dropped.
#[derive(Debug)]
pub struct Visit {
    counts: Counts,
    from: Neighbourhood,
}

impl Visits {
    /// For so many unfinished log-ins in all.
    #[must_use]
    pub fn new(all: usize) -> Self {
        let count = |share: usize| u32::try_from(share).unwrap_or(u32::MAX);
        Self {
            counts: Arc::default(),
            each: count((all / SHARE).max(LEAST_SHARE)),
            loopback: count((all / SHARE_OF_LOOPBACK).max(1)),
        }
    }

    /// Takes one of those that the address may have, if one is free.
    #[must_use]
    pub fn begin(&self, peer: IpAddr) -> Option<Visit> {
        let limit = if peer.to_canonical().is_loopback() { self.loopback } else { self.each };
        let from = Neighbourhood::of(peer);
        let mut counts = lock(&self.counts);
        // The limit is not zero, so an entry that is made is also counted.
        let count = counts.entry(from).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Visit { counts: self.counts.clone(), from })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.from);
            }
        }
    }
}

fn lock(counts: &Counts) -> MutexGuard<'_, HashMap<Neighbourhood, u32>> {
    // Counts are changed by one step, so they are right also after a panic elsewhere.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn all(visits: &Visits, peer: &str) -> Vec<Visit> {
        let all: Vec<_> = std::iter::from_fn(|| visits.begin(address(peer))).take(5000).collect();
        assert!(all.len() < 5000, "there is no bound for {peer}");
        all
    }

    #[test]
    fn one_address_cannot_take_all_unfinished_log_ins() {
        let visits = Visits::new(3200);
        let first = all(&visits, "192.0.2.1");
        assert_eq!(first.len(), 200);
        // The same address in another form, and another one of the same IPv6 network.
        assert!(visits.begin(address("::ffff:192.0.2.1")).is_none());
        assert_eq!(all(&visits, "2001:db8::1").len(), 200);
        let held = all(&visits, "2001:db8:0:1::1");
        assert!(visits.begin(address("2001:db8:0:1:ffff::2")).is_none());
        assert_eq!(all(&visits, "127.0.0.1").len(), 1600);
        assert_eq!(all(&visits, "::1").len(), 1600);
        drop((first, held));
        assert!(lock(&visits.counts).is_empty());
    }

    #[test]
    fn a_small_gateway_has_room_for_those_behind_one_address() {
        let visits = Visits::new(9);
        assert_eq!(all(&visits, "192.0.2.1").len(), LEAST_SHARE);
        assert_eq!(all(&visits, "127.0.0.1").len(), 4);
    }
}
