//! Virtual time, and the power to hold or kill a worker wherever it is between two writes.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use howdah_control::clock::Clock;
use howdah_control::engine::probe::{Point, Probe};
use howdah_control::engine::{Engine, Turn};
use howdah_model::machine::Kind;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use crate::chance::Chance;

/// What becomes of a worker at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    /// It stands still, while time and others go on.
    Hold,
    /// Its process ends.
    Die,
}

/// A place where a worker can be held or killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    At(Point, Kind),
    OnTheWire,
}

type Judge = Box<dyn FnMut(Place) -> Verdict + Send>;

enum News {
    Held(oneshot::Sender<()>),
    Died,
    Ended,
}

tokio::task_local! {
    /// Where the turn that runs in this task tells what becomes of it.
    static TELL: mpsc::UnboundedSender<News>;
}

struct Inside {
    now: Timestamp,
    judge: Judge,
    times: usize,
}

/// Shared by clock, workers and agents.
#[derive(Clone)]
pub(crate) struct Stage {
    inside: Arc<Mutex<Inside>>,
    chance: Chance,
}

impl Stage {
    pub(crate) fn new(chance: Chance) -> Self {
        let now = Timestamp::constant(1_800_000_000, 0);
        let inside = Inside { now, judge: Box::new(|_| Verdict::Go), times: 1 };
        Self { inside: Arc::new(Mutex::new(inside)), chance }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inside) -> T) -> T {
        f(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who decides what becomes of workers from now on.
    pub(crate) fn judge(&self, judge: impl FnMut(Place) -> Verdict + Send + 'static) {
        self.with(|inside| inside.judge = Box::new(judge));
    }

    /// Has every effect carried out so many times from now on.
    pub(crate) fn repeat(&self, times: usize) {
        self.with(|inside| inside.times = times);
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.with(|inside| inside.now = now);
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.with(|inside| inside.now += time);
    }

    pub(crate) async fn on_the_wire(&self) {
        self.suffer(Place::OnTheWire).await;
    }

    async fn suffer(&self, place: Place) {
        let Ok(tell) = TELL.try_with(Clone::clone) else {
            return;
        };
        match self.with(|inside| (inside.judge)(place)) {
            Verdict::Go => {}
            Verdict::Hold => {
                let (release, released) = oneshot::channel();
                let _ = tell.send(News::Held(release));
                let _ = released.await;
            }
            Verdict::Die => {
                let _ = tell.send(News::Died);
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Clock for Stage {
    /// Each look at the clock is a little later, so that no two things have the same time.
    fn now(&self) -> Timestamp {
        self.with(|inside| {
            inside.now += Duration::from_micros(1);
            inside.now
        })
    }

    fn random(&self) -> u64 {
        self.chance.number()
    }
}

impl Probe for Stage {
    fn reached(
        &self,
        point: Point,
        machine: Option<(Kind, Uuid)>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if let Some((kind, _)) = machine {
                self.suffer(Place::At(point, kind)).await;
            }
        })
    }

    fn times(&self) -> usize {
        self.with(|inside| inside.times)
    }
}

/// A turn that was begun and is held somewhere.
struct Held {
    release: oneshot::Sender<()>,
    news: mpsc::UnboundedReceiver<News>,
    task: AbortHandle,
}

/// How a turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ended,
    Held,
    Died,
}

/// The turns of one worker. Only one of them ever runs at a time, so that a seed decides all.
#[derive(Default)]
pub(crate) struct Turns {
    tasks: JoinSet<()>,
    held: Vec<Held>,
}

impl Turns {
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Begins a turn and waits until it ends, is held or dies.
    pub(crate) async fn begin(&mut self, engine: &Engine, turn: Turn) -> Outcome {
        let (tell, news) = mpsc::unbounded_channel();
        let engine = engine.clone();
        let task = self.tasks.spawn(TELL.scope(tell.clone(), async move {
            engine.take(turn).await;
            let _ = tell.send(News::Ended);
        }));
        self.follow(news, task).await
    }

    /// Lets a held turn go on.
    pub(crate) async fn resume(&mut self, index: usize) -> Outcome {
        let Held { release, news, task } = self.held.remove(index);
        let _ = release.send(());
        self.follow(news, task).await
    }

    async fn follow(
        &mut self,
        mut news: mpsc::UnboundedReceiver<News>,
        task: AbortHandle,
    ) -> Outcome {
        match news.recv().await {
            Some(News::Held(release)) => {
                self.held.push(Held { release, news, task });
                Outcome::Held
            }
            Some(News::Died) => {
                task.abort();
                let _ = self.tasks.join_next().await;
                Outcome::Died
            }
            Some(News::Ended) | None => {
                if let Some(Err(error)) = self.tasks.join_next().await {
                    assert!(!error.is_panic(), "a turn panicked: {error}");
                }
                Outcome::Ended
            }
        }
    }

    /// All of them end where they are, as the worker's process does.
    pub(crate) async fn kill(&mut self) {
        self.held.clear();
        self.tasks.shutdown().await;
    }
}
