//! The server of a session is asked for the session's state, between two requests of its client.

use super::errand;
use super::relaying::{End, Relaying};
use crate::message::Builder;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// What texts and tags said may have changed.
    Changes,
    /// Everything, as functions may have changed unseen.
    All,
}

impl Relaying {
    /// Asks the server for the state of the session, if it has done anything since that was known.
    pub(super) async fn take_snapshot(&mut self, asked: Asked) -> Option<End> {
        let Some(leg) = &mut self.leg else { return None };
        // Taken in any case: what wants to be asked for and is not would be wanted again at once.
        let changed = std::mem::take(&mut self.wants.changed);
        let due = match asked {
            Asked::All => std::mem::take(&mut self.wants.ran),
            Asked::Changes => changed,
        };
        if !due || self.identity.startup.replication() {
            return None;
        }
        let script = match asked {
            Asked::All => self.record.snapshot(),
            Asked::Changes => self.record.brief_snapshot(),
        };
        let script = (script.bytes.as_slice(), script.ready);
        let bound = self.context.shared.config.timeouts.server;
        let answer = match errand::run(&mut leg.stream, script, Vec::new(), bound).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(error = %error, "a server went away while it was asked for a session's state");
                return self.lost_at_boundary().await;
            }
        };
        for message in answer.messages.iter().filter(|message| message.tag == b'S') {
            self.record.parameter(&message.body);
        }
        let mut builder = Builder::default();
        for message in
            answer.messages.iter().filter(|message| message.tag == b'S').chain(&answer.asides)
        {
            builder.copy(message);
        }
        self.down.send(&builder.into_bytes());
        self.down.read_again(&answer.rest);
        if let Err(error) = self.record.learn(&answer.messages) {
            let role = &self.entry.route.role;
            tracing::warn!(role = %role, error = %error, "a session of `{role}` does not tell its state");
        }
        None
    }
}
