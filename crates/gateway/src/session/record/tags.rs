//! What command tags say about the session's state.

/// What may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A setting, perhaps for the transaction only.
    Set,
    /// A library was loaded.
    Load,
    /// No prepared statement is left.
    DeallocateAll,
    /// A cursor was closed.
    CloseCursor,
    /// Something was dropped, perhaps of the session's own.
    Drop,
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
        (b"LOAD", _) => Some(Effect::Load),
        (b"DEALLOCATE" | b"DISCARD", b"ALL") => Some(Effect::DeallocateAll),
        (b"CLOSE", _) => Some(Effect::CloseCursor),
        (b"DROP", _) => Some(Effect::Drop),
        (b"CREATE", kind) if TEMPORARY.contains(&kind) => Some(Effect::Other),
        (
            b"RESET" | b"PREPARE" | b"DEALLOCATE" | b"LISTEN" | b"UNLISTEN" | b"DISCARD" | b"DO"
            | b"CALL",
            _,
        ) => Some(Effect::Other),
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
            ("RESET", Effect::Other),
            ("PREPARE", Effect::Other),
            ("DEALLOCATE", Effect::Other),
            ("DEALLOCATE ALL", Effect::DeallocateAll),
            ("DISCARD ALL", Effect::DeallocateAll),
            ("DISCARD TEMP", Effect::Other),
            ("LISTEN", Effect::Other),
            ("UNLISTEN", Effect::Other),
            ("CLOSE CURSOR", Effect::CloseCursor),
            ("LOAD", Effect::Load),
            ("DO", Effect::Other),
            ("CALL", Effect::Other),
            ("CREATE TABLE", Effect::Other),
            ("CREATE VIEW", Effect::Other),
            ("DROP TABLE", Effect::Drop),
        ] {
            assert_eq!(effect(tag.as_bytes()), Some(wanted), "{tag}");
            assert_eq!(effect(format!("{tag}\0").as_bytes()), Some(wanted), "{tag}");
        }
    }
}
