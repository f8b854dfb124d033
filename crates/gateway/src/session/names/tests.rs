//! Clients over shared servers, against the same clients each with a server of its own. Servers are
//! models of PostgreSQL here; `tests/gateway/names.rs` has real ones.

mod model;
mod steps;

use super::*;
use model::{Server, message};

/// One client with one server, message by message.
struct Line {
    names: Names,
    holds: Holds,
    statements: Statements,
    server: Server,
}

impl Line {
    fn new() -> Self {
        let (names, holds) = (Names::default(), Holds::default());
        Self { names, holds, statements: Statements::default(), server: Server::default() }
    }

    /// What the gateway sends to the server for a message.
    fn send(&mut self, message: &[u8]) -> Vec<u8> {
        self.offer(message).expect("no wait")
    }

    fn offer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let length = u32::from_be_bytes(message[1..5].try_into().expect("a length"));
        let part = Part { tag: message[0], length, body: &message[5..] };
        let mut output = Vec::new();
        let Self { names, holds, statements, .. } = self;
        let verdict = names.client(part, holds, statements, &mut output).expect("a message");
        match verdict {
            Verdict::Send { replaces } => {
                output.extend_from_slice(&message[replaces..]);
                self.server.receive(&output);
                Some(output)
            }
            Verdict::Wait => None,
            Verdict::More => panic!("it is whole"),
        }
    }

    /// What the client is told of all that the server has said.
    fn told(&mut self) -> Vec<u8> {
        self.server.work(usize::MAX);
        let mut told = Vec::new();
        while let Some(message) = self.server.said() {
            told.extend(self.hear(&message));
        }
        told
    }

    fn hear(&mut self, message: &[u8]) -> Vec<u8> {
        let length = u32::from_be_bytes(message[1..5].try_into().expect("a length"));
        let wanted = Names::wanted(message[0], length);
        let Self { names, holds, statements, .. } = self;
        let body = &message[5..5 + wanted];
        match names.server(message[0], length, body, holds, statements).expect("in order") {
            Answer::Pass => message.to_vec(),
            Answer::Swallow => vec![],
            Answer::Instead(bytes) => bytes,
            Answer::ParseComplete => PARSE_COMPLETE.to_vec(),
        }
    }

    fn tags(&mut self) -> String {
        model::tags(&self.told())
    }
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"].concat())
}

fn bind(name: &str) -> Vec<u8> {
    message(b'B', &[b"\0", name.as_bytes(), b"\0\0\0\0\0\0\0"].concat())
}

fn close(name: &str) -> Vec<u8> {
    message(b'C', &[b"S", name.as_bytes(), b"\0"].concat())
}

