//! Releases: the numbered changes of an app.

use howdah_model::ids::{AccountId, AppId, OperationId, ReleaseId};
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::column::at;
use crate::{Connection, Result, Sealed, Tx};

/// Notified of each release, with the app's id and the number: `ID 12`.
pub const MADE: &str = "releases";

/// One numbered change of an app.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Release {
    /// Its id.
    #[sqlx(try_from = "Uuid")]
    pub id: ReleaseId,
    /// Its number; the first of an app is 1.
    pub version: i32,
    /// What was changed, as Heroku says it.
    pub description: String,
    account_id: Option<Uuid>,
    /// The e-mail address of who changed it; none for the platform itself.
    pub email: Option<String>,
    /// The plans of the app's add-ons at that moment, with the service's name.
    pub addon_plan_names: Vec<String>,
    /// When it was made.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    /// Whether it is the newest.
    pub current: bool,
}

impl Release {
    /// Who changed it; nobody for the platform itself.
    #[must_use]
    pub fn account_id(&self) -> Option<AccountId> {
        self.account_id.map(AccountId)
    }
}

/// A release that is about to be made.
#[derive(Clone, Debug)]
pub struct NewRelease<'a> {
    /// Its id; the encryption of `config` is bound to it.
    pub id: ReleaseId,
    /// Which app.
    pub app: AppId,
    /// What was changed.
    pub description: &'a str,
    /// Who changed it.
    pub account: Option<AccountId>,
    /// The operation that makes it, so that it makes no second one.
    pub operation: Option<OperationId>,
    /// Encrypted JSON object of the config vars that people have set.
    pub config: &'a Sealed,
    /// When.
    pub now: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select r.id, r.version, r.description, r.account_id, p.email, r.addon_plan_names,
                    r.created_at,
                    r.version = (select max(n.version) from releases n where n.app_id = r.app_id)
                        as current
             from releases r left join accounts p on p.id = r.account_id ",
            $rest
        )
    };
}

/// Makes the next release of an app, with the plans that are attached to it now, and answers its
/// number. The caller has locked the app.
pub async fn insert(tx: &mut Tx, release: &NewRelease<'_>) -> Result<i32> {
    let version: i32 = sqlx::query_scalar(
        "insert into releases (id, app_id, version, description, account_id, operation_id, config,
                               created_at, addon_plan_names)
         select $1, $2,
                (select coalesce(max(version), 0) + 1 from releases where app_id = $2),
                $3, $4, $5, $6, $7,
                array(select distinct $8 || ':' || d.plan
                      from attachments t join databases d on d.id = t.database_id
                      where t.app_id = $2 order by 1)
         returning version",
    )
    .bind(release.id.0)
    .bind(release.app.0)
    .bind(release.description)
    .bind(release.account.map(|id| id.0))
    .bind(release.operation.map(|id| id.0))
    .bind(&release.config.0)
    .bind(at(release.now))
    .bind(howdah_model::plan::SERVICE)
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query("select pg_notify($1, $2)")
        .bind(MADE)
        .bind(format!("{} {version}", release.app))
        .execute(&mut **tx)
        .await?;
    Ok(version)
}

/// Whether an operation has made its release on an app.
pub async fn made_by(conn: &mut Connection, app: AppId, operation: OperationId) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "select exists (select from releases where app_id = $1 and operation_id = $2)",
    )
    .bind(app.0)
    .bind(operation.0)
    .fetch_one(conn)
    .await?)
}

/// The newest releases of an app, newest first, at most `limit`.
pub async fn newest(conn: &mut Connection, app: AppId, limit: i64) -> Result<Vec<Release>> {
    Ok(sqlx::query_as(select!("where r.app_id = $1 order by r.version desc limit $2"))
        .bind(app.0)
        .bind(limit)
        .fetch_all(conn)
        .await?)
}

/// The oldest releases of an app, oldest first, at most `limit`.
pub async fn oldest(conn: &mut Connection, app: AppId, limit: i64) -> Result<Vec<Release>> {
    Ok(sqlx::query_as(select!("where r.app_id = $1 order by r.version limit $2"))
        .bind(app.0)
        .bind(limit)
        .fetch_all(conn)
        .await?)
}

/// A release of an app by its number or id.
pub async fn find(
    conn: &mut Connection,
    app: AppId,
    version_or_id: &str,
) -> Result<Option<Release>> {
    Ok(sqlx::query_as(select!(
        "where r.app_id = $1 and (r.version::text = $2 or r.id::text = lower($2))"
    ))
    .bind(app.0)
    .bind(version_or_id)
    .fetch_optional(conn)
    .await?)
}

/// The encrypted config vars of a release.
pub async fn config(conn: &mut Connection, id: ReleaseId) -> Result<Option<Sealed>> {
    let config: Option<Vec<u8>> = sqlx::query_scalar("select config from releases where id = $1")
        .bind(id.0)
        .fetch_optional(conn)
        .await?;
    Ok(config.map(Sealed))
}
