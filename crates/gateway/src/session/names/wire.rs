//! Names in messages.

use std::io::Write as _;

use crate::message::take_cstr;
use crate::statement::Statement;

/// What the names of our statements begin with.
pub(super) const PREFIX: &[u8] = b"howdah_";
/// Hexadecimal digits after that.
const DIGITS: usize = 16;
/// The length of every name of ours.
pub(super) const LENGTH: usize = PREFIX.len() + DIGITS;

/// A name that statements have on servers. All are of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerName(u64);

impl ServerName {
    /// No statement ever has it.
    pub(super) const NOTHING: Self = Self(u64::MAX);
    /// One that is there to be in the way.
    pub(super) const TAKEN: Self = Self(u64::MAX - 1);
    /// Set in those of statements that are on one server only.
    const HERE: u64 = 1 << 63;

    pub(super) fn of(statement: &Statement) -> Self {
        Self::of_id(statement.id)
    }

    pub(super) fn of_id(id: u64) -> Self {
        Self(id)
    }

    pub(super) fn here(number: u64) -> Self {
        Self(Self::HERE | number)
    }

    /// The statement's number, for one that any server can have.
    pub(super) fn id(self) -> Option<u64> {
        (self.0 & Self::HERE == 0).then_some(self.0)
    }

    /// Appends it with its zero.
    pub(super) fn put(self, output: &mut Vec<u8>) {
        output.extend_from_slice(PREFIX);
        // Writing to memory cannot fail.
        let _ = write!(output, "{:016x}", self.0);
        output.push(0);
    }

    /// Whether a client could mean one of ours.
    pub(super) fn is_one(name: &[u8]) -> bool {
        Self::parse(name).is_some()
    }

    /// The name at the beginning of a text.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?.get(..DIGITS)?;
        let digits = std::str::from_utf8(digits).ok()?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

/// Type and length of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) tag: u8,
    pub(super) length: u32,
}

impl Head {
    /// Its bytes.
    pub(super) const SIZE: usize = 5;

    /// Appends it as it is when a name in the message is replaced by one of ours.
    pub(super) fn sized(self, output: &mut Vec<u8>, before: &[u8]) {
        let before = u32::try_from(before.len()).unwrap_or(u32::MAX);
        let length = self.length.saturating_sub(before).saturating_add(LENGTH as u32);
        put_head(output, self.tag, length);
    }

    /// The same, and the new name, which is the first thing in the message.
    pub(super) fn renamed(self, output: &mut Vec<u8>, before: &[u8], name: ServerName) {
        self.sized(output, before);
        name.put(output);
    }
}

fn put_head(output: &mut Vec<u8>, tag: u8, length: u32) {
    output.push(tag);
    output.extend_from_slice(&length.to_be_bytes());
}

/// The names in a `Bind`.
pub(super) struct Bind<'a> {
    pub(super) portal: &'a [u8],
    pub(super) statement: &'a [u8],
}

/// The names at the beginning of a `Bind`; nothing when they have not ended yet.
pub(super) fn bind(body: &[u8]) -> Option<Bind<'_>> {
    let mut rest = body;
    Some(Bind { portal: take_cstr(&mut rest)?, statement: take_cstr(&mut rest)? })
}

/// The name at the beginning of a body, and what comes after its zero.
pub(super) fn split_name(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = body;
    let name = take_cstr(&mut rest)?;
    Some((name, rest))
}

/// Whether a text may take all prepared statements away.
pub(super) fn clears(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    // The first letter tells almost all apart.
    matches!(text.first(), Some(b'd' | b'D'))
        && [&b"deallocate"[..], b"discard"].iter().any(|word| {
            text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        })
}

/// `Close` of a statement.
pub(super) fn close_statement(output: &mut Vec<u8>, name: ServerName) {
    put_head(output, b'C', (4 + 1 + LENGTH + 1) as u32);
    output.push(b'S');
    name.put(output);
}

/// `Close` of a statement that nobody has: it does nothing, and is answered.
pub(super) fn close_nothing(output: &mut Vec<u8>) {
    close_statement(output, ServerName::NOTHING);
}

/// `Close` of the statement without a name.
pub(super) fn close_unnamed(output: &mut Vec<u8>) {
    output.extend_from_slice(b"C\0\0\0\x06S\0");
}

/// `Parse` of text, zero and types.
pub(super) fn parse(output: &mut Vec<u8>, name: ServerName, body: &[u8]) {
    put_head(output, b'P', length_of(LENGTH + 1 + body.len()));
    name.put(output);
    output.extend_from_slice(body);
}

/// The same without a name.
pub(super) fn parse_unnamed(output: &mut Vec<u8>, body: &[u8]) {
    put_head(output, b'P', length_of(1 + body.len()));
    output.push(0);
    output.extend_from_slice(body);
}

/// The length to send for a body that was kept, which is far from the limit.
fn length_of(body: usize) -> u32 {
    u32::try_from(4 + body).unwrap_or(u32::MAX)
}
