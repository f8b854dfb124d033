//! How a database fares: what its server can tell, and what the control plane knows of it.

use std::time::Duration;

use howdah_model::diagnosis::{Asked, Check, Finding, Name, Status, threshold};
use howdah_model::ids::{AccountId, ReportId};
use howdah_model::protection::Drilled;
use howdah_store::addons::Addon;
use howdah_store::apps::App;
use howdah_store::databases::{self, Placed};
use howdah_store::reports::{self, Report};
use howdah_store::{Connection, apps};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::{Error, Noun, Result};
use super::protection::{self, State};
use super::{databases as live, maintenance};
use crate::Control;

/// How long reports are kept.
pub const KEPT: Duration = Duration::from_secs(31 * 24 * 3600);

/// Makes a report of a database, keeps it and answers it. `var` is how it was named.
///
/// # Errors
/// [`Error::Unavailable`] when the agent of its server does not answer.
pub async fn make(control: &Control, app: &App, addon: &Addon, var: &str) -> Result<Value> {
    let asked = Asked { connections: addon.plan.connections };
    let mut checks = control.diagnose(addon.id, asked).await.map_err(|error| {
        Error::Unavailable(format!(
            "{} could not be looked at: {error}. Try again in a moment.",
            addon.name
        ))
    })?;
    let seen = live::look(control, addon.id).await?;
    let mut conn = control.reader().get().await?;
    let placed = databases::list_placed(&mut conn, &[addon.id.0]).await?.pop();
    let protection = protection::state(control, &mut conn, addon.id).await?;
    drop(conn);
    let now = control.now();
    let size = seen.look.map(|look| look.size_bytes);
    checks.push(storage(control, addon, placed.as_ref(), size));
    checks.push(backups(&protection, addon, now));
    checks.push(minor_version(control, placed.as_ref()));
    checks.sort_by_key(|check| check.status);
    let id = ReportId::new();
    let report = json!({
        "id": id,
        "app": app.name,
        "database": var,
        "created_at": now,
        "checks": checks,
    });
    let mut tx = control.store().begin().await?;
    let (app_id, database_id) = (app.id, addon.id);
    let row = Report { id, app_id, database_id, report: report.clone(), created_at: now };
    reports::insert(&mut tx, &row).await?;
    tx.commit().await?;
    Ok(report)
}

/// A report that was made before.
///
/// # Errors
/// [`Error::NotFound`] when there is none of that id, or of an app that the account may not see.
pub async fn find(conn: &mut Connection, account: AccountId, id: &str) -> Result<Value> {
    let not_found = || Error::NotFound(Noun::Report);
    let id: ReportId = id.parse().map_err(|_| not_found())?;
    let report = reports::get(conn, id).await?.ok_or_else(not_found)?;
    let app = report.app_id.to_string();
    let may_see = apps::find_visible(conn, account, &app).await?.is_some();
    if may_see { Ok(report.report) } else { Err(not_found()) }
}

fn finding<const N: usize>(all: [(&str, Value); N]) -> Finding {
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The disk of the plan, and that of the server, whichever is fuller.
fn storage(control: &Control, addon: &Addon, placed: Option<&Placed>, size: Option<i64>) -> Check {
    const GIB: f64 = (1_u64 << 30) as f64;
    let seen = placed.and_then(|placed| control.seen_of(placed));
    let Some((sighting, _)) = seen else {
        return Check::skipped(Name::Storage, "its server does not answer");
    };
    let server = &sighting.server;
    let of_server = match server.disk_total {
        0 => 0.0,
        total => 100.0 * (1.0 - server.disk_free as f64 / total as f64),
    };
    let of_plan = match (addon.plan.disk_gib, size) {
        (Some(gib), Some(size)) => 100.0 * size as f64 / (gib as f64 * GIB),
        _ => 0.0,
    };
    let found = finding([
        ("plan_per_cent", json!(of_plan.round())),
        ("server_per_cent", json!(of_server.round())),
        ("size_bytes", json!(size)),
    ]);
    Check::measured(Name::Storage, of_plan.max(of_server), found)
}

/// Whether what was written is in the archive, how old the last base backup is, and whether a
/// restore was proven.
fn backups(State { wanted, protected }: &State, addon: &Addon, now: Timestamp) -> Check {
    let skipped = |why: &str| Check::skipped(Name::Backups, why);
    if addon.follows.is_some() {
        return skipped("it follows another, whose archive is its own");
    }
    let (Some(wanted), Some(protected)) = (wanted, protected) else {
        return skipped("its server does not tell");
    };
    let row = threshold(Name::Backups);
    let age = |ended: Timestamp| now.duration_since(ended).as_secs_f64();
    let aged = protected
        .backup
        .as_ref()
        .map(|backup| age(backup.ended_at) / (wanted.backup_every.max(1) as f64));
    let mut found = Vec::new();
    let mut worst = Status::Green;
    let mut tell = |status: Status, what: String| {
        worst = worst.min(status);
        found.push(finding([("what", json!(what)), ("status", json!(status))]));
    };
    match aged {
        None => tell(Status::Yellow, "there is no base backup yet".to_owned()),
        Some(times) if times >= row.yellow => {
            let status = if times >= row.red { Status::Red } else { Status::Yellow };
            tell(
                status,
                format!("the last base backup is {times:.1} times as old as it should be"),
            );
        }
        Some(_) => {}
    }
    if let Some(trouble) = &protected.trouble {
        tell(Status::Red, format!("WAL does not come to the archive: {}", trouble.what));
    }
    if let Some(gap) = &protected.gap {
        tell(Status::Red, format!("WAL is missing in the archive: {}", gap.what));
    }
    match protected.drill.as_ref().map(|drill| &drill.outcome) {
        Some(Drilled::Failed { why }) => {
            tell(Status::Red, format!("the last restore that was tried failed: {why}"));
        }
        Some(Drilled::Proven { .. } | Drilled::Skipped { .. }) | None => {}
    }
    Check::new(Name::Backups, worst, found)
}

fn minor_version(control: &Control, placed: Option<&Placed>) -> Check {
    let due = placed.and_then(|placed| maintenance::due(control, placed));
    match due {
        None => Check::new(Name::MinorVersion, Status::Green, Vec::new()),
        Some((running, newest)) => {
            let found = finding([
                ("running", json!(running.to_string())),
                ("installed", json!(newest.to_string())),
            ]);
            Check::new(Name::MinorVersion, Status::Yellow, vec![found])
        }
    }
}
