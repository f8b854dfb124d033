//! Add-ons: databases as the API shows them. Only reads; the rows are those of `databases`.

use howdah_model::agent::Wanted;
use howdah_model::ids::{AccountId, AppId, DatabaseId};
use howdah_model::name::{AddonName, AppName, DatabaseName};
use howdah_model::{database, plan};
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::{Connection, Result};

/// A database as an add-on of its app.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Addon {
    /// The database.
    #[sqlx(try_from = "Uuid")]
    pub id: DatabaseId,
    /// Its name as an add-on.
    #[sqlx(try_from = "String")]
    pub name: AddonName,
    /// The app that owns it.
    #[sqlx(try_from = "Uuid")]
    pub app_id: AppId,
    /// The name of that app.
    #[sqlx(try_from = "String")]
    pub app_name: AppName,
    /// Its plan, without the service's name.
    pub plan: String,
    /// The major version of PostgreSQL.
    pub major: i16,
    /// Its name within PostgreSQL.
    #[sqlx(try_from = "String")]
    pub database_name: DatabaseName,
    /// When it was asked for.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    /// Whether its app has been told its URL.
    pub published: bool,
    /// Whether somebody asked for its removal.
    pub destroying: bool,
    /// Whether the account that asks may see the app that owns it, and not only one that uses it.
    pub owned: bool,
    state: String,
    /// Since when it is in its state.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub since: Timestamp,
}

impl Addon {
    /// How the database fares.
    ///
    /// # Errors
    /// When the store holds a state that this version does not know.
    pub fn state(&self) -> Result<database::State, strum::ParseError> {
        self.state.parse()
    }

    /// Its plan.
    ///
    /// # Errors
    /// When the store holds a plan that this version does not know.
    pub fn plan(&self) -> Result<&'static plan::Plan, plan::NoSuchPlan> {
        plan::find(&self.plan)
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select d.id, d.addon_name as name, d.app_id, a.name as app_name, d.plan, d.major,
                    d.name as database_name, d.created_at, m.state, m.since,
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
        .bind(<&str>::from(Wanted::Present))
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
        .bind(<&str>::from(Wanted::Present))
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
    .bind(<&str>::from(Wanted::Present))
    .bind(app.0)
    .fetch_all(conn)
    .await?)
}
