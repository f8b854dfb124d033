//! Two servers, one of which follows the other.

use std::fs::{self, File};
use std::process::Command;
use std::time::Instant;

use tokio::time::sleep;

use crate::servers::{BOUND, Server, Session, Shutdown, TICK, as_owner, copy, own_file, programs};

/// Two servers, one of which follows the other as a hot standby, and which can change roles any
/// number of times without losing a row. It is what a planned move of a database does, without a
/// platform.
#[derive(Debug)]
pub struct Pair {
    servers: [Server; 2],
    primary: usize,
    /// Sessions at the primary and the standby, opened before everybody waits for them.
    ready: Option<[Session; 2]>,
}

impl Pair {
    /// Starts both, with settings (`name=value`) beside the usual ones.
    ///
    /// # Panics
    /// When they do not come up.
    pub async fn start(major: u16, settings: &[&str]) -> Self {
        let replicated = [
            "wal_level=replica",
            "wal_keep_size=256MB",
            // A standby that is left behind asks again at once.
            "wal_retrieve_retry_interval=10ms",
        ];
        let settings: Vec<&str> = replicated.into_iter().chain(settings.iter().copied()).collect();
        let first = Server::make(major, &settings).expect("make a server");
        let second = Server::empty(programs(major), &settings).expect("make a place");
        // A copy of a server that never ran needs no more to follow it.
        copy(&first.data(), &second.data()).expect("copy a server");
        let mut pair = Self { servers: [first, second], primary: 0, ready: None };
        pair.servers[0].begin().await;
        pair.rejoin().await;
        pair
    }

    /// The server that takes writes.
    #[must_use]
    pub fn primary(&self) -> &Server {
        &self.servers[self.primary]
    }

    /// The server that follows it.
    #[must_use]
    pub fn standby(&self) -> &Server {
        &self.servers[1 - self.primary]
    }

    /// What is done before anybody is held, so that the rest is short.
    ///
    /// # Panics
    /// When the primary does not answer.
    pub async fn prepare(&mut self) {
        let ready = self.sessions().await;
        ready[0].ask("checkpoint").await.expect("a checkpoint");
        self.ready = Some(ready);
    }

    async fn sessions(&self) -> [Session; 2] {
        let primary = self.primary().session("postgres").await.expect("ask the primary");
        let standby = self.standby().session("postgres").await.expect("ask the standby");
        [primary, standby]
    }

    /// The pause: stops the primary when the standby has everything, and makes the standby the new
    /// primary. Nobody writes meanwhile.
    ///
    /// Fast, the old primary waits by itself until the standby has its last checkpoint, in steps of
    /// 10 ms. Immediate is shorter, as that is waited for before; should the old primary have
    /// written anything of its own in between, [`Pair::rejoin`] makes it anew.
    ///
    /// # Panics
    /// When a server does not do its part.
    pub async fn hand_over(&mut self, how: Shutdown) {
        let (old, new) = (self.primary, 1 - self.primary);
        let [last, next] = match self.ready.take() {
            Some(ready) => ready,
            None => self.sessions().await,
        };
        match how {
            Shutdown::Fast => {
                self.servers[old].signal(how);
                let told_all = "select not exists (select from pg_stat_wal_receiver)";
                let begun = Instant::now();
                while next.ask(told_all).await.expect("ask the standby") != "t"
                    || !self.servers[old].is_shut_down()
                {
                    assert!(begun.elapsed() < BOUND, "it does not end: {}", self.primary().log());
                    sleep(TICK).await;
                }
            }
            Shutdown::Immediate => {
                // A commit that is waited for: what was committed without waiting is written too.
                let flush = "select pg_logical_emit_message(true, 'testkit', 'hand over')";
                last.ask(flush).await.expect("ask the primary");
                let written = last.ask("select pg_current_wal_flush_lsn()").await;
                let written = written.expect("ask the primary");
                let all = format!("select pg_last_wal_replay_lsn() >= '{written}'::pg_lsn");
                let begun = Instant::now();
                while next.ask(&all).await.expect("ask the standby") != "t" {
                    let log = self.standby().log();
                    assert!(begun.elapsed() < BOUND, "it does not follow: {log}");
                    sleep(TICK).await;
                }
                self.servers[old].signal(how);
            }
        }
        next.ask("select pg_promote(wait => false)").await.expect("promote");
        let begun = Instant::now();
        while next.ask("select pg_is_in_recovery()").await.expect("ask the standby") == "t" {
            assert!(begun.elapsed() < BOUND, "it is not promoted: {}", self.standby().log());
            sleep(TICK).await;
        }
        self.servers[old].stop(how).await;
        self.primary = new;
    }

