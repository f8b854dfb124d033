//! The gateway's pools of a database (`pg:connection-pooling:attach`, `pg:pool`).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::attachments;
use howdah_control::requests::databases::DEFAULT;
use howdah_control::requests::pools::{self, Pools};
use serde::Deserialize;
use serde_json::Value;

use crate::auth::Caller;
use crate::body::{Body, Ref};
use crate::error::Result;
use crate::{Web, object};

/// A URL of the pools that an app shall have.
#[derive(Debug, Deserialize)]
pub(crate) struct NewPool {
    app: Ref,
    credential: Option<String>,
    name: Option<String>,
}

/// Attaches a database to an app by the gateway's pools. Answers the attachment.
pub(crate) async fn attach(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(new): Body<NewPool>,
) -> Result<(StatusCode, Json<Value>)> {
    let app = web.app(&caller, new.app.text()).await?;
    let addon = web.addon(&caller, &database).await?;
    let wanted = attachments::WantedPool {
        name: new.name.as_deref(),
        credential: new.credential.as_deref().unwrap_or(DEFAULT),
    };
    let made = attachments::attach_pool(web.control(), caller.id(), &addon, &app, wanted).await?;
    Ok((StatusCode::CREATED, Json(object::attachment(&made, &caller.origin))))
}

/// How the pools of a database are now.
pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Pools>> {
    let addon = web.addon(&caller, &database).await?;
    Ok(Json(pools::of_database(web.control(), &addon).await?))
}
