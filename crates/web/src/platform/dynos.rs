//! Processes: what runs, one-off processes, restarting and stopping.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::Noun;
use howdah_control::requests::processes::{self, NewOneOff};
use howdah_model::process::{Dyno, DynoState, Io, OneOff, SIZE, Target, Verb};
use howdah_store::apps::App;
use howdah_store::formation;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Web;
use crate::auth::Caller;
use crate::body::{self, Body};
use crate::error::{Error, Result};

/// The size of a terminal that says none.
const TERMINAL: (u16, u16) = (24, 80);

/// A process. Its id is the same as long as its app and its name are.
fn shown(dyno: &Dyno, of: &App, size: &str, attach_url: Option<&str>) -> Value {
    let id = dyno.one_off.unwrap_or_else(|| named(of, &dyno.name.to_string()));
    json!({
        "id": id,
        "app": { "id": of.id, "name": of.name },
        "name": dyno.name,
        "type": dyno.name.kind,
        "command": dyno.command,
        "size": size,
        "state": dyno.state,
        "release": { "id": named(of, &format!("v{}", dyno.release)), "version": dyno.release },
        "attach_url": attach_url,
        "created_at": dyno.since,
        "updated_at": dyno.since,
    })
}

/// An id that is made of names: the bits of the app's, mixed with those of the name.
fn named(app: &App, name: &str) -> Uuid {
    let mixed = name.bytes().fold(app.id.0.as_u128(), |sum, byte| {
        (sum ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    uuid::Builder::from_random_bytes(mixed.to_be_bytes()).into_uuid()
}

pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let formation = formation::list(&mut *web.read().await?, app.id).await?;
    let size = |dyno: &Dyno| {
        let of = formation.iter().find(|one| one.kind == dyno.name.kind);
        of.map_or(SIZE, |one| one.size.as_str())
    };
    let all = web.control().processes().dynos(app.id);
    Ok(Json(all.iter().map(|one| shown(one, &app, size(one), None)).collect()))
}

/// A one-off process that is to be run.
#[derive(Debug, Deserialize)]
pub(crate) struct NewDyno {
    command: Option<String>,
    #[serde(default)]
    attach: bool,
    /// Heroku's clients always have a terminal, but when they say that they have none.
    #[serde(default)]
    force_no_tty: Option<bool>,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    /// Our own clients speak in frames over HTTP, and say whether they have a terminal.
    stream: Option<Stream>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Stream {
    terminal: Option<Terminal>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Terminal {
    rows: u16,
    columns: u16,
}

impl NewDyno {
    /// Where its input and output go; and the variables that describe a terminal.
    fn io(&self, env: &BTreeMap<String, String>) -> Io {
        let number = |name: &str| env.get(name).and_then(|text| text.parse().ok());
        match self.stream {
            Some(Stream { terminal: Some(Terminal { rows, columns }) }) => {
                Io::Terminal { rows, columns }
            }
            Some(Stream { terminal: None }) => Io::Stream,
            None if !self.attach => Io::Log,
            None if self.force_no_tty == Some(true) => Io::Stream,
            None => Io::Terminal {
                rows: number("LINES").unwrap_or(TERMINAL.0),
                columns: number("COLUMNS").unwrap_or(TERMINAL.1),
            },
        }
    }
}

pub(crate) async fn run(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
    Body(mut new): Body<NewDyno>,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(&caller, &app).await?;
    if new.attach && new.stream.is_none() && web.rendezvous().is_none() {
        return Err(Error::invalid(
            "This platform has no address at which `heroku run` could attach to the process. Use \
             `howdah run`, or run it without being attached: `heroku run:detached`.",
        ));
    }
    let env = body::options(std::mem::take(&mut new.env));
    if env.keys().any(|name| name.is_empty() || name.contains(['=', '\0']))
        || env.values().any(|value| value.contains('\0'))
    {
        return Err(Error::invalid("A variable has a name, and no zero byte."));
    }
    let io = new.io(&env);
    let command = new.command.clone().unwrap_or_default();
    let asked = NewOneOff { command, env, io };
    let (one_off, release) = processes::run(web.control(), &caller.account, &app, asked).await?;
    let attach_url = match (new.attach, new.stream) {
        (_, Some(_)) => Some(format!(
            "{}/howdah/v1/apps/{}/streams/{}/client",
            caller.origin, app.name, one_off.id
        )),
        (true, None) => {
            web.streams().expect(one_off.id, app.id, io == Io::Stream);
            web.rendezvous().map(|at| format!("rendezvous://{at}/{}", one_off.id))
        }
        (false, None) => None,
    };
    let dyno = starting(&one_off, release, web.control().now());
    Ok((StatusCode::CREATED, Json(shown(&dyno, &app, SIZE, attach_url.as_deref()))))
}

fn starting(one_off: &OneOff, release: i32, now: jiff::Timestamp) -> Dyno {
    Dyno {
        name: one_off.name.clone(),
        command: one_off.command.clone(),
        state: DynoState::Starting,
        since: now,
        release,
        one_off: Some(one_off.id),
    }
}

async fn order(
    web: &Web,
    caller: &Caller,
    app: &str,
    of: impl FnOnce() -> Result<Target>,
    what: Verb,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(caller, app).await?;
    processes::order(web.control(), &app, of()?, what).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}

fn one(dyno: &str) -> Result<Target> {
    dyno.parse().map(Target::Dyno).map_err(|_| Error::not_found(Noun::Dyno))
}

fn of_type(kind: &str) -> Result<Target> {
    kind.parse().map(Target::Type).map_err(|_| Error::not_found(Noun::ProcessType))
}

pub(crate) async fn restart_all(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<(StatusCode, Json<Value>)> {
    order(&web, &caller, &app, || Ok(Target::All), Verb::Restart).await
}

pub(crate) async fn restart(
    State(web): State<Web>,
    caller: Caller,
    Path((app, dyno)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>)> {
    order(&web, &caller, &app, || one(&dyno), Verb::Restart).await
}

pub(crate) async fn restart_type(
    State(web): State<Web>,
    caller: Caller,
    Path((app, kind)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>)> {
    order(&web, &caller, &app, || of_type(&kind), Verb::Restart).await
}

pub(crate) async fn stop(
    State(web): State<Web>,
    caller: Caller,
    Path((app, dyno)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>)> {
    order(&web, &caller, &app, || one(&dyno), Verb::Stop).await
}

pub(crate) async fn stop_type(
    State(web): State<Web>,
    caller: Caller,
    Path((app, kind)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>)> {
    order(&web, &caller, &app, || of_type(&kind), Verb::Stop).await
}
