//! Gateways of one home, one after the other: who accepts, at every step of a take-over and when one
//! of them is gone in the middle of it. H20.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use howdah_gateway::admin::client::Client;
use howdah_gateway::handover::{Duty, End, RunDir, Station, serve};
use howdah_gateway::{Capacity, Commits, Config, Gateway, Plaintext, Timeouts, tls};
use howdah_model::route::Mode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
const FOREVER: Duration = Duration::from_secs(3600);

/// `SSLRequest`: whoever serves answers with one letter.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The directory of a home.
struct Home {
    dir: tempfile::TempDir,
}

/// A gateway that serves in a task of this process.
struct Serving {
    gateway: Arc<Gateway>,
    stop: CancellationToken,
    task: JoinSet<End>,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("howdah-ho-").tempdir().expect("directory") }
    }

    fn run(&self) -> RunDir {
        RunDir::new(self.dir.path().to_owned())
    }

    async fn station(&self) -> Station {
        Station::take(&self.run(), PATIENCE).await.expect("a station")
    }

    /// Starts a gateway, which takes over from the one before it, and waits until it serves.
    async fn start(&self, drain: Duration) -> Serving {
        let mut station = self.station().await;
        let given = station.take_sockets();
        let config = config(self.dir.path());
        let gateway = Arc::new(Gateway::bind_with(config, given).await.expect("bound"));
        let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
        let (told, ready) = oneshot::channel();
        let serving = serve(gateway.clone(), station, drain, stop.clone(), || {
            let _ = told.send(());
        });
        task.spawn(async move { serving.await.expect("it serves") });
        timeout(PATIENCE, ready).await.expect("in time").expect("ready");
        Serving { gateway, stop, task }
    }

    /// The gateway that answers for the home.
    async fn current(&self) -> howdah_gateway::admin::About {
        let client = Client::new(self.run().current()).expect("a client");
        client.about().await.expect("an answer")
    }
}

impl Serving {
    fn address(&self) -> SocketAddr {
        self.gateway.local_addr()
    }

    fn duty(&self) -> Duty {
        self.gateway.listeners().duty()
    }

    /// How many clients came to it.
    fn came(&self) -> u64 {
        self.gateway.stats().clients_total
    }

    async fn until(&self, duty: Duty) {
        let waited = async {
            while self.duty() != duty {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("it does not {duty:?}"));
    }

    async fn end(&mut self) -> End {
        let ended = timeout(PATIENCE, self.task.join_next()).await.expect("it ends in time");
        ended.expect("it ran").expect("it did not panic")
    }

    /// Ends it as a kill does: nothing is said to anybody.
    async fn kill(mut self) {
        self.task.shutdown().await;
    }
}

fn config(dir: &Path) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        listen: any,
        pool_listen: Some(any),
        tls: tls::ensure(&dir.join("tls"), &[]).expect("certificates").gateway,
        plaintext: Plaintext::Loopback,
        routes: dir.join("control.sock"),
        cache: dir.join("routes.json"),
        threads: 1,
        capacity: Capacity::default(),
        commits: Commits::default(),
        timeouts: Timeouts::default(),
    }
}

/// Connects and is answered; the connection stays open for as long as it is kept.
async fn client(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it is not refused");
    stream.write_all(&SSL_REQUEST).await.expect("written");
    let mut answer = [0];
    let read = timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time");
    read.expect("an answer");
    assert_eq!(&answer, b"S");
    stream
}

#[tokio::test]
async fn h20_the_younger_one_accepts_on_the_same_ports_and_the_elder_ends_with_its_last_client() {
    let home = Home::new();
    let mut elder = home.start(FOREVER).await;
    let old = client(elder.address()).await;
    let younger = home.start(FOREVER).await;
    assert_eq!(younger.gateway.listeners().ports(), elder.gateway.listeners().ports());
    assert_eq!((elder.duty(), younger.duty()), (Duty::Drain, Duty::Serve));
    assert_eq!(home.current().await.elders, 1);
    let pool = younger.gateway.listeners().address(Mode::Transaction).expect("a port");
    for address in [elder.address(), pool, elder.address()] {
        client(address).await;
    }
    assert_eq!((elder.came(), younger.came()), (1, 3));
    drop(old);
    assert_eq!(elder.end().await, End::HandedOn);
    // Its figures go on in those of the younger one.
    let text = get(&home, "/stats").await;
    let stats: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(stats["clients_total"], 4, "{text}");
}

