//! What the headers of messages tell of a session: what is running, and where it could be moved.

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
    /// Whether messages have gone to the server that no Sync has followed yet.
    open_batch: bool,
    /// Whether the portal without a name was bound in the batch that is being sent.
    bound: bool,
    /// Whether the last request that can start a `COPY` was a simple query.
    simple: bool,
    copy: Copy,
    /// Syncs since the last Execute: they do not count if that turns out to be a `COPY`.
    syncs: u32,
    /// Whether data of a `COPY` have ended since then.
    data_ended: bool,
    last_from_server: u8,
    terminated: bool,
}

/// A `COPY` that is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    No,
    /// The server waits for data.
    In,
    /// Both send: replication.
    Both,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            status: Status::Idle,
            unanswered: 0,
            open_batch: false,
            bound: false,
            simple: false,
            copy: Copy::No,
            syncs: 0,
            data_ended: false,
            last_from_server: b'Z',
            terminated: false,
        }
    }
}

impl Progress {
    /// A message of the client goes by.
    #[inline]
    pub fn from_client(&mut self, tag: u8) {
        match tag {
            b'Q' => {
                (self.simple, self.bound) = (true, false);
                self.unanswered = self.unanswered.saturating_add(1);
            }
            b'F' => self.unanswered = self.unanswered.saturating_add(1),
            b'P' | b'B' | b'D' | b'C' | b'H' => self.open_batch = true,
            b'E' => {
                (self.simple, self.open_batch) = (false, true);
                (self.syncs, self.data_ended) = (0, false);
            }
            // Within a COPY the server ignores it.
            b'S' if self.copy != Copy::No => {}
            b'S' => {
                (self.open_batch, self.bound) = (false, false);
                self.unanswered = self.unanswered.saturating_add(1);
                self.syncs += u32::from(!self.data_ended);
            }
            b'c' | b'f' if self.copy == Copy::In => self.copy = Copy::No,
            b'c' | b'f' => self.data_ended = true,
            b'X' => self.terminated = true,
            _ => {}
        }
    }

    /// The message that just went by was a `Bind` of the portal without a name.
    #[inline]
    pub fn binds(&mut self) {
        self.bound = true;
    }

    /// Whether the portal without a name was bound in the batch that is being sent.
    #[must_use]
    pub fn has_bound(&self) -> bool {
        self.bound
    }

    /// A message of the server goes by; `first` is the first byte of its body.
    #[inline]
    pub fn from_server(&mut self, tag: u8, first: u8) {
        self.last_from_server = tag;
        match tag {
            b'Z' => {
                self.unanswered = self.unanswered.saturating_sub(1);
                self.copy = Copy::No;
                self.status = match first {
                    b'T' => Status::InTransaction,
                    b'E' => Status::Failed,
                    _ => Status::Idle,
                };
            }
            b'G' => self.copy_begins(),
            b'W' => self.copy = Copy::Both,
            b'E' => self.copy = Copy::No,
            _ => {}
        }
    }

    /// Drivers send a Sync with the Execute before they know that it is a `COPY`.
    fn copy_begins(&mut self) {
        if self.simple {
            self.copy = Copy::In;
            return;
        }
        self.unanswered = self.unanswered.saturating_sub(std::mem::take(&mut self.syncs));
        if !self.data_ended {
            (self.copy, self.open_batch) = (Copy::In, true);
        }
    }

    /// The status at the last `ReadyForQuery`.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether the server has nothing to answer.
    #[must_use]
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.unanswered == 0
    }

    /// Whether nothing runs and no transaction is open: here a session can change its server.
    #[must_use]
    #[inline]
    pub fn at_boundary(&self) -> bool {
        self.unanswered == 0 && self.status == Status::Idle && !self.open_batch
    }

    /// Whether the client has asked for something whose answer does not depend on what it sends
    /// next.
    #[must_use]
    pub fn has_whole_request(&self) -> bool {
        self.unanswered > 0 && !self.open_batch && self.copy == Copy::No
    }

    /// Requests that a `ReadyForQuery` will answer.
    #[must_use]
    pub fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Whether messages have gone to the server that no Sync has followed yet.
    #[must_use]
    pub fn has_open_batch(&self) -> bool {
        self.open_batch
    }

    /// Whether data of a `COPY` are expected from the client.
    #[must_use]
    pub fn in_copy(&self) -> bool {
        self.copy != Copy::No
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

    /// All requests were answered, by somebody else than the server.
    pub fn settle(&mut self, status: Status) {
        let terminated = self.terminated;
        *self = Self { status, terminated, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(client: &[u8], server: &[(u8, u8)]) -> Progress {
        let mut progress = Progress::default();
        client.iter().for_each(|tag| progress.from_client(*tag));
        server.iter().for_each(|(tag, first)| progress.from_server(*tag, *first));
        progress
    }

    #[test]
    fn it_is_quiet_when_every_request_has_its_answer() {
        assert!(after(b"", &[]).at_boundary());
        assert!(!after(b"Q", &[(b'T', 0)]).is_quiet());
        assert!(after(b"Q", &[(b'C', b'S'), (b'Z', b'I')]).at_boundary());
        assert!(!after(b"PBESPBES", &[(b'Z', b'I')]).is_quiet());
        assert!(after(b"PBESPBES", &[(b'Z', b'I'), (b'Z', b'T')]).is_quiet());
        assert_eq!(after(b"Q", &[(b'Z', b'T')]).status(), Status::InTransaction);
        assert_eq!(after(b"Q", &[(b'Z', b'E')]).status(), Status::Failed);
        assert!(!after(b"Q", &[(b'Z', b'T')]).at_boundary());
    }

    #[test]
    fn a_batch_is_open_until_its_sync() {
        assert!(!after(b"P", &[]).at_boundary());
        assert!(!after(b"PBEH", &[(b'C', 0)]).has_whole_request());
        assert!(after(b"PBES", &[]).has_whole_request());
        assert!(!after(b"PBESP", &[(b'Z', b'I')]).at_boundary());
    }

    #[test]
    fn a_sync_within_the_copy_of_a_simple_query_is_not_counted() {
        let mut progress = after(b"Q", &[(b'G', 0)]);
        assert!(!progress.has_whole_request());
        b"dSdc".iter().for_each(|tag| progress.from_client(*tag));
        assert!(progress.has_whole_request());
        progress.from_server(b'Z', b'I');
        assert!(progress.at_boundary());
    }

    /// As tokio-postgres does it, and all at once.
    #[test]
    fn a_sync_before_the_data_of_a_copy_is_not_counted() {
        let mut progress = after(b"BES", &[(b'2', 0), (b'G', 0)]);
        assert!(progress.in_copy() && progress.has_open_batch());
        b"ddcS".iter().for_each(|tag| progress.from_client(*tag));
        assert!(progress.has_whole_request());
        progress.from_server(b'C', 0);
        progress.from_server(b'Z', b'I');
        assert!(progress.at_boundary());
        for sent in [&b"BEddcS"[..], b"BESddcS"] {
            let mut progress = after(sent, &[(b'2', 0), (b'G', 0), (b'C', 0)]);
            assert!(!progress.at_boundary());
            progress.from_server(b'Z', b'I');
            assert!(progress.at_boundary());
        }
    }

    #[test]
    fn a_replication_stream_is_never_at_a_boundary() {
        let mut progress = after(b"Q", &[(b'W', 0)]);
        b"dddc".iter().for_each(|tag| progress.from_client(*tag));
        assert!(!progress.at_boundary() && !progress.has_whole_request());
        progress.from_server(b'Z', b'I');
        assert!(progress.at_boundary());
    }
}
