//! An agent in memory, with a disk that outlives its restarts. It takes specs, converges step by
//! step when it is told to, and loses, delays and doubles messages when faults are on.

mod transfers;
mod world;

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use howdah_control::clock::Clock as _;
use howdah_control::servers::{Answer, Chunks, Failure, Servers, Terminate};
use howdah_model::agent::{DatabaseLook, InstanceState, ParticipantSpec, ServerObservation};
use howdah_model::ids::{ParticipantId, TimelineId, TransferId};
use howdah_model::name::DatabaseName;
use howdah_model::transfer::TransferSpec;
use howdah_store::servers::Server;
use jiff::Timestamp;

use crate::chance::Chance;
use crate::stage::Stage;
pub(crate) use world::{Faults, Happened};
use world::{World, look};

#[derive(Clone)]
pub(crate) struct Agent {
    world: Arc<Mutex<World>>,
    chance: Chance,
    stage: Stage,
}

impl Agent {
    pub(crate) fn new(chance: Chance, stage: Stage) -> Self {
        Self { world: Arc::new(Mutex::new(World::new())), chance, stage }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers one PUT that was under way. Answers whether there was one.
    pub(crate) fn deliver_late(&self) -> bool {
        let mut world = self.world();
        if world.late.is_empty() {
            return false;
        }
        let index = self.chance.below(world.late.len());
        let spec = world.late.remove(index);
        let _ = world.take(&spec);
        true
    }

    /// Lets the agent do one thing. Answers whether there was one to do.
    pub(crate) fn step(&self) -> bool {
        let mut world = self.world();
        let copying = world.transfers.busy();
        if let Some(id) = self.chance.pick(&copying).copied() {
            world.copy(id);
            return true;
        }
        let busy = world.busy();
        let Some(id) = self.chance.pick(&busy).copied() else {
            return false;
        };
        world.work(id);
        true
    }

    /// An instance dies or hangs.
    pub(crate) fn disturb(&self) {
        let mut world = self.world();
        let all: Vec<_> = world.housed.keys().copied().collect();
        let Some(id) = self.chance.pick(&all).copied() else { return };
        let dies = self.chance.per_mille(600);
        let Some(one) = world.housed.get_mut(&id) else { return };
        if one.instance == InstanceState::Answering {
            one.instance = if dies { InstanceState::Down } else { InstanceState::Silent };
            world.change += 1;
        }
    }

    /// Instances that hang answer again by themselves.
    pub(crate) fn relieve(&self) {
        let mut world = self.world();
        for one in world.housed.values_mut() {
            if one.instance == InstanceState::Silent {
                one.instance = InstanceState::Answering;
            }
        }
        world.change += 1;
    }

    /// The agent's process ends and begins anew: its numbers go on from a higher one.
    pub(crate) fn restart(&self) {
        let mut world = self.world();
        world.change += 1000;
        world.transfers.forget();
    }

    pub(crate) fn observation(&self, now: Timestamp) -> ServerObservation {
        self.world().observation(now)
    }
}

fn lost() -> Failure {
    Failure::Unreachable("the message was lost".to_owned())
}

impl Servers for Agent {
    fn put<'a>(&'a self, _server: &'a Server, spec: &'a ParticipantSpec) -> Answer<'a, ()> {
        Box::pin(async move {
            self.stage.on_the_wire().await;
            if self.world().deaf.contains(&spec.id) {
                std::future::pending::<()>().await;
            }
            let answer = {
                let mut world = self.world();
                if !world.reachable {
                    return Err(lost());
                }
                let faults = world.faults == Faults::On;
                let fate = if faults { self.chance.below(100) } else { 100 };
                match fate {
                    0..8 => return Err(lost()),
                    8..16 => {
                        world.late.push(spec.clone());
                        return Err(lost());
                    }
                    16..24 => {
                        let _ = world.take(spec);
                        return Err(lost());
                    }
                    24..30 => world.late.push(spec.clone()),
                    _ => {}
                }
                world.take(spec)
            };
            self.stage.on_the_wire().await;
            Ok(answer?)
        })
    }

    fn observe<'a>(
        &'a self,
        _server: &'a Server,
        after: Option<u64>,
        wait: Duration,
    ) -> Answer<'a, ServerObservation> {
        Box::pin(async move {
            self.stage.on_the_wire().await;
            let until = tokio::time::Instant::now() + wait;
            while after == Some(self.world().change) && tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let seen = {
                let world = self.world();
                let faults = world.faults == Faults::On;
                if !world.reachable || (faults && self.chance.below(100) < 8) {
                    return Err(lost());
                }
                world.observation(self.stage.now())
            };
            self.stage.on_the_wire().await;
            Ok(seen)
        })
    }

    fn erase<'a>(&'a self, _server: &'a Server, timeline: TimelineId) -> Answer<'a, ()> {
        Box::pin(async move {
            self.world().erase(timeline);
            Ok(())
        })
    }

    fn put_transfer<'a>(&'a self, _server: &'a Server, spec: &'a TransferSpec) -> Answer<'a, ()> {
        Box::pin(async move {
            self.stage.on_the_wire().await;
            {
                let mut world = self.world();
                let astray = world.faults == Faults::On && self.chance.below(100) < 10;
                if !world.reachable || (astray && self.chance.below(2) == 0) {
                    return Err(lost());
                }
                world.take_transfer(spec);
                if astray {
                    return Err(lost());
                }
            }
            self.stage.on_the_wire().await;
            Ok(())
        })
    }

    fn delete_dump<'a>(&'a self, _server: &'a Server, dump: TransferId) -> Answer<'a, ()> {
        Box::pin(async move {
            self.world().transfers.dumps.remove(&dump);
            Ok(())
        })
    }

    fn read_dump<'a>(
        &'a self,
        _server: &'a Server,
        _dump: TransferId,
        _range: RangeInclusive<u64>,
    ) -> Answer<'a, Chunks> {
        Box::pin(async move { Err(lost()) })
    }

    fn look<'a>(
        &'a self,
        _server: &'a Server,
        _participant: ParticipantId,
        _database: &'a DatabaseName,
    ) -> Answer<'a, DatabaseLook> {
        Box::pin(async move { Ok(look(self.stage.now())) })
    }

    fn reset_statistics<'a>(
        &'a self,
        _server: &'a Server,
        _participant: ParticipantId,
        _database: &'a DatabaseName,
    ) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn terminate<'a>(
        &'a self,
        _server: &'a Server,
        _participant: ParticipantId,
        _database: &'a DatabaseName,
        _which: Terminate,
    ) -> Answer<'a, u32> {
        Box::pin(async move { Ok(0) })
    }
}
