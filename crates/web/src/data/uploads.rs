//! Dumps that people send from their machines.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures_util::{StreamExt as _, stream};
use howdah_control::requests::uploads;
use howdah_control::servers::{Chunks, Failure};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::Web;
use crate::auth::Caller;
use crate::error::Result;

/// How long nothing may come of a dump that is being sent.
const STILL: Duration = Duration::from_secs(60);

/// Takes a dump for a restore. It takes as long as it takes; what bounds it is that something comes.
pub(crate) async fn take(
    State(web): State<Web>,
    caller: Caller,
    Path(database): Path<String>,
    content: Body,
) -> Result<(StatusCode, Json<Value>)> {
    let addon = web.addon(&caller, &database).await?;
    let url = uploads::take(web.control(), caller.id(), &addon, chunks(content)).await?;
    Ok((StatusCode::CREATED, Json(json!({ "backup_url": url }))))
}

fn chunks(content: Body) -> Chunks {
    let content = content.into_data_stream();
    Box::pin(stream::unfold(Some(content), |content| async move {
        let mut content = content?;
        match timeout(STILL, content.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(content))),
            Ok(Some(Err(error))) => Some((Err(Failure::Unreachable(error.to_string())), None)),
            Err(_) => Some((Err(Failure::Unreachable("the sender stands still".to_owned())), None)),
        }
    }))
}
