//! The credentials of a database (`pg:credentials`).

use axum::Json;
use axum::extract::{Path, State};
use howdah_control::requests::databases::{self, Shown};
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::error::Result;

fn shown(credential: &Shown) -> Value {
    json!({
        "uuid": credential.id,
        "name": credential.name,
        "state": "active",
        "database": credential.database,
        "host": credential.host,
        "port": credential.port,
        "credentials": [{
            "user": credential.role,
            "password": credential.password,
            "state": "active",
            "connections": null,
        }],
    })
}

pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let all = databases::credentials(web.control(), &mut *web.read().await?, &addon).await?;
    Ok(Json(all.iter().map(shown).collect()))
}

pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path((database, name)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let mut conn = web.read().await?;
    let found = databases::credential(web.control(), &mut conn, &addon, &name).await?;
    Ok(Json(shown(&found)))
}
