//! What a session notes of the messages that go by.

use super::commits::Commit;
use super::flow::Tap;
use super::inflight::Inflight;
use super::lost::{Gone, words};
use super::pooling::Translation;
use super::progress::{Progress, Status};
use super::record::{Extent, Record};
use crate::frame::{Edit, Message, Step, Watcher};
use crate::stats::{Counters, SessionStats, Standing, Transaction};

/// The longest `Parse` that is kept for another server. A longer one goes through unseen, and its
/// session cannot be moved while it lives.
const LONGEST_PARSE: u32 = 1 << 20;
/// What is looked at of a query's text, for words that change the state of the session.
const TEXT: u32 = 16 * 1024;
/// What is looked at of messages that have names in them, errors and notices.
const NAMES: u32 = 64 * 1024;
/// What is looked at of a message for its names alone; they are cut at 63 bytes by PostgreSQL.
const LONGEST_NAMES: u32 = 1024;

/// The body of an `Execute` of the portal without a name.
const EXECUTE: u32 = 5;
/// `Execute` of a portal that nobody has.
const EXECUTE_NOTHING: &[u8] = b"E\0\0\0\x0dnone\0\0\0\0\0";

/// How many bytes of the body of a client's message are looked at when its server is shared.
#[must_use]
pub fn needed(tag: u8) -> u32 {
    match tag {
        b'Q' => TEXT,
        b'P' => LONGEST_PARSE,
        b'C' => NAMES,
        b'B' | b'D' => LONGEST_NAMES,
        _ => 0,
    }
}

/// Between client and server.
#[derive(Debug)]
pub struct Up<'a> {
    /// What runs.
    pub progress: &'a mut Progress,
    /// The state of the session.
    pub record: &'a mut Record,
    /// What was sent last.
    pub inflight: &'a mut Inflight,
    /// The counters of the thread.
    pub counters: &'a Counters,
    /// The figures of the session.
    pub stats: &'a mut SessionStats,
    /// The commit that is under way. `None` when nobody wants to know what becomes of it.
    pub commit: Option<&'a mut Commit>,
    /// Set when something was asked.
    pub ran: (&'a mut bool, &'a mut bool),
    /// Whether it stops after each request, to come to a boundary.
    pub one_by_one: bool,
    /// For a server that clients share.
    pub translation: Option<Translation<'a>>,
}

impl Watcher for Up<'_> {
    #[inline]
    fn look(&self, tag: u8) -> u32 {
        match tag {
            b'Q' => TEXT,
            b'P' => LONGEST_PARSE,
            b'C' => NAMES,
            b'B' if self.record.follows_binds() => NAMES,
            b'B' | b'D' if self.translation.is_some() => LONGEST_NAMES,
            b'B' => 1,
            b'E' => EXECUTE,
            _ => 0,
        }
    }

    #[inline]
    fn message(&mut self, message: &Message<'_>, edit: &mut Edit<'_>) -> Step {
        if self.one_by_one && self.progress.has_whole_request() {
            return Step::Stop;
        }
        if matches!(message.tag, b'Q' | b'P')
            && self.is_within()
            && let Some(commit) = &mut self.commit
        {
            commit.before(message, edit);
            if let (true, Some(translation)) = (commit.is_asked(), &mut self.translation) {
                translation.holds.overwritten();
            }
        }
        if message.tag == b'E' && message.first() == 0 && self.stray(message, edit) == Step::Stop {
            return Step::Stop;
        }
        if let Some(translation) = &mut self.translation
            && translation.up(message, edit) == Step::Stop
        {
            return Step::Stop;
        }
        self.progress.from_client(message.tag);
        if message.tag == b'B' && message.first() == 0 {
            self.progress.binds();
        }
        match message.tag {
            b'Q' => {
                self.record.query(message.body, extent(message));
                self.record.request_ended();
                self.stats.asked();
            }
            b'P' => self.record.parse(message.body, extent(message)),
            b'C' => self.record.close(message.body),
            b'B' if self.record.follows_binds() => self.record.bind(message.body),
            b'S' | b'F' => {
                self.record.request_ended();
                self.stats.asked();
            }
            _ => {}
        }
        Step::Next
    }
}

impl Up<'_> {
    /// PostgreSQL 15 crashes, with all its sessions, when a client executes the portal that a simple
    /// query left behind when it failed within a transaction. It is refused as one that is not there.
    #[inline]
    fn stray(&self, message: &Message<'_>, edit: &mut Edit<'_>) -> Step {
        let progress = &self.progress;
        if progress.has_bound() || progress.in_copy() {
            return Step::Next;
        }
        if !progress.is_quiet() {
            // What is under way may fail.
            return Step::Stop;
        }
        if progress.status() == Status::Failed && message.is_whole() {
            edit.insert(message.at, EXECUTE_NOTHING);
            edit.skip(message.at, message.length());
        }
        Step::Next
    }

    /// Whether a transaction is open in which nothing is under way.
    #[inline]
    fn is_within(&self) -> bool {
        self.progress.status() == Status::InTransaction
            && self.progress.is_quiet()
            && !self.progress.has_open_batch()
    }
}

fn extent(message: &Message<'_>) -> Extent {
    if message.is_whole() { Extent::Whole } else { Extent::Beginning }
}

impl Tap for Up<'_> {
    #[inline]
    fn moved(&mut self, read: &[u8], _: usize) {
        self.counters.bytes_to_server.add(read.len() as u64);
        self.stats.bytes_from_client(read.len() as u64);
        if !read.is_empty() {
            (*self.ran.0, *self.ran.1) = (true, true);
        }
        self.inflight.keep(read);
    }
}

