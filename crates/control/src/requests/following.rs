//! Ending that a database follows another (G20–G22).

use std::time::Duration;

use howdah_model::ids::{AccountId, OperationId};
use howdah_model::operation::{Operation, Outcome};
use howdah_store::addons::Addon;
use howdah_store::operations::{self, New};

use super::addons::check_owned;
use super::begin;
use super::error::{Error, Result};
use crate::Control;

/// How long a request waits for the promotion: clients give up after 60 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far an unfollowing came while it was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfollowed {
    /// It is a database of its own.
    Done,
    /// It is still at work.
    Running,
}

/// Makes a follower a database of its own. Its URL stays as it is.
///
/// # Errors
/// [`Error::Invalid`] when it follows nothing; [`Error::Conflict`] when it is being made or changed;
/// [`Error::Unavailable`] when its agent did not manage in time.
pub async fn unfollow(control: &Control, account: AccountId, addon: &Addon) -> Result<Unfollowed> {
    check_owned(addon)?;
    if addon.follows.is_none() {
        return Err(Error::invalid(format!("{} is not following another database.", addon.name)));
    }
    let new = New {
        id: OperationId::new(),
        kind: Operation::Unfollow,
        database_id: addon.id,
        app_id: addon.app_id,
        account_id: Some(account),
        arguments: serde_json::json!({}),
    };
    let mut tx = control.store().begin().await?;
    begin(&mut tx, &new, addon.name.as_str(), control.now()).await?;
    tx.commit().await?;
    control.wait_for_operation(new.id, PATIENCE).await?;
    let mut conn = control.reader().get().await?;
    let outcome = operations::get(&mut conn, new.id).await?.map(|operation| operation.outcome);
    match outcome {
        Some(Outcome::Done) => Ok(Unfollowed::Done),
        Some(Outcome::Running) => Ok(Unfollowed::Running),
        Some(Outcome::Undone | Outcome::NeedsOperator) | None => Err(Error::Unavailable(format!(
            "{} was not made a database of its own in time. `pg:operations -a {}` says what came \
             of it.",
            addon.name, addon.app_name
        ))),
    }
}
