//! Settings of a database (`pg:settings`).

use axum::Json;
use axum::extract::{Path, State};
use howdah_control::requests::settings;
use howdah_model::database_setting::{Changed, KNOWN, Kind};
use serde_json::{Map, Value, json};

use crate::Web;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::Result;

/// All settings of a database.
pub(crate) async fn show(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let changed = settings::show(&mut *web.read().await?, &addon).await?;
    Ok(Json(rendered(&changed)))
}

/// Sets those that are named. Answers all.
pub(crate) async fn change(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    Body(changes): Body<Changed>,
) -> Result<Json<Value>> {
    let addon = web.addon(&caller, &database).await?;
    let changed = settings::change(web.control(), &addon, &changes).await?;
    Ok(Json(rendered(&changed)))
}

/// Every setting by its name, changed or not: clients read the one that they ask for unchecked.
fn rendered(changed: &Changed) -> Value {
    let all = KNOWN.iter().map(|known| {
        let values: Map<_, _> = match known.kind {
            Kind::Words(words) => {
                words.iter().map(|(word, means)| ((*word).to_owned(), json!(means))).collect()
            }
            Kind::Switch(..) | Kind::Milliseconds(..) => Map::new(),
        };
        let setting = json!({
            "value": known.of(changed),
            "default": known.default,
            "desc": known.about,
            "values": values,
        });
        (known.name.to_owned(), setting)
    });
    Value::Object(all.collect())
}