/// Between server and client.
#[derive(Debug)]
pub struct Down<'a> {
    /// What runs.
    pub progress: &'a mut Progress,
    /// The state of the session.
    pub record: &'a mut Record,
    /// What was sent last.
    pub inflight: &'a mut Inflight,
    /// The counters of the thread.
    pub counters: &'a Counters,
    /// The figures of the session.
    pub stats: &'a mut SessionStats,
    /// What the server said of its end.
    pub omens: &'a mut Omens,
    /// The commit that is under way.
    pub commit: &'a mut Commit,
    /// Where in the chunk the answer to what is under way begins.
    pub answer: usize,
    /// For a server that clients share.
    pub translation: Option<Translation<'a>>,
}

/// What a server says before it goes away.
#[derive(Debug, Default)]
pub struct Omens {
    /// A warning that it crashes, or that a commit was cut while it waited for a standby: what ran
    /// may have been committed.
    pub unsure: bool,
    /// Its last words, a whole message.
    pub fatal: Option<Vec<u8>>,
}

impl Omens {
    /// How it went, unless it has only sent this one session away for a reason of its own.
    #[must_use]
    pub fn gone(&self) -> Option<Gone> {
        let Some(fatal) = &self.fatal else { return Some(Gone::Crash) };
        let words = words(&fatal[crate::frame::HEADER..]);
        match words.code {
            _ if words.severity == b"PANIC" => Some(Gone::Crash),
            b"57P01" if !self.unsure => Some(Gone::Orderly),
            b"57P01" | b"57P02" => Some(Gone::Crash),
            _ => None,
        }
    }
}

impl Watcher for Down<'_> {
    #[inline]
    fn look(&self, tag: u8) -> u32 {
        match tag {
            b'Z' => 1,
            b'C' | b'S' | b'E' | b'N' => NAMES,
            b'D' if self.commit.is_asked() => NAMES,
            _ => 0,
        }
    }

    #[inline]
    fn message(&mut self, message: &Message<'_>, edit: &mut Edit<'_>) -> Step {
        if self.commit.is_asked() && !is_fatal(message) && self.commit.answer(message) {
            edit.skip(message.at, message.length());
            return Step::Next;
        }
        let mut tag = message.tag;
        // Its last words are for the session itself.
        if let Some(translation) = self.translation.as_mut().filter(|_| !is_fatal(message)) {
            match translation.down(message, edit) {
                Some(heard) => tag = heard,
                None if translation.trouble.is_some() => return Step::Stop,
                None => return Step::Next,
            }
        }
        match tag {
            b'Z' => {
                edit.let_go();
                self.answer = message.at + message.length();
                self.record.ready(message.first());
            }
            // It is true when the ReadyForQuery comes that needs nothing more from the client.
            b'C' => {
                if !self.progress.is_quiet() {
                    edit.hold_back(message.at);
                }
                self.record.command_complete(message.body);
            }
            b'G' | b'W' => edit.let_go(),
            b'1' => self.record.parse_complete(),
            b'3' => self.record.close_complete(),
            b'S' => self.record.parameter(message.body),
            b'E' | b'N' => return self.words(message, edit),
            _ => {}
        }
        self.progress.from_server(tag, message.first());
        if message.tag == b'Z' {
            self.count_answer();
        }
        Step::Next
    }
}

impl Down<'_> {
    #[inline]
    fn count_answer(&mut self) {
        let idle = self.progress.status() == Status::Idle;
        let transaction = if idle { Transaction::Ended } else { Transaction::Open };
        let rests = idle && self.progress.is_quiet();
        let next = if rests { Standing::Pinned } else { Standing::Active };
        self.stats.answered(transaction, next);
    }

    #[cold]
    fn words(&mut self, message: &Message<'_>, edit: &mut Edit<'_>) -> Step {
        let words = words(message.body);
        let of_its_end = matches!(words.code, b"57P01" | b"57P02");
        if message.tag == b'E' && words.is_fatal() && message.is_whole() {
            let length = message.size + 4;
            let bytes = [&[b'E'][..], &length.to_be_bytes(), message.body].concat();
            self.omens.fatal = Some(bytes);
            // With its last words a server also sends what it had of an answer. The request can
            // only be sent again when the client has nothing of that.
            if !self.inflight.is_answered() {
                edit.hold_back_from(self.answer);
            }
            return Step::Stop;
        }
        if message.tag == b'N' && of_its_end && words.severity == b"WARNING" && message.is_whole() {
            self.omens.unsure = true;
            edit.skip(message.at, message.length());
            return Step::Next;
        }
        if message.tag == b'E' {
            self.record.error();
        }
        self.progress.from_server(message.tag, message.first());
        Step::Next
    }
}

fn is_fatal(message: &Message<'_>) -> bool {
    message.tag == b'E' && words(message.body).is_fatal()
}

impl Tap for Down<'_> {
    #[inline]
    fn moved(&mut self, read: &[u8], passed: usize) {
        self.answer = 0;
        self.counters.bytes_to_client.add(read.len() as u64);
        self.stats.bytes_to_client(read.len() as u64);
        if self.progress.is_quiet() {
            self.inflight.settle();
            *self.commit = Commit::None;
        } else if passed > 0 {
            self.inflight.answered();
        }
    }
}
