//! What the store tells: one connection that listens, and who is told.

use std::time::Duration;

use anyhow::Result;
use howdah_model::ids::{AppId, OperationId};
use howdah_store::{formation, machines, operations, releases, routes};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::requests::processes;

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
    /// A dump is to be erased.
    pub(crate) dumps: Notify,
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
            dumps: Notify::new(),
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
    let channels =
        [machines::DUE, operations::OUTCOMES, routes::CHANGED, formation::CHANGED, releases::MADE];
    let mut listener = control.store().listen(&channels).await?;
    let news = control.news();
    // What happened before the connection listened is found by looking once.
    news.due.notify_one();
    news.routes.notify_one();
    control.processes().all_changed();
    loop {
        let said = listener.recv().await.map_err(howdah_store::Error::from)?;
        match said.channel() {
            machines::DUE => news.due.notify_one(),
            routes::CHANGED => news.routes.notify_one(),
            formation::CHANGED => {
                if let Ok(app) = said.payload().parse() {
                    control.processes().changed(app);
                }
            }
            releases::MADE => released(control, said.payload()).await,
            _ => {
                if let Ok(id) = said.payload().parse() {
                    // Nobody may be waiting.
                    let _ = news.outcomes.send(id);
                }
            }
        }
    }
}

/// A release was made: `APP VERSION`.
async fn released(control: &Control, payload: &str) {
    let Some((app, version)) = payload.split_once(' ') else { return };
    let Ok(app) = app.parse::<AppId>() else { return };
    if let Err(error) = processes::released(control, app, version).await {
        tracing::warn!(error = format!("{error:#}"), "tell of a release");
    }
}
