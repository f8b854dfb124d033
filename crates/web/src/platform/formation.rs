//! The formation: how many processes of each type run (B17).

use axum::Json;
use axum::extract::{Path, State};
use howdah_control::requests::processes::{self, Scaling};
use howdah_model::process::Quantity;
use howdah_store::apps::App;
use howdah_store::formation::{self, Process};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::body::{Body, Ref};
use crate::error::{Error, Result};

fn shown(process: &Process, of: &App) -> Value {
    json!({
        "id": process.id,
        "app": { "id": of.id, "name": of.name },
        "type": process.kind,
        "command": process.command,
        "quantity": process.quantity(),
        "size": process.size,
        "created_at": process.updated_at,
        "updated_at": process.updated_at,
    })
}

pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let all = formation::list(&mut *web.read().await?, app.id).await?;
    Ok(Json(all.iter().map(|one| shown(one, &app)).collect()))
}

/// What is to be changed of a formation.
#[derive(Debug, Deserialize)]
pub(crate) struct Updates {
    #[serde(default)]
    updates: Vec<Update>,
}

/// What is to be changed of a type. Clients send the quantity as text, which may be `+1`.
#[derive(Debug, Deserialize)]
struct Update {
    #[serde(rename = "type")]
    kind: String,
    quantity: Option<Value>,
    size: Option<Ref>,
}

impl Update {
    fn read(self) -> Result<Scaling> {
        let text = match self.quantity {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(other) => Some(other.to_string()),
        };
        let quantity = text.map(|text| text.parse::<Quantity>()).transpose();
        let quantity =
            quantity.map_err(|error| Error::invalid(format!("{}: {error}.", self.kind)))?;
        let size = self.size.map(|size| size.text().to_owned());
        Ok(Scaling { kind: self.kind, quantity, size })
    }
}

pub(crate) async fn scale(
    State(web): State<Web>,
    caller: Caller,
    Path(app): Path<String>,
    Body(updates): Body<Updates>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    let changes: Vec<_> = updates.updates.into_iter().map(Update::read).collect::<Result<_>>()?;
    let all = processes::scale(web.control(), &caller.account, &app, &changes).await?;
    Ok(Json(all.iter().map(|one| shown(one, &app)).collect()))
}
