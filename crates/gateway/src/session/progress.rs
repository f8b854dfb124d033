//! What the headers of messages tell of a session: what is running, and where it could be moved.

use crate::frame::Head;

/// The status that `ReadyForQuery` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No transaction is open.
    Idle,
    /// A transaction is open.
    InTransaction,
    /// A transaction is open and has failed.
    Failed,
}

/// The state of a session between its two streams.
#[derive(Clone, Debug)]
pub struct Progress {
    status: Status,
    /// Requests that a `ReadyForQuery` will answer.
    unanswered: u32,
    /// Whether the last request that can start a `COPY` was a simple query.
    simple: bool,
    /// Whether the server waits for the data of a `COPY`.
    copy_in: bool,
    last_from_server: u8,
    terminated: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            status: Status::Idle,
            unanswered: 0,
            simple: false,
            copy_in: false,
            last_from_server: b'Z',
            terminated: false,
        }
    }
}

impl Progress {
    /// A message of the client goes by.
    pub fn from_client(&mut self, head: Head) {
        match head.tag {
            b'Q' => {
                self.simple = true;
                self.unanswered = self.unanswered.saturating_add(1);
            }
            b'F' => self.unanswered = self.unanswered.saturating_add(1),
            b'E' => self.simple = false,
            // Within the COPY of a simple query the server ignores it.
            b'S' if self.copy_in && self.simple => {}
            b'S' => self.unanswered = self.unanswered.saturating_add(1),
            b'c' | b'f' => self.copy_in = false,
            b'X' => self.terminated = true,
            _ => {}
        }
    }

    /// A message of the server goes by.
    pub fn from_server(&mut self, head: Head) {
        self.last_from_server = head.tag;
        match head.tag {
            b'Z' => {
                self.unanswered = self.unanswered.saturating_sub(1);
                self.copy_in = false;
                self.status = match head.first {
                    b'T' => Status::InTransaction,
                    b'E' => Status::Failed,
                    _ => Status::Idle,
                };
            }
            b'G' | b'W' => self.copy_in = true,
            b'E' => self.copy_in = false,
            _ => {}
        }
    }

    /// The status at the last `ReadyForQuery`.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether the server has nothing to answer.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.unanswered == 0
    }

    /// Whether the client has said that it leaves.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// Whether the server's last message was an error: when it closes then, it has said why.
    #[must_use]
    pub fn ended_by_error(&self) -> bool {
        self.last_from_server == b'E'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(tag: u8, first: u8) -> Head {
        Head { tag, length: 5, first }
    }

    fn after(client: &[u8], server: &[(u8, u8)]) -> Progress {
        let mut progress = Progress::default();
        client.iter().for_each(|tag| progress.from_client(head(*tag, 0)));
        server.iter().for_each(|(tag, first)| progress.from_server(head(*tag, *first)));
        progress
    }

    #[test]
    fn it_is_quiet_when_every_request_has_its_answer() {
        assert!(after(b"", &[]).is_quiet());
        assert!(!after(b"Q", &[(b'T', 0)]).is_quiet());
        assert!(after(b"Q", &[(b'C', b'S'), (b'Z', b'I')]).is_quiet());
        assert!(!after(b"PBESPBES", &[(b'Z', b'I')]).is_quiet());
        assert!(after(b"PBESPBES", &[(b'Z', b'I'), (b'Z', b'T')]).is_quiet());
        assert_eq!(after(b"Q", &[(b'Z', b'T')]).status(), Status::InTransaction);
        assert_eq!(after(b"Q", &[(b'Z', b'E')]).status(), Status::Failed);
    }

    #[test]
    fn a_sync_within_the_copy_of_a_simple_query_is_not_counted() {
        let mut progress = after(b"Q", &[(b'G', 0)]);
        b"dSdc".iter().for_each(|tag| progress.from_client(head(*tag, 0)));
        progress.from_server(head(b'Z', b'I'));
        assert!(progress.is_quiet());
    }
}