#[tokio::test]
async fn h20_clients_that_keep_coming_are_never_refused_while_gateways_follow_each_other() {
    const RESTARTS: usize = 10;
    let home = Home::new();
    let mut current = home.start(Duration::ZERO).await;
    let address = current.address();
    let done = CancellationToken::new();
    let mut comers = JoinSet::new();
    for _ in 0..4 {
        let done = done.clone();
        comers.spawn(async move {
            let mut served = 0_u64;
            while !done.is_cancelled() {
                client(address).await;
                served += 1;
            }
            served
        });
    }
    let mut came = 0;
    for _ in 0..RESTARTS {
        let before = current.came();
        let next = home.start(Duration::from_secs(5)).await;
        while next.came() < 50 {
            tokio::task::yield_now().await;
        }
        assert!(current.came() >= before);
        assert_eq!(current.end().await, End::HandedOn);
        came += current.came();
        current = next;
    }
    done.cancel();
    let served: u64 = comers.join_all().await.into_iter().sum();
    came += current.came();
    // Nobody was lost between: each client was counted by one gateway.
    assert!(served >= 50 * RESTARTS as u64 && came == served, "{served} served, {came} came");
}

#[tokio::test]
async fn h20_an_elder_accepts_again_when_the_younger_one_dies_at_any_step() {
    let home = Home::new();
    let elder = home.start(FOREVER).await;
    let old = client(elder.address()).await;

    // Before it asked for anything: its socket is there, and nobody listens any more.
    let wish = home.station().await;
    assert_eq!(elder.duty(), Duty::Serve);
    client(elder.address()).await;
    // It has everything and was not ready.
    drop(wish);
    client(elder.address()).await;
    assert_eq!(elder.came(), 3);

    // It served, and had clients of its own.
    let younger = home.start(FOREVER).await;
    let lost = client(elder.address()).await;
    assert_eq!((elder.came(), younger.came()), (3, 1));
    younger.kill().await;
    elder.until(Duty::Serve).await;
    drop(lost);
    client(elder.address()).await;
    assert_eq!(elder.came(), 4);
    assert_eq!(home.current().await.duty, Duty::Serve);

    // And it can hand on after all that.
    let mut younger = home.start(FOREVER).await;
    client(elder.address()).await;
    assert_eq!((elder.came(), younger.came()), (4, 1));
    drop(old);
    younger.stop.cancel();
    assert_eq!(younger.end().await, End::Stopped);
}

#[tokio::test]
async fn h20_the_younger_one_goes_on_when_the_elder_dies_at_any_step() {
    let home = Home::new();
    let elder = home.start(FOREVER).await;
    let address = elder.address();
    let mut station = home.station().await;
    let given = station.take_sockets();
    elder.kill().await;
    // Nobody accepts; the kernel keeps who comes.
    let waiting = TcpStream::connect(address).await.expect("it is not refused");
    let gateway = Gateway::bind_with(config(home.dir.path()), given).await.expect("bound");
    let gateway = Arc::new(gateway);
    assert_eq!(gateway.local_addr(), address);
    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    let serving = serve(gateway.clone(), station, FOREVER, stop.clone(), || ());
    task.spawn(async move { serving.await.expect("it serves") });
    client(address).await;
    drop(waiting);

    let younger = home.start(FOREVER).await;
    task.shutdown().await;
    client(address).await;
    assert_eq!(younger.duty(), Duty::Serve);
    let gone = async {
        while home.current().await.elders > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it is noticed");
}

#[tokio::test]
async fn an_elder_of_an_elder_goes_on_and_does_not_come_back() {
    let home = Home::new();
    let mut first = home.start(FOREVER).await;
    let address = first.address();
    let old = client(address).await;
    let mut second = home.start(FOREVER).await;
    let newer = client(address).await;
    let third = home.start(FOREVER).await;
    assert_eq!(home.current().await.elders, 2);
    drop(newer);
    assert_eq!(second.end().await, End::HandedOn);
    // The connection to the first one ended with the second.
    client(address).await;
    assert_eq!((first.duty(), third.came()), (Duty::Drain, 1));
    drop(old);
    assert_eq!(first.end().await, End::HandedOn);
    let text = get(&home, "/stats").await;
    let stats: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&stats["clients_total"], &stats["clients"]), (&3.into(), &0.into()), "{text}");
}

#[tokio::test]
async fn whoever_stops_the_gateway_stops_its_elders() {
    let home = Home::new();
    let mut elder = home.start(FOREVER).await;
    let _old = client(elder.address()).await;
    let mut younger = home.start(FOREVER).await;
    younger.stop.cancel();
    assert_eq!(younger.end().await, End::Stopped);
    assert_eq!(elder.end().await, End::Stopped);
    drop((elder, younger));
    assert!(Station::free(&home.run()).expect("tried").is_some(), "the lock is free");
}

