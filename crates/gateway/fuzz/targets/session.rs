//! A whole gateway between a client and a server that both send what they like once the session is
//! open. It must let both go and be as before.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use howdah_gateway::routes::cache;
use howdah_gateway::scram::{PLAIN, server};
use howdah_gateway::server::SOCKET;
use howdah_gateway::{Capacity, Commits, Config, Gateway, Plaintext, Timeouts, tls};
use howdah_model::ids::DatabaseId;
use howdah_model::route::{Mode, Replication, Route, RouteTable, Stage, Target};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tokio_util::sync::CancellationToken;

use super::scram::{SECRETS, VERIFIER};
use super::{Input, counted, message};

/// How long anything may take before it counts as stuck.
const BOUND: Duration = Duration::from_secs(10);
/// How long either side waits for the other, as most that is sent is never answered.
const PAUSE: Duration = Duration::from_millis(2);

/// A gateway that runs until the process ends.
struct World {
    gateway: Arc<Gateway>,
    /// Where a client gets a server of its own, and where one for each transaction.
    ports: [SocketAddr; 2],
    /// What the server sends in its next sessions.
    script: Sender<Vec<Vec<u8>>>,
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::start()));

/// One session, from its log-in to its end.
pub(crate) fn run(data: &[u8]) {
    let world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut input = Input(data);
    let address = world.ports[usize::from(input.byte()) % 2];
    let (mut of_client, mut of_server) = (Vec::new(), Vec::new());
    for _ in 0..16 {
        of_client.push(input.bytes().to_vec());
        of_server.push(input.bytes().to_vec());
    }
    world.script.send(of_server).expect("the server is there");
    let _ = attack(address, &of_client);
    let begun = Instant::now();
    while world.gateway.stats().clients > 0 {
        assert!(begun.elapsed() < BOUND, "a session does not end");
        thread::park_timeout(Duration::from_micros(200));
    }
}

impl World {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory").keep();
        let (script, scripts) = channel();
        serve(&dir, scripts);
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let gateway = Arc::new(Gateway::bind(config(&dir)).await.expect("a gateway"));
                sender.send(gateway.clone()).expect("the starter waits");
                gateway.run(CancellationToken::new()).await.expect("it runs");
            });
        });
        let gateway = receiver.recv_timeout(BOUND).expect("a gateway");
        let ports = [gateway.local_addr(), gateway.pool_addr().expect("a second port")];
        Self { gateway, ports, script }
    }
}

fn config(dir: &Path) -> Config {
    let short = Duration::from_millis(20);
    let route = Route {
        known_as: None,
        role: "u".parse().expect("a role"),
        database: "d".parse().expect("a database"),
        database_id: DatabaseId::new(),
        verifier: VERIFIER.parse().expect("a verifier"),
        connection_limit: 1000,
        mode: Mode::default(),
        replication: Replication::Allowed,
        stage: Stage::default(),
        target: Target::Local { socket_dir: dir.to_owned() },
    };
    let kept = dir.join("routes.json");
    cache::store(&kept, &RouteTable { version: 1, routes: vec![route] }).expect("routes");
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        pool_listen: Some(([127, 0, 0, 1], 0).into()),
        commits: Commits::default(),
        tls: tls::ensure(&dir.join("tls"), &[]).expect("certificates").gateway,
        plaintext: Plaintext::Loopback,
        routes: dir.join("nobody.sock"),
        cache: kept,
        threads: 1,
        capacity: Capacity::default(),
        timeouts: Timeouts {
            handshake: Duration::from_secs(2),
            route: short,
            ready: short,
            server: Duration::from_millis(300),
            hold: short,
            queue: short,
            farewell: short,
        },
    }
}

/// A server that opens every session and then follows the script; `None` in its place is an end.
fn serve(dir: &Path, scripts: Receiver<Vec<Vec<u8>>>) {
    let path: PathBuf = dir.join(SOCKET);
    let listener = UnixListener::bind(path).expect("a socket");
    thread::spawn(move || {
        let mut script = Vec::new();
        for stream in listener.incoming() {
            while let Ok(next) = scripts.try_recv() {
                script = next;
            }
            let script = script.clone();
            thread::spawn(move || stream.and_then(|stream| answer(stream, &script)));
        }
    });
}

