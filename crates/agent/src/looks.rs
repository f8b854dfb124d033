//! When to look into which database: every minute, spread out, and only into those that were used.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_cluster::connection::{Connection, SqlError};
use howdah_cluster::look::{Sessions, quiet_databases};
use howdah_model::agent::DatabaseLook;
use howdah_model::name::DatabaseName;
use tokio::time::Instant;

/// How often a database is looked into.
const EVERY: Duration = Duration::from_secs(60);
/// For how many looks without a session of a tenant its figures may still move: autovacuum and
/// the statistics of sessions come a little later.
const SETTLE: u32 = 2;

/// The plan of looks of one participant.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    databases: BTreeMap<DatabaseName, Plan>,
}

#[derive(Debug)]
struct Plan {
    next: Instant,
    /// The number of sessions that there must be next time if only ours was in between.
    expected: Option<Sessions>,
    /// Looks since the last session of a tenant.
    quiet: u32,
    last: Option<DatabaseLook>,
}

/// What to do about one database whose time has come.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Nothing has happened in it; the last look still holds.
    Same(DatabaseLook),
    /// Look into it.
    Look,
}

impl Looks {
    /// Plans for the databases that are there, and none for others. Many new ones are spread.
    pub(crate) fn follow<'a>(&mut self, names: impl Iterator<Item = &'a DatabaseName>) {
        let mut old = std::mem::take(&mut self.databases);
        let now = Instant::now();
        let mut new = 0_u32;
        for name in names {
            let plan = old.remove(name).unwrap_or_else(|| {
                // The first looks come at once, those of a whole server over a minute.
                let next = now + (EVERY / 200 * new).min(EVERY);
                new += 1;
                Plan { next, expected: None, quiet: 0, last: None }
            });
            self.databases.insert(name.clone(), plan);
        }
    }

    /// What is due now.
    pub(crate) async fn due(
        &mut self,
        connection: &Connection,
    ) -> Result<Vec<(DatabaseName, Turn)>, SqlError> {
        let now = Instant::now();
        if self.databases.values().all(|plan| plan.next > now) {
            return Ok(Vec::new());
        }
        let quiet: BTreeMap<_, _> = quiet_databases(connection).await?.into_iter().collect();
        let mut due = Vec::new();
        for (name, plan) in &mut self.databases {
            if plan.next <= now {
                plan.next = now + EVERY;
                due.push((name.clone(), plan.turn(quiet.get(name.as_str()).copied())));
            }
        }
        Ok(due)
    }

    /// Makes a database due now.
    pub(crate) fn hasten(&mut self, name: &DatabaseName) {
        if let Some(plan) = self.databases.get_mut(name) {
            plan.next = Instant::now();
        }
    }

    /// Takes note that the platform has one more session in a database.
    pub(crate) fn enters(&mut self, name: &DatabaseName) {
        if let Some(plan) = self.databases.get_mut(name) {
            plan.expected = plan.expected.map(|sessions| sessions + 1);
        }
    }

    /// Keeps a look for the turns in which nothing has happened.
    pub(crate) fn looked(&mut self, name: &DatabaseName, look: &DatabaseLook) {
        if let Some(plan) = self.databases.get_mut(name) {
            plan.last = Some(look.clone());
        }
    }
}

impl Plan {
    /// `sessions` is the number of sessions ever, if no tenant has one now.
    fn turn(&mut self, sessions: Option<Sessions>) -> Turn {
        let unused = sessions.is_some() && sessions == self.expected;
        self.quiet = if unused { self.quiet + 1 } else { 0 };
        match &self.last {
            Some(last) if self.quiet > SETTLE => {
                Turn::Same(DatabaseLook { at: crate::clock::now(), ..last.clone() })
            }
            Some(_) | None => {
                // The look itself will be one more.
                self.expected = sessions.map(|sessions| sessions + 1);
                Turn::Look
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_nobody_uses_is_left_alone_and_one_that_is_used_is_looked_into() {
        let look = DatabaseLook {
            at: jiff::Timestamp::UNIX_EPOCH,
            connections: 0,
            size_bytes: 1,
            row_count: 2,
            table_count: 3,
            seq_scans: 4,
            index_scans: 5,
        };
        let mut plan =
            Plan { next: Instant::now(), expected: None, quiet: 0, last: Some(look.clone()) };
        let mut sessions = 7;
        for _ in 0..=SETTLE {
            assert!(matches!(plan.turn(Some(sessions)), Turn::Look));
            sessions += 1;
        }
        for _ in 0..3 {
            let Turn::Same(same) = plan.turn(Some(sessions)) else { panic!("nothing happened") };
            assert_eq!(same.row_count, 2);
        }
        assert!(matches!(plan.turn(None), Turn::Look), "a tenant is in it");
        assert!(matches!(plan.turn(Some(sessions + 2)), Turn::Look), "a tenant was in it");
    }
}
