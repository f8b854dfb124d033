//! What is known of the apps' processes right now: the runner of each app, what it said of its
//! processes, and what was asked of them. In memory only: a runner says it all again to the next
//! control plane.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use howdah_model::ids::AppId;
use howdah_model::process::{Dyno, DynoName, DynoState, ONE_OFF, OneOff, Order, Target, Verb};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::Clock;

/// How long a runner that says nothing is still the app's. It asks every 20 s at the latest.
const LEASE: SignedDuration = SignedDuration::from_secs(45);

/// How long a one-off process may wait for a runner to take it.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// How long an order is told: longer than a runner is away without losing its lease.
const ORDERS_LAST: SignedDuration = SignedDuration::from_mins(5);

/// The most orders that are kept for a runner.
const MOST_ORDERS: usize = 100;

/// The most one-off processes that wait for a runner.
const MOST_ASKED: usize = 50;

/// The processes of all apps.
pub struct Processes {
    clock: Arc<dyn Clock>,
    apps: Mutex<HashMap<AppId, Known>>,
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes").finish_non_exhaustive()
    }
}

struct Known {
    /// Grows with everything that a runner must look at.
    change: watch::Sender<u64>,
    runner: Option<Runner>,
    orders: VecDeque<Order>,
    asked: Vec<Asked>,
}

struct Runner {
    name: String,
    instance: Uuid,
    seen: Timestamp,
    dynos: Vec<Dyno>,
    /// The number of the newest batch of lines that it sent.
    batch: u64,
}

struct Asked {
    one_off: OneOff,
    release: i32,
    at: Timestamp,
}

/// How a runner comes to an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coming {
    /// It begins, and takes the place of one with its name.
    New,
    /// It goes on.
    Again,
}

/// Another runner has the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub by: String,
}

