//! What a runner says to the platform and hears from it, in tasks of their own: the processes go on
//! while the platform is away.

mod outbox;

use std::sync::Arc;
use std::time::Duration;

use howdah_model::process::{Dyno, Report, Said, Wanted};
use reqwest::Method;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use uuid::Uuid;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::link::Link;
use crate::session::Ignored;
pub(crate) use outbox::Outbox;

/// The first pause before the platform is asked again after it did not answer; it doubles.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long lines are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(50);

/// A runner, as the platform knows it.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) link: Link,
    pub(crate) app: String,
    pub(crate) name: String,
    pub(crate) instance: Uuid,
}

/// Whether another try could not end otherwise: the runner has to stop.
fn is_final(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::Conflict | Exit::Forbidden | Exit::NotFound)
}

/// Pauses between tries.
struct Pauses(Duration);

impl Pauses {
    fn new() -> Self {
        Self(PAUSE)
    }

    async fn next(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

impl Post {
    fn path(&self) -> [&str; 6] {
        ["howdah", "v1", "apps", &self.app, "runner", &self.name]
    }

    fn instance(&self) -> (&'static str, String) {
        ("instance", self.instance.to_string())
    }

    /// Tells how the processes are.
    pub(crate) async fn report(&self, report: &Report) -> Result<(), Failure> {
        let _: Ignored = self.link.call(Method::PUT, &self.path(), &[], Some(report)).await?;
        Ok(())
    }

    /// What is wanted: as soon as it is something else than is known.
    pub(crate) async fn wanted(&self, after: Option<u64>) -> Result<Wanted, Failure> {
        let mut query = vec![self.instance()];
        query.extend(after.map(|change| ("after", change.to_string())));
        self.link.call(Method::GET, &self.path(), &query, None::<&()>).await
    }

    /// Gives the app back.
    pub(crate) async fn leave(&self) -> Result<(), Failure> {
        let query = [self.instance()];
        let _: Ignored = self.link.call(Method::DELETE, &self.path(), &query, None::<&()>).await?;
        Ok(())
    }

    async fn say(&self, batch: u64, lines: &[Said]) -> Result<(), Failure> {
        let [a, b, c, d, e, f] = self.path();
        let body = json!({ "instance": self.instance, "batch": batch, "lines": lines });
        let path = [a, b, c, d, e, f, "lines"];
        let _: Ignored = self.link.call(Method::POST, &path, &[], Some(&body)).await?;
        Ok(())
    }

    /// Asks what is wanted, for ever. Ends when the runner has to stop.
    pub(crate) async fn keep_asking(self, mut known: u64, wanted: mpsc::Sender<Wanted>) -> Failure {
        let mut pauses = Pauses::new();
        let mut is_away = false;
        loop {
            match self.wanted(Some(known)).await {
                Ok(new) => {
                    if std::mem::take(&mut is_away) {
                        eprintln!("The platform is back.");
                    }
                    pauses = Pauses::new();
                    known = new.change;
                    if wanted.send(new).await.is_err() {
                        return Failure::told(Exit::Failed);
                    }
                }
                Err(failure) if is_final(&failure) => return failure,
                Err(failure) => {
                    if !std::mem::replace(&mut is_away, true) {
                        let why = failure.message.lines().next().unwrap_or_default();
                        eprintln!("{why}. The processes go on; trying again.");
                    }
                    pauses.next().await;
                }
            }
        }
    }

    /// Tells how the processes are, each time that they are otherwise. Ends when the runner has to
    /// stop.
    pub(crate) async fn keep_reporting(
        self,
        first: Report,
        mut dynos: watch::Receiver<Vec<Dyno>>,
    ) -> Failure {
        let mut pauses = Pauses::new();
        let mut report = Report { begins: false, ..first };
        loop {
            if dynos.changed().await.is_err() {
                return Failure::told(Exit::Failed);
            }
            loop {
                report.dynos = dynos.borrow_and_update().clone();
                match self.report(&report).await {
                    Ok(()) => break,
                    Err(failure) if is_final(&failure) => return failure,
                    Err(_) => pauses.next().await,
                }
            }
            pauses = Pauses::new();
        }
    }

    /// Sends what the processes say, until the box is closed and empty.
    pub(crate) async fn keep_saying(self, lines: Arc<Outbox>) -> Option<Failure> {
        let mut batch = 0;
        while let Some(some) = lines.take().await {
            batch += 1;
            let mut pauses = Pauses::new();
            loop {
                match self.say(batch, &some).await {
                    Ok(()) => break,
                    Err(failure) if is_final(&failure) => return Some(failure),
                    Err(_) => pauses.next().await,
                }
            }
            if !lines.is_closed() {
                sleep(GATHER).await;
            }
        }
        None
    }
}
