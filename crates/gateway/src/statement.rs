//! Prepared statements of the protocol, kept once for all sessions that prepare the same.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::interner::Interner;
use crate::session::record::Looks;

/// What a client prepared: the body of its `Parse` without the name.
pub struct Statement {
    /// Given once, in this process, to one text with its types.
    pub id: u64,
    body: Box<[u8]>,
    looks: Looks,
    outdated: AtomicBool,
}

impl Statement {
    /// Text, zero, and types, as they come after the name in `Parse`.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The text alone.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        text_of(&self.body)
    }

    /// Whether its result has another form by now than when it was prepared, as far as a server has
    /// said so.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// What its text shows about changes of the session's state.
    #[must_use]
    pub fn looks(&self) -> Looks {
        self.looks
    }
}

/// The text of a `Parse` whose name has been taken off.
pub(crate) fn text_of(body: &[u8]) -> &[u8] {
    &body[..memchr::memchr(0, body).unwrap_or(body.len())]
}

// The text may hold a tenant's secrets.
impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All statements that are in use.
#[derive(Debug, Default)]
pub struct Statements {
    next: AtomicU64,
    known: Interner<Statement>,
}

impl Statements {
    /// The statement of this body: text, zero, and types. It lives for as long as somebody holds it.
    #[must_use]
    pub fn intern(&self, body: &[u8]) -> Arc<Statement> {
        self.known.intern(
            body,
            |known| &known.body,
            || {
                let id = self.next.fetch_add(1, Ordering::Relaxed);
                let looks = Looks::at(text_of(body));
                let outdated = AtomicBool::new(false);
                Arc::new(Statement { id, body: body.into(), looks, outdated })
            },
        )
    }

    /// From now on the same body is another statement, as its result has another form.
    pub fn renew(&self, statement: &Statement) {
        statement.outdated.store(true, Ordering::Relaxed);
        self.known.forget(&statement.body, |known| known.id == statement.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_with_its_types_is_one_statement() {
        let statements = Statements::default();
        let first = statements.intern(b"select 1\0\0\0");
        assert!(Arc::ptr_eq(&first, &statements.intern(b"select 1\0\0\0")));
        assert_eq!(first.text(), b"select 1");
        let typed = statements.intern(b"select 1\0\0\x01\0\0\0\x17");
        assert_ne!(first.id, typed.id);
        let id = first.id;
        drop(first);
        assert_ne!(statements.intern(b"select 1\0\0\0").id, id);
    }

    #[test]
    fn a_renewed_body_is_another_statement() {
        let statements = Statements::default();
        let before = statements.intern(b"select 1\0\0\0");
        statements.renew(&before);
        let after = statements.intern(b"select 1\0\0\0");
        assert!(before.is_outdated() && !after.is_outdated() && before.id != after.id);
        // Who still has the old one changes nothing any more.
        statements.renew(&before);
        assert!(Arc::ptr_eq(&after, &statements.intern(b"select 1\0\0\0")));
    }

    #[test]
    fn its_text_is_not_shown() {
        let statement = Statements::default().intern(b"select 'secret'\0\0\0");
        assert!(!format!("{statement:?}").contains("secret"));
    }
}