fn execute() -> Vec<u8> {
    message(b'E', b"\0\0\0\0\0")
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

#[test]
fn only_names_are_replaced() {
    let mut line = Line::new();
    line.send(&parse("a", "one"));
    line.send(&sync());
    assert_eq!(line.tags(), "1Z");
    let long = message(b'B', &[b"portal\0a\0", &[7; 1000][..]].concat());
    let part = Part { tag: b'B', length: 1013, body: &long[5..20] };
    let mut output = Vec::new();
    let Line { names, holds, statements, .. } = &mut line;
    let verdict = names.client(part, holds, statements, &mut output);
    assert_eq!(verdict, Ok(Verdict::Send { replaces: 5 + 7 + 2 }));
    let wanted = [b"B\0\0\x04\x0bportal\0howdah_", &b"0000000000000000\0"[..]].concat();
    assert_eq!(output, wanted);
}

#[test]
fn a_name_in_pieces_is_waited_for_but_not_for_ever() {
    let mut line = Line::new();
    let body = vec![b'x'; 20_000];
    for (length, outcome) in [(10, Ok(Verdict::More)), (17_000, Err(NameError::TooLong))] {
        let part = Part { tag: b'B', length: 1 << 20, body: &body[..length] };
        let Line { names, holds, statements, .. } = &mut line;
        assert_eq!(names.client(part, holds, statements, &mut Vec::new()), outcome);
    }
}

#[test]
fn what_the_server_has_is_not_prepared_again() {
    let mut line = Line::new();
    line.send(&parse("a", "one"));
    line.send(&sync());
    line.told();
    line.names = Names::default();
    let sent = [parse("b", "one"), bind("b"), execute(), sync()].map(|m| line.send(&m)).concat();
    assert_eq!(model::tags(&sent), "CBES");
    assert_eq!(line.tags(), "12DCZ");
}

#[test]
fn in_a_failed_transaction_it_is_prepared_and_refused() {
    let mut line = Line::new();
    line.send(&parse("a", "one"));
    line.send(&message(b'Q', b"begin\0"));
    line.send(&message(b'Q', b"fail\0"));
    assert_eq!(line.tags(), "1CZEZ");
    line.send(&parse("b", "one"));
    line.send(&sync());
    assert_eq!(line.tags(), "EZ");
    line.send(&message(b'Q', b"rollback\0"));
    line.send(&bind("b"));
    line.send(&sync());
    assert_eq!(line.tags(), "CZEZ", "it was not prepared");
}

#[test]
fn what_depends_on_an_earlier_batch_waits_for_it() {
    let mut line = Line::new();
    line.send(&bind("unknown"));
    line.send(&parse("a", "one"));
    line.send(&sync());
    assert!(line.offer(&bind("a")).is_none());
    assert!(line.offer(&parse("a", "two")).is_none() && line.offer(&close("a")).is_none());
    // Another name of the same text depends on it as well.
    assert!(line.offer(&parse("b", "one")).is_none());
    assert_eq!(line.tags(), "EZ");
    line.send(&bind("a"));
    line.send(&sync());
    assert_eq!(line.tags(), "EZ", "there is no such statement");
}

#[test]
fn what_was_to_be_given_in_a_batch_that_failed_is_given_again() {
    let mut line = Line::new();
    line.send(&parse("a", "one"));
    line.send(&sync());
    line.told();
    (line.holds, line.server) = (Holds::default(), Server::default());
    for message in [execute(), bind("a"), sync()] {
        line.send(&message);
    }
    assert_eq!(line.tags(), "EZ", "there is no portal");
    line.send(&bind("a"));
    line.send(&sync());
    assert_eq!(line.tags(), "2Z");
}

#[test]
fn a_server_has_no_more_statements_than_it_may() {
    let mut line = Line::new();
    line.holds = Holds::with_bound(3);
    for round in 0..3 {
        for number in 0..8 {
            if round == 0 {
                line.send(&parse(&number.to_string(), &format!("text {number}")));
            }
            line.send(&bind(&number.to_string()));
            line.send(&sync());
            assert_eq!(line.tags(), if round == 0 { "12Z" } else { "2Z" });
            assert!(line.server.count() <= 3 && line.holds.count() <= 3);
        }
    }
}

#[test]
fn what_is_closed_behind_our_back_is_given_again() {
    let mut line = Line::new();
    line.send(&parse("a", "one"));
    line.send(&sync());
    line.told();
    line.server.forget_all();
    line.send(&bind("a"));
    line.send(&sync());
    let told = line.told();
    assert_eq!(model::tags(&told), "EZ");
    let words = String::from_utf8_lossy(&told);
    assert!(words.contains("\"a\" does not exist") && !words.contains("howdah"), "{words}");
    line.send(&bind("a"));
    line.send(&sync());
    assert_eq!(line.tags(), "2Z");
}

#[test]
fn a_very_long_statement_ties_the_client_to_its_server_until_it_is_closed() {
    let mut line = Line::new();
    let text = "x".repeat(LONGEST_PARSE);
    line.send(&parse("a", &text));
    line.send(&sync());
    assert_eq!(line.tags(), "1Z");
    assert!(line.names.are_tied());
    line.send(&bind("a"));
    line.send(&close("a"));
    line.send(&sync());
    assert_eq!(line.tags(), "23Z");
    assert!(!line.names.are_tied() && line.names.count() == 0);
}

#[test]
fn what_a_lost_server_did_not_answer_is_undone() {
    let mut line = Line::new();
    line.send(&parse("a", "one"));
    line.send(&sync());
    line.told();
    for message in [close("a"), parse("b", "two"), parse("", "three"), bind("b"), sync()] {
        line.send(&message);
    }
    line.names.lost();
    (line.holds, line.server) = (Holds::default(), Server::default());
    assert!(line.names.is_quiet() && line.names.count() == 1);
    // The same again, on another server.
    for message in [close("a"), parse("b", "two"), bind("b"), bind(""), sync()] {
        line.send(&message);
    }
    assert_eq!(line.tags(), "312EZ", "what it had without a name never came");
}

#[test]
fn a_sync_within_a_copy_is_not_waited_for() {
    let mut line = Line::new();
    for message in [parse("", "copy"), bind(""), execute(), sync()] {
        line.send(&message);
    }
    assert_eq!(line.tags(), "12G");
    assert!(!line.names.is_quiet());
    for message in [message(b'd', b"row"), message(b'c', b""), sync()] {
        line.send(&message);
    }
    assert_eq!(line.tags(), "CZ");
    assert!(line.names.is_quiet());
    // All at once.
    let copy = [parse("", "copy"), bind(""), execute(), message(b'd', b"row")];
    for message in copy.into_iter().chain([message(b'c', b""), sync()]) {
        line.send(&message);
    }
    assert_eq!(line.tags(), "12GCZ");
    assert!(line.names.is_quiet());
}

#[test]
fn names_are_gone_with_what_takes_all_statements_away() {
    let mut line = Line::new();
    for message in [parse("a", "one"), parse("all", "deallocate all"), sync()] {
        line.send(&message);
    }
    assert_eq!(line.tags(), "11Z");
    for message in [bind("all"), execute(), sync()] {
        line.send(&message);
    }
    assert!(line.offer(&bind("a")).is_none(), "it has to wait");
    assert_eq!(line.tags(), "2CZ");
    assert_eq!((line.names.count(), line.holds.count()), (0, 0));
    for message in [bind("a"), sync(), parse("a", "two"), bind("a"), sync()] {
        line.send(&message);
    }
    assert_eq!(line.tags(), "EZ12Z");
}

#[test]
fn the_statement_without_a_name_is_the_one_that_was_prepared_last() {
    let (mut line, mut other) = (Line::new(), Line::new());
    let mut change = |line: &mut Line| {
        std::mem::swap(&mut line.holds, &mut other.holds);
        std::mem::swap(&mut line.server, &mut other.server);
    };
    let ask = |line: &mut Line, message: Vec<u8>| {
        line.send(&message);
        line.send(&sync());
        line.tags()
    };
    assert_eq!(ask(&mut line, parse("", "one")), "1Z");
    change(&mut line);
    assert_eq!(ask(&mut line, bind("")), "2Z", "it came along");
    assert_eq!(ask(&mut line, parse("", "bad")), "EZ");
    change(&mut line);
    assert_eq!(ask(&mut line, bind("")), "EZ", "there is none, although this server has one");
    assert_eq!(ask(&mut line, parse("", "two")), "1Z");
    assert_eq!(ask(&mut line, message(b'Q', b"three\0")), "DCZZ");
    change(&mut line);
    assert_eq!(ask(&mut line, bind("")), "EZ", "a simple query has taken it away");
}

#[test]
fn few_answers_are_outstanding_at_one_time() {
    let mut line = Line::new();
    for _ in 0..MOST_EXPECTED {
        line.send(&execute());
    }
    assert!(line.offer(&execute()).is_none());
    line.told();
    line.send(&sync());
    assert_eq!(line.tags(), "Z");
}
