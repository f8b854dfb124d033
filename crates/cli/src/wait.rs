//! Waiting for something that takes time: look, pause, look again, and give up in the end.

use std::future::Future;
use std::time::Duration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Advice;
use crate::session::Session;
use crate::step::Step;

/// How many looks may fail in a row because the platform is away: it may be starting again.
const MOST_UNREACHABLE: u32 = 30;
/// The pause after the first look. It grows, so that what takes no time is told at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How to wait.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    every: Duration,
    most: Duration,
    /// How to go on waiting later.
    advice: Advice,
}

impl Patience {
    /// As `--wait-interval` and `--timeout` say.
    pub(crate) fn of(given: &Given, advice: Advice) -> Result<Self, Failure> {
        let every = Duration::from_secs(given.number("wait-interval", 1)?.max(1));
        let most = Duration::from_secs(given.number("timeout", 3600)?);
        Ok(Self { every, most, advice })
    }
}

/// Looks until `look` has found an answer. `what` is waited for, for people, who see `step` turn.
pub(crate) async fn until<T, F>(
    session: &Session,
    patience: &Patience,
    step: &Step<'_>,
    what: &str,
    look: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<Option<T>, Failure>>,
{
    let looking = async {
        let mut unreachable = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => unreachable = 0,
                Err(failure) if failure.exit == Exit::Unreachable => {
                    unreachable += 1;
                    if unreachable >= MOST_UNREACHABLE {
                        return Err(failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(patience.every);
        }
    };
    let bounded = async {
        tokio::time::timeout(patience.most, looking).await.unwrap_or_else(|_| {
            let message = format!("{what} is not done after {} s", patience.most.as_secs());
            Err(Failure::new(Exit::TimedOut, "timeout", message).advise(patience.advice.clone()))
        })
    };
    tokio::select! {
        outcome = session.watching(what, patience.advice.clone(), bounded) => outcome,
        never = step.turn() => match never {},
    }
}
