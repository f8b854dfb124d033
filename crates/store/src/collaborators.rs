//! Who else may use an app (A24).

use howdah_model::ids::{AccountId, AppId};
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::column::at;
use crate::{Connection, Result, Tx};

/// Somebody with access to an app.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Collaborator {
    /// Who.
    #[sqlx(try_from = "Uuid")]
    pub account_id: AccountId,
    /// Their e-mail address.
    pub email: String,
    /// Whether it is the app's owner.
    pub owner: bool,
    /// Since when.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
}

/// Everybody with access to an app: its owner first.
pub async fn list(conn: &mut Connection, app: AppId) -> Result<Vec<Collaborator>> {
    Ok(sqlx::query_as(
        "select o.id as account_id, o.email, true as owner, a.created_at
         from apps a join accounts o on o.id = a.owner_id where a.id = $1
         union all
         select c.account_id, m.email, false, c.created_at
         from collaborators c join accounts m on m.id = c.account_id where c.app_id = $1
         order by owner desc, email",
    )
    .bind(app.0)
    .fetch_all(conn)
    .await?)
}

/// Gives an account access to an app. `false` when it had it already.
pub async fn insert(tx: &mut Tx, app: AppId, account: AccountId, now: Timestamp) -> Result<bool> {
    let result = sqlx::query(
        "insert into collaborators (app_id, account_id, created_at) values ($1, $2, $3)
         on conflict do nothing",
    )
    .bind(app.0)
    .bind(account.0)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Takes an account's access to an app away. `false` when it had none.
pub async fn delete(tx: &mut Tx, app: AppId, account: AccountId) -> Result<bool> {
    let result = sqlx::query("delete from collaborators where app_id = $1 and account_id = $2")
        .bind(app.0)
        .bind(account.0)
        .execute(&mut **tx)
        .await?;
    Ok(result.rows_affected() == 1)
}
