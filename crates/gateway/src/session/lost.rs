//! What becomes of a session whose server goes away, as a table; no I/O.

use super::progress::{Progress, Status};
use crate::message::{Builder, take_cstr};
use crate::pool::WaitError;

/// How a server went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It was shut down in an orderly way: FATAL 57P01, and no warning that a commit was cut while
    /// it waited for a standby. Then nothing that ran has committed.
    Orderly,
    /// It crashed, or may have.
    Crash,
}

/// What the request that was under way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// All of it is known, none of it commits before its end, and none was answered.
    Whole,
    /// It can only commit at its end, but cannot be sent again: too long, or answered in part.
    Part,
    /// It ends the transaction with a commit.
    Commits,
    /// It may commit on its way, or nothing is known of it.
    Unclear,
    /// It ends the transaction without a commit.
    RollsBack,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing ran: the session goes on with another server.
    GoOn,
    /// The request is sent to another server; the client sees nothing of it.
    SendAgain,
    /// The transaction had failed already; the session goes on with a failed one.
    StayFailed,
    /// The transaction is lost; the next request is told so.
    TellNext,
    /// The request is told that its transaction is lost, and the transaction is a failed one.
    FailTransaction,
    /// The request is told that it was not done; no transaction is open.
    NotDone,
    /// The rollback has happened, though not as thought.
    RolledBack,
    /// The request is told that its outcome is not known; no transaction is open.
    InDoubt,
    /// The client is in the middle of something that no answer fits: the session ends.
    End,
}

/// The table.
#[must_use]
pub fn verdict(progress: &Progress, request: Request, gone: Gone) -> Verdict {
    use Request::{Commits, Part, RollsBack, Unclear, Whole};
    use Status::{Failed, Idle, InTransaction};
    if progress.has_open_batch() || progress.in_copy() {
        return Verdict::End;
    }
    if progress.is_quiet() {
        return match progress.status() {
            Idle => Verdict::GoOn,
            InTransaction => Verdict::TellNext,
            Failed => Verdict::StayFailed,
        };
    }
    match (progress.status(), gone, request) {
        (Idle, Gone::Orderly, Whole) => Verdict::SendAgain,
        (Idle, Gone::Orderly, Part | RollsBack) => Verdict::NotDone,
        (Idle, Gone::Orderly, Commits | Unclear) | (Idle, Gone::Crash, _) => Verdict::InDoubt,
        (InTransaction | Failed, _, RollsBack) => Verdict::RolledBack,
        (InTransaction, Gone::Crash, Commits | Unclear) => Verdict::InDoubt,
        (InTransaction, Gone::Orderly, Commits) | (Failed, _, Commits) => Verdict::NotDone,
        (InTransaction, Gone::Orderly, Unclear)
        | (InTransaction, _, Whole | Part)
        | (Failed, _, Whole | Part | Unclear) => Verdict::FailTransaction,
    }
}

/// The transaction is gone, nothing of it is there: drivers and frameworks retry on 40001.
#[must_use]
pub fn transaction_lost() -> Vec<u8> {
    error(
        "40001",
        "the transaction was rolled back because its server went away",
        "Run the transaction again.",
    )
}

/// The statement was not done, nothing of it is there.
#[must_use]
pub fn not_done() -> Vec<u8> {
    error(
        "40001",
        "the statement was not carried out because its server went away",
        "Run it again.",
    )
}

/// `transaction_resolution_unknown`: whoever repeats it may do it twice.
#[must_use]
pub fn in_doubt() -> Vec<u8> {
    error(
        "08007",
        "the server went away while it committed; whether it has is not known",
        "Look for what was written before you repeat it.",
    )
}

/// No server of the pool came free for a request.
#[must_use]
pub fn no_server(why: WaitError) -> Vec<u8> {
    error(
        "57P03",
        &why.to_string(),
        "All servers of the pool are at work. Shorten transactions, or use fewer clients.",
    )
}

fn error(code: &str, message: &str, hint: &str) -> Vec<u8> {
    let mut builder = Builder::default();
    builder.message(b'E', |body| {
        for field in [
            "SERROR",
            "VERROR",
            &format!("C{code}"),
            &format!("M{message}"),
            &format!("H{hint}"),
            "",
        ] {
            body.extend_from_slice(field.as_bytes());
            body.push(0);
        }
    });
    builder.into_bytes()
}