fn answer(mut stream: UnixStream, script: &[Vec<u8>]) -> io::Result<()> {
    let bounds = (Some(BOUND), Some(BOUND));
    stream.set_read_timeout(bounds.0)?;
    stream.set_write_timeout(bounds.1)?;
    let first = read_packet(&mut stream)?;
    if first.starts_with(&80_877_102u32.to_be_bytes()) {
        return Ok(());
    }
    let (keys, _) = &*SECRETS;
    stream.write_all(&authentication(10, b"SCRAM-SHA-256\0\0"))?;
    let initial = read_message(&mut stream)?;
    // Mechanism, zero and length come before the text.
    let text = String::from_utf8_lossy(initial.get(PLAIN.len() + 5..).unwrap_or_default());
    let exchange = server::Exchange::begin(PLAIN, &text, None, keys, "ofserver").expect("SCRAM");
    stream.write_all(&authentication(11, exchange.server_first().as_bytes()))?;
    let last = String::from_utf8_lossy(&read_message(&mut stream)?).into_owned();
    let proven = exchange.finish(&last, keys).expect("the gateway knows the key");
    let greeting = [
        authentication(12, proven.server_final.as_bytes()),
        authentication(0, &[]),
        message(b'S', b"client_encoding\0UTF8\0"),
        message(b'S', b"server_version\x0018.0\0"),
        message(b'K', &[0, 0, 0, 9, 1, 2, 3, 4]),
        message(b'Z', b"I"),
    ];
    stream.write_all(&greeting.concat())?;
    follow(&mut stream, script)
}

/// Sends one piece after the other, each after the other side has said something or a moment has
/// passed.
fn follow(stream: &mut (impl Read + Write + Pausing), script: &[Vec<u8>]) -> io::Result<()> {
    let mut sink = [0; 16 * 1024];
    stream.pause(PAUSE)?;
    for piece in script.iter().filter(|piece| !piece.is_empty()) {
        stream.write_all(piece)?;
        match stream.read(&mut sink) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

trait Pausing {
    fn pause(&self, bound: Duration) -> io::Result<()>;
}

impl Pausing for UnixStream {
    fn pause(&self, bound: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(bound))
    }
}

impl Pausing for TcpStream {
    fn pause(&self, bound: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(bound))
    }
}

fn attack(address: SocketAddr, script: &[Vec<u8>]) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(BOUND))?;
    stream.set_write_timeout(Some(BOUND))?;
    let packet = b"\0\x03\0\x02user\0u\0database\0d\0\0";
    let length = u32::try_from(packet.len() + 4).expect("small").to_be_bytes();
    stream.write_all(&[&length[..], packet].concat())?;
    let mut scram = ScramSha256::new(b"pencil", ChannelBinding::unsupported());
    read_message(&mut stream)?;
    let first = scram.message();
    let size = u32::try_from(first.len()).expect("small").to_be_bytes();
    let initial = [PLAIN.as_bytes(), b"\0", &size[..], first].concat();
    stream.write_all(&message(b'p', &initial))?;
    let challenge = read_message(&mut stream)?;
    scram.update(challenge.get(4..).unwrap_or_default())?;
    stream.write_all(&message(b'p', scram.message()))?;
    // The greeting ends with a ReadyForQuery; who was refused is told and finds an end.
    while read_tagged(&mut stream)?.0 != b'Z' {}
    follow(&mut stream, script)
}

fn authentication(kind: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes()[..], data].concat())
}

fn read_packet(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let size = (u32::from_be_bytes(length) as usize).saturating_sub(4);
    let mut body = vec![0; size.min(1 << 20)];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn read_tagged(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut tag = [0];
    stream.read_exact(&mut tag)?;
    Ok((tag[0], read_packet(stream)?))
}

fn read_message(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    Ok(read_tagged(stream)?.1)
}

/// Pieces of client and server in turn.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let turn = |client: &[u8], server: &[u8]| [counted(client), counted(server)].concat();
    let ready = message(b'Z', b"I");
    let query = [
        turn(&message(b'Q', b"select 1\0"), b""),
        turn(
            b"",
            &[message(b'D', b"\0\x01"), message(b'C', b"SELECT 1\0"), ready.clone()].concat(),
        ),
        turn(
            &message(b'Q', b"set a.b = 'c'\0"),
            &[message(b'C', b"SET\0"), ready.clone()].concat(),
        ),
        turn(b"", &[message(b'1', b""), message(b'2', b""), ready.clone()].concat()),
    ];
    let pipeline =
        [message(b'P', b"s\0select $1\0\0\0"), message(b'B', &[0; 8]), message(b'E', &[0; 5])];
    let pipeline = [pipeline.concat(), message(b'S', b""), message(b'X', b"")];
    let answers =
        [message(b'1', b""), message(b'2', b""), message(b'C', b"SELECT 1\0"), ready.clone()];
    let extended = [turn(&pipeline.concat(), &answers.concat())];
    let copy = [
        turn(&message(b'Q', b"copy t from stdin\0"), &message(b'G', &[0; 3])),
        turn(&[message(b'd', b"row\n"), message(b'c', b"")].concat(), &message(b'C', b"COPY 1\0")),
        turn(b"", &ready),
    ];
    let fatal = message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mgoing\0\0");
    let lost = [turn(&message(b'Q', b"select 1\0"), &fatal)];
    let pinned =
        [turn(&message(b'Q', b"listen x\0"), &[message(b'C', b"LISTEN\0"), ready].concat())];
    let all = [query.concat(), extended.concat(), copy.concat(), lost.concat(), pinned.concat()];
    let on_port = |port: u8| all.iter().map(move |turns| [&[port][..], turns].concat());
    on_port(0).chain(on_port(1)).collect()
}
