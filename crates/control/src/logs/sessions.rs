//! Log sessions: an address that shows an app's stream to whoever has it, for a while (B25). All
//! that a session is lies sealed in the address: nothing is kept, and it outlives the platform's
//! restarts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use howdah_model::ids::{AccountId, AppId};
use howdah_store::Sealed;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::line::Filter;
use crate::keyring::Keyring;

/// What the encryption of a session is bound to.
const COLUMN: &str = "log_sessions.secret";

/// How long a session can be opened.
const LASTS: SignedDuration = SignedDuration::from_hours(1);

/// What a reader may see, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose stream.
    pub app: AppId,
    /// Who asked; they must still see the app when it is opened.
    pub account: AccountId,
    /// Only lines of this source.
    pub source: Option<String>,
    /// Only lines of this process or type.
    pub process: Option<String>,
    /// How many lines that are there already are shown.
    pub lines: usize,
    /// Whether it goes on with what is new.
    pub tail: bool,
}

#[derive(Serialize, Deserialize)]
struct Letter {
    session: Session,
    /// In seconds of the epoch.
    until: i64,
}

impl Session {
    /// Which lines it shows.
    #[must_use]
    pub fn filter(&self) -> Filter {
        let source = self.source.as_deref().and_then(|source| source.parse().ok());
        Filter { source, process: self.process.clone() }
    }
}

/// The secret that opens a session for an hour.
#[must_use]
pub fn seal_session(keyring: &Keyring, session: Session, now: Timestamp) -> String {
    let letter = Letter { session, until: (now + LASTS).as_second() };
    let clear = serde_json::to_vec(&letter).expect("texts and numbers can be written as JSON");
    URL_SAFE_NO_PAD.encode(keyring.seal(COLUMN, "", &clear).0)
}

/// The session of a secret; none when it is not one of ours, or its time is over.
#[must_use]
pub fn open_session(keyring: &Keyring, secret: &str, now: Timestamp) -> Option<Session> {
    let sealed = Sealed(URL_SAFE_NO_PAD.decode(secret).ok()?);
    let clear = keyring.open(COLUMN, "", &sealed).ok()?;
    let letter: Letter = serde_json::from_slice(&clear).ok()?;
    (now.as_second() < letter.until).then_some(letter.session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_opens_with_its_secret_until_its_time_is_over() {
        let now = Timestamp::constant(1_800_000_000, 0);
        let session = Session {
            app: AppId::new(),
            account: AccountId::new(),
            source: Some("app".into()),
            process: None,
            lines: 100,
            tail: true,
        };
        let keyring = Keyring::new(&[7; 32]);
        let secret = seal_session(&keyring, session.clone(), now);
        let later = |minutes| now + SignedDuration::from_mins(minutes);
        assert_eq!(open_session(&keyring, &secret, later(59)), Some(session));
        assert_eq!(open_session(&keyring, &secret, later(60)), None);
        assert_eq!(open_session(&Keyring::new(&[8; 32]), &secret, now), None);
        let mut forged = secret.into_bytes();
        forged[40] ^= 1;
        assert_eq!(open_session(&keyring, &String::from_utf8_lossy(&forged), now), None);
        for nonsense in ["", "x", "....", "AQ"] {
            assert_eq!(open_session(&keyring, nonsense, now), None);
        }
    }
}
