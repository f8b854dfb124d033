//! Attachments: the names that databases have within apps.

use std::collections::BTreeMap;

use howdah_model::ids::{AccountId, AppId, AttachmentId, CredentialId, DatabaseId};
use howdah_model::name::{AddonName, AppName, AttachmentName};
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::column::at;
use crate::{Connection, Result, Sealed, Tx};

/// An attachment, with what is shown of its app and its add-on.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Attachment {
    /// Its id.
    #[sqlx(try_from = "Uuid")]
    pub id: AttachmentId,
    /// Its name; unique within the app.
    #[sqlx(try_from = "String")]
    pub name: AttachmentName,
    /// `None` for the default credential, else a [`Namespace`](howdah_model::attachment::Namespace).
    pub namespace: Option<String>,
    /// The app that it is on.
    #[sqlx(try_from = "Uuid")]
    pub app_id: AppId,
    /// The name of that app.
    #[sqlx(try_from = "String")]
    pub app_name: AppName,
    /// The database.
    #[sqlx(try_from = "Uuid")]
    pub database_id: DatabaseId,
    /// The database's name as an add-on.
    #[sqlx(try_from = "String")]
    pub addon_name: AddonName,
    /// The app that owns the database.
    #[sqlx(try_from = "Uuid")]
    pub owner_app_id: AppId,
    /// The name of that app.
    #[sqlx(try_from = "String")]
    pub owner_app_name: AppName,
    /// The database's plan, without the service's name.
    pub plan: String,
    /// When it was made.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    /// When it was last pointed elsewhere.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub updated_at: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select t.id, t.name, t.namespace, t.app_id, a.name as app_name, t.database_id,
                    d.addon_name, d.app_id as owner_app_id, w.name as owner_app_name, d.plan,
                    t.created_at, t.updated_at
             from attachments t
             join apps a on a.id = t.app_id
             join databases d on d.id = t.database_id
             join apps w on w.id = d.app_id
             where a.destroyed_at is null and ",
            $rest
        )
    };
}

/// Where an attachment points.
#[derive(Clone, Copy, Debug)]
pub struct Pointing<'a> {
    /// To which database.
    pub database: DatabaseId,
    /// With which credential and by which port: `None` for the default credential by the usual one.
    pub namespace: Option<&'a str>,
}

/// Stores an attachment; taken when the app has one of the name.
pub async fn insert(
    tx: &mut Tx,
    app: AppId,
    name: &AttachmentName,
    to: Pointing<'_>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into attachments
             (id, app_id, database_id, name, namespace, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6)",
    )
    .bind(AttachmentId::new().0)
    .bind(app.0)
    .bind(to.database.0)
    .bind(name.as_str())
    .bind(to.namespace)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Points an app's attachment of a name to another database, in place: the name is at no moment
/// without one. `false` when the app has no such attachment.
pub async fn point(
    tx: &mut Tx,
    app: AppId,
    name: &AttachmentName,
    to: Pointing<'_>,
    now: Timestamp,
) -> Result<bool> {
    let result = sqlx::query(
        "update attachments set database_id = $3, namespace = $4, updated_at = $5
         where app_id = $1 and name = $2",
    )
    .bind(app.0)
    .bind(name.as_str())
    .bind(to.database.0)
    .bind(to.namespace)
    .bind(at(now))
    .execute(&mut **tx)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The attachments of an app, by name.
pub async fn list_by_app(conn: &mut Connection, app: AppId) -> Result<Vec<Attachment>> {
    Ok(sqlx::query_as(select!("t.app_id = $1 order by t.name")).bind(app.0).fetch_all(conn).await?)
}

/// The attachments of a database on all apps, by app and name.
pub async fn list_by_database(
    conn: &mut Connection,
    database: DatabaseId,
) -> Result<Vec<Attachment>> {
    Ok(sqlx::query_as(select!("t.database_id = $1 order by a.id, t.name"))
        .bind(database.0)
        .fetch_all(conn)
        .await?)
}

/// All attachments on the apps that an account may see, by app and name.
pub async fn list_visible(conn: &mut Connection, account: AccountId) -> Result<Vec<Attachment>> {
    Ok(sqlx::query_as(select!(
        "(a.owner_id = $1
          or exists (select from collaborators c where c.app_id = a.id and c.account_id = $1))
         order by a.name, t.name"
    ))
    .bind(account.0)
    .fetch_all(conn)
    .await?)
}

/// Removes one attachment. `false` when it is not there.
pub async fn delete(tx: &mut Tx, id: AttachmentId) -> Result<bool> {
    let result =
        sqlx::query("delete from attachments where id = $1").bind(id.0).execute(&mut **tx).await?;
    Ok(result.rows_affected() == 1)
}

/// Removes all attachments of a database, and answers their names by app.
pub async fn delete_by_database(
    tx: &mut Tx,
    database: DatabaseId,
) -> Result<BTreeMap<AppId, Vec<String>>> {
    let taken: Vec<(Uuid, String)> = sqlx::query_as(
        "with taken as (delete from attachments where database_id = $1 returning app_id, name)
         select app_id, name from taken order by app_id, name <> 'DATABASE', name",
    )
    .bind(database.0)
    .fetch_all(&mut **tx)
    .await?;
    let mut by_app = BTreeMap::<AppId, Vec<String>>::new();
    for (app, name) in taken {
        by_app.entry(AppId(app)).or_default().push(name);
    }
    Ok(by_app)
}

/// Removes the attachments of an app to databases that other apps own.
pub async fn delete_foreign(tx: &mut Tx, app: AppId) -> Result<()> {
    sqlx::query(
        "delete from attachments t using databases d
         where t.app_id = $1 and d.id = t.database_id and d.app_id <> $1",
    )
    .bind(app.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What the URL of an attachment is made of. The password is encrypted.
#[derive(Clone, Debug, FromRow)]
pub struct UrlParts {
    /// The attachment's name.
    #[sqlx(try_from = "String")]
    pub attachment: AttachmentName,
    /// Its namespace, which tells the port.
    pub namespace: Option<String>,
    /// Which credential, for the decryption.
    #[sqlx(try_from = "Uuid")]
    pub credential_id: CredentialId,
    /// The role.
    pub role: String,
    /// The password, encrypted.
    #[sqlx(try_from = "Vec<u8>")]
    pub password: Sealed,
    /// The name by which clients open the database.
    pub database: String,
}

/// The parts of the URLs of an app's attachments, by attachment. One that was made with its
/// database is left out until the database has been published; every later one, and one that was
/// pointed to the database later, has a release of its own and is there at once.
pub async fn url_parts(conn: &mut Connection, app: AppId) -> Result<Vec<UrlParts>> {
    Ok(sqlx::query_as(
        "select t.name as attachment, t.namespace, c.id as credential_id, c.role, c.password,
                coalesce(d.known_as, d.name) as database
         from attachments t
         join databases d on d.id = t.database_id
         join credentials c on c.database_id = d.id and c.revoked_at is null
              and c.name = coalesce(
                  substring(t.namespace from '^(?:credential|connection-pooling):(.*)$'), 'default')
         where t.app_id = $1
           and (t.updated_at > d.created_at
                or exists (select from operations o join releases r on r.operation_id = o.id
                           where o.database_id = d.id and o.kind = 'provision'))
         order by t.name",
    )
    .bind(app.0)
    .fetch_all(conn)
    .await?)
}
