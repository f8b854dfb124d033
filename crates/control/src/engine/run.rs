//! The loop around the worker: rounds whenever something is due.

use std::time::Duration;

use howdah_store::machines;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{BOUND, Engine};
use crate::Control;

/// Turns that one control plane takes at once. Slow ones give up after [`BOUND`].
const AT_ONCE: usize = 32;
/// How often the store is asked when nothing was heard: a notification may be lost.
const POLL: Duration = Duration::from_secs(1);
/// Machines that are due within this are looked at together.
const TOGETHER: Duration = Duration::from_millis(5);

/// Works until it is cancelled; then lets the turns that it has begun end.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    let engine = Engine::new(control.clone());
    let mut turns = JoinSet::new();
    while !cancelled.is_cancelled() {
        let pause = match engine.advance(&mut turns).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "look for machines that are due");
                POLL
            }
        };
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = control.news().due.notified() => {}
            Some(ended) = turns.join_next(), if !turns.is_empty() => notice(ended),
            () = tokio::time::sleep(pause) => {}
        }
    }
    let _ = tokio::time::timeout(BOUND, async {
        while let Some(ended) = turns.join_next().await {
            notice(ended);
        }
    })
    .await;
}

fn notice(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a turn ended in a panic; the machine is tried again later");
    }
}

impl Engine {
    /// Claims and begins all that is due and that there is room for. Answers how long nothing
    /// else will be.
    async fn advance(&self, turns: &mut JoinSet<()>) -> anyhow::Result<Duration> {
        loop {
            while let Some(ended) = turns.try_join_next() {
                notice(ended);
            }
            let room = AT_ONCE.saturating_sub(turns.len());
            if room == 0 {
                // The end of a turn leads here again.
                return Ok(POLL);
            }
            let mut conn = self.control.reader().get().await?;
            let due = machines::next_due(&mut conn).await?;
            drop(conn);
            let now = self.control.now();
            match due {
                Some(due) if due <= now => {}
                Some(due) => {
                    let pause = Duration::try_from(due.duration_since(now)).unwrap_or_default();
                    return Ok((pause + TOGETHER).min(POLL));
                }
                None => return Ok(POLL),
            }
            let round = self.round(u32::try_from(room).unwrap_or(u32::MAX)).await?;
            for turn in round.turns {
                let engine = self.clone();
                turns.spawn(async move { engine.take(turn).await });
            }
            if round.claimed == 0 {
                return Ok(TOGETHER);
            }
        }
    }
}
