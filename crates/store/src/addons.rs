//! Add-ons: databases as the API shows them. Only reads; the rows are those of `databases`.

use howdah_model::agent::Wanted;
use howdah_model::database::State;
use howdah_model::ids::{AccountId, AppId, DatabaseId};
use howdah_model::name::{AddonName, AppName, DatabaseName};
use howdah_model::plan::Plan;
use howdah_model::version::Major;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::column::{Columns, Named};
use crate::databases::plan_of;
use crate::{Connection, Result};

/// A database as an add-on of its app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addon {
    /// The database.
    pub id: DatabaseId,
    /// Its name as an add-on.
    pub name: AddonName,
    /// The app that owns it.
    pub app_id: AppId,
    /// The name of that app.
    pub app_name: AppName,
    /// Its plan.
    pub plan: &'static Plan,
    /// The major version of PostgreSQL.
    pub major: Major,
    /// The name by which clients open it.
    pub database_name: DatabaseName,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Whether its app has been told its URL.
    pub published: bool,
    /// Whether somebody asked for its removal.
    pub destroying: bool,
    /// Whether the account that asks may see the app that owns it, and not only one that uses it.
    pub owned: bool,
    /// The database that it follows now.
    pub follows: Option<DatabaseId>,
    /// How it fares.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
}

impl FromRow<'_, PgRow> for Addon {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id("id")?,
            name: row.named("name")?,
            app_id: row.id("app_id")?,
            app_name: row.named("app_name")?,
            plan: plan_of(row)?,
            major: row.major("major")?,
            database_name: row.named("database_name")?,
            created_at: row.time("created_at")?,
            published: row.try_get("published")?,
            destroying: row.try_get("destroying")?,
            owned: row.try_get("owned")?,
            follows: row.id_or_null("follows_id")?,
            state: row.named("state")?,
            since: row.time("since")?,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select d.id, d.addon_name as name, d.app_id, a.name as app_name, d.plan, d.major,
                    coalesce(d.known_as, d.name) as database_name, d.created_at, d.follows_id, m.state, m.since,
                    exists (select from operations o join releases r on r.operation_id = o.id
                            where o.database_id = d.id and o.kind = 'provision') as published,
                    exists (select from operations o
                            where o.database_id = d.id and o.kind = 'destroy') as destroying,
                    (a.owner_id = $1 or exists (select from collaborators c
                         where c.app_id = a.id and c.account_id = $1)) as owned
             from databases d
             join apps a on a.id = d.app_id
             join machines m on m.id = d.id
             where d.removed_at is null and d.wanted = $2 and a.destroyed_at is null
               and ((a.owner_id = $1 or exists (select from collaborators c
                         where c.app_id = a.id and c.account_id = $1))
                    or exists (select from attachments t join apps u on u.id = t.app_id
                               where t.database_id = d.id and u.destroyed_at is null
                                 and (u.owner_id = $1 or exists (select from collaborators c
                                          where c.app_id = u.id and c.account_id = $1)))) ",
            $rest
        )
    };
}

/// The add-ons that an account may see: those of its apps, and those attached to its apps.
pub async fn list_visible(conn: &mut Connection, account: AccountId) -> Result<Vec<Addon>> {
    Ok(sqlx::query_as(select!("order by a.name, d.created_at, d.id"))
        .bind(account.0)
        .bind(Named(Wanted::Present))
        .fetch_all(conn)
        .await?)
}

/// The add-on with a name or id, when the account may see it.
pub async fn find_visible(
    conn: &mut Connection,
    account: AccountId,
    name_or_id: &str,
) -> Result<Option<Addon>> {
    Ok(sqlx::query_as(select!("and (d.addon_name = $3 or d.id::text = lower($3))"))
        .bind(account.0)
        .bind(Named(Wanted::Present))
        .bind(name_or_id)
        .fetch_optional(conn)
        .await?)
}

/// The add-ons of an app and those of others that are attached to it, oldest first.
pub async fn list_by_app(
    conn: &mut Connection,
    account: AccountId,
    app: AppId,
) -> Result<Vec<Addon>> {
    Ok(sqlx::query_as(select!(
        "and (d.app_id = $3 or exists (select from attachments t
                                       where t.database_id = d.id and t.app_id = $3))
         order by d.created_at, d.id"
    ))
    .bind(account.0)
    .bind(Named(Wanted::Present))
    .bind(app.0)
    .fetch_all(conn)
    .await?)
}
