//! Schedules of backups (`pg:backups:schedule`).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use howdah_control::requests::schedules::{self, Others, Wanted};
use howdah_store::schedules::Schedule;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::Result;

fn object(one: &Schedule) -> Value {
    json!({
        "uuid": one.id,
        "name": one.name,
        "hour": one.hour.get(),
        "timezone": one.zone,
        "database_id": one.database_id,
        "next_at": one.next_at,
        "created_at": one.created_at,
    })
}

/// The schedules of the whole app that owns a database: clients ask about any of its databases.
pub(crate) async fn list(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let all = schedules::list(&mut *web.read().await?, addon.app_id).await?;
    Ok(Json(all.iter().map(object).collect()))
}

/// A schedule that is wanted.
#[derive(Debug, Deserialize)]
pub(crate) struct New {
    /// Text or number.
    hour: Value,
    #[serde(default)]
    timezone: Option<String>,
    schedule_name: String,
    /// Whether others of the name stay.
    #[serde(default)]
    add: bool,
}

pub(crate) async fn create(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(&caller, &database).await?;
    let wanted = Wanted {
        hour: new.hour.as_str().map_or_else(|| new.hour.to_string(), str::to_owned),
        zone: new.timezone.unwrap_or_else(|| "UTC".to_owned()),
        name: new.schedule_name,
        others: if new.add { Others::Keep } else { Others::Replace },
    };
    let made = schedules::create(web.control(), &addon, &wanted).await?;
    Ok((StatusCode::CREATED, Json(object(&made))))
}

pub(crate) async fn delete(
    State(web): State<Web>,
    caller: Caller,
    Path((database, schedule)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    Ok(Json(object(&schedules::delete(web.control(), &addon, &schedule).await?)))
}
