//! Config vars that people set themselves. Their values are encrypted.

use howdah_model::ids::AppId;
use howdah_model::name::ConfigVarName;
use sqlx::FromRow;

use crate::{Connection, Result, Sealed, Tx};

/// A config var with its encrypted value.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ConfigVar {
    /// Its name.
    #[sqlx(try_from = "String")]
    pub name: ConfigVarName,
    /// Its value, encrypted.
    #[sqlx(try_from = "Vec<u8>")]
    pub value: Sealed,
}

/// The config vars of an app, by name.
pub async fn list(conn: &mut Connection, app: AppId) -> Result<Vec<ConfigVar>> {
    Ok(sqlx::query_as("select name, value from config_vars where app_id = $1 order by name")
        .bind(app.0)
        .fetch_all(conn)
        .await?)
}

/// Sets a config var.
pub async fn set(tx: &mut Tx, app: AppId, name: &ConfigVarName, value: &Sealed) -> Result<()> {
    sqlx::query(
        "insert into config_vars (app_id, name, value) values ($1, $2, $3)
         on conflict (app_id, name) do update set value = excluded.value",
    )
    .bind(app.0)
    .bind(name.as_str())
    .bind(&value.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes a config var, if it is there.
pub async fn unset(tx: &mut Tx, app: AppId, name: &ConfigVarName) -> Result<()> {
    sqlx::query("delete from config_vars where app_id = $1 and name = $2")
        .bind(app.0)
        .bind(name.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes all config vars of an app.
pub async fn clear(tx: &mut Tx, app: AppId) -> Result<()> {
    sqlx::query("delete from config_vars where app_id = $1").bind(app.0).execute(&mut **tx).await?;
    Ok(())
}
