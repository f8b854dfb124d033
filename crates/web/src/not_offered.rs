//! Routes that Heroku has and this platform does not have yet. Each finds the app or database
//! first, so that nobody learns of what is not theirs, and then says so in Heroku's form.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::error::{Error, Result};

/// What a path names.
type Names = HashMap<String, String>;

async fn check(web: &Web, caller: &Caller, names: &Names) -> Result<String> {
    if let Some(app) = names.get("app") {
        return Ok(format!(" for {}", web.app(caller, app).await?.name));
    }
    if let Some(database) = names.get("database") {
        return Ok(format!(" for {}", web.addon(caller, database).await?.name));
    }
    Ok(String::new())
}

macro_rules! not_offered {
    ($($name:ident $what:literal;)+) => {$(
        #[doc = concat!($what, " is not offered yet.")]
        pub(crate) async fn $name(
            State(web): State<Web>,
            caller: Caller,
            Path(names): Path<Names>,
        ) -> Error {
            match check(&web, &caller, &names).await {
                Ok(whose) => Error::not_offered(&format!("{}{whose}", $what)),
                Err(error) => error,
            }
        }
    )+};
}

not_offered! {
    logs        "The stream of logs";
    upgrades    "Upgrading to another version";
}

/// Whoever waits for an upgrade is told within an answer: Heroku's client asks for ever when it gets
/// an error.
pub(crate) async fn upgrade_wait(
    State(web): State<Web>,
    caller: Caller,
    Path(names): Path<Names>,
) -> Result<Json<Value>> {
    let whose = check(&web, &caller, &names).await?;
    let message = Error::not_offered(&format!("Upgrading to another version{whose}")).message;
    Ok(Json(json!({ "waiting?": false, "error?": true, "message": message })))
}