    /// Starts the server that is not the primary as a standby, and waits until it follows.
    ///
    /// # Panics
    /// When it does not.
    pub async fn rejoin(&mut self) {
        self.follow().await;
        let begun = Instant::now();
        while !self.has_caught_up().await {
            let log = self.standby().log();
            if log.contains("forked off") {
                return self.copy_anew().await;
            }
            assert!(begun.elapsed() < BOUND, "it does not follow: {log}");
            sleep(TICK).await;
        }
    }

    async fn follow(&mut self) {
        let upstream = self.primary().socket_dir().display().to_string();
        let standby = &mut self.servers[1 - self.primary];
        standby.settings.retain(|setting| !setting.starts_with("primary_conninfo="));
        standby.settings.push(format!("primary_conninfo=host={upstream} port=5432 user=postgres"));
        File::create(standby.data().join("standby.signal")).expect("say that it is a standby");
        own_file(&standby.data().join("standby.signal")).expect("give it to PostgreSQL's user");
        standby.begin().await;
    }

    /// Makes the standby a new copy of the primary.
    async fn copy_anew(&mut self) {
        let upstream = self.primary().socket_dir().to_owned();
        let standby = &mut self.servers[1 - self.primary];
        standby.stop(Shutdown::Immediate).await;
        fs::remove_dir_all(standby.data()).expect("remove the old data");
        let mut command = Command::new(standby.bin.join("pg_basebackup"));
        let copied = as_owner(&mut command)
            .args(["-U", "postgres", "-c", "fast", "--no-sync", "-h"])
            .arg(upstream)
            .arg("-D")
            .arg(standby.data())
            .output()
            .expect("run pg_basebackup");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        self.follow().await;
        self.until_caught_up().await;
    }

    /// Waits until the standby has replayed all that the primary has written.
    ///
    /// # Panics
    /// When it does not.
    pub async fn until_caught_up(&self) {
        let begun = Instant::now();
        while !self.has_caught_up().await {
            assert!(begun.elapsed() < BOUND, "it does not follow: {}", self.standby().log());
            sleep(TICK).await;
        }
    }

    async fn has_caught_up(&self) -> bool {
        let written = self.primary().sql("select pg_current_wal_flush_lsn()").await;
        let timeline =
            "select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";
        let timeline = self.primary().sql(timeline).await;
        // One that has gone astray can be ahead in bytes, on the timeline that was.
        let follows = format!(
            "select pg_last_wal_replay_lsn() >= '{written}'::pg_lsn and exists \
            (select from pg_stat_wal_receiver where received_tli = {timeline})"
        );
        self.standby().sql(&follows).await == "t"
    }

    /// Everything: the roles are exchanged, and both run.
    ///
    /// # Panics
    /// When a server does not do its part.
    pub async fn switch_over(&mut self, how: Shutdown) {
        self.prepare().await;
        self.hand_over(how).await;
        self.rejoin().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written before each exchange is there after all of them, on both majors.
    #[tokio::test]
    async fn a_pair_changes_roles_and_loses_nothing() {
        for major in [15, 18] {
            let mut pair = Pair::start(major, &["shared_buffers=16MB"]).await;
            pair.primary().sql("create table t (n int)").await;
            for n in 0..4 {
                let was = pair.primary().socket_dir().to_owned();
                pair.primary().sql(&format!("insert into t values ({n})")).await;
                let how = [Shutdown::Fast, Shutdown::Immediate][n % 2];
                pair.switch_over(how).await;
                assert_ne!(pair.primary().socket_dir(), was);
                assert_eq!(pair.standby().socket_dir(), was);
                assert_eq!(pair.standby().sql("select pg_is_in_recovery()").await, "t");
            }
            pair.primary().sql("insert into t values (4)").await;
            pair.until_caught_up().await;
            for server in [pair.primary(), pair.standby()] {
                let rows = server.sql("select string_agg(n::text, ',' order by n) from t").await;
                assert_eq!(rows, "0,1,2,3,4");
            }
        }
    }

    /// One that has written something nobody else has follows again all the same.
    #[tokio::test]
    async fn a_primary_that_wrote_too_much_is_made_anew() {
        let mut pair = Pair::start(18, &["shared_buffers=16MB"]).await;
        let (old, new) = (pair.primary, 1 - pair.primary);
        pair.servers[new].stop(Shutdown::Fast).await;
        pair.primary().sql("create table lost ()").await;
        pair.servers[old].stop(Shutdown::Immediate).await;
        pair.servers[new].begin().await;
        pair.servers[new].sql("select pg_promote()").await;
        pair.primary = new;
        pair.rejoin().await;
        pair.primary().sql("create table kept ()").await;
        pair.until_caught_up().await;
        let both = "select to_regclass('lost') is null and to_regclass('kept') is not null";
        assert_eq!(pair.standby().sql(both).await, "t");
    }
}
