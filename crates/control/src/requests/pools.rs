//! How the gateway's pools of a database are (`pg:pool`).

use std::collections::HashMap;

use howdah_model::name::RoleName;
use howdah_model::pool::Pool;
use howdah_store::addons::Addon;
use howdah_store::credentials;
use jiff::Timestamp;
use serde::Serialize;

use super::error::{Error, Result};
use crate::Control;

/// What a gateway says of one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pools {
    /// When it said so.
    pub at: Timestamp,
    /// Since when it counts.
    pub since: Timestamp,
    /// One for each credential and mode that had a client since then, by both.
    pub pools: Vec<Named>,
}

/// A pool, with its credential as people know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The credential's name; none when it is not one of the database any more.
    pub credential: Option<String>,
    /// What the gateway says.
    #[serde(flatten)]
    pub pool: Pool,
}

/// How the pools of a database are now.
///
/// # Errors
/// [`Error::Unavailable`] when the gateway does not answer within two seconds.
pub async fn of_database(control: &Control, addon: &Addon) -> Result<Pools> {
    let report = control.gateway().pools().await.map_err(|away| {
        Error::Unavailable(format!(
            "The gateway does not say how its pools are: {away}. Try again; `howdah doctor` and \
             the platform's log say more."
        ))
    })?;
    let names: HashMap<RoleName, String> =
        credentials::list(&mut *control.reader().get().await?, addon.id)
            .await?
            .into_iter()
            .map(|credential| (credential.role, credential.name))
            .collect();
    let own = report.pools.into_iter().filter(|pool| pool.database_id == addon.id);
    let named = |pool: Pool| Named { credential: names.get(&pool.role).cloned(), pool };
    let mut pools: Vec<_> = own.map(named).collect();
    pools.sort_by(|a, b| (&a.credential, a.pool.mode).cmp(&(&b.credential, b.pool.mode)));
    Ok(Pools { at: report.at, since: report.since, pools })
}
