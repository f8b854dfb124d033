//! Signed URLs of backups (E17): whoever has one may read the dump, until it expires or the backup is
//! deleted.

use std::ops::RangeInclusive;
use std::time::Duration;

use howdah_model::ids::TransferId;
use howdah_store::apps::App;
use howdah_store::servers;
use howdah_store::transfers::{self, Transfer};
use jiff::Timestamp;
use reqwest::Url;

use super::backups::check_good;
use super::error::{Error, Noun, Result};
use crate::Control;
use crate::servers::Chunks;

/// How long a URL is good.
pub const GOOD_FOR: Duration = Duration::from_secs(600);

/// Where the dumps are, as a path.
pub const PATH: &str = "/backups";

/// What a signed URL says.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The path, from `/backups` on.
    pub path: &'a str,
    /// Until when it is good, in seconds since 1970.
    pub expires: i64,
    /// The signature, in hexadecimal.
    pub signature: &'a str,
}

/// A signed URL of a backup. `origin` is the platform's address where it has no other for this.
///
/// # Errors
/// [`Error::Invalid`] when the transfer is no complete backup.
pub fn url(control: &Control, app: &App, transfer: &Transfer, origin: &str) -> Result<String> {
    let origin = control.config().public_origin.as_deref().unwrap_or(origin);
    Ok(format!("{origin}{}", path(control, app.name.as_str(), transfer)?))
}

/// The same without the platform's address.
///
/// # Errors
/// As [`url`].
pub fn path(control: &Control, app: &str, transfer: &Transfer) -> Result<String> {
    check_good(transfer)?;
    let expires = control.now().as_second().saturating_add_unsigned(GOOD_FOR.as_secs());
    let path = format!("{PATH}/{}/{app}/{}.dump", transfer.id, transfer.label());
    let signature = control.keyring().sign(&signed_text(&path, expires));
    Ok(format!("{path}?expires={expires}&signature={signature}"))
}

fn signed_text(path: &str, expires: i64) -> String {
    format!("GET {path}\n{expires}")
}

/// The backup that a signed URL is of.
///
/// # Errors
/// [`Error::Forbidden`] when it is forged or has expired; [`Error::NotFound`] when the backup is gone.
pub async fn open(control: &Control, claim: Claim<'_>) -> Result<Transfer> {
    let text = signed_text(claim.path, claim.expires);
    if !control.keyring().is_signed(&text, claim.signature) {
        return Err(Error::Forbidden("The signature of this URL is wrong.".to_owned()));
    }
    let until = Timestamp::from_second(claim.expires).unwrap_or(Timestamp::MIN);
    if until <= control.now() {
        return Err(Error::Forbidden(
            "This URL has expired. `pg:backups:url` gives another one.".to_owned(),
        ));
    }
    let id = id_of(claim.path).ok_or(Error::NotFound(Noun::Transfer))?;
    let found = transfers::get(&mut *control.reader().get().await?, id).await?;
    found.filter(Transfer::is_good_backup).ok_or(Error::NotFound(Noun::Transfer))
}

fn id_of(path: &str) -> Option<TransferId> {
    path.strip_prefix(PATH)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}

/// The backup of a URL that we have signed; none when it is nothing of ours.
///
/// # Errors
/// [`Error::Forbidden`] when it has expired; [`Error::NotFound`] when the backup is gone.
pub(crate) async fn signed(control: &Control, url: &Url) -> Result<Option<Transfer>> {
    if id_of(url.path()).is_none() {
        return Ok(None);
    }
    let value = |name| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
    let (Some(expires), Some(signature)) = (value("expires"), value("signature")) else {
        return Ok(None);
    };
    let Ok(expires) = expires.parse() else { return Ok(None) };
    let claim = Claim { path: url.path(), expires, signature: &signature };
    if !control.keyring().is_signed(&signed_text(claim.path, expires), claim.signature) {
        return Ok(None);
    }
    open(control, claim).await.map(Some)
}

/// The bytes of a dump.
///
/// # Errors
/// [`Error::Unavailable`] when no agent can read it now.
pub async fn read(
    control: &Control,
    transfer: &Transfer,
    range: RangeInclusive<u64>,
) -> Result<Chunks> {
    let fresh = control.sightings().all_fresh(control.now());
    let own = fresh.iter().map(|(id, _)| *id).find(|id| Some(*id) == transfer.server_id);
    let away = |why: &str| {
        Error::Unavailable(format!("The backup cannot be read now: {why}. Try again in a minute."))
    };
    let server = own.or_else(|| fresh.first().map(|(id, _)| *id));
    let server = server.ok_or_else(|| away("no server answers"))?;
    let found = servers::get(&mut *control.reader().get().await?, server).await?;
    let server = found.ok_or_else(|| away("its server is not registered"))?;
    let read = control.servers().read_dump(&server, transfer.id, range).await;
    read.map_err(|error| away(&error.to_string()))
}
