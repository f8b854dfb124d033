//! Dumps that people send from their machines, to be restored once (E21).

use std::time::Duration;

use howdah_model::ids::{AccountId, TransferId};
use howdah_store::addons::Addon;
use howdah_store::{servers, uploads};

use super::addons::check_owned;
use super::error::{Error, Noun, Result};
use crate::Control;
use crate::servers::{Chunks, Failure};

/// The scheme of the opaque addresses of uploads.
pub const UPLOAD: &str = "howdah-upload:";

/// How long a dump is kept that nobody restores.
pub(crate) const KEPT: Duration = Duration::from_secs(86_400);

/// Puts a dump into the archive as it comes, for a restore into this database by the same account.
/// Gives its opaque address.
///
/// # Errors
/// [`Error::Invalid`] when it is no dump; [`Error::Unavailable`] when no agent takes it now.
pub async fn take(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    content: Chunks,
) -> Result<String> {
    check_owned(addon)?;
    let away = |why: &str| {
        Error::Unavailable(format!("The dump cannot be taken now: {why}. Try again in a minute."))
    };
    let fresh = control.sightings().all_fresh(control.now());
    let server = fresh.first().map(|(id, _)| *id).ok_or_else(|| away("no server answers"))?;
    let mut tx = control.store().begin().await?;
    let server = servers::get(&mut tx, server).await?;
    let server = server.ok_or_else(|| away("its server is not registered"))?;
    let id = TransferId::new();
    uploads::insert(&mut tx, id, account, server.id, control.now()).await?;
    tx.commit().await?;
    control.servers().write_dump(&server, id, content).await.map_err(|failure| match failure {
        Failure::Invalid(why) => Error::invalid(format!("The dump was not taken: {why}.")),
        other => away(&other.to_string()),
    })?;
    let mut tx = control.store().begin().await?;
    uploads::complete(&mut tx, id, control.now()).await?;
    tx.commit().await?;
    Ok(format!("{UPLOAD}{id}"))
}

/// The dump that an address names.
///
/// # Errors
/// [`Error::NotFound`] when it is not there, not whole, or another's.
pub(crate) async fn find(control: &Control, account: AccountId, id: &str) -> Result<TransferId> {
    let id: TransferId = id.parse().map_err(|_| Error::NotFound(Noun::Transfer))?;
    let mut conn = control.reader().get().await?;
    if uploads::is_complete(&mut conn, id, account).await? {
        return Ok(id);
    }
    Err(Error::NotFound(Noun::Transfer))
}
