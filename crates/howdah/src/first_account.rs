//! The account that a new platform has, and this user's key for it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use howdah_cli::credentials::{self, Stored};
use howdah_control::Control;
use howdah_control::requests::accounts;
use howdah_model::secret::Secret;

/// The account that a new platform has.
const OWNER: &str = "owner@localhost";

/// The account that the first start made, or what is known of it.
#[derive(Debug)]
pub(crate) struct FirstAccount {
    pub(crate) email: String,
    /// Its key, only at the start that made it.
    pub(crate) key: Option<Secret>,
    pub(crate) file: PathBuf,
}

/// Makes the first account of a new platform, and sees that this user's key works for it.
pub(crate) async fn ensure(control: &Control, http: SocketAddr) -> Result<FirstAccount> {
    let url = format!("http://{http}");
    let file = credentials::path();
    let known = credentials::load(&url);
    if let Some(known) = &known
        && accounts::bearer(control, &known.token).await.is_ok()
    {
        return Ok(FirstAccount { email: known.email.clone(), key: None, file });
    }
    let email = OWNER.to_owned();
    let mut reader = control.reader().get().await?;
    let account = match howdah_store::accounts::find_by_email(&mut reader, OWNER).await? {
        Some(account) => account,
        None => accounts::create(control, OWNER, None).await?,
    };
    drop(reader);
    let (_, key) =
        accounts::issue_token(control, account.id, "key of the first account", None).await?;
    credentials::store(&url, &Stored { email: email.clone(), token: key.clone() })?;
    Ok(FirstAccount { email, key: Some(key), file })
}
