//! Ends the logins from before a rotation when nobody uses them any more, at the latest when their
//! time is over.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Result;
use howdah_model::ids::DatabaseId;
use howdah_model::name::RoleName;
use howdah_model::pool::Clients;
use howdah_store::logins::Login;
use howdah_store::{databases, logins, participants, routes};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::operations::rotate::maker;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(2);

/// Ends former logins until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.end_former_logins().await {
            tracing::warn!(error = format!("{error:#}"), "end former logins");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Control {
    /// Revokes the former logins whose time is over, and those that had their least time and that
    /// no client in any gateway uses. Answers how many.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_former_logins(&self) -> Result<u64> {
        let now = self.now();
        let mut all = logins::former(&mut *self.reader().get().await?).await?;
        let least = now.checked_sub(self.config().rotation_settle)?;
        all.retain(|(login, _)| is_over(login, now) || login.since <= least);
        if all.is_empty() {
            return Ok(0);
        }
        let clients = self.clients_by_role().await;
        let mut due = BTreeMap::<DatabaseId, Vec<RoleName>>::new();
        for (login, database) in all {
            let count = |of: &HashMap<_, _>| of.get(&login.role).copied().unwrap_or(0);
            let unused = clients.as_ref().is_some_and(|of| count(of) == 0);
            if unused || is_over(&login, now) {
                due.entry(database).or_default().push(login.role);
            }
        }
        let mut ended = 0;
        for (database, roles) in due {
            ended += self.end_logins(database, &roles).await?;
        }
        Ok(ended)
    }

    /// How many clients each role has; none when the gateway does not say.
    pub(crate) async fn clients_by_role(&self) -> Option<HashMap<RoleName, u32>> {
        let report = self.gateway().pools().await.ok()?;
        let mut clients = HashMap::new();
        for pool in report.pools {
            let Clients { active, waiting, idle } = pool.clients;
            *clients.entry(pool.role).or_default() += active + waiting + idle;
        }
        Some(clients)
    }

    async fn end_logins(&self, database: DatabaseId, roles: &[RoleName]) -> Result<u64> {
        let mut tx = self.store().begin().await?;
        let database = databases::lock(&mut tx, database).await?;
        let ended = logins::revoke(&mut tx, roles, self.now()).await?;
        if ended > 0
            && let Some(maker) = maker(&mut tx, &database).await?
        {
            participants::raise(&mut tx, maker).await?;
        }
        routes::changed(&mut tx).await?;
        tx.commit().await?;
        Ok(ended)
    }
}

fn is_over(login: &Login, now: Timestamp) -> bool {
    login.until.is_some_and(|until| until <= now)
}