#[tokio::test]
async fn a_drain_has_a_bound() {
    let home = Home::new();
    let mut elder = home.start(Duration::from_millis(200)).await;
    let mut old = client(elder.address()).await;
    let _younger = home.start(FOREVER).await;
    assert_eq!(elder.end().await, End::HandedOn);
    drop(elder);
    let read = timeout(PATIENCE, old.read(&mut [0; 100])).await.expect("in time");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn one_at_a_time_takes_over() {
    let home = Home::new();
    let elder = home.start(FOREVER).await;
    let first = home.station().await;
    let second = Station::take(&home.run(), Duration::from_millis(200)).await;
    let said = format!("{:#}", second.expect_err("busy"));
    assert!(said.contains("another gateway is taking over"), "{said}");
    drop(first);
    let _third = home.start(FOREVER).await;
    assert_eq!(elder.duty(), Duty::Drain);
}

#[tokio::test]
async fn the_admin_socket_answers_its_owner_and_nobody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let serving = home.start(FOREVER).await;
    let mode = std::fs::metadata(home.run().current()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let _client = client(serving.address()).await;
    let metrics = get(&home, "/metrics").await;
    assert!(metrics.contains("\nhowdah_gateway_clients 1\n"), "{metrics}");
    let pools: howdah_model::pool::PoolReport =
        serde_json::from_str(&get(&home, "/pools").await).expect("a report");
    assert!(pools.pools.is_empty() && pools.since <= pools.at);
    let about = home.current().await;
    assert_eq!((about.pid, about.clients, about.elders), (std::process::id(), 1, 0));
    assert_eq!(about.ports, serving.gateway.listeners().ports());
    // Names lead nowhere but into the run directory.
    for socket in ["../control.sock", "/tmp/x.sock", "..", ""] {
        let body = serde_json::json!({ "socket": socket }).to_string();
        let answer = ask(&home, "POST", "/take-over", &body).await;
        assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    }
    assert_eq!(serving.duty(), Duty::Serve);
}

#[tokio::test]
async fn the_certificate_is_read_again_and_a_broken_one_is_refused() {
    let home = Home::new();
    let serving = home.start(FOREVER).await;
    let pem = home.dir.path().join("tls/gateway.pem");
    let good = std::fs::read(&pem).expect("a certificate");
    std::fs::write(&pem, "nothing").expect("written");
    let answer = ask(&home, "POST", "/reload", "").await;
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("gateway.pem"), "{answer}");
    client(serving.address()).await;
    std::fs::write(&pem, good).expect("written");
    let answer = ask(&home, "POST", "/reload", "").await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    client(serving.address()).await;
}

async fn get(home: &Home, path: &str) -> String {
    body(ask(home, "GET", path, "").await)
}

async fn post(home: &Home, path: &str) -> String {
    body(ask(home, "POST", path, "").await)
}

fn body(answer: String) -> String {
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

/// One request to the home's admin socket.
async fn ask(home: &Home, method: &str, path: &str, body: &str) -> String {
    let mut stream =
        tokio::net::UnixStream::connect(home.run().current()).await.expect("connected");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time");
    read.expect("an answer");
    answer
}

/// A hold by hand is asked of the gateway that accepts, and holds in all.
#[tokio::test]
async fn moves_by_hand_are_made_in_elders_too_and_come_with_the_office() {
    let home = Home::new();
    let database = howdah_model::ids::DatabaseId::new();
    let elder = home.start(FOREVER).await;
    let _old = client(elder.address()).await;
    let younger = home.start(FOREVER).await;
    let stage = |serving: &Serving| {
        let report = serving.gateway.moves().remove(&database);
        report.map(|made| made.stage)
    };
    let hold = format!("/databases/{database}/hold?bound_ms=1000");
    let answer: serde_json::Value = serde_json::from_str(&post(&home, &hold).await).expect("JSON");
    assert_eq!((&answer["done"], &answer["sessions"]), (&true.into(), &serde_json::json!([])));
    let held = stage(&elder);
    assert!(
        matches!(held, Some(howdah_model::route::Stage::Hold { grace_ms: 1000.. })),
        "{held:?}"
    );
    assert_eq!(stage(&younger), held);
    // Who takes over takes over what is held.
    let _new = client(elder.address()).await;
    let third = home.start(FOREVER).await;
    assert_eq!(stage(&third), held);
    post(&home, &format!("/databases/{database}/release?bound_ms=1000")).await;
    assert_eq!((stage(&elder), stage(&younger), stage(&third)), (None, None, None));
    let path = format!("/databases/{database}/prepare?bound_ms=10");
    let refused = ask(&home, "POST", &path, "").await;
    assert!(refused.starts_with("HTTP/1.1 422") && refused.contains("`next`"), "{refused}");
}
