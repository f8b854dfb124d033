//! The record of a session, with its lexer and what reads a server's account of its state.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use howdah_gateway::message::Message;
use howdah_gateway::session::record::{Extent, Record, Reported, Script, Shelf, Tenure};
use howdah_gateway::startup::{Packet, Startup, parse};

use super::{Input, counted, counted_long};

fn startup() -> Startup {
    match parse(b"\0\x03\0\0user\0u\0database\0d\0search_path\0a\0options\0-c a.b=c\0\0") {
        Ok(Packet::Startup(startup)) => startup,
        other => panic!("{other:?}"),
    }
}

/// What is sent to a server is made of whole messages, and is answered as often as it says.
fn check(script: &Script) {
    let (mut rest, mut ready) = (&script.bytes[..], 0);
    while let Some(([tag, a, b, c, d], after)) = rest.split_first_chunk() {
        let size = u32::from_be_bytes([*a, *b, *c, *d]).checked_sub(4).expect("a length");
        rest = after.get(size as usize..).expect("a whole message");
        ready += usize::from(matches!(tag, b'Q' | b'S' | b'F'));
        assert!(b"QPBEDCSH".contains(tag), "a message of type {tag}");
    }
    assert!(rest.is_empty());
    assert_eq!(ready, script.ready);
}

/// A server's account of the state, for which `json` is taken as it is.
fn account(timeout: &[u8], json: &[u8]) -> Vec<Message> {
    let row = |text: &[u8]| {
        let length = u32::try_from(text.len()).expect("small").to_be_bytes();
        Message { tag: b'D', body: [&[0, 1], &length[..], text].concat() }
    };
    vec![row(timeout), row(BASE64_STANDARD.encode(json).as_bytes())]
}

/// Any history is survived, and what would bring another server to the same state is well formed.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let tenure = if input.byte() & 1 == 0 { Tenure::Own } else { Tenure::Shared };
    let mut reported = Reported::default();
    reported.note(b"client_encoding\0UTF8\0");
    let mut record = Record::new(Arc::new(Shelf::default()), &startup(), tenure, reported);
    while !input.is_empty() {
        step(&mut record, &mut input);
    }
    for script in [record.snapshot(), record.fill(), record.refill()] {
        check(&script);
        let _ = script.judge(&[]);
    }
    check(&record.finish(&[b"name", b"other"]));
    let _ =
        (record.pins(), record.carried().iter().count(), record.differences(&Reported::default()));
}

fn step(record: &mut Record, input: &mut Input<'_>) {
    let what = input.byte();
    let extent = if what & 0x80 == 0 { Extent::Whole } else { Extent::Beginning };
    match what & 0x0f {
        0 => record.query(input.long(), extent),
        1 => record.parse(input.long(), extent),
        2 => record.bind(input.bytes()),
        3 => record.close(input.bytes()),
        4 => record.request_ended(),
        5 => record.parse_complete(),
        6 => record.close_complete(),
        7 => record.parameter(input.bytes()),
        8 => record.command_complete(input.bytes()),
        9 => record.error(),
        10 => record.ready(input.byte()),
        11 => record.server_lost(),
        12 => {
            let (timeout, json) = (input.bytes(), input.long());
            let _ = record.learn(&account(timeout, json));
        }
        13 => {
            let mut answers = Vec::new();
            for _ in 0..input.byte() % 5 {
                answers.push(Message { tag: input.byte(), body: input.bytes().to_vec() });
            }
            let _ = record.learn(&answers);
        }
        _ => record.ready(b'I'),
    }
}

/// Histories.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let named = |what: u8, bytes: &[u8]| [vec![what], counted(bytes)].concat();
    let text = |what: u8, bytes: &[u8]| [vec![what], counted_long(bytes)].concat();
    let json = br#"{"settings":[["work_mem","5MB"],["statement_timeout","0"]],"custom":[["a.b","c"]],"role":"none","user":"u","role_default":false,"idle_limit":true,"statements":[["p",true,"prepare p as select 1"],["q",false,""]],"listens":["news"],"held":false,"temporary":true,"locks":false,"slots":false}"#;
    let small = br#"{"role":"r","user":"v","role_default":true,"idle_limit":false,"held":true,"temporary":false,"locks":true,"slots":false,"statements":[["p",true,"prepare p as select 1"]]}"#;
    let prepared = [
        vec![0],
        text(1, b"s1\0select set_config('a.b', $1, false)\0\0\0"),
        named(2, b"\0s1\0\0\0\0\x01\0\0\0\x01x\0\0"),
        vec![4, 5],
        named(8, b"SELECT 1\0"),
        vec![10, b'I'],
        named(3, b"Ss1\0"),
        vec![4, 6, 10, b'I'],
    ];
    let texts = [
        vec![1],
        text(0, b"set /* /* */ */ a.b = 'it''s'; listen \"N\"; -- x\n prepare p as select $1"),
        named(8, b"SET\0"),
        named(8, b"LISTEN\0"),
        text(0x80, b"create temp table t as select $tag$ ; $tag$, E'\\'' , U&'x'"),
        vec![9, 10, b'E', 10, b'I'],
        [vec![12], counted(b"5s"), counted_long(small)].concat(),
        named(7, b"application_name\0x\0"),
        vec![11],
    ];
    let asked =
        [vec![0], [vec![12], counted(b"0"), counted_long(json)].concat(), vec![13, 2, b'E', 0]];
    vec![prepared.concat(), texts.concat(), asked.concat()]
}
