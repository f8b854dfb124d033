//! The caller's own account, tokens and public keys.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use howdah_control::requests::{self, Noun, accounts, keys};
use howdah_model::secret::Secret;
use howdah_store::tokens::Token;
use howdah_store::{ssh_keys, tokens};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::{Caller, basic};
use crate::body::Body;
use crate::error::{Error, Result};
use crate::{Web, object};

pub(crate) async fn show(caller: Caller) -> Json<Value> {
    Json(object::account(&caller.account))
}

/// What a client says of the token that it asks for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct NewToken {
    description: Option<String>,
    expires_in: Option<u64>,
}

/// Logs in with an e-mail address and a password, or makes a further token with a token.
pub(crate) async fn authorize(
    State(web): State<Web>,
    headers: HeaderMap,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<Value>)> {
    let given = basic(&headers).ok_or(requests::Error::Unauthorized)?;
    let account = if given.user.is_empty() {
        accounts::bearer(web.control(), &given.password).await?.account
    } else {
        accounts::log_in(web.control(), &given.user, &given.password).await?
    };
    let description = new.description.as_deref().unwrap_or("API token");
    let lasts = new.expires_in.map(Duration::from_secs);
    let (token, secret) =
        accounts::issue_token(web.control(), account.id, description, lasts).await?;
    let now = web.control().now();
    Ok((StatusCode::CREATED, Json(authorization(&token, secret.reveal(), &account.email, now))))
}

/// The caller's tokens. Only the one in use is shown in clear: the others are known to nobody.
pub(crate) async fn authorizations(State(web): State<Web>, caller: Caller) -> Result<Json<Value>> {
    let all = tokens::list(&mut *web.read().await?, caller.id()).await?;
    let now = web.control().now();
    let shown = |token: &Token| {
        let own = token.id == caller.token_id;
        let hidden = Secret::new(format!("{}**********", accounts::TOKEN_PREFIX));
        let secret = if own { &caller.token } else { &hidden };
        authorization(token, secret.reveal(), &caller.account.email, now)
    };
    Ok(Json(all.iter().map(shown).collect()))
}

fn authorization(token: &Token, secret: &str, email: &str, now: Timestamp) -> Value {
    let left = token.expires_at().map(|at| at.duration_since(now).as_secs().max(0));
    json!({
        "id": token.id,
        "description": token.description,
        "scope": ["global"],
        "created_at": token.created_at,
        "updated_at": token.created_at,
        "access_token": { "id": token.id, "token": secret, "expires_in": left },
        "user": { "id": token.account_id, "email": email },
        "client": null,
        "grant": null,
        "session": null,
    })
}

/// Takes a token back: one by its id, or with `~` the one in use.
pub(crate) async fn revoke(
    State(web): State<Web>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>> {
    let id = match id.as_str() {
        "~" => caller.token_id,
        id => id.parse().map_err(|_| Error::not_found(Noun::Authorization))?,
    };
    let token = accounts::revoke_token(web.control(), caller.id(), id).await?;
    Ok(Json(authorization(&token, "", &caller.account.email, web.control().now())))
}

/// Browsers' sessions are not part of the API: there never is one here, as clients expect.
pub(crate) async fn no_session(_: Caller) -> Error {
    Error::not_found(Noun::Session)
}

/// The authorization of a session, which there is not.
pub(crate) async fn no_authorization(_: Caller, Path(_): Path<String>) -> Error {
    Error::not_found(Noun::Authorization)
}

pub(crate) async fn keys(State(web): State<Web>, caller: Caller) -> Result<Json<Value>> {
    let all = ssh_keys::list(&mut *web.read().await?, caller.id()).await?;
    Ok(Json(all.iter().map(|key| object::key(key, &caller.account.email)).collect()))
}

/// A public key that is to be added.
#[derive(Debug, Deserialize)]
pub(crate) struct NewKey {
    public_key: String,
}

pub(crate) async fn add_key(
    State(web): State<Web>,
    caller: Caller,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<Value>)> {
    let key = keys::add(web.control(), caller.id(), &new.public_key).await?;
    Ok((StatusCode::CREATED, Json(object::key(&key, &caller.account.email))))
}

pub(crate) async fn remove_key(
    State(web): State<Web>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Value>> {
    let key = keys::remove(web.control(), caller.id(), &key).await?;
    Ok(Json(object::key(&key, &caller.account.email)))
}

/// A person who wants an account (A1).
#[derive(Debug, Deserialize)]
pub(crate) struct NewAccount {
    email: String,
    password: Secret,
}

/// Makes an account and its first token.
pub(crate) async fn sign_up(
    State(web): State<Web>,
    Body(new): Body<NewAccount>,
) -> Result<(StatusCode, Json<Value>)> {
    let account = accounts::create(web.control(), &new.email, Some(&new.password)).await?;
    let (token, secret) = accounts::issue_token(web.control(), account.id, "sign-up", None).await?;
    let now = web.control().now();
    let mut body = object::account(&account);
    body["authorization"] = authorization(&token, secret.reveal(), &account.email, now);
    Ok((StatusCode::CREATED, Json(body)))
}
