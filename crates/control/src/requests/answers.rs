//! Requests that were sent twice (M21): the second gets the answer of the first.

use anyhow::Context as _;
use howdah_store::answered_requests::{self, Answer, Key};
use jiff::SignedDuration;

use super::error::Result;
use crate::Control;

/// What the encryption of an answer is bound to, beside its key.
const COLUMN: &str = "answered_requests.body";

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is the first: the key is claimed, and the caller carries the request out and ends with
    /// [`keep`] or [`give_up`].
    First,
    /// It is being carried out, or was when the platform stopped.
    Claimed,
    /// It was answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
}

/// For how long answers are kept: clients send a request again within seconds.
const KEPT: SignedDuration = SignedDuration::from_mins(30);

/// Claims a request, or says what came of it.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn claim(control: &Control, key: &Key) -> Result<Seen> {
    let now = control.now();
    let mut tx = control.store().begin().await?;
    let first = answered_requests::claim(&mut tx, key, now).await?;
    if first {
        answered_requests::forget(&mut tx, now - KEPT).await?;
        tx.commit().await?;
        return Ok(Seen::First);
    }
    let found = answered_requests::find(&mut tx, key).await?;
    match found {
        // None: it was given up in this moment, and can be claimed the next time.
        None | Some(Answer { status: 0, .. }) => Ok(Seen::Claimed),
        Some(Answer { status, body, .. }) => {
            let body = control.keyring().open(COLUMN, row(key), &body)?;
            let status = u16::try_from(status).context("read the status of an answer")?;
            Ok(Seen::Answered { status, body })
        }
    }
}

/// Keeps the answer of a claimed request, encrypted, as it may carry a password.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn keep(control: &Control, key: &Key, status: u16, body: &[u8]) -> Result<()> {
    let body = control.keyring().seal(COLUMN, row(key), body);
    let status = i16::try_from(status).context("store the status of an answer")?;
    let mut tx = control.store().begin().await?;
    answered_requests::answer(&mut tx, key, status, &body).await?;
    Ok(tx.commit().await?)
}

/// Gives a claim up, so that the request can be tried again: nothing came of it.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn give_up(control: &Control, key: &Key) -> Result<()> {
    let mut tx = control.store().begin().await?;
    answered_requests::give_up(&mut tx, key).await?;
    Ok(tx.commit().await?)
}

fn row(key: &Key) -> String {
    format!("{} {} {} {}", key.account, key.request_id, key.method, key.path)
}
