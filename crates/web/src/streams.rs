//! Streams between whoever runs a one-off process and its runner. Each comes to the platform with
//! an HTTP connection that becomes a stream of bytes; two that belong together are joined.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::response::{IntoResponse as _, Response};
use howdah_control::requests::Noun;
use howdah_model::ids::AppId;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::Web;
use crate::auth::Caller;
use crate::error::{Error, Result};

/// The name that both ends ask for.
const PROTOCOL: &str = "howdah-stream";

/// How long one end waits for the other.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most ends that wait.
const MOST: usize = 1000;

/// A connection of either kind.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Side {
    /// Whoever asked for the process.
    Client,
    /// The runner.
    Runner,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Runner,
            Self::Runner => Self::Client,
        }
    }
}

/// One end of one stream.
type End = (AppId, Uuid, Side);

/// The streams. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<HashMap<End, oneshot::Sender<Box<dyn Bytes>>>>,
    /// Streams whose clients come to the rendezvous, by their secret.
    expected: Mutex<HashMap<Uuid, Expected>>,
    tasks: Mutex<JoinSet<()>>,
}

/// A stream whose client comes to the rendezvous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) app: AppId,
    /// Whether the process has no terminal.
    pub(crate) plain: bool,
    until: Instant,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

impl Streams {
    fn waiting(&self) -> MutexGuard<'_, HashMap<End, oneshot::Sender<Box<dyn Bytes>>>> {
        // The map is whole after every statement.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a task that ends with the platform.
    pub(crate) fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    /// Lets whoever has the secret come to the rendezvous, once, within a minute.
    pub(crate) fn expect(&self, secret: Uuid, app: AppId, plain: bool) {
        let now = Instant::now();
        let mut expected = self.0.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.retain(|_, one| one.until > now);
        if expected.len() < MOST {
            expected.insert(secret, Expected { app, plain, until: now + PATIENCE });
        }
    }

    /// What a secret opens; nothing a second time.
    pub(crate) fn expected(&self, secret: Uuid) -> Option<Expected> {
        let mut expected = self.0.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.remove(&secret).filter(|one| one.until > Instant::now())
    }

    /// Joins a connection with the other end, which may come within a minute.
    pub(crate) async fn join(
        &self,
        app: AppId,
        stream: Uuid,
        side: Side,
        mut here: Box<dyn Bytes>,
    ) {
        let (sender, receiver) = oneshot::channel();
        let other = {
            let mut waiting = self.waiting();
            waiting.retain(|_, sender| !sender.is_closed());
            let other = waiting.remove(&(app, stream, side.other()));
            if other.is_none() && waiting.len() < MOST {
                waiting.insert((app, stream, side), sender);
            }
            other
        };
        if let Some(other) = other {
            // It carries both. If it has gone just now, this end sees that as well.
            let _ = other.send(here);
            return;
        }
        if let Ok(Ok(mut there)) = timeout(PATIENCE, receiver).await {
            // Either end may go at any moment: then the other goes too.
            let _ = copy_bidirectional(&mut here, &mut there).await;
        }
    }
}

/// Makes a connection the end of a stream.
pub(crate) async fn open(
    State(web): State<Web>,
    caller: Caller,
    Path((app, stream, side)): Path<(String, String, String)>,
    mut request: Request,
) -> Result<Response> {
    let app = web.app(&caller, &app).await?;
    let none = || Error::not_found(Noun::Dyno);
    let stream: Uuid = stream.parse().map_err(|_| none())?;
    let side: Side = side.parse().map_err(|_| none())?;
    let asks = request.headers().get(UPGRADE).is_some_and(|protocol| protocol == PROTOCOL);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asks);
    let Some(upgrade) = upgrade else {
        let message = format!("This is a stream: ask with `Upgrade: {PROTOCOL}`.");
        return Err(Error::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message));
    };
    let streams = web.streams().clone();
    web.streams().begin(async move {
        if let Ok(upgraded) = upgrade.await {
            streams.join(app.id, stream, side, Box::new(TokioIo::new(upgraded))).await;
        }
    });
    let headers = [(CONNECTION, "upgrade"), (UPGRADE, PROTOCOL)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}
