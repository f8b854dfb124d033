//! Log-ins that failed, counted for a while: whoever goes on failing waits for the answer.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::visits::Neighbourhood;

/// Sets of the table.
const SETS: usize = 1024;
/// Places of a set. What finds none takes the place of the one that failed least.
const WAYS: usize = 4;
/// After so many seconds a failure is forgotten.
const FORGET: u32 = 10;
/// Failures are counted up to here.
const MOST: u32 = 60;
/// Failures of one role that are answered at once.
const FREE: u32 = 5;
/// Failures of one address, whatever its roles, that are answered at once; also its requests to cancel
/// what is not there, which come by the dozen when many sessions end together.
const FREE_OF_ADDRESS: u32 = 40;
/// The first pause; each failure doubles it.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// A table of fixed size. Only who fails is slowed down: a right password is never held up by the
/// wrong ones of a neighbour.
#[derive(Debug)]
pub struct Failures {
    sets: Mutex<Box<[[Place; WAYS]]>>,
    hasher: RandomState,
    begun: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    tag: u32,
    count: u32,
    /// Seconds, when the count was last brought up to date.
    at: u32,
}

impl Place {
    /// The count at a later time.
    fn count_at(self, now: u32) -> u32 {
        self.count.saturating_sub(now.saturating_sub(self.at) / FORGET)
    }
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            sets: Mutex::new(vec![[Place::default(); WAYS]; SETS].into_boxed_slice()),
            hasher: RandomState::new(),
            begun: Instant::now(),
        }
    }
}

impl Failures {
    /// Counts a failure, and says how long its answer has to wait.
    #[must_use]
    pub fn note(&self, peer: IpAddr, role: &str) -> Duration {
        self.note_at(peer, role, self.now())
    }

    fn now(&self) -> u32 {
        u32::try_from(self.begun.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    /// Counts a cancel request whose key nobody has, and says how long its answer has to wait.
    #[must_use]
    pub fn note_guess(&self, peer: IpAddr) -> Duration {
        let key = self.hasher.hash_one((Neighbourhood::of(peer), "cancel request"));
        pause(self.count(key, self.now()), FREE_OF_ADDRESS)
    }

    fn note_at(&self, peer: IpAddr, role: &str, now: u32) -> Duration {
        let from = Neighbourhood::of(peer);
        let of_role = self.count(self.hasher.hash_one((from, Some(role))), now);
        let of_address = self.count(self.hasher.hash_one((from, None::<&str>)), now);
        pause(of_role, FREE).max(pause(of_address, FREE_OF_ADDRESS))
    }

    /// Counts one more for a key.
    fn count(&self, key: u64, now: u32) -> u32 {
        let [a, b, c, d, rest @ ..] = key.to_be_bytes();
        let tag = u32::from_be_bytes([a, b, c, d]);
        let set = u32::from_be_bytes(rest) as usize % SETS;
        let places = &mut self.lock()[set];
        let known = places.iter().position(|place| place.tag == tag && place.count > 0);
        let least = || (0..WAYS).min_by_key(|way| places[*way].count_at(now));
        let way = known.or_else(least).unwrap_or(0);
        let old = if known.is_some() { places[way].count_at(now) } else { 0 };
        places[way] = Place { tag, count: (old + 1).min(MOST), at: now };
        places[way].count
    }

    fn lock(&self) -> MutexGuard<'_, Box<[[Place; WAYS]]>> {
        // Numbers that are off after a panic elsewhere do no harm.
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause(count: u32, free: u32) -> Duration {
    match count.checked_sub(free + 1) {
        None => Duration::ZERO,
        Some(doublings) => SHORTEST.saturating_mul(1 << doublings.min(10)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(number).into()
    }

    #[test]
    fn who_goes_on_failing_waits_longer_and_who_rests_is_forgiven() {
        let failures = Failures::default();
        let note = |now| failures.note_at(address(1), "a", now).as_millis();
        for _ in 0..FREE {
            assert_eq!(note(0), 0);
        }
        assert_eq!([note(0), note(0), note(0)], [100, 200, 400]);
        for _ in 0..100 {
            assert!(note(1) <= LONGEST.as_millis());
        }
        assert_eq!(note(1), LONGEST.as_millis());
        assert_eq!(note(2 + MOST * FORGET), 0);
    }

    #[test]
    fn neighbours_and_other_roles_are_not_slowed_down() {
        let failures = Failures::default();
        for _ in 0..20 {
            let _ = failures.note_at(address(1), "a", 0);
        }
        assert_eq!(failures.note_at(address(2), "a", 0), Duration::ZERO);
        assert_eq!(failures.note_at(address(1), "b", 0), Duration::ZERO);
    }

    #[test]
    fn one_address_cannot_try_every_role() {
        let failures = Failures::default();
        let pauses = (0..FREE_OF_ADDRESS + 20)
            .map(|role| failures.note_at(address(1), &format!("u{role}"), 0));
        let pauses: Vec<_> = pauses.collect();
        assert_eq!(pauses[FREE_OF_ADDRESS as usize - 1], Duration::ZERO);
        assert_eq!(pauses.last(), Some(&LONGEST));
    }

    #[test]
    fn a_flood_of_addresses_does_not_make_room_for_the_worst() {
        let failures = Failures::default();
        for _ in 0..30 {
            let _ = failures.note_at(address(0), "a", 0);
        }
        for number in 1..100_000 {
            let _ = failures.note_at(address(number), "a", 0);
        }
        assert_eq!(failures.note_at(address(0), "a", 1), LONGEST);
    }
}
