//! What a request is that was under way when its server went away.

use super::inflight::messages;
use super::lost::Request;

/// Commands that take effect only when their transaction commits.
const PLAIN: [&str; 18] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE", "WITH", "SHOW", "SET",
    "RESET", "EXECUTE", "TRUNCATE", "BEGIN", "START", "NOTIFY", "DECLARE", "FETCH",
];

/// What one command does to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    /// Nothing.
    Plain,
    /// It ends it with a commit.
    Commits,
    /// It may do so on its way, or nothing is known of it.
    Unclear,
    /// It ends it without a commit.
    RollsBack,
    /// There is none.
    Empty,
}

/// Judges the messages of a request, if all of them are known, and whether some of its answer was
/// given already. `known` finds the text of a prepared statement.
#[must_use]
pub fn judge(
    bytes: Option<&[u8]>,
    answered: bool,
    known: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Request {
    // What is too long to be kept could hide a commit.
    let Some(bytes) = bytes else { return Request::Unclear };
    let mut worst = if answered { Request::Part } else { Request::Whole };
    for (tag, body) in messages(bytes) {
        let command = match tag {
            b'Q' => script(body),
            b'P' => cstrings(body).nth(1).map_or(Command::Unclear, command),
            b'B' => match cstrings(body).nth(1) {
                // The unnamed statement came with the request, or was looked at when it did.
                Some(b"") => Command::Empty,
                Some(name) => known(name).map_or(Command::Unclear, |text| command(&text)),
                None => Command::Unclear,
            },
            // A function call runs in a transaction as a query does, but nothing is known of it.
            b'F' => Command::Unclear,
            _ => Command::Empty,
        };
        worst = match (worst, command) {
            (_, Command::Unclear) => return Request::Unclear,
            (_, Command::Commits) => Request::Commits,
            (Request::Commits, _) => Request::Commits,
            (_, Command::RollsBack) => Request::RollsBack,
            (worst, Command::Plain | Command::Empty) => worst,
        };
    }
    worst
}

/// Whether a message is a commit and nothing else.
#[must_use]
pub fn is_commit(tag: u8, body: &[u8]) -> bool {
    match tag {
        b'Q' => script(body) == Command::Commits,
        b'P' => {
            body.first() == Some(&0) && cstrings(body).nth(1).map(command) == Some(Command::Commits)
        }
        _ => false,
    }
}

/// The commands of a simple query.
fn script(body: &[u8]) -> Command {
    let text = body.strip_suffix(b"\0").unwrap_or(body);
    let first = command(text);
    let more = text.iter().position(|byte| *byte == b';').map(|at| &text[at + 1..]);
    match more {
        Some(more) if !keyword(more).is_empty() => Command::Unclear,
        Some(_) | None => first,
    }
}

fn command(text: &[u8]) -> Command {
    let word = keyword(text);
    let is = |name: &&str| word.eq_ignore_ascii_case(name.as_bytes());
    if word.is_empty() {
        Command::Empty
    } else if PLAIN.iter().any(is) {
        Command::Plain
    } else if is(&"ROLLBACK") || is(&"ABORT") {
        rollback(text)
    } else if is(&"COMMIT") || is(&"END") {
        Command::Commits
    } else {
        Command::Unclear
    }
}

/// `ROLLBACK TO` a savepoint goes on, `ROLLBACK PREPARED` and `AND CHAIN` are other things.
fn rollback(text: &[u8]) -> Command {
    let mut words = text
        .split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .skip(1)
        .filter(|word| {
            !["work", "transaction"].iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes()))
        });
    match words.next() {
        None => Command::RollsBack,
        Some(word) if word.eq_ignore_ascii_case(b"to") => Command::Plain,
        Some(_) => Command::Unclear,
    }
}

/// The first word, without the comments and brackets before it.
fn keyword(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        if let Some(rest) = text.strip_prefix(b"--") {
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            text = end.map_or(&[][..], |end| &rest[end..]);
        } else if let Some(rest) = text.strip_prefix(b"/*") {
            text = after_comment(rest);
        } else if let [b'(' | b';', rest @ ..] = text {
            text = rest;
        } else {
            break;
        }
    }
    let end = text.iter().position(|byte| !byte.is_ascii_alphabetic());
    // What is no word at all is no empty command either.
    match end {
        Some(0) => &text[..1],
        end => &text[..end.unwrap_or(text.len())],
    }
}

/// What follows a comment; they nest.
fn after_comment(mut text: &[u8]) -> &[u8] {
    let mut depth = 1;
    while depth > 0 {
        if let Some(rest) = text.strip_prefix(b"*/") {
            (text, depth) = (rest, depth - 1);
        } else if let Some(rest) = text.strip_prefix(b"/*") {
            (text, depth) = (rest, depth + 1);
        } else {
            let Some((_, rest)) = text.split_first() else { break };
            text = rest;
        }
    }
    text
}

fn cstrings(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("small");
        [&[tag], &length.to_be_bytes()[..], body].concat()
    }

    fn query(text: &str) -> Request {
        let body = [text.as_bytes(), b"\0"].concat();
        judge(Some(&message(b'Q', &body)), false, |_| None)
    }

    /// H17: only what cannot have committed on its way may be sent again.
    #[test]
    fn commands_are_told_apart() {
        for text in [
            "select 1",
            "/* a /* b */ */ -- c\n INSERT into t values (1);",
            "(select 1)",
            "",
            ";",
            "rollback to savepoint a",
            "with a as (select 1) select 1 ; -- end",
        ] {
            assert_eq!(query(text), Request::Whole, "{text}");
        }
        for text in ["commit", "END;", "COMMIT WORK"] {
            assert_eq!(query(text), Request::Commits, "{text}");
        }
        for text in [
            "call p()",
            "do $$ begin end $$",
            "vacuum",
            "create index concurrently i on t (a)",
            "select 1; commit",
            "insert into t values (';'); commit",
            "rollback and chain",
            "rollback prepared 'x'",
            "\"x\"",
            "copy t from stdin",
        ] {
            assert_eq!(query(text), Request::Unclear, "{text}");
        }
        for text in ["rollback", "ROLLBACK WORK;", "abort transaction"] {
            assert_eq!(query(text), Request::RollsBack, "{text}");
        }
    }

    #[test]
    fn prepared_statements_are_known_by_their_text() {
        let request =
            [message(b'B', b"\0s1\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")]
                .concat();
        let with = |text: &'static [u8]| {
            judge(Some(&request), false, move |name| (name == b"s1").then(|| text.to_vec()))
        };
        assert_eq!(with(b"insert into t values ($1)"), Request::Whole);
        assert_eq!(with(b"commit"), Request::Commits);
        assert_eq!(judge(Some(&request), false, |_| None), Request::Unclear);
        let parsed = [
            message(b'P', b"\0select 1\0\0\0"),
            message(b'B', b"\0\0\0\0\0\0"),
            message(b'S', b""),
        ]
        .concat();
        assert_eq!(judge(Some(&parsed), false, |_| None), Request::Whole);
        assert_eq!(judge(Some(&parsed), true, |_| None), Request::Part);
        assert_eq!(judge(None, false, |_| None), Request::Unclear);
    }
}
