use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::startup::{Packet, parse};

fn startup() -> Startup {
    let packet = [&(3_u32 << 16).to_be_bytes()[..], b"user\0app\0\0"].concat();
    let Ok(Packet::Startup(startup)) = parse(&packet) else { panic!("a startup packet") };
    startup
}

fn record() -> Record {
    Record::new(Arc::default(), &startup(), Tenure::Own, Reported::default())
}

/// What a client sends, as far as prepared statements go.
#[derive(Clone, Debug)]
enum Sent {
    /// A name of which `0` is none, a text, and whether the server understands it.
    Parse(u8, u8, Fate),
    Close(u8),
    ClosePortal,
    /// Something else of the batch.
    Other(Fate),
    Sync,
    /// A simple query; it comes between two batches only.
    Query(Fate),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Good,
    Bad,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![5 => Just(Fate::Good), 1 => Just(Fate::Bad)]
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => (0_u8..4, any::<u8>(), fate()).prop_map(|(name, text, fate)| Sent::Parse(name, text, fate)),
        3 => (0_u8..4).prop_map(Sent::Close),
        1 => Just(Sent::ClosePortal),
        1 => fate().prop_map(Sent::Other),
        4 => Just(Sent::Sync),
        1 => fate().prop_map(Sent::Query),
    ]
}

fn name_of(name: u8) -> Vec<u8> {
    if name == 0 { Vec::new() } else { vec![b'a' + name] }
}

fn text_of(text: u8) -> Vec<u8> {
    // Of many lengths, so that a wrong one is noticed.
    [format!("select {}", "1".repeat(1 + usize::from(text))).as_bytes(), &[0; 3]].concat()
}

/// PostgreSQL's rules: what is prepared, and which answers there are.
#[derive(Debug, Default)]
struct Server {
    statements: BTreeMap<u8, u8>,
    skips: bool,
    /// Whether an error came with a `Parse` of the unnamed statement on its way: whether PostgreSQL
    /// came to it cannot be seen from its answers.
    unnamed_is_open: bool,
    answers: VecDeque<u8>,
}

impl Server {
    fn take(&mut self, sent: &Sent) {
        match sent {
            Sent::Sync => {
                self.skips = false;
                self.answers.push_back(b'Z');
            }
            Sent::Query(fate) => {
                self.statements.remove(&0);
                self.unnamed_is_open = false;
                self.answers.push_back(if *fate == Fate::Good { b'C' } else { b'E' });
                self.answers.push_back(b'Z');
            }
            Sent::Parse(0, _, _) if self.skips => self.unnamed_is_open = true,
            _ if self.skips => {}
            Sent::Parse(name, text, fate) => {
                if *name == 0 {
                    self.statements.remove(name);
                    self.unnamed_is_open = false;
                }
                if *fate == Fate::Bad || self.statements.contains_key(name) {
                    self.fail();
                } else {
                    self.statements.insert(*name, *text);
                    self.answers.push_back(b'1');
                }
            }
            Sent::Close(name) => {
                self.statements.remove(name);
                self.unnamed_is_open &= *name != 0;
                self.answers.push_back(b'3');
            }
            Sent::ClosePortal => self.answers.push_back(b'3'),
            Sent::Other(Fate::Good) => self.answers.push_back(b'C'),
            Sent::Other(Fate::Bad) => self.fail(),
        }
    }

    fn fail(&mut self) {
        self.skips = true;
        self.answers.push_back(b'E');
    }
}

fn show(record: &mut Record, sent: &Sent) {
    match sent {
        Sent::Parse(name, text, _) => {
            let body = [&name_of(*name)[..], &[0], &text_of(*text)].concat();
            record.parse(&body, Extent::Whole);
        }
        Sent::Close(name) => record.close(&[b"S", &name_of(*name)[..], &[0]].concat()),
        Sent::ClosePortal => record.close(b"Pa\0"),
        Sent::Other(_) => {}
        Sent::Sync => record.request_ended(),
        Sent::Query(_) => {
            record.query(b"select 1\0", Extent::Whole);
            record.request_ended();
        }
    }
}

fn hear(record: &mut Record, answer: u8) {
    match answer {
        b'1' => record.parse_complete(),
        b'3' => record.close_complete(),
        b'C' => record.command_complete(b"SELECT 1\0"),
        b'E' => record.error(),
        _ => record.ready(b'I'),
    }
}

