//! The number of a transaction, learnt before its commit is sent, and what became of it when the
//! server went away in the middle.
//!
//! The question goes to the server in the same write as the `COMMIT`; its answer is not passed on.
//! After a crash PostgreSQL can give a number that it has lost to another transaction. So its word
//! counts only while the last checkpoint is the one that ended the recovery, and for numbers that
//! were given before that.

use super::inflight::messages;
use super::request;
use crate::frame::{Edit, Message};
use crate::message::{Builder, Message as Whole};

/// The question, as a simple query. It gives no number to a transaction that has none: that has
/// written nothing.
const QUESTION: &[u8] = b"Q\0\0\0\x37select pg_catalog.pg_current_xact_id_if_assigned()\0";

/// What is known of the transaction that is being committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// None is.
    #[default]
    None,
    /// Its number was asked for.
    Asked(Option<u64>),
    /// It has this number; none when it has written nothing.
    Numbered(Option<u64>),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    Committed,
    /// It is not, and never will be.
    RolledBack,
    /// That cannot be told.
    Unknown,
}

impl Commit {
    /// The client sends a message in a transaction, with nothing under way: if it is a commit, the
    /// number of the transaction is asked for before it.
    pub fn before(&mut self, message: &Message<'_>, edit: &mut Edit<'_>) {
        if request::is_commit(message.tag, message.body) {
            edit.insert(message.at, QUESTION);
            *self = Self::Asked(None);
        }
    }

    /// Whether the server's messages belong to the answer.
    #[inline]
    #[must_use]
    pub fn is_asked(self) -> bool {
        matches!(self, Self::Asked(_))
    }

    /// A message of the answer. Whether it was one, and is not for the client.
    pub fn answer(&mut self, message: &Message<'_>) -> bool {
        let Self::Asked(number) = *self else { return false };
        match message.tag {
            b'T' | b'C' | b'E' => {}
            b'D' => {
                *self = Self::Asked(first_column(message.body).and_then(|text| text.parse().ok()));
            }
            b'Z' => *self = Self::Numbered(number),
            _ => return false,
        }
        true
    }
}

/// What a server is asked after the loss of another: two simple queries.
#[must_use]
pub fn inquiry(number: u64) -> Vec<u8> {
    let checkpoint = "select (redo_lsn operator(pg_catalog.=) checkpoint_lsn \
        and pg_catalog.current_setting('wal_level') operator(pg_catalog.<>) 'minimal')::pg_catalog.text \
        operator(pg_catalog.||) ' ' operator(pg_catalog.||) next_xid from pg_catalog.pg_control_checkpoint()\0";
    let status = format!("select pg_catalog.pg_xact_status('{number}'::pg_catalog.xid8)\0");
    let mut builder = Builder::default();
    for text in [checkpoint, &status] {
        builder.message(b'Q', |body| body.extend_from_slice(text.as_bytes()));
    }
    builder.into_bytes()
}

/// What the answers to an inquiry mean.
#[must_use]
pub fn fate(number: u64, answers: &[Whole]) -> Fate {
    let mut rows = answers.split(|answer| answer.tag == b'Z').map(|answers| {
        let row = answers.iter().find(|answer| answer.tag == b'D')?;
        first_column(&row.body)
    });
    let checkpoint = rows.next().flatten().and_then(|text| text.split_once(' '));
    let Some(("true", next)) = checkpoint else { return Fate::Unknown };
    let Some(next) = full_number(next) else { return Fate::Unknown };
    if number >= next {
        // Its number was lost with all that it wrote.
        return Fate::RolledBack;
    }
    match rows.next().flatten() {
        Some("committed") => Fate::Committed,
        Some("aborted") => Fate::RolledBack,
        _ => Fate::Unknown,
    }
}

/// `epoch:number`, as `pg_control_checkpoint` tells it.
fn full_number(text: &str) -> Option<u64> {
    let (epoch, number) = text.split_once(':')?;
    Some((u64::from(epoch.parse::<u32>().ok()?) << 32) | u64::from(number.parse::<u32>().ok()?))
}

/// The first column of a row, unless it is null.
fn first_column(body: &[u8]) -> Option<&str> {
    let (length, rest) = body.get(2..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

/// The answer that a commit would have had.
#[must_use]
pub fn committed(request: &[u8]) -> Vec<u8> {
    let mut builder = Builder::default();
    for (tag, body) in messages(request) {
        match tag {
            b'P' => builder.message(b'1', |_| {}),
            b'B' => builder.message(b'2', |_| {}),
            b'C' => builder.message(b'3', |_| {}),
            b'D' => {
                if body.first() == Some(&b'S') {
                    builder.message(b't', |body| body.extend_from_slice(&[0; 2]));
                }
                builder.message(b'n', |_| {});
            }
            b'E' | b'Q' => builder.message(b'C', |body| body.extend_from_slice(b"COMMIT\0")),
            _ => {}
        }
    }
    builder.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Whole {
        let length = u32::try_from(text.len()).expect("small").to_be_bytes();
        Whole { tag: b'D', body: [&[0, 1], &length[..], text.as_bytes()].concat() }
    }

    fn ready() -> Whole {
        Whole { tag: b'Z', body: b"I".to_vec() }
    }

    #[test]
    fn the_question_has_its_length() {
        let length = u32::from_be_bytes(QUESTION[1..5].try_into().expect("four"));
        assert_eq!(length as usize, QUESTION.len() - 1);
    }

    /// H17: a word that could be about another transaction is none.
    #[test]
    fn only_a_server_that_cannot_have_given_the_number_again_is_believed() {
        let fate = |checkpoint: &str, status: &str| {
            fate(100, &[row(checkpoint), ready(), row(status), ready()])
        };
        assert_eq!(fate("true 0:101", "committed"), Fate::Committed);
        assert_eq!(fate("true 0:101", "aborted"), Fate::RolledBack);
        assert_eq!(fate("true 0:100", "committed"), Fate::RolledBack);
        assert_eq!(fate("false 0:500", "committed"), Fate::Unknown);
        assert_eq!(fate("true 0:101", "in progress"), Fate::Unknown);
        assert_eq!(fate("true nonsense", "committed"), Fate::Unknown);
        assert_eq!(super::fate(100, &[ready(), ready()]), Fate::Unknown);
        assert_eq!(super::fate(100, &[]), Fate::Unknown);
        assert_eq!(full_number("2:7"), Some((2 << 32) + 7));
    }

    #[test]
    fn a_commit_is_answered_as_it_was_asked() {
        assert_eq!(committed(b"Q\0\0\0\x0bcommit\0"), b"C\0\0\0\x0bCOMMIT\0");
        let batch = b"P\0\0\0\x0e\0commit\0\0\0B\0\0\0\x04D\0\0\0\x06P\0E\0\0\0\x04S\0\0\0\x04";
        let tags: Vec<u8> = messages(&committed(batch)).map(|(tag, _)| tag).collect();
        assert_eq!(tags, b"12nC");
    }
}
