//! Whether the platform has the key that its secrets were stored with.

use anyhow::{Context as _, Result, bail};
use howdah_store::credentials;

use crate::Control;
use crate::requests::config::CREDENTIAL;

/// Tries the key on something that was stored. A platform that ran with another key would store new
/// secrets with that, and could never read the old ones.
///
/// # Errors
/// When the key is not the one, or the platform's database does not answer.
pub async fn check_key(control: &Control) -> Result<()> {
    let mut conn = control.reader().get().await?;
    let stored = credentials::newest(&mut conn).await.context("look for a stored secret")?;
    let Some(stored) = stored else { return Ok(()) };
    if control.keyring().open(CREDENTIAL, stored.id, &stored.password).is_err() {
        bail!(
            "the platform's secrets were stored with another key\n\
             Put the former secret.key back into HOWDAH_HOME, or set HOWDAH_SECRET_KEY to it"
        );
    }
    Ok(())
}
