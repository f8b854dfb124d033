//! Who else may use an app (A24).

use howdah_store::accounts;
use howdah_store::apps::App;
use howdah_store::collaborators::{self, Collaborator};

use super::error::{Error, Noun, Result};
use crate::Control;

/// Gives somebody access to an app. Doing so again changes nothing.
///
/// # Errors
/// [`Error::Invalid`] when there is no account with that e-mail address.
pub async fn add(control: &Control, app: &App, email: &str) -> Result<Collaborator> {
    let mut tx = control.store().begin().await?;
    let account = accounts::find_by_email(&mut tx, email).await?.ok_or_else(|| {
        Error::invalid(format!(
            "There is no account for {email} on this platform. Its owner makes one on the page \
             /signup."
        ))
    })?;
    if account.id != app.owner_id {
        collaborators::insert(&mut tx, app.id, account.id, control.now()).await?;
    }
    let all = collaborators::list(&mut tx, app.id).await?;
    tx.commit().await?;
    all.into_iter()
        .find(|one| one.account_id == account.id)
        .ok_or(Error::NotFound(Noun::Collaborator))
}

/// Takes somebody's access to an app away; by e-mail address or account id.
///
/// # Errors
/// [`Error::NotFound`] when they have none; [`Error::Invalid`] for the owner.
pub async fn remove(control: &Control, app: &App, who: &str) -> Result<Collaborator> {
    let mut tx = control.store().begin().await?;
    let found = collaborators::list(&mut tx, app.id)
        .await?
        .into_iter()
        .find(|one| one.email.eq_ignore_ascii_case(who) || one.account_id.to_string() == who);
    let found = found.ok_or(Error::NotFound(Noun::Collaborator))?;
    if found.owner {
        return Err(Error::invalid(format!("{} owns {} and keeps access.", found.email, app.name)));
    }
    collaborators::delete(&mut tx, app.id, found.account_id).await?;
    tx.commit().await?;
    Ok(found)
}
