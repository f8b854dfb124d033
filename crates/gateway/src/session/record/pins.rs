//! What ties a session to the server that it is on.

/// State that only its server has.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display, strum::EnumIter, strum::EnumCount,
)]
#[repr(u8)]
pub enum Tie {
    /// Tables, views, types or functions in `pg_temp`.
    #[strum(to_string = "temporary tables")]
    Temporary,
    /// Cursors that were declared `WITH HOLD`.
    #[strum(to_string = "cursors with hold")]
    HeldCursors,
    /// Advisory locks that outlast their transaction.
    #[strum(to_string = "session advisory locks")]
    AdvisoryLocks,
    /// Replication slots that end with the session.
    #[strum(to_string = "temporary replication slots")]
    TemporarySlots,
    /// Named connections of `dblink`.
    #[strum(to_string = "dblink connections")]
    Connections,
    /// Prepared statements that are too many or too long to be kept.
    #[strum(to_string = "very large prepared statements")]
    LargeStatements,
    /// Statements of an SQL `PREPARE` whose text cannot be told.
    #[strum(to_string = "statements prepared inside of functions")]
    HiddenStatements,
    /// More custom settings than are followed.
    #[strum(to_string = "too many custom settings")]
    CustomSettings,
    /// Channels that it listens on.
    #[strum(to_string = "LISTEN")]
    Listens,
    /// Statements of an SQL `PREPARE`.
    #[strum(to_string = "statements prepared in SQL")]
    Prepared,
    /// Libraries that it loaded.
    #[strum(to_string = "loaded libraries")]
    Libraries,
}

impl Tie {
    /// Whether it can be made anew on another server. It still holds the session on its server
    /// where servers are shared.
    #[must_use]
    pub fn can_move(self) -> bool {
        matches!(self, Self::Listens | Self::Prepared | Self::Libraries)
    }
}

/// All that ties one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins(u16);

impl Pins {
    /// Whether nothing does: its server may serve others between its transactions.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of it can be made anew on another server.
    #[must_use]
    pub fn can_move(self) -> bool {
        self.iter().all(Tie::can_move)
    }

    /// Whether this is among it.
    #[must_use]
    pub fn has(self, tie: Tie) -> bool {
        self.0 & (1 << tie as u8) != 0
    }

    /// Each of them; those that cannot be moved first.
    pub fn iter(self) -> impl Iterator<Item = Tie> {
        use strum::IntoEnumIterator as _;
        Tie::iter().filter(move |tie| self.has(*tie))
    }

    pub(super) fn set(&mut self, tie: Tie, present: bool) {
        let bit = 1 << tie as u8;
        self.0 = if present { self.0 | bit } else { self.0 & !bit };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_told_apart() {
        let mut pins = Pins::default();
        assert!(pins.is_empty() && pins.can_move());
        pins.set(Tie::Listens, true);
        assert!(!pins.is_empty() && pins.can_move());
        pins.set(Tie::Temporary, true);
        assert!(!pins.can_move());
        let words: Vec<_> = pins.iter().map(|tie| tie.to_string()).collect();
        assert_eq!(words, ["temporary tables", "LISTEN"]);
        pins.set(Tie::Temporary, false);
        assert!(pins.can_move());
    }
}
