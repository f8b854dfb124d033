//! What the text of a statement shows about the session's state: a glance that all texts get, and
//! a closer look at the few that the glance stops at.
//!
//! Command tags tell of most changes. The text is needed for those that have the tag of a query
//! (`set_config`, `SELECT INTO TEMP`, advisory locks), for the names of custom settings, which the
//! server cannot list, and to tell `SET LOCAL` from `SET`.

use std::borrow::Cow;

use super::carried::{AUTHORIZATION, ROLE, common};
use super::glance::glance;
use super::lexer::{Lexer, Token};

/// How deep strings within strings are read as code.
const DEEPEST: usize = 3;
/// How many words the options of a cursor can be.
const LONGEST_OPTIONS: usize = 12;
/// How far the arguments of a call are followed.
const LONGEST_CALL: usize = 200;
/// The longest name of a custom setting that is followed, in bytes.
const LONGEST_NAME: usize = 200;

/// Settings whose value says nothing, or not all that was set.
const NEVER_ALONE: [&str; 6] = [
    AUTHORIZATION,
    "is_superuser",
    "seed",
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
];

/// What a text shows; a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looks(u8);

impl Looks {
    /// It changes state in a way that its tag does not tell.
    pub(super) const CHANGES: Self = Self(1);
    /// It has a `SET` that outlasts its transaction.
    pub(super) const SETS: Self = Self(1 << 1);
    /// It has a `SET` that does not.
    pub(super) const SETS_LOCALLY: Self = Self(1 << 2);
    /// It runs a statement of an SQL `PREPARE`.
    pub(super) const EXECUTES: Self = Self(1 << 3);
    /// It sets something whose name is not in the text.
    pub(super) const UNNAMED: Self = Self(1 << 4);
    /// It opens connections of its own to elsewhere.
    pub(super) const CONNECTS: Self = Self(1 << 5);
    /// It gives up advisory locks.
    pub(super) const UNLOCKS: Self = Self(1 << 6);

    /// What a text shows.
    #[must_use]
    pub fn at(text: &[u8]) -> Self {
        look(text, &mut Notes::default())
    }

    /// Whether it shows anything: then each of its executions counts.
    #[must_use]
    pub fn matter(self) -> bool {
        self != Self::default()
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Names that a text shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// Of custom settings, as `a.b`, in lower case.
    pub(super) names: Vec<Box<str>>,
    /// What `LOAD` is given, as written between its quotes.
    pub(super) libraries: Vec<Box<str>>,
    /// The setting, when the text is one `SET` that gives it a value for the session.
    pub(super) set: Option<Box<str>>,
}

/// Looks at a text and notes the names in it.
pub(super) fn look(text: &[u8], notes: &mut Notes) -> Looks {
    if glance(text) {
        return look_closely(text, notes);
    }
    Looks::default()
}

/// What the end of a text may hold that was not seen.
pub(super) fn unseen() -> Looks {
    Looks(Looks::CHANGES.0 | Looks::SETS.0 | Looks::EXECUTES.0)
}

fn look_closely(text: &[u8], notes: &mut Notes) -> Looks {
    let mut look = Look { looks: Looks::default(), statements: 0, notes };
    look.code(text, 0, Place::Top);
    if look.statements != 1 || look.looks != Looks::SETS {
        look.notes.set = None;
    }
    look.looks
}

/// Where code stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In what the client sent.
    Top,
    /// In a string of that.
    Body,
}

struct Look<'n> {
    looks: Looks,
    /// How many the client sent.
    statements: usize,
    notes: &'n mut Notes,
}

