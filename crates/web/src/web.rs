//! What every handler holds.

use std::sync::Arc;

use howdah_control::Control;
use howdah_control::metrics::Token;
use howdah_control::requests::{addons, apps};
use howdah_store::ReadConnection;
use howdah_store::addons::Addon;
use howdah_store::apps::App as StoredApp;

use crate::auth::Caller;
use crate::error::Result;
use crate::rendezvous::Rendezvous;
use crate::repeat::Work;
use crate::streams::Streams;

/// What the HTTP part is made from.
#[derive(Clone, Debug)]
pub struct App {
    control: Control,
    metrics: Option<Token>,
    streams: Streams,
}

impl App {
    /// The HTTP part of a control plane.
    #[must_use]
    pub fn new(control: Control) -> Self {
        Self { control, metrics: None, streams: Streams::default() }
    }

    /// With a token that opens `GET /metrics`. Without one nobody does.
    #[must_use]
    pub fn with_metrics(self, token: Option<Token>) -> Self {
        Self { metrics: token, ..self }
    }

    /// Where Heroku's CLI meets one-off processes, for whoever listens for it.
    #[must_use]
    pub fn rendezvous(&self) -> Rendezvous {
        Rendezvous(self.streams.clone())
    }
}

/// What every handler holds. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Web(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: App,
    work: Work,
}

impl Web {
    pub(crate) fn new(app: App) -> Self {
        Self(Arc::new(Inner { app, work: Work::default() }))
    }

    pub(crate) fn control(&self) -> &Control {
        &self.0.app.control
    }

    pub(crate) fn metrics_token(&self) -> Option<&Token> {
        self.0.app.metrics.as_ref()
    }

    pub(crate) fn work(&self) -> &Work {
        &self.0.work
    }

    /// The streams to one-off processes.
    pub(crate) fn streams(&self) -> &Streams {
        &self.0.app.streams
    }

    /// Where Heroku's CLI meets one-off processes: the host and port of the address with TLS.
    pub(crate) fn rendezvous(&self) -> Option<&str> {
        self.control().config().public_origin.as_deref()?.strip_prefix("https://")
    }

    /// A connection to read from.
    pub(crate) async fn read(&self) -> Result<ReadConnection> {
        Ok(self.control().reader().get().await?)
    }

    /// The app with a name or id that the caller may see.
    pub(crate) async fn app(&self, caller: &Caller, name_or_id: &str) -> Result<StoredApp> {
        let mut conn = self.read().await?;
        Ok(apps::find(&mut conn, caller.id(), name_or_id).await?)
    }

    /// The add-on with a name or id that the caller may see.
    pub(crate) async fn addon(&self, caller: &Caller, name_or_id: &str) -> Result<Addon> {
        let mut conn = self.read().await?;
        Ok(addons::find(&mut conn, caller.id(), name_or_id).await?)
    }
}
