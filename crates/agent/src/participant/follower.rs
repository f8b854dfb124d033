//! A participant that follows: how it does, and what is done when it does not.
//!
//! PostgreSQL itself goes from the stream to the archive and back. When neither brings it on, its
//! history has left the leader's, or what it needs is nowhere any more: its data is rewound, and
//! if that does not help, set aside and made anew.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use howdah_cluster::connection::{Connection, Limits};
use howdah_cluster::databases::world::World;
use howdah_cluster::rewind::{Aside, Rewound, set_aside};
use howdah_cluster::{Mode, Receiving, Standing, StopMode};
use howdah_model::agent::{InstanceState, ParticipantSpec};
use howdah_model::lsn::Lsn;
use howdah_model::protection::{Following, FollowingBy, Position};
use howdah_model::version::Version;
use tokio::time::Instant;

use super::Participant;
use crate::clock;

/// How long a follower may stand still behind its leader before its data is taken to be unfit.
const STILL: Duration = Duration::from_secs(60);
/// How long it is given to stop.
const STOP: Duration = Duration::from_secs(10);
/// How long a promotion may take.
const PROMOTE: Duration = Duration::from_secs(60);
/// How long a rewind may take.
const REWIND: Duration = Duration::from_secs(3600);

/// How a follower has come on.
#[derive(Debug, Default)]
pub(super) struct Progressing {
    /// Where it was when it last came on, and when that was.
    last: Option<(Lsn, Instant)>,
    /// What was done last because it did not.
    tried: Option<FollowingBy>,
}

impl Progressing {
    /// What is to be done for a follower that is at `own`, with its leader at `leader`.
    fn next(&mut self, own: Lsn, leader: Option<Lsn>, now: Instant) -> Option<FollowingBy> {
        let stood = match self.last {
            Some((at, since)) if at >= own => now.duration_since(since),
            Some(_) | None => {
                self.last = Some((own, now));
                Duration::ZERO
            }
        };
        if leader.is_none_or(|leader| leader <= own) {
            // It has all there is.
            self.last = Some((own, now));
            self.tried = None;
            return None;
        }
        if stood < STILL {
            return None;
        }
        self.last = Some((own, now));
        let next = match self.tried {
            None => FollowingBy::Rewind,
            Some(_) => FollowingBy::Clone,
        };
        self.tried = Some(next);
        Some(next)
    }
}

impl Participant {
    /// Whether the server writes. Asked once after each start: only our own promotion changes it.
    pub(super) async fn ask_standing(&mut self) -> Result<()> {
        let connection = self.session().await?;
        let standing = self.cluster.standing(&connection).await;
        connection.close().await;
        self.standing = Some(match standing? {
            Standing::Primary => super::Stands::Writes,
            Standing::Recovering { .. } => super::Stands::Replays,
        });
        Ok(())
    }

    async fn session(&self) -> Result<Connection> {
        self.cluster.connect("postgres", Limits::WORK).await.context("open the platform's session")
    }

    /// Makes a follower a leader.
    pub(super) async fn promote(&mut self) -> Result<()> {
        self.show(InstanceState::Starting);
        let connection = self.session().await?;
        self.cluster.promote(&connection, PROMOTE).await.context("promote it")?;
        connection.close().await;
        self.standing = Some(super::Stands::Writes);
        self.board.update(self.id, |one| one.following = None);
        self.forget();
        Ok(())
    }

    /// Looks how the follower does. Nothing in it can be changed but by its leader.
    pub(super) async fn follow(&mut self, spec: &ParticipantSpec) -> Result<()> {
        self.ready_since.get_or_insert_with(Instant::now);
        let connection = self.session().await?;
        if let Standing::Recovering { paused: true } = self.cluster.standing(&connection).await? {
            connection.close().await;
            tracing::warn!(
                participant.id = %self.id,
                "the follower {} has fewer of something than its leader now: it is started anew",
                self.id
            );
            return self.stopped().await;
        }
        let position = self.cluster.position(&connection).await?;
        let receiving = self.cluster.receiving(&connection).await?;
        let present = World::look(&connection).await?.present();
        let version = connection.version();
        self.looks.follow(present.keys());
        self.look_into_some(&connection).await;
        connection.close().await;
        self.tell_following(version, position, &receiving, &present);
        if !self.progress.followed {
            self.progress.followed = true;
            self.layout.write_progress(self.id, self.progress)?;
        }
        self.converged = Some((spec.revision, Instant::now()));
        self.failures = 0;
        let leader = spec.leader.and_then(|id| self.board.one(id)?.position).map(|at| at.lsn);
        match self.progressing.next(position.lsn, leader, Instant::now()) {
            None => Ok(()),
            Some(FollowingBy::Rewind) => self.rewind(spec).await,
            Some(_) => self.clone_anew("it does not come on").await,
        }
    }

