//! Who changed what, and when (A25): the releases of an app, and what was asked for of databases.

use std::cmp::Reverse;
use std::collections::HashMap;

use howdah_model::ids::{AccountId, AppId, DatabaseId};
use howdah_model::operation::{Operation as Kind, Outcome};
use howdah_store::operations::Operation;
use howdah_store::releases::Release;
use howdah_store::{Connection, Result, accounts, databases, operations, releases};
use jiff::Timestamp;

use super::pages::moment;

/// How many entries are shown.
const RECENT: u32 = 50;

/// One change.
pub(super) struct Entry {
    at: Timestamp,
    /// Who asked for it.
    pub(super) who: String,
    /// What was changed.
    pub(super) what: String,
    /// What came of it.
    pub(super) outcome: String,
}

impl Entry {
    /// When it was asked for.
    pub(super) fn when(&self) -> String {
        moment(self.at)
    }
}

/// The changes of an app and of its databases, newest first. A database that was made or promoted
/// has releases that tell it.
pub(super) async fn of_app(conn: &mut Connection, app: AppId) -> Result<Vec<Entry>> {
    let releases = releases::newest(conn, app, RECENT.into()).await?;
    let mut asked = operations::list_of_app(conn, app, RECENT).await?;
    asked.retain(|one| !(is_told_by_a_release(one.kind) && one.outcome == Outcome::Done));
    let ids: Vec<_> = asked.iter().map(|one| one.database_id.0).collect();
    let names: HashMap<DatabaseId, String> = databases::list_placed(conn, &ids)
        .await?
        .into_iter()
        .map(|placed| (placed.database.id, placed.database.addon_name.to_string()))
        .collect();
    let people = people(conn, &asked).await?;
    let asked = asked.iter().map(|one| {
        let name = names.get(&one.database_id).map_or("a database", String::as_str);
        entry(one, format!("{} {name}", verb(one.kind)), &people)
    });
    let mut all: Vec<_> = releases.into_iter().map(released).chain(asked).collect();
    all.sort_by_key(|entry| Reverse(entry.at));
    all.truncate(RECENT as usize);
    Ok(all)
}

/// What was asked for of a database, newest first.
pub(super) async fn of_database(conn: &mut Connection, id: DatabaseId) -> Result<Vec<Entry>> {
    let asked = operations::list_of_database(conn, id, RECENT).await?;
    let people = people(conn, &asked).await?;
    Ok(asked.iter().map(|one| entry(one, verb(one.kind).to_owned(), &people)).collect())
}

type People = HashMap<AccountId, String>;

async fn people(conn: &mut Connection, asked: &[Operation]) -> Result<People> {
    let ids: Vec<_> = asked.iter().filter_map(|one| one.account_id).collect();
    accounts::emails(conn, &ids).await
}

fn entry(asked: &Operation, what: String, people: &People) -> Entry {
    let who = asked.account_id.and_then(|id| people.get(&id).cloned());
    Entry { at: asked.created_at, who: by(who), what, outcome: outcome(asked).to_owned() }
}

fn released(release: Release) -> Entry {
    let Release { created_at, email, description, version, .. } = release;
    let outcome = format!("release v{version}");
    Entry { at: created_at, who: by(email), what: description, outcome }
}

fn by(who: Option<String>) -> String {
    who.unwrap_or_else(|| "the platform".to_owned())
}

fn is_told_by_a_release(kind: Kind) -> bool {
    match kind {
        Kind::Provision | Kind::Promote | Kind::ChangePlan | Kind::Rotate => true,
        Kind::Reset | Kind::Unfollow | Kind::Capture | Kind::Restore | Kind::Destroy => false,
    }
}

fn verb(kind: Kind) -> &'static str {
    match kind {
        Kind::Provision => "Create",
        Kind::Reset => "Reset",
        Kind::Unfollow => "Unfollow",
        Kind::Promote => "Promote",
        Kind::ChangePlan => "Update",
        Kind::Capture => "Capture",
        Kind::Restore => "Restore",
        Kind::Rotate => "Rotate the credentials of",
        Kind::Destroy => "Destroy",
    }
}

fn outcome(asked: &Operation) -> &'static str {
    match asked.outcome {
        Outcome::Running => "under way",
        Outcome::Done => "done",
        Outcome::Undone => "not done, nothing of it is left",
        Outcome::NeedsOperator => "stands still, needs an operator",
    }
}
