//! What the store tells: one connection that listens, and who is told.

use std::time::Duration;

use anyhow::Result;
use howdah_model::ids::OperationId;
use howdah_store::{machines, operations, routes};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How soon is tried to listen again after the connection was lost. Everybody polls meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// Who is told of what.
#[derive(Debug)]
pub(crate) struct News {
    /// A machine is due.
    pub(crate) due: Notify,
    /// A route has changed.
    pub(crate) routes: Notify,
    /// A participant was taken out of a pool.
    pub(crate) pool: Notify,
    /// A server was registered.
    pub(crate) server: Notify,
    /// The outcome of an operation was written.
    pub(crate) outcomes: broadcast::Sender<OperationId>,
}

impl Default for News {
    fn default() -> Self {
        Self {
            due: Notify::new(),
            routes: Notify::new(),
            pool: Notify::new(),
            server: Notify::new(),
            outcomes: broadcast::Sender::new(256),
        }
    }
}

/// Listens until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    loop {
        let ended = tokio::select! {
            () = cancelled.cancelled() => return,
            ended = listen(&control) => ended,
        };
        if let Err(error) = ended {
            tracing::warn!(error = format!("{error:#}"), "listen to the store");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn listen(control: &Control) -> Result<()> {
    let channels = [machines::DUE, operations::OUTCOMES, routes::CHANGED];
    let mut listener = control.store().listen(&channels).await?;
    let news = control.news();
    // What happened before the connection listened is found by looking once.
    news.due.notify_one();
    news.routes.notify_one();
    loop {
        let said = listener.recv().await.map_err(howdah_store::Error::from)?;
        match said.channel() {
            machines::DUE => news.due.notify_one(),
            routes::CHANGED => news.routes.notify_one(),
            _ => {
                if let Ok(id) = said.payload().parse() {
                    // Nobody may be waiting.
                    let _ = news.outcomes.send(id);
                }
            }
        }
    }
}
