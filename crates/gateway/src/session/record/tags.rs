//! What command tags say about the session's state.

/// What may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A setting, perhaps for the transaction only.
    Set,
    /// Settings went back to their defaults.
    Reset,
    /// A library was loaded.
    Load,
    /// A prepared statement is gone.
    Deallocate,
    /// No prepared statement is left.
    DeallocateAll,
    /// Nearly nothing is left.
    DiscardAll,
    /// Channels are listened on no more.
    Unlisten,
    /// A cursor was closed.
    CloseCursor,
    /// Something was dropped, perhaps of the session's own.
    Drop,
    /// A procedure or a block has done what it does.
    Routine,
    /// Anything.
    Other,
}

/// The objects that can be temporary.
const TEMPORARY: [&[u8]; 8] =
    [b"TABLE", b"VIEW", b"SEQUENCE", b"FUNCTION", b"PROCEDURE", b"AGGREGATE", b"TYPE", b"DOMAIN"];

/// What the tag of a finished command says. `DECLARE CURSOR` says nothing: its text tells whether
/// the cursor is held.
pub(super) fn effect(tag: &[u8]) -> Option<Effect> {
    // Those of queries, which are nearly all.
    if let [b'S', b'E', b'L', ..]
    | [b'I' | b'B' | b'F', ..]
    | [b'U', b'P', ..]
    | [b'D', b'E', b'L', ..]
    | [b'C' | b'R', b'O', ..] = tag
    {
        return None;
    }
    let tag = tag.strip_suffix(&[0]).unwrap_or(tag);
    let mut words = tag.split(|byte| *byte == b' ');
    match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
        (b"SET", b"CONSTRAINTS") | (b"PREPARE", b"TRANSACTION") => None,
        (b"SET", _) => Some(Effect::Set),
        (b"RESET", _) => Some(Effect::Reset),
        (b"LOAD", _) => Some(Effect::Load),
        (b"DEALLOCATE", b"ALL") => Some(Effect::DeallocateAll),
        (b"DEALLOCATE", _) => Some(Effect::Deallocate),
        (b"DISCARD", b"ALL") => Some(Effect::DiscardAll),
        (b"DROP", _) | (b"DISCARD", b"TEMP") => Some(Effect::Drop),
        (b"UNLISTEN", _) => Some(Effect::Unlisten),
        (b"CLOSE", _) => Some(Effect::CloseCursor),
        (b"DO" | b"CALL", _) => Some(Effect::Routine),
        (b"PREPARE" | b"LISTEN", _) => Some(Effect::Other),
        (b"CREATE", kind) if TEMPORARY.contains(&kind) => Some(Effect::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_queries_say_nothing() {
        for tag in [
            "SELECT 1",
            "INSERT 0 1",
            "UPDATE 3",
            "DELETE 0",
            "MERGE 1",
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "FETCH 3",
            "COPY 5",
            "SAVEPOINT",
            "RELEASE",
            "START TRANSACTION",
            "LOCK TABLE",
            "NOTIFY",
            "DECLARE CURSOR",
            "SET CONSTRAINTS",
            "DISCARD PLANS",
            "DISCARD SEQUENCES",
            "PREPARE TRANSACTION",
            "CREATE INDEX",
            "TRUNCATE TABLE",
            "VACUUM",
            "ALTER TABLE",
            "GRANT",
            "",
        ] {
            assert_eq!(effect(tag.as_bytes()), None, "{tag}");
        }
    }

    #[test]
    fn tags_of_changes_are_known_with_and_without_their_zero() {
        for (tag, wanted) in [
            ("SET", Effect::Set),
            ("RESET", Effect::Reset),
            ("PREPARE", Effect::Other),
            ("DEALLOCATE", Effect::Deallocate),
            ("DEALLOCATE ALL", Effect::DeallocateAll),
            ("DISCARD ALL", Effect::DiscardAll),
            ("DISCARD TEMP", Effect::Drop),
            ("LISTEN", Effect::Other),
            ("UNLISTEN", Effect::Unlisten),
            ("CLOSE CURSOR", Effect::CloseCursor),
            ("LOAD", Effect::Load),
            ("DO", Effect::Routine),
            ("CALL", Effect::Routine),
            ("CREATE TABLE", Effect::Other),
            ("CREATE VIEW", Effect::Other),
            ("DROP TABLE", Effect::Drop),
        ] {
            assert_eq!(effect(tag.as_bytes()), Some(wanted), "{tag}");
            assert_eq!(effect(format!("{tag}\0").as_bytes()), Some(wanted), "{tag}");
        }
    }
}