impl Look<'_> {
    fn code(&mut self, text: &[u8], depth: usize, place: Place) {
        let mut lexer = Lexer::new(text);
        let mut before = [&b""[..]; 2];
        let mut starts = true;
        let mut runs_strings = place == Place::Body;
        while let Some(token) = lexer.next() {
            let mut now = &b""[..];
            match token {
                Token::Symbol(b';') => {
                    starts = true;
                    runs_strings = place == Place::Body;
                    before = [b""; 2];
                    continue;
                }
                Token::Word(word) => {
                    now = word;
                    if starts && place == Place::Top {
                        runs_strings |= is(word, b"do");
                        self.first_word(word, &lexer);
                    } else if place == Place::Body && is(word, b"set") {
                        let blocks = [&b"begin"[..], b"then", b"else", b"loop"];
                        if starts || blocks.iter().any(|block| is(before[1], block)) {
                            self.set_in_body(lexer.clone());
                        }
                    }
                    self.word(word, before, &lexer);
                }
                Token::Quoted(name) => self.word(name, before, &lexer),
                Token::Dollar(body) if depth < DEEPEST => self.code(body, depth + 1, Place::Body),
                Token::Text(body) if runs_strings && depth < DEEPEST => {
                    self.code(&undoubled(body), depth + 1, Place::Body);
                }
                _ => {}
            }
            self.statements += usize::from(starts && place == Place::Top);
            starts = false;
            before = [before[1], now];
        }
        if lexer.ambiguous {
            self.looks.add(Looks::CHANGES);
            self.looks.add(Looks::SETS);
        }
    }

    /// The first word of a statement that the client sent.
    fn first_word(&mut self, word: &[u8], after: &Lexer<'_>) {
        let mut after = after.clone();
        if is(word, b"set") {
            self.set(after);
        } else if is(word, b"execute") {
            self.looks.add(Looks::EXECUTES);
        } else if is(word, b"declare") {
            self.declare(after);
        } else if is(word, b"load")
            && let Some(Token::Text(library)) = after.next()
            && let Ok(library) = std::str::from_utf8(library)
            && !library.contains('\\')
        {
            self.notes.libraries.push(library.into());
        }
    }

    /// A cursor, which outlasts its transaction when it is held.
    fn declare(&mut self, after: Lexer<'_>) {
        let mut with = false;
        for token in after.take(LONGEST_OPTIONS) {
            match token {
                Token::Word(word) if with && is(word, b"hold") => self.looks.add(Looks::CHANGES),
                Token::Word(word) if is(word, b"for") => break,
                _ => {}
            }
            with = matches!(token, Token::Word(word) if is(word, b"with"));
        }
    }

    fn set(&mut self, mut after: Lexer<'_>) {
        match after.clone().next() {
            Some(Token::Word(word)) if is(word, b"local") || is(word, b"transaction") => {
                self.looks.add(Looks::SETS_LOCALLY);
            }
            // It has a tag of its own.
            Some(Token::Word(word)) if is(word, b"constraints") => {}
            _ => {
                self.looks.add(Looks::SETS);
                self.notes.set = one_setting(after.clone());
                self.setting_name(&mut after);
            }
        }
    }

    fn set_in_body(&mut self, mut after: Lexer<'_>) {
        let local = matches!(after.clone().next(), Some(Token::Word(word)) if is(word, b"local"));
        if !local {
            self.looks.add(Looks::CHANGES);
        }
        self.setting_name(&mut after);
    }

    /// A dotted name that comes next, after `SESSION` or `LOCAL`.
    fn setting_name(&mut self, lexer: &mut Lexer<'_>) {
        let mut name = String::new();
        let mut next = lexer.next();
        if let Some(Token::Word(word)) = next
            && (is(word, b"session") || is(word, b"local"))
        {
            next = lexer.next();
        }
        while let Some(Token::Word(part) | Token::Quoted(part)) = next {
            name.push_str(&String::from_utf8_lossy(part));
            next = lexer.next();
            if next != Some(Token::Symbol(b'.')) || name.len() > LONGEST_NAME {
                break;
            }
            name.push('.');
            next = lexer.next();
        }
        self.name(name.as_bytes());
    }

    fn name(&mut self, name: &[u8]) {
        if let Some(name) = custom_name(name)
            && !self.notes.names.contains(&name)
        {
            self.notes.names.push(name);
        }
    }

    /// Any word, wherever it stands.
    fn word(&mut self, word: &[u8], before: [&[u8]; 2], after: &Lexer<'_>) {
        match word.len() {
            4 | 9 if is(word, b"temp") || is(word, b"temporary") => {
                let made = [&b"create"[..], b"replace", b"local", b"global"];
                let inserted = is(before[0], b"insert") || is(before[0], b"merge");
                if made.iter().any(|word| is(before[1], word))
                    || (is(before[1], b"into") && !inserted)
                {
                    self.looks.add(Looks::CHANGES);
                }
            }
            10 if is(word, b"set_config") => self.set_config(after.clone()),
            7.. if word[..7].eq_ignore_ascii_case(b"pg_temp") => self.looks.add(Looks::CHANGES),
            11.. if contains(word, b"advisory_unlock") => self.looks.add(Looks::UNLOCKS),
            11.. if contains(word, b"advisory") && !contains(word, b"xact") => {
                self.looks.add(Looks::CHANGES);
            }
            14.. if contains(word, b"dblink_connect") => {
                self.looks.add(Looks::CHANGES);
                self.looks.add(Looks::CONNECTS);
            }
            16.. if contains(word, b"replication_slot") => self.looks.add(Looks::CHANGES),
            _ => {}
        }
    }

    /// The arguments of `set_config(name, value, is_local)`.
    fn set_config(&mut self, mut after: Lexer<'_>) {
        if after.next() != Some(Token::Symbol(b'(')) {
            return;
        }
        let (mut depth, mut argument) = (1, 0);
        // The first two tokens of each argument.
        let mut seen = [[None; 2]; 3];
        for token in after.take(LONGEST_CALL) {
            match token {
                Token::Symbol(b'(' | b'[') => depth += 1,
                Token::Symbol(b')' | b']') => depth -= 1,
                Token::Symbol(b',') if depth == 1 => {
                    argument += 1;
                    continue;
                }
                _ => {}
            }
            if depth == 0 || argument > 2 {
                break;
            }
            if let Some(free) = seen[argument].iter_mut().find(|free| free.is_none()) {
                *free = Some(token);
            }
        }
        if constant(seen[2]).is_some_and(is_true) {
            return;
        }
        self.looks.add(Looks::CHANGES);
        match constant(seen[0]) {
            Some(Token::Text(name)) => self.name(name),
            _ => self.looks.add(Looks::UNNAMED),
        }
    }
}

