//! History files: where one of PostgreSQL's timelines came from.

use howdah_model::lsn::{Lsn, Tli};

/// The end of a timeline that a later one came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The earlier timeline.
    pub tli: Tli,
    /// It is followed up to here.
    pub at: Lsn,
}

/// Reads a history file, as PostgreSQL does: a number, a place and a reason on each line.
pub(crate) fn parse(text: &[u8]) -> Option<Vec<Switch>> {
    let mut switches: Vec<Switch> = Vec::new();
    for line in std::str::from_utf8(text).ok()?.lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let tli = Tli(words.next()?.parse().ok()?);
        let at = words.next()?.parse().ok()?;
        if switches.last().is_some_and(|before| before.tli >= tli || before.at > at) {
            return None;
        }
        switches.push(Switch { tli, at });
    }
    Some(switches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_read_as_postgresql_writes_them() {
        let text =
            b"1\t0/3000148\tno recovery target specified\n\n2\t0/5000000\tbefore 2000-01-01\n";
        let switches = [
            Switch { tli: Tli(1), at: Lsn(0x300_0148) },
            Switch { tli: Tli(2), at: Lsn(0x500_0000) },
        ];
        assert_eq!(parse(text).as_deref(), Some(&switches[..]));
        assert_eq!(parse(b"# nothing\n").as_deref(), Some(&[][..]));
        for bad in [&b"x\t0/1\t"[..], b"1", b"1\tx", b"\xff", b"2\t0/1\tx\n1\t0/2\tx\n"] {
            assert_eq!(parse(bad), None);
        }
    }
}