/// Too much was asked of an app's runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Processes {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, apps: Mutex::default() }
    }

    /// Lets a runner have an app, or keep it: an app has one at a time.
    ///
    /// # Errors
    /// When another one has it.
    pub fn hold(&self, app: AppId, name: &str, instance: Uuid, coming: Coming) -> Result<(), Held> {
        let now = self.clock.now();
        let mut all = self.lock();
        let known = all.of(app, now);
        match &mut known.runner {
            Some(runner) if runner.instance == instance => runner.seen = now,
            Some(runner)
                if runner.is_there(now) && (runner.name != name || coming == Coming::Again) =>
            {
                return Err(Held { by: runner.name.clone() });
            }
            _ => {
                let name = name.to_owned();
                known.runner =
                    Some(Runner { name, instance, seen: now, dynos: Vec::new(), batch: 0 });
                // One that was replaced learns of it.
                known.changed(now);
            }
        }
        Ok(())
    }

    /// A runner leaves its app.
    pub fn leave(&self, app: AppId, instance: Uuid) {
        let now = self.clock.now();
        let mut all = self.lock();
        let known = all.of(app, now);
        known.runner.take_if(|runner| runner.instance == instance);
    }

    /// Takes in what a runner says of its processes.
    pub fn report(&self, app: AppId, instance: Uuid, dynos: Vec<Dyno>) {
        let now = self.clock.now();
        let mut all = self.lock();
        let known = all.of(app, now);
        known
            .asked
            .retain(|asked| !dynos.iter().any(|dyno| dyno.one_off == Some(asked.one_off.id)));
        if let Some(runner) = known.runner.as_mut().filter(|one| one.instance == instance) {
            runner.dynos = dynos;
        }
    }

    /// Whether a batch of lines comes for the first time: a runner that did not get the answer sends
    /// it again.
    pub fn is_new(&self, app: AppId, instance: Uuid, batch: u64) -> bool {
        let now = self.clock.now();
        let mut all = self.lock();
        let Some(runner) = all.of(app, now).runner.as_mut() else { return true };
        let new = runner.instance != instance || batch > runner.batch;
        if new && runner.instance == instance {
            runner.batch = batch;
        }
        new
    }

    /// The name of the app's runner, if there is one.
    #[must_use]
    pub fn runner(&self, app: AppId) -> Option<String> {
        let now = self.clock.now();
        let mut all = self.lock();
        let runner = all.of(app, now).runner.as_ref();
        runner.filter(|runner| runner.is_there(now)).map(|runner| runner.name.clone())
    }

    /// The app's processes, by name: those that its runner told of, and one-off processes that wait
    /// for it. Those that are down are not among them.
    #[must_use]
    pub fn dynos(&self, app: AppId) -> Vec<Dyno> {
        let now = self.clock.now();
        let mut all = self.lock();
        let known = all.of(app, now);
        let runner = known.runner.as_ref().filter(|runner| runner.is_there(now));
        let told = runner.into_iter().flat_map(|runner| runner.dynos.iter().cloned());
        let mut dynos: Vec<_> = told
            .filter(|dyno| dyno.state != DynoState::Down)
            .chain(known.asked.iter().map(Asked::as_dyno))
            .collect();
        dynos.sort_by(|a, b| a.name.cmp(&b.name));
        dynos
    }

    /// Asks something of an app's processes.
    pub fn order(&self, app: AppId, of: Target, what: Verb) {
        let now = self.clock.now();
        let mut all = self.lock();
        let known = all.of(app, now);
        if known.orders.len() == MOST_ORDERS {
            known.orders.pop_front();
        }
        if what == Verb::Stop {
            known.asked.retain(|asked| !of.has(&asked.one_off.name));
        }
        // Grows over restarts of the platform too: it is of the clock.
        let last = known.orders.back().map_or(0, |order| order.id);
        known.orders.push_back(Order { id: micros(now).max(last + 1), of, what });
        known.changed(now);
    }

    /// Asks for a one-off process, and names it. It waits a minute for the runner.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn ask(
        &self,
        app: AppId,
        release: i32,
        one_off: impl FnOnce(DynoName) -> OneOff,
    ) -> Result<OneOff, TooMany> {
        let now = self.clock.now();
        let random = self.clock.random();
        let taken: Vec<_> = self.dynos(app).into_iter().map(|dyno| dyno.name).collect();
        let mut all = self.lock();
        let known = all.of(app, now);
        if known.asked.len() >= MOST_ASKED {
            return Err(TooMany);
        }
        let kind = ONE_OFF.parse().expect("the type of one-off processes is a type");
        let mut name =
            DynoName { kind, number: u32::try_from(1000 + random % 9000).unwrap_or(1000) };
        while taken.contains(&name) {
            name.number += 1;
        }
        let one_off = one_off(name);
        known.asked.push(Asked { one_off: one_off.clone(), release, at: now });
        known.changed(now);
        Ok(one_off)
    }

    /// What was asked of the processes of an app: orders, and one-off processes that were not taken.
    #[must_use]
    pub fn asked(&self, app: AppId) -> (Vec<Order>, Vec<OneOff>) {
        let now = self.clock.now();
        let mut all = self.lock();
        let known = all.of(app, now);
        let one_offs = known.asked.iter().map(|asked| asked.one_off.clone()).collect();
        (known.orders.iter().cloned().collect(), one_offs)
    }

    /// What tells a runner that there is something new; its value stands for all that is known.
    #[must_use]
    pub fn news(&self, app: AppId) -> watch::Receiver<u64> {
        let now = self.clock.now();
        self.lock().of(app, now).change.subscribe()
    }

    /// Something that an app's processes run with has changed.
    pub fn changed(&self, app: AppId) {
        let now = self.clock.now();
        if let Some(known) = self.lock().0.get_mut(&app) {
            known.changed(now);
        }
    }

    /// Changes may have been missed: every runner shall look.
    pub(crate) fn all_changed(&self) {
        let now = self.clock.now();
        self.lock().0.values_mut().for_each(|known| known.changed(now));
    }

    /// Forgets an app that was destroyed; its runner learns of it.
    pub fn forget(&self, app: AppId) {
        self.lock().0.remove(&app);
    }

    fn lock(&self) -> All<'_> {
        // What is known is whole after every statement.
        All(self.apps.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct All<'a>(MutexGuard<'a, HashMap<AppId, Known>>);

impl All<'_> {
    /// What is known of an app, without what is too old.
    fn of(&mut self, app: AppId, now: Timestamp) -> &mut Known {
        let known = self.0.entry(app).or_insert_with(|| Known {
            change: watch::Sender::new(micros(now)),
            runner: None,
            orders: VecDeque::new(),
            asked: Vec::new(),
        });
        let oldest = micros(now - ORDERS_LAST);
        while known.orders.front().is_some_and(|order| order.id < oldest) {
            known.orders.pop_front();
        }
        known.asked.retain(|asked| now.duration_since(asked.at) < PATIENCE);
        known
    }
}

impl Known {
    fn changed(&mut self, now: Timestamp) {
        self.change.send_modify(|change| *change = micros(now).max(*change + 1));
    }
}

impl Runner {
    fn is_there(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen) < LEASE
    }
}

impl Asked {
    fn as_dyno(&self) -> Dyno {
        Dyno {
            name: self.one_off.name.clone(),
            command: self.one_off.command.clone(),
            state: DynoState::Starting,
            since: self.at,
            release: self.release,
            one_off: Some(self.one_off.id),
        }
    }
}

fn micros(time: Timestamp) -> u64 {
    u64::try_from(time.as_microsecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
