//! Any order in which clients send, servers work, and answers arrive.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::model::{Server, message, split, tags};
use crate::session::names::{Answer, Holds, Names, PARSE_COMPLETE, Part, Verdict};
use crate::statement::Statements;

const CLIENTS: usize = 3;
const SERVERS: usize = 2;

#[derive(Clone)]
struct Said(Vec<u8>);

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", char::from(self.0[0]), String::from_utf8_lossy(&self.0[5..]))
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A client says something.
    Say(usize, Said),
    /// The gateway sends the next message of a client on.
    Forward(usize),
    /// A server carries out so many messages.
    Work(usize, usize),
    /// The gateway reads so many messages of a server.
    Hear(usize, usize),
}

fn said() -> impl Strategy<Value = Vec<u8>> {
    let name = || prop_oneof![2 => Just(""), 3 => Just("a"), 2 => Just("b"), 1 => Just("howdah_0000000000000000")];
    let portal = || prop_oneof![4 => Just(""), 1 => Just("p")];
    let text = || {
        prop_oneof![
            6 => prop::sample::select(vec!["one", "two", "three", "four"]),
            3 => prop::sample::select(vec!["begin", "rollback", "commit"]),
            2 => prop::sample::select(vec!["bad", "fail", ""]),
        ]
    };
    // Within one batch its effect on names is not foreseen.
    let query = || prop_oneof![6 => text(), 1 => Just("deallocate all")];
    let body = |parts: &[&[u8]]| parts.concat();
    prop_oneof![
        5 => (name(), text()).prop_map(move |(name, text)| message(
            b'P', &body(&[name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"]))),
        6 => (portal(), name()).prop_map(move |(portal, name)| message(
            b'B', &body(&[portal.as_bytes(), b"\0", name.as_bytes(), b"\0\0\0\0\0\0\0"]))),
        2 => name().prop_map(move |name| message(b'D', &body(&[b"S", name.as_bytes(), b"\0"]))),
        1 => portal().prop_map(move |name| message(b'D', &body(&[b"P", name.as_bytes(), b"\0"]))),
        5 => portal().prop_map(move |name| message(b'E', &body(&[name.as_bytes(), b"\0\0\0\0\0"]))),
        2 => name().prop_map(move |name| message(b'C', &body(&[b"S", name.as_bytes(), b"\0"]))),
        1 => portal().prop_map(move |name| message(b'C', &body(&[b"P", name.as_bytes(), b"\0"]))),
        6 => Just(message(b'S', b"")),
        2 => query().prop_map(|text| message(b'Q', &[text.as_bytes(), b"\0"].concat())),
        1 => Just(message(b'H', b"")),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..CLIENTS, said()).prop_map(|(client, said)| Step::Say(client, Said(said))),
        4 => (0..CLIENTS).prop_map(Step::Forward),
        2 => (0..SERVERS, 1usize..4).prop_map(|(server, most)| Step::Work(server, most)),
        2 => (0..SERVERS, 1usize..4).prop_map(|(server, most)| Step::Hear(server, most)),
    ]
}

#[derive(Default)]
struct Client {
    names: Names,
    /// Said, and not sent on.
    waiting: std::collections::VecDeque<Vec<u8>>,
    server: Option<usize>,
    idle: bool,
    told: Vec<u8>,
    /// A server of its own that is told the same.
    own: Server,
}

struct World {
    clients: [Client; CLIENTS],
    servers: [(Server, Holds); SERVERS],
    statements: Statements,
    /// What each name of ours was first seen to mean.
    meanings: HashMap<Vec<u8>, Vec<u8>>,
    turn: usize,
    /// Statements are kept, so that no number is given twice.
    kept: Vec<Arc<crate::statement::Statement>>,
}

impl World {
    fn new() -> Self {
        Self {
            clients: std::array::from_fn(|_| Client { idle: true, ..Client::default() }),
            servers: std::array::from_fn(|_| (Server::default(), Holds::with_bound(2))),
            statements: Statements::default(),
            meanings: HashMap::new(),
            turn: 0,
            kept: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Say(client, said) => {
                self.clients[*client].waiting.push_back(said.0.clone());
                self.clients[*client].own.receive(&said.0);
            }
            Step::Forward(client) => {
                self.forward(*client);
            }
            Step::Work(server, most) => self.work(*server, *most),
            Step::Hear(server, most) => {
                self.hear(*server, *most);
            }
        }
    }

    fn forward(&mut self, index: usize) -> bool {
        let taken: Vec<_> = self.clients.iter().filter_map(|client| client.server).collect();
        let client = &mut self.clients[index];
        let Some(message) = client.waiting.front() else { return false };
        // Another one each time, if there is a choice.
        self.turn += 1;
        let from = self.turn;
        let mut servers = (0..SERVERS).map(|server| (server + from) % SERVERS);
        let free = servers.find(|server| !taken.contains(server));
        let Some(server) = client.server.or(free) else { return false };
        let (model, holds) = &mut self.servers[server];
        client.server = Some(server);
        let length = u32::from_be_bytes(message[1..5].try_into().expect("a length"));
        let part = Part { tag: message[0], length, body: &message[5..] };
        let mut output = Vec::new();
        match client.names.client(part, holds, &self.statements, &mut output) {
            Ok(Verdict::Send { replaces }) => {
                output.extend_from_slice(&message[replaces..]);
                model.receive(&output);
                client.waiting.pop_front();
                true
            }
            Ok(Verdict::Wait) => {
                assert!(output.is_empty(), "nothing may be sent yet");

                false
            }
            other => panic!("{other:?}"),
        }
    }

    fn work(&mut self, server: usize, most: usize) {
        let (model, _) = &mut self.servers[server];
        for _ in 0..most {
            model.work(1);
            for (name, text) in model.named() {
                if !name.starts_with(b"howdah_fffffffffffffff") {
                    let known = self.meanings.entry(name.clone()).or_insert_with(|| text.clone());
                    assert_eq!(known, text, "a name of ours means two things");
                    let body = [text, &b"\0\0\0"[..]].concat();
                    self.kept.push(self.statements.intern(&body));
                }
            }
        }
    }

    fn hear(&mut self, server: usize, most: usize) -> bool {
        let mut heard = false;
        for _ in 0..most {
            let (model, holds) = &mut self.servers[server];
            let Some(message) = model.said() else { return heard };
            heard = true;
            let user = self.clients.iter_mut().find(|client| client.server == Some(server));
            let client = user.expect("a server speaks to who has it");
            let length = u32::from_be_bytes(message[1..5].try_into().expect("a length"));
            let body = &message[5..5 + Names::wanted(message[0], length)];
            let answer = client.names.server(message[0], length, body, holds, &self.statements);
            match answer.expect("in order") {
                Answer::Pass => client.told.extend(&message),
                Answer::Swallow => {}
                Answer::Instead(bytes) => client.told.extend(bytes),
                Answer::ParseComplete => client.told.extend(PARSE_COMPLETE),
            }
            if message[0] == b'Z' {
                client.idle = message[5] == b'I';
            }
            if client.idle && client.names.is_quiet() {
                client.server = None;
            }
        }
        heard
    }

    /// Lets all go on until nothing moves.
    fn finish(&mut self) {
        for _ in 0..2 {
            self.settle();
            // What is open is ended, so that everybody gets a server.
            for client in 0..CLIENTS {
                self.step(&Step::Say(client, Said(message(b'S', b""))));
                self.step(&Step::Say(client, Said(message(b'Q', b"rollback\0"))));
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        let mut moves = true;
        while moves {
            moves = false;
            for client in 0..CLIENTS {
                while self.forward(client) {
                    moves = true;
                }
            }
            for server in 0..SERVERS {
                self.work(server, 100);
                moves |= self.hear(server, usize::MAX);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn each_client_is_told_what_a_server_of_its_own_would_tell(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        world.finish();
        for client in &mut world.clients {
            prop_assert!(client.waiting.is_empty(), "{:?}", client.waiting);
            prop_assert!(client.names.is_quiet());
            client.own.work(usize::MAX);
            let mut wanted = Vec::new();
            while let Some(said) = client.own.said() {
                wanted.extend(said);
            }
            let readable = |bytes: &[u8]| -> Vec<String> {
                split(bytes).iter().map(|m| String::from_utf8_lossy(m).into_owned()).collect()
            };
            prop_assert_eq!(tags(&client.told), tags(&wanted));
            prop_assert_eq!(readable(&client.told), readable(&wanted));
            prop_assert_eq!(client.names.count(), client.own.count());
        }
    }
}
