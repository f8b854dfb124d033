//! Moving a database by hand: `POST /databases/ID/{prepare,hold,release}` and `GET
//! /databases/ID/sessions`. The platform does the same by the stage of its routes.

use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use howdah_model::ids::DatabaseId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Desk, Refusal};
use crate::hold::Report;

/// The longest wait that can be asked for.
const LONGEST: Duration = Duration::from_secs(3600);

/// How the sessions of a database stand, over this gateway and its elders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standings {
    /// Whether all of them are where they should be.
    pub done: bool,
    /// Those because of which they are not.
    pub blockers: Vec<Value>,
    /// All of them.
    pub sessions: Vec<Value>,
}

/// What can be said with a request.
#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    /// How long is waited, in milliseconds; HOWDAH_GATEWAY_HOLD when it is not said.
    bound_ms: Option<u64>,
    /// The socket directory of the server that will be next (`prepare`).
    next: Option<PathBuf>,
    /// The socket directory of the server where sessions go on (`release`); where they were without.
    to: Option<PathBuf>,
}

impl Wish {
    fn bound(&self, desk: &Desk) -> Duration {
        let asked = self.bound_ms.map(Duration::from_millis);
        asked.unwrap_or(desk.gateway.shared.config.timeouts.hold).min(LONGEST)
    }
}

impl Standings {
    fn of(report: &Report, done: fn(&Report) -> bool) -> Self {
        let value = |seen| serde_json::to_value(seen).unwrap_or_default();
        Self {
            done: done(report),
            blockers: report.blockers().map(value).collect(),
            sessions: report.sessions.iter().map(value).collect(),
        }
    }

    fn add(&mut self, elder: Option<Self>) {
        match elder {
            Some(elder) => {
                self.done &= elder.done;
                self.blockers.extend(elder.blockers);
                self.sessions.extend(elder.sessions);
            }
            // Nobody knows how its sessions stand.
            None => self.done = false,
        }
    }
}

pub(super) async fn sessions(
    State(desk): State<Desk>,
    Path(database): Path<DatabaseId>,
) -> Json<Standings> {
    let path = format!("databases/{database}/sessions");
    let report = desk.gateway.report(database);
    let mut all = Standings::of(&report, |_| true);
    for elder in desk.gateway.shared.elders.get(&path).await {
        all.add(elder);
    }
    Json(all)
}

pub(super) async fn prepare(
    State(desk): State<Desk>,
    Path(database): Path<DatabaseId>,
    Query(wish): Query<Wish>,
) -> Result<Json<Standings>, Refusal> {
    let bound = wish.bound(&desk);
    let Some(next) = wish.next else {
        let why = "say `next`: the socket directory of the server that will be next";
        return Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, why.to_owned()));
    };
    let path = format!("databases/{database}/prepare");
    let query = [("next", next.display().to_string()), milliseconds(bound)];
    let here = desk.gateway.prepare(database, next, bound);
    Ok(Json(everywhere(&desk, &path, &query, bound, here, Report::is_prepared).await))
}

pub(super) async fn hold(
    State(desk): State<Desk>,
    Path(database): Path<DatabaseId>,
    Query(wish): Query<Wish>,
) -> Json<Standings> {
    let bound = wish.bound(&desk);
    let path = format!("databases/{database}/hold");
    let here = desk.gateway.hold(database, bound);
    Json(everywhere(&desk, &path, &[milliseconds(bound)], bound, here, Report::is_held).await)
}

pub(super) async fn release(
    State(desk): State<Desk>,
    Path(database): Path<DatabaseId>,
    Query(wish): Query<Wish>,
) -> Json<Standings> {
    let bound = wish.bound(&desk);
    let path = format!("databases/{database}/release");
    let to = wish.to.as_ref().map(|to| ("to", to.display().to_string()));
    let query: Vec<_> = to.into_iter().chain([milliseconds(bound)]).collect();
    let here = async {
        desk.gateway.release(database, wish.to.clone());
        desk.gateway.released(database, bound).await
    };
    Json(everywhere(&desk, &path, &query, bound, here, Report::is_released).await)
}

fn milliseconds(bound: Duration) -> (&'static str, String) {
    ("bound_ms", bound.as_millis().to_string())
}

/// Does the same here and in the elders, at the same time.
async fn everywhere(
    desk: &Desk,
    path: &str,
    query: &[(&str, String)],
    bound: Duration,
    here: impl Future<Output = Report>,
    done: fn(&Report) -> bool,
) -> Standings {
    let there = desk.gateway.shared.elders.post(path, query, bound);
    let (report, elders) = futures_util::join!(here, there);
    let mut all = Standings::of(&report, done);
    elders.into_iter().for_each(|elder| all.add(elder));
    all
}