/// `ReadyForQuery` of a status.
#[must_use]
pub fn ready(status: Status) -> Vec<u8> {
    let letter = match status {
        Status::Idle => b'I',
        Status::InTransaction => b'T',
        Status::Failed => b'E',
    };
    vec![b'Z', 0, 0, 0, 5, letter]
}

/// The answer to a rollback.
#[must_use]
pub fn rolled_back() -> Vec<u8> {
    let mut builder = Builder::default();
    builder.message(b'C', |body| body.extend_from_slice(b"ROLLBACK\0"));
    builder.into_bytes()
}

/// What an error or a notice of the server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words<'a> {
    /// In English in any language of the server: `FATAL`, `WARNING`, …
    pub severity: &'a [u8],
    /// The SQLSTATE.
    pub code: &'a [u8],
}

impl Words<'_> {
    /// Whether the session ends with it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity, b"FATAL" | b"PANIC")
    }
}

/// Reads the fields of an `ErrorResponse` or `NoticeResponse`.
#[must_use]
pub fn words(mut body: &[u8]) -> Words<'_> {
    let mut words = Words { severity: b"", code: b"" };
    while let Some(field) = take_cstr(&mut body) {
        match field.split_first() {
            Some((b'V', severity)) => words.severity = severity,
            Some((b'C', code)) => words.code = code,
            Some(_) => {}
            None => break,
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(client: &[u8], server: &[(u8, u8)], more: &[u8]) -> Progress {
        let mut progress = Progress::default();
        client.iter().for_each(|tag| progress.from_client(*tag));
        server.iter().for_each(|(tag, first)| progress.from_server(*tag, *first));
        more.iter().for_each(|tag| progress.from_client(*tag));
        progress
    }

    /// H17: what was not committed for sure is done again or told; what may have been is never
    /// repeated and never called failed.
    #[test]
    fn the_table() {
        use Gone::{Crash, Orderly};
        use Request::{Commits, Part, RollsBack, Unclear, Whole};
        let quiet = progress(b"Q", &[(b'Z', b'I')], b"");
        let between = progress(b"Q", &[(b'Z', b'T')], b"");
        let rolling = progress(b"Q", &[(b'Z', b'E')], b"");
        let batch = progress(b"", &[], b"PB");
        let copying = progress(b"Q", &[(b'G', 0)], b"d");
        let auto = progress(b"", &[], b"Q");
        let within = progress(b"Q", &[(b'Z', b'T')], b"PBES");
        let failed = progress(b"Q", &[(b'Z', b'E')], b"Q");
        let rows = [
            (&quiet, Whole, Crash, Verdict::GoOn),
            (&between, Whole, Orderly, Verdict::TellNext),
            (&rolling, Whole, Crash, Verdict::StayFailed),
            (&batch, Whole, Orderly, Verdict::End),
            (&copying, Part, Orderly, Verdict::End),
            (&auto, Whole, Orderly, Verdict::SendAgain),
            (&auto, Part, Orderly, Verdict::NotDone),
            (&auto, Commits, Orderly, Verdict::InDoubt),
            (&auto, Unclear, Orderly, Verdict::InDoubt),
            (&auto, Whole, Crash, Verdict::InDoubt),
            (&auto, Part, Crash, Verdict::InDoubt),
            (&within, Whole, Orderly, Verdict::FailTransaction),
            (&within, Part, Crash, Verdict::FailTransaction),
            (&within, Commits, Orderly, Verdict::NotDone),
            (&within, Commits, Crash, Verdict::InDoubt),
            (&within, Unclear, Crash, Verdict::InDoubt),
            (&within, Unclear, Orderly, Verdict::FailTransaction),
            (&within, RollsBack, Crash, Verdict::RolledBack),
            (&failed, Whole, Crash, Verdict::FailTransaction),
            (&failed, Unclear, Crash, Verdict::FailTransaction),
            (&failed, Commits, Crash, Verdict::NotDone),
            (&failed, RollsBack, Orderly, Verdict::RolledBack),
        ];
        for (number, (progress, request, gone, wanted)) in rows.into_iter().enumerate() {
            assert_eq!(verdict(progress, request, gone), wanted, "row {number}");
        }
    }

    #[test]
    fn severity_and_code_are_found() {
        let body = b"SFATAL\0VFATAL\0C57P01\0Mterminating\0\0";
        let words = words(body);
        assert_eq!(words, Words { severity: b"FATAL", code: b"57P01" });
        assert!(words.is_fatal());
        assert!(!super::words(b"").is_fatal());
    }
}
