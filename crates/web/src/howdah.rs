//! What Heroku's APIs have no word for: our own routes below `/howdah/v1`, and `/health`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::config::Config;
use howdah_control::requests::Noun;
use howdah_model::ids::OperationId;
use howdah_model::name::AddonName;
use howdah_store::databases;
use howdah_store::operations::{self, Operation};
use howdah_store::transitions::{self, Transition};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Web;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::platform::addons;

/// The most operations that are listed.
const MOST: u32 = 100;

/// An operation. `addon` is the name of its database, also of one that is gone; `history` holds its
/// transitions, of which the newest tells why it is where it is.
fn operation(operation: &Operation, addon: Option<&str>, history: &[Transition]) -> Value {
    let own = history.iter().rfind(|one| one.machine_id == operation.id.0);
    json!({
        "id": operation.id,
        "kind": operation.kind,
        "addon": { "id": operation.database_id, "name": addon },
        "reason": own.map(|one| one.reason.as_str()),
        "app_id": operation.app_id,
        "state": operation.state,
        "since": operation.since,
        "outcome": operation.outcome,
        "created_at": operation.created_at,
        "finished_at": operation.finished_at,
        "cancelled_at": operation.cancelled_at,
        "last_error": operation.last_error,
    })
}

fn transition(transition: &Transition) -> Value {
    json!({
        "machine_id": transition.machine_id,
        "kind": transition.kind,
        "from": transition.from,
        "to": transition.to,
        "reason": transition.reason,
        "at": transition.at,
    })
}

/// What was asked for of an app's databases, newest first.
pub(crate) async fn operations(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let mut conn = web.read().await?;
    let all = operations::list_of_app(&mut conn, app.id, MOST).await?;
    let ids: Vec<_> = all.iter().map(|one| one.id.0).collect();
    let history = transitions::list(&mut conn, &ids).await?;
    let mut names = HashMap::new();
    for one in &all {
        if let Entry::Vacant(free) = names.entry(one.database_id) {
            let found = databases::get(&mut conn, one.database_id).await?;
            free.insert(found.map(|database| database.addon_name));
        }
    }
    let name = |one: &Operation| names[&one.database_id].as_ref().map(AddonName::as_str);
    Ok(Json(all.iter().map(|one| operation(one, name(one), &history)).collect()))
}

/// One operation, with every change of its state and the reasons.
pub(crate) async fn show_operation(
    State(web): State<Web>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>> {
    let none = || Error::not_found(Noun::Operation);
    let id: OperationId = id.parse().map_err(|_| none())?;
    let mut conn = web.read().await?;
    let found = operations::get(&mut conn, id).await?.ok_or_else(none)?;
    // Whoever may not see the app may not know of the operation either.
    web.app(&caller, &found.app_id.to_string()).await.map_err(|_| none())?;
    let history = transitions::list(&mut conn, &[id.0]).await?;
    let database = databases::get(&mut conn, found.database_id).await?;
    let name = database.as_ref().map(|database| database.addon_name.as_str());
    let mut shown = operation(&found, name, &history);
    shown["transitions"] = history.iter().map(transition).collect();
    Ok(Json(shown))
}

/// Every change of a database's state, with the reasons, oldest first.
pub(crate) async fn database_transitions(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let history = transitions::list(&mut *web.read().await?, &[addon.id.0]).await?;
    Ok(Json(history.iter().map(transition).collect()))
}

/// The versions of PostgreSQL that are installed (C37).
pub(crate) async fn versions(State(web): State<Web>, _: Caller) -> Result<Json<Value>> {
    Ok(Json(addons::versions(&web.control().installed().await?)))
}

/// How long each part may take to answer.
const BOUND: Duration = Duration::from_secs(2);

/// Whether the platform does its work: its database answers, an agent has been seen, and the
/// gateway listens. Needs no token and says no more.
pub(crate) async fn health(State(web): State<Web>) -> (StatusCode, Json<Value>) {
    let store = timeout(BOUND, web.read()).await.is_ok_and(|conn| conn.is_ok());
    let agent = timeout(BOUND, web.control().installed())
        .await
        .is_ok_and(|installed| installed.is_ok_and(|installed| !installed.is_empty()));
    let Config { gateway_host, gateway_port, .. } = web.control().config();
    let gateway = timeout(BOUND, TcpStream::connect((gateway_host.as_str(), *gateway_port)))
        .await
        .is_ok_and(|session| session.is_ok());
    let said = |up| if up { "up" } else { "down" };
    let status =
        if store && agent && gateway { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "store": said(store),
        "agent": said(agent),
        "gateway": said(gateway),
    });
    (status, Json(body))
}