proptest! {
    /// H22: pipelines of any shape, answered with any delay.
    #[test]
    fn the_record_has_what_the_server_has(
        steps in prop::collection::vec((sent(), 0_usize..4), 0..60),
    ) {
        let (mut record, mut server) = (record(), Server::default());
        let mut within = false;
        let end = [(Sent::Sync, 1000), (Sent::Sync, 1000)];
        for (sent, heard) in steps.into_iter().chain(end) {
            if within && matches!(sent, Sent::Query(_)) {
                continue;
            }
            within = !matches!(sent, Sent::Sync | Sent::Query(_));
            show(&mut record, &sent);
            server.take(&sent);
            let count = heard.min(server.answers.len());
            server.answers.drain(..count).for_each(|answer| hear(&mut record, answer));
        }
        prop_assert!(record.pending.is_empty());
        let mut size = 0;
        for (name, one) in &record.named {
            size += size_of_named(name, one.body());
        }
        prop_assert_eq!(record.named_size, size);
        for name in 1..4 {
            let known = record.statement(&name_of(name)).map(|one| one.body().to_vec());
            prop_assert_eq!(known, server.statements.get(&name).map(|text| text_of(*text)));
        }
        if !server.unnamed_is_open {
            let known = record.unnamed().map(<[u8]>::to_vec);
            prop_assert_eq!(known, server.statements.get(&0).map(|text| text_of(*text)));
        }
    }

    #[test]
    fn no_client_and_no_server_makes_it_panic(
        messages in prop::collection::vec(
            (0_u8..12, prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..20)), 0..50),
    ) {
        let mut record = record();
        for (kind, body) in messages {
            match kind {
                0 => record.query(&body, Extent::Whole),
                1 => record.parse(&body, Extent::Whole),
                2 => record.close(&body),
                3 => record.bind(&body),
                4 => record.request_ended(),
                5 => record.parse_complete(),
                6 => record.close_complete(),
                7 => record.parameter(&body),
                8 => record.command_complete(&body),
                9 => record.error(),
                10 => record.parse(&body, Extent::Beginning),
                _ => record.ready(body.first().copied().unwrap_or(b'I')),
            }
        }
    }
}

#[test]
fn a_session_that_rests_takes_little_memory() {
    assert!(size_of::<Record>() <= 512, "{}", size_of::<Record>());
    let mut record = record();
    for length in [10, 100, 10_000] {
        let body = [b"\0select '", "x".repeat(length).as_bytes(), b"'\0\0\0"].concat();
        for _ in 0..100 {
            record.parse(&body, Extent::Whole);
            record.request_ended();
        }
        for _ in 0..100 {
            record.parse_complete();
            record.ready(b'I');
        }
        assert_eq!(record.unnamed(), Some(&body[1..]));
        let spare = record.unnamed.capacity() + 1 - body.len();
        assert!(spare <= 1024 + length, "{spare} above {length}");
    }
    record.query(b"select 1\0", Extent::Whole);
    record.request_ended();
    record.ready(b'I');
    assert_eq!(record.unnamed(), None);
    assert!(record.unnamed.capacity() <= 1024, "{}", record.unnamed.capacity());
}

#[test]
fn too_many_statements_are_not_kept_and_tie_the_session() {
    let mut record = record();
    let text = "x".repeat(1024 * 1024);
    for number in 0..20 {
        record.parse(format!("s{number}\0{text}\0\0\0").as_bytes(), Extent::Whole);
        record.request_ended();
        record.parse_complete();
        record.ready(b'I');
    }
    assert!(record.named_size <= LARGEST_STATEMENTS && record.named.len() == 15);
    assert!(record.pins().has(Tie::LargeStatements) && !record.pins().can_move());
    record.command_complete(b"DEALLOCATE ALL\0");
    assert!(record.pins().can_move() && record.named_size == 0);
}

#[test]
fn sessions_that_heard_the_same_share_it() {
    let shelf = Arc::new(Shelf::default());
    let mut reported = Reported::default();
    reported.note(b"TimeZone\0UTC\0");
    let new = || {
        let shelf = Arc::clone(&shelf);
        Record::new(shelf, &startup(), Tenure::Own, Reported { bytes: reported.bytes[..].into() })
    };
    let (one, mut other) = (new(), new());
    assert!(Arc::ptr_eq(&one.reported.bytes, &other.reported.bytes));
    other.parameter(b"TimeZone\0GMT\0");
    assert!(!other.is_dirty());
    other.request_ended();
    other.ready(b'T');
    assert!(!other.is_dirty());
    other.request_ended();
    other.ready(b'I');
    assert!(other.is_dirty());
    let told = one.differences(other.reported());
    assert_eq!(told, b"S\0\0\0\x11TimeZone\0GMT\0");
}

#[test]
fn a_promotion_is_no_change_of_the_session() {
    let mut record = record();
    record.parameter(b"in_hot_standby\0on\0");
    record.parameter(b"in_hot_standby\0off\0");
    record.request_ended();
    record.ready(b'I');
    assert!(!record.is_dirty());
}
