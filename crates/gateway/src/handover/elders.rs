//! The gateways that this one has taken over from and that still have sessions: their cancel
//! requests, their part of the databases' limits, their figures, and their end.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::Held;
use super::figures::Figures;
use super::run_dir::{Placed, RunDir};
use crate::admin::client::{Client, Unanswered};
use crate::admin::moves::Standings;
use crate::limits::Limits;
use crate::startup::SessionKey;

/// Between two questions for the sessions that they have.
const LOOK: Duration = Duration::from_millis(250);
/// Between two questions for their figures, which are kept in case one ends without a word.
const FIGURES: Duration = Duration::from_secs(5);
/// Cancel requests that are passed on at one time: strangers can make up any number of keys.
const CANCELS: usize = 32;

/// All elders.
#[derive(Debug)]
pub struct Elders {
    state: Mutex<State>,
    cancels: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    elders: Vec<Elder>,
    /// Of those that have ended.
    ended: Option<Figures>,
    /// Whether another gateway counts with them now.
    handed_on: bool,
}

#[derive(Clone, Debug)]
struct Elder {
    /// The name of its admin socket.
    name: String,
    client: Client,
    held: Held,
    figures: Option<Figures>,
}

impl Default for Elders {
    fn default() -> Self {
        Self { state: Mutex::default(), cancels: Semaphore::new(CANCELS) }
    }
}

impl Elders {
    /// Finds the elders: all gateways of the home besides this one, which has just begun to be the one
    /// that accepts clients.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(super) fn find(&self, run: &RunDir, own: &Placed) -> anyhow::Result<()> {
        let mut elders = Vec::new();
        for name in run.others(own) {
            let client = Client::new(run.join(&name))?;
            elders.push(Elder { name, client, held: Held::new(), figures: None });
        }
        self.lock().elders = elders;
        Ok(())
    }

    /// Leaves the elders to a younger gateway, or takes them back.
    pub(super) fn set_handed_on(&self, handed_on: bool) {
        self.lock().handed_on = handed_on;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().elders.len()
    }

    /// Counts with what they have, until the last one has ended.
    pub(super) async fn watch(&self, limits: &Limits) {
        let mut figures_at = Instant::now();
        while self.count() > 0 {
            let elders = self.lock().elders.clone();
            let with_figures = Instant::now() >= figures_at;
            if with_figures {
                figures_at = Instant::now() + FIGURES;
            }
            join_all(elders.iter().map(|elder| self.look(elder, with_figures))).await;
            limits.set_elsewhere(self.held());
            sleep(LOOK).await;
        }
    }

    async fn look(&self, elder: &Elder, with_figures: bool) {
        match elder.client.held().await {
            Ok(held) => self.change(&elder.name, |elder| elder.held = held),
            Err(Unanswered::Gone) => return self.end(&elder.name, None),
            // What was said last holds on.
            Err(Unanswered::Failed(error)) => {
                tracing::debug!(error = format!("{error:#}"), "an older gateway does not answer");
            }
        }
        if with_figures && let Ok(figures) = elder.client.figures().await {
            self.change(&elder.name, |elder| elder.figures = Some(figures));
        }
    }

    /// The sessions of all of them.
    fn held(&self) -> Held {
        let mut sum = Held::new();
        for elder in &self.lock().elders {
            for (database, count) in &elder.held {
                *sum.entry(*database).or_default() += count;
            }
        }
        sum
    }

    /// One has ended, with its last figures if it could say them.
    pub(crate) fn end(&self, name: &str, last: Option<Figures>) {
        let mut state = self.lock();
        let Some(at) = state.elders.iter().position(|elder| elder.name == name) else { return };
        let elder = state.elders.swap_remove(at);
        tracing::info!(elder = name, "an older gateway has ended");
        if state.handed_on {
            return;
        }
        let Some(last) = last.or(elder.figures).map(Figures::ended) else { return };
        match &mut state.ended {
            Some(ended) => ended.add(&last),
            none => *none = Some(last),
        }
    }

    /// Adds their figures, and those of the ones that have ended.
    pub(crate) async fn add_to(&self, own: &mut Figures) {
        let elders = self.lock().elders.clone();
        let asked = elders.iter().map(|elder| async {
            if let Ok(figures) = elder.client.figures().await {
                self.change(&elder.name, |elder| elder.figures = Some(figures));
            }
        });
        join_all(asked).await;
        // In one step, so that one that ends meanwhile is there once.
        let state = self.lock();
        let all = state.elders.iter().filter_map(|elder| elder.figures.as_ref());
        all.chain(&state.ended).for_each(|figures| own.add(figures));
    }

    /// Adds the figures of those that have ended.
    pub(crate) fn add_ended_to(&self, own: &mut Figures) {
        if let Some(ended) = &self.lock().ended {
            own.add(ended);
        }
    }

    /// How the sessions of a database stand in each; none for one that does not say.
    pub(crate) async fn get(&self, path: &str) -> Vec<Option<Standings>> {
        let elders = self.mine();
        join_all(elders.iter().map(async |elder| elder.client.standings(path).await.ok())).await
    }

    /// Does something about a move in each.
    pub(crate) async fn post(
        &self,
        path: &str,
        query: &[(&str, String)],
        bound: Duration,
    ) -> Vec<Option<Standings>> {
        let elders = self.mine();
        let act = async |elder: &Elder| match elder.client.act(path, query, bound).await {
            Ok(standings) => Some(standings),
            Err(error) => {
                tracing::warn!(elder = elder.name, error = %error, "an older gateway was not reached");
                None
            }
        };
        join_all(elders.iter().map(act)).await
    }

    /// Those that this gateway speaks for.
    fn mine(&self) -> Vec<Elder> {
        let state = self.lock();
        if state.handed_on { Vec::new() } else { state.elders.clone() }
    }

    /// Passes a cancel request on; whether one of them had the session.
    pub async fn cancel(&self, key: SessionKey) -> bool {
        let elders = self.lock().elders.clone();
        if elders.is_empty() {
            return false;
        }
        let Ok(_permit) = self.cancels.acquire().await else { return false };
        join_all(elders.iter().map(|elder| elder.client.cancel(key))).await.contains(&true)
    }

    /// Ends all of them, with their sessions.
    pub(super) async fn stop(&self) {
        let elders = self.lock().elders.clone();
        join_all(elders.iter().map(|elder| elder.client.stop())).await;
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Elder)) {
        if let Some(elder) = self.lock().elders.iter_mut().find(|elder| elder.name == name) {
            change(elder);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is made in one step, so the state is right also after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