/// What comes after `SET`, when it is one setting and its value: the setting's name.
fn one_setting(mut after: Lexer<'_>) -> Option<Box<str>> {
    let mut next = after.next()?;
    if matches!(next, Token::Word(word) if is(word, b"session")) {
        next = after.next()?;
    }
    let (Token::Word(first) | Token::Quoted(first)) = next else { return None };
    let mut name = String::from_utf8_lossy(first).into_owned();
    let mut next = after.next()?;
    let by_word = |word: &[u8], known: &[u8]| matches!(next, Token::Word(_)) && is(word, known);
    if by_word(first, b"role") && !matches!(next, Token::Word(word) if is(word, b"to")) {
        name = ROLE.to_owned();
    } else if by_word(first, b"time") && matches!(next, Token::Word(word) if is(word, b"zone")) {
        "timezone".clone_into(&mut name);
        next = after.next()?;
    } else {
        while next == Token::Symbol(b'.') {
            let (Token::Word(part) | Token::Quoted(part)) = after.next()? else { return None };
            name.push('.');
            name.push_str(&String::from_utf8_lossy(part));
            next = after.next()?;
        }
        match next {
            Token::Symbol(b'=') => {}
            Token::Word(word) if is(word, b"to") => {}
            _ => return None,
        }
        next = after.next()?;
    }
    let default = matches!(next, Token::Word(word) if is(word, b"default") || is(word, b"local"));
    let known = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    let name = common(&name);
    (known && !default && !NEVER_ALONE.contains(&name.as_str())).then(|| name.into())
}

/// A string's content, with its doubled quotes made single.
fn undoubled(body: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(body, b"''").is_none() {
        return Cow::Borrowed(body);
    }
    let mut after_quote = false;
    let keep = |byte: &u8| {
        let second = *byte == b'\'' && after_quote;
        after_quote = *byte == b'\'' && !second;
        !second
    };
    Cow::Owned(body.iter().copied().filter(keep).collect())
}

/// An argument that is one constant, perhaps with a cast.
fn constant(argument: [Option<Token<'_>>; 2]) -> Option<Token<'_>> {
    match argument {
        [first, None | Some(Token::Symbol(b':'))] => first,
        _ => None,
    }
}

fn is_true(token: Token<'_>) -> bool {
    match token {
        Token::Word(word) => is(word, b"true"),
        Token::Text(text) => [&b"true"[..], b"t", b"on", b"yes", b"1"].iter().any(|t| is(text, t)),
        _ => false,
    }
}

/// The name of a custom setting in its common form, if it can be one.
pub(super) fn custom_name(name: &[u8]) -> Option<Box<str>> {
    let part = |part: &[u8]| {
        let (first, rest) = part.split_first()?;
        let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let goes_on = |byte: &u8| begins(byte) || byte.is_ascii_digit() || *byte == b'$';
        (begins(first) && rest.iter().all(goes_on)).then_some(())
    };
    if name.len() > LONGEST_NAME || !name.contains(&b'.') {
        return None;
    }
    name.split(|byte| *byte == b'.').try_for_each(part)?;
    let name = std::str::from_utf8(name).ok()?;
    Some(name.to_ascii_lowercase().into())
}

fn is(word: &[u8], known: &[u8]) -> bool {
    word.eq_ignore_ascii_case(known)
}

fn contains(word: &[u8], part: &[u8]) -> bool {
    word.windows(part.len()).any(|window| is(window, part))
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