    fn tell_following(
        &self,
        version: Option<Version>,
        position: Position,
        receiving: &Receiving,
        present: &super::Present,
    ) {
        let by = if receiving.streams { FollowingBy::Stream } else { FollowingBy::Archive };
        self.board.update(self.id, |one| {
            one.instance = InstanceState::Answering;
            one.version = version;
            one.position = Some(position);
            one.making = None;
            let is_same = one.following.as_ref().is_some_and(|following| following.by == by);
            if !is_same {
                let why = one.following.as_ref().and_then(|following| following.why.clone());
                one.following = Some(Following { by, since: clock::now(), why });
            }
            super::observed(one, present);
        });
    }

    async fn rewind(&mut self, spec: &ParticipantSpec) -> Result<()> {
        let Mode::Standby(standby) = self.mode(spec)? else {
            bail!("only a follower is rewound");
        };
        self.tell_ladder(FollowingBy::Rewind, "neither the stream nor the archive brought it on");
        self.stopped().await?;
        match self.cluster.rewind(&standby, REWIND).await {
            Ok(Rewound::Rewound { divergence, aside }) => {
                tracing::warn!(
                    participant.id = %self.id,
                    "the follower {} had left its leader's history at {}: {} bytes of WAL of its own \
                     are given up; its old data is in {}",
                    self.id,
                    divergence.fork,
                    divergence.lost(),
                    aside.display()
                );
                Ok(())
            }
            // What it needs is nowhere any more, or two wrote the same of PostgreSQL's timelines.
            Ok(Rewound::NotNeeded) => self.clone_anew("a rewind has nothing to do").await,
            Err(error) => self.clone_anew(&format!("it cannot be rewound: {error}")).await,
        }
    }

    /// Sets its data aside; it is made anew next.
    async fn clone_anew(&mut self, why: &str) -> Result<()> {
        self.tell_ladder(FollowingBy::Clone, why);
        self.stopped().await?;
        let aside = set_aside(&self.cluster.data, Aside::Move, &self.cluster.run_as)
            .context("set its data aside")?;
        tracing::warn!(
            participant.id = %self.id,
            "the follower {} is made anew, as {why}; its old data is in {}",
            self.id,
            aside.display()
        );
        Ok(())
    }

    async fn stopped(&mut self) -> Result<()> {
        self.forget();
        self.ready_since = None;
        self.standing = None;
        // Whatever comes next has another's configuration or none.
        self.settings = None;
        self.cluster.stop(StopMode::Fast, STOP).await
    }

    fn tell_ladder(&self, by: FollowingBy, why: &str) {
        let following = Following { by, since: clock::now(), why: Some(why.to_owned()) };
        self.board.update(self.id, |one| one.following = Some(following));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G18: it is left alone while it comes on or has all; each rung is tried once, in order.
    #[test]
    fn g18_a_follower_that_stands_still_is_rewound_and_then_made_anew() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut one = Progressing::default();
        assert_eq!(one.next(Lsn(1), Some(Lsn(9)), at(0)), None);
        assert_eq!(one.next(Lsn(2), Some(Lsn(9)), at(59)), None);
        assert_eq!(one.next(Lsn(2), Some(Lsn(9)), at(118)), None);
        assert_eq!(one.next(Lsn(2), Some(Lsn(9)), at(120)), Some(FollowingBy::Rewind));
        assert_eq!(one.next(Lsn(2), Some(Lsn(9)), at(121)), None);
        assert_eq!(one.next(Lsn(2), Some(Lsn(9)), at(190)), Some(FollowingBy::Clone));
        assert_eq!(one.next(Lsn(9), Some(Lsn(9)), at(200)), None);
        assert_eq!(one.next(Lsn(9), Some(Lsn(12)), at(259)), None);
        assert_eq!(one.next(Lsn(9), Some(Lsn(12)), at(261)), Some(FollowingBy::Rewind));
        assert_eq!(one.next(Lsn(9), None, at(900)), None);
    }
}
