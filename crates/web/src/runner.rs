//! What runners tell and ask. They ask by long polls; reads and lines are not written to the log.

use axum::Json;
use axum::extract::{Path, Query, State};
use howdah_control::requests::processes::{self, Speaker};
use howdah_model::process::{Report, Said, Wanted};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Error, Result};

#[derive(Debug, Deserialize)]
pub(crate) struct Question {
    /// Which run of the runner asks.
    instance: Option<String>,
    /// What it knows.
    after: Option<u64>,
}

impl Question {
    fn instance(&self) -> Result<Uuid> {
        let id = self.instance.as_deref().and_then(|text| text.parse().ok());
        id.ok_or_else(|| Error::invalid("A runner says which one it is: ?instance=ID."))
    }
}

pub(crate) async fn wanted(
    State(web): State<Web>,
    caller: Caller,
    Path((app, name)): Path<(String, String)>,
    Query(question): Query<Question>,
) -> Result<Json<Wanted>> {
    let app = web.app(&caller, &app).await?;
    let speaker = Speaker { name: &name, instance: question.instance()? };
    let after = question.after;
    Ok(Json(processes::wanted(web.control(), caller.id(), &app, speaker, after).await?))
}

pub(crate) async fn report(
    State(web): State<Web>,
    caller: Caller,
    Path((app, name)): Path<(String, String)>,
    Body(report): Body<Report>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    processes::report(web.control(), &app, &name, report).await?;
    Ok(Json(json!({})))
}

pub(crate) async fn leave(
    State(web): State<Web>,
    caller: Caller,
    Path((app, _)): Path<(String, String)>,
    Query(question): Query<Question>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    web.control().processes().leave(app.id, question.instance()?);
    Ok(Json(json!({})))
}

/// Lines for the app's stream.
#[derive(Debug, Deserialize)]
pub(crate) struct Batch {
    instance: Uuid,
    batch: u64,
    lines: Vec<Said>,
}

pub(crate) async fn say(
    State(web): State<Web>,
    caller: Caller,
    Path((app, _)): Path<(String, String)>,
    Body(said): Body<Batch>,
) -> Result<Json<Value>> {
    let app = web.app(&caller, &app).await?;
    processes::say(web.control(), &app, said.instance, said.batch, said.lines)?;
    Ok(Json(json!({})))
}
