//! Log sessions: an address that shows an app's log stream to whoever has it (B25).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{Stream, unfold};
use howdah_control::Control;
use howdah_control::logs::{Filter, LINES, Place, Session, Source, open_session, seal_session};
use howdah_control::requests::apps;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Error, Result};

/// How many lines are shown when nothing is said, as on Heroku.
const SOME: usize = 100;

/// After so long without a line something is sent, so that the connection stays.
const ALIVE: Duration = Duration::from_secs(20);

/// How long a stream goes on before its reader must show its secret again.
const LASTS: Duration = Duration::from_secs(3600);

/// What a reader wants.
#[derive(Debug, Deserialize)]
pub(crate) struct NewSession {
    lines: Option<usize>,
    #[serde(default)]
    tail: Option<bool>,
    source: Option<String>,
    dyno: Option<String>,
}

pub(crate) async fn create(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
    Body(new): Body<NewSession>,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(&caller, &app).await?;
    if let Some(source) = &new.source
        && source.parse::<Source>().is_err()
    {
        return Err(Error::invalid(format!(
            "There is no source `{source}` of lines: there are app and heroku."
        )));
    }
    let session = Session {
        app: app.id,
        account: caller.id(),
        source: new.source,
        process: new.dyno.map(|dyno| dyno.chars().take(64).collect()),
        lines: new.lines.unwrap_or(SOME).min(LINES),
        tail: new.tail.unwrap_or(false),
    };
    let now = web.control().now();
    let secret = seal_session(web.control().keyring(), session, now);
    let made = json!({
        "id": Uuid::now_v7(),
        "logplex_url": format!("{}/logs/{secret}", caller.origin),
        "created_at": now,
        "updated_at": now,
    });
    Ok((StatusCode::CREATED, Json(made)))
}

/// The lines of a session: as events for those that ask for them, else as text. Without `tail` the
/// stream ends with the last line that is there.
pub(crate) async fn show(
    State(web): State<Web>,
    headers: HeaderMap,
    Path(secret): Path<String>,
) -> Result<Response> {
    let over = || {
        let message = "The time of this log session is over. Ask for another one.";
        Error::new(StatusCode::NOT_FOUND, "not_found", message)
    };
    let control = web.control();
    let session = open_session(control.keyring(), &secret, control.now()).ok_or_else(over)?;
    // Whoever lost the app may not read on.
    let mut conn = web.read().await?;
    apps::find(&mut conn, session.account, &session.app.to_string()).await.map_err(|_| over())?;
    drop(conn);
    let text =
        |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let last = text("last-event-id").and_then(|id| id.parse().ok());
    let is_events = text(ACCEPT.as_str()).is_some_and(|kinds| kinds.contains("text/event-stream"));
    let reader = Reader::new(control.clone(), session, last);
    if is_events {
        let alive = KeepAlive::new().interval(ALIVE);
        let events = Sse::new(reader.into_stream(Piece::event)).keep_alive(alive);
        return Ok(events.into_response());
    }
    let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    let text = reader.alive_after(ALIVE * 2).into_stream(Piece::text);
    Ok((kind, HttpBody::from_stream(text)).into_response())
}

/// One thing that a reader gets.
enum Piece {
    Line {
        id: u64,
        text: String,
    },
    /// So many lines went by unread.
    Missed(u64, jiff::Timestamp),
    /// There is nothing to say.
    Nothing,
}

impl Piece {
    fn line(&self) -> String {
        match self {
            Self::Line { text, .. } => text.clone(),
            Self::Missed(lines, at) => format!(
                "{} heroku[logplex]: Error L11 (Tail buffer overflow) -> {lines} messages dropped",
                at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00")
            ),
            Self::Nothing => String::new(),
        }
    }

    fn event(self) -> Event {
        let event = Event::default().data(self.line());
        match self {
            Self::Line { id, .. } => event.id(id.to_string()),
            Self::Missed(..) | Self::Nothing => event,
        }
    }

    fn text(self) -> String {
        self.line() + "\n"
    }
}

/// Somebody who reads: takes the next lines when they have taken the last, and holds no more than
/// one batch of them.
struct Reader {
    control: Control,
    session: Session,
    filter: Filter,
    place: Place,
    news: watch::Receiver<u64>,
    pieces: VecDeque<Piece>,
    until: Instant,
    alive: Option<Duration>,
}

impl Reader {
    fn new(control: Control, session: Session, last: Option<u64>) -> Self {
        let filter = session.filter();
        let news = control.logs().news(session.app);
        let place = match last {
            Some(id) => Place::after(id),
            None => control.logs().place_before(session.app, &filter, session.lines),
        };
        let until = Instant::now() + LASTS;
        Self { control, session, filter, place, news, pieces: VecDeque::new(), until, alive: None }
    }

    /// Says that it is alive after so long without a line.
    fn alive_after(self, pause: Duration) -> Self {
        Self { alive: Some(pause), ..self }
    }

    /// The next thing; none at the end.
    async fn next(&mut self) -> Option<Piece> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Some(piece);
            }
            self.news.mark_unchanged();
            let batch = self.control.logs().read(self.session.app, &self.filter, self.place);
            let is_new = batch.place != self.place;
            self.place = batch.place;
            if batch.missed > 0 {
                self.pieces.push_back(Piece::Missed(batch.missed, self.control.now()));
            }
            let lines = batch.lines.iter();
            self.pieces
                .extend(lines.map(|line| Piece::Line { id: line.id, text: line.to_string() }));
            if is_new || !self.pieces.is_empty() {
                continue;
            }
            if !self.session.tail {
                return None;
            }
            let pause = self.alive.map(|pause| Instant::now() + pause);
            let until = pause.map_or(self.until, |pause| pause.min(self.until));
            match timeout_at(until, self.news.changed()).await {
                Ok(Ok(())) => {}
                // The app is gone.
                Ok(Err(_)) => return None,
                Err(_) if Instant::now() >= self.until => return None,
                Err(_) => return Some(Piece::Nothing),
            }
        }
    }

    fn into_stream<T>(
        self,
        form: fn(Piece) -> T,
    ) -> impl Stream<Item = Result<T, Infallible>> + Send {
        unfold(self, move |mut reader| async move {
            let piece = reader.next().await?;
            Some((Ok(form(piece)), reader))
        })
    }
}
