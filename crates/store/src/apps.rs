//! Apps: the owners of attachments, config vars and releases.

use howdah_model::ids::{AccountId, AppId};
use howdah_model::name::AppName;
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::column::at;
use crate::{Connection, Result, Tx};

/// An app, with what is shown of its owner.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct App {
    /// Its id.
    #[sqlx(try_from = "Uuid")]
    pub id: AppId,
    /// Its name; unique among those that are there.
    #[sqlx(try_from = "String")]
    pub name: AppName,
    /// Whose it is.
    #[sqlx(try_from = "Uuid")]
    pub owner_id: AccountId,
    /// The owner's e-mail address.
    pub owner_email: String,
    /// Where it is: `us` or `eu`.
    pub region: String,
    /// Whether it is in maintenance mode.
    pub maintenance: bool,
    /// When it was made.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub updated_at: Timestamp,
    /// When its newest release was made.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub released_at: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select a.id, a.name, a.owner_id, o.email as owner_email, a.region, a.maintenance,
                    a.created_at, a.updated_at,
                    coalesce((select max(r.created_at) from releases r where r.app_id = a.id),
                             a.created_at) as released_at
             from apps a join accounts o on o.id = a.owner_id
             where a.destroyed_at is null and ",
            $rest
        )
    };
}

/// Stores a new app; taken when another has the name.
pub async fn insert(
    tx: &mut Tx,
    id: AppId,
    name: &AppName,
    owner: AccountId,
    region: &str,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into apps (id, name, owner_id, region, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $5)",
    )
    .bind(id.0)
    .bind(name.as_str())
    .bind(owner.0)
    .bind(region)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The app with a name or id, when the account may see it: its owner and its collaborators may.
pub async fn find_visible(
    conn: &mut Connection,
    account: AccountId,
    name_or_id: &str,
) -> Result<Option<App>> {
    Ok(sqlx::query_as(select!(
        "(a.name = $2 or a.id::text = lower($2))
         and (a.owner_id = $1
              or exists (select from collaborators c where c.app_id = a.id and c.account_id = $1))"
    ))
    .bind(account.0)
    .bind(name_or_id)
    .fetch_optional(conn)
    .await?)
}

/// The apps that an account may see, by name.
pub async fn list_visible(conn: &mut Connection, account: AccountId) -> Result<Vec<App>> {
    Ok(sqlx::query_as(select!(
        "(a.owner_id = $1
          or exists (select from collaborators c where c.app_id = a.id and c.account_id = $1))
         order by a.name"
    ))
    .bind(account.0)
    .fetch_all(conn)
    .await?)
}

/// Locks an app until the end of the transaction, so that its changes and the numbers of its
/// releases come one after the other. `false` when it has been destroyed.
///
/// A transaction that locks several apps does so in the order of their ids.
pub async fn lock(tx: &mut Tx, id: AppId) -> Result<bool> {
    let found: Option<Uuid> = sqlx::query_scalar(
        "select id from apps where id = $1 and destroyed_at is null
         for no key update",
    )
    .bind(id.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// Gives an app another name.
pub async fn rename(tx: &mut Tx, id: AppId, name: &AppName, now: Timestamp) -> Result<()> {
    sqlx::query("update apps set name = $2, updated_at = $3 where id = $1")
        .bind(id.0)
        .bind(name.as_str())
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Turns an app's maintenance mode on or off.
pub async fn set_maintenance(tx: &mut Tx, id: AppId, on: bool, now: Timestamp) -> Result<()> {
    sqlx::query("update apps set maintenance = $2, updated_at = $3 where id = $1")
        .bind(id.0)
        .bind(on)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    crate::formation::notify(tx, id).await
}

/// Marks an app as destroyed: it is found no more and its name is free.
pub async fn destroy(tx: &mut Tx, id: AppId, now: Timestamp) -> Result<()> {
    sqlx::query("update apps set destroyed_at = $2 where id = $1 and destroyed_at is null")
        .bind(id.0)
        .bind(at(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
