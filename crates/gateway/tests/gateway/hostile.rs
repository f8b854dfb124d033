//! Clients that are slow, broken or hostile: they harm nobody but themselves.

use std::time::{Duration, Instant};

use howdah_gateway::error::ErrorKind;
use howdah_gateway::startup::LONGEST_PACKET;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::rig::{Rig, until};

/// Sends bytes and returns all that comes until the gateway closes, which it must.
async fn send(rig: &Rig, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(rig.address).await.expect("connected");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    // A reset is an end as well.
    let _ = ended.expect("the gateway closes");
    answer
}

fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("small");
    [&length.to_be_bytes()[..], body].concat()
}

fn startup(pairs: &str) -> Vec<u8> {
    packet(&[&[0, 3, 0, 0][..], pairs.as_bytes(), b"\0"].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_first_packets_are_refused() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let long = u32::try_from(LONGEST_PACKET + 1).expect("small").to_be_bytes();
    // Without a word, as PostgreSQL does. The last is a good-bye before anything else.
    let told_nothing: [&[u8]; 5] = [
        &long,
        &u32::MAX.to_be_bytes(),
        &[0, 0, 0, 4],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"X\0\0\0\x04",
    ];
    for bytes in told_nothing {
        assert_eq!(send(&rig, bytes).await, b"", "{bytes:?}");
    }
    assert_eq!(rig.gateway.stats().errors(ErrorKind::Protocol), 5);
    let refused: [(&[u8], &str); 2] = [
        (&startup("user\0u_a\0database\0"), "invalid startup packet layout"),
        (&packet(&[0, 2, 0, 0]), "unsupported frontend protocol 2.0"),
    ];
    for (bytes, words) in refused {
        let answer = String::from_utf8_lossy(&send(&rig, bytes).await).into_owned();
        assert!(answer.contains(words), "{bytes:?}: {answer}");
    }
    for silent in [
        &b"\x16\x03\x01\xff\xff garbage that is no TLS"[..],
        b"\x16",
        b"\0\0\0\x08\x04\xd2\x16\x2fgarbage",
    ] {
        let mut stream = TcpStream::connect(rig.address).await.expect("connected");
        stream.write_all(silent).await.expect("sent");
    }
    // What follows a request for TLS in clear must never be taken for a part of the session.
    let smuggled = [&packet(&80_877_103u32.to_be_bytes())[..], &startup("user\0u_a\0")].concat();
    let answer = String::from_utf8_lossy(&send(&rig, &smuggled).await).into_owned();
    assert!(answer.contains("received unencrypted data after SSL request"), "{answer}");
    let gssenc = packet(&80_877_104u32.to_be_bytes());
    let mut stream = TcpStream::connect(rig.address).await.expect("connected");
    for _ in 0..3 {
        stream.write_all(&gssenc).await.expect("sent");
        assert_eq!(stream.read_u8().await.expect("an answer"), b'N');
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an end");
    assert!(String::from_utf8_lossy(&answer).contains("too many requests for encryption"));
    assert_eq!(rig.connect(&tenant).await.expect("in").one("select 'well'").await, "well");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_log_ins_are_refused() {
    let rig = Rig::start().await;
    rig.tenant("a").await;
    let sasl = |mechanism: &str, first: &str| {
        let length = u32::try_from(first.len()).expect("small").to_be_bytes();
        let body = [mechanism.as_bytes(), b"\0", &length, first.as_bytes()].concat();
        [&b"p"[..], &packet(&body)].concat()
    };
    let cases: [(Vec<u8>, &str); 6] = [
        (sasl("PLAIN", "x"), "invalid SASL authentication mechanism"),
        (sasl("SCRAM-SHA-256", "nonsense"), "malformed SCRAM message"),
        (sasl("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=x"), "malformed SCRAM message"),
        (b"Q\0\0\0\x0dselect 1\0".to_vec(), "expected SASL response, got message type 81"),
        (b"p\x7f\xff\xff\xff".to_vec(), "invalid message length"),
        (b"p\0\0\0\x05x".to_vec(), "malformed SASL initial response"),
    ];
    for (bytes, words) in cases {
        let hello = [&startup("user\0u_a\0database\0d_a\0")[..], &bytes].concat();
        let answer = String::from_utf8_lossy(&send(&rig, &hello).await).into_owned();
        assert!(answer.contains(words), "{words}: {answer}");
    }
    assert_eq!(rig.gateway.stats().errors(ErrorKind::Protocol), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_handshake_without_an_end_is_cut_off() {
    let rig = Rig::start().await;
    // A ClientHello that claims to be as long as can be, in records of one kilobyte.
    let hello = [&[1, 0, 0xf0, 0][..], &[0; 0xf000]].concat();
    let records: Vec<u8> = hello
        .chunks(1024)
        .flat_map(|part| {
            let length = u16::try_from(part.len()).expect("small").to_be_bytes();
            [&[0x16, 3, 1][..], &length, part].concat()
        })
        .collect();
    let mut stream = TcpStream::connect(rig.address).await.expect("connected");
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let begun = Instant::now();
    // It may be cut off in the middle of either.
    let _ = timeout(Duration::from_secs(8), async {
        futures_util::join!(writer.write_all(&records), reader.read_to_end(&mut answer))
    })
    .await
    .expect("the gateway closes before the time for log-ins is over");
    assert!(begun.elapsed() < Duration::from_secs(8));
    until("it is gone", || async { rig.gateway.stats().clients == 0 }).await;
    assert_eq!(rig.gateway.stats().errors(ErrorKind::Protocol), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_log_ins_cost_little_memory_whatever_they_have_sent() {
    const COUNT: usize = 500;
    let rig = Rig::with(Cluster::start().await, |config| {
        config.timeouts.handshake = Duration::from_secs(60);
    })
    .await;
    let before = resident();
    // The longest packet but its last byte; and a long one that was only announced.
    let mut longest = startup(&format!("user\0{}\0", "x".repeat(LONGEST_PACKET - 15)));
    assert_eq!(longest.len(), LONGEST_PACKET);
    longest.pop();
    let announced = u32::try_from(LONGEST_PACKET).expect("small").to_be_bytes();
    let mut streams = Vec::new();
    for number in 0..COUNT {
        let mut stream = TcpStream::connect(rig.address).await.expect("connected");
        let bytes = if number % 2 == 0 { &longest[..] } else { &announced };
        stream.write_all(bytes).await.expect("sent");
        streams.push(stream);
    }
    until("all are taken on", || async { rig.gateway.stats().clients == COUNT as u64 }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let each = resident().saturating_sub(before) * 1024 / COUNT;
    println!("half log-ins: {each} bytes each");
    assert!(each < 24 * 1024, "{each} bytes");
    drop(streams);
    until("they are gone", || async { rig.gateway.stats().clients == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_finish_their_log_in_are_let_go_in_time() {
    let rig = Rig::with(Cluster::start().await, |config| {
        config.timeouts.handshake = Duration::from_secs(1);
    })
    .await;
    let begun = Instant::now();
    let half = &startup("user\0u_a\0")[..9];
    let tls = &packet(&80_877_103u32.to_be_bytes())[..];
    let unproven = &startup("user\0u_a\0")[..];
    let answers = futures_util::future::join_all(
        [&b""[..], b"\0", half, tls, unproven].map(|b| send(&rig, b)),
    );
    let answers = answers.await;
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert!(
        String::from_utf8_lossy(&answers[4]).contains("canceling authentication due to timeout")
    );
    let counted = || rig.gateway.stats().errors(ErrorKind::HandshakeTimeout);
    until("all are counted", || async { counted() == 5 }).await;
    until("nothing of them is left", || async { rig.gateway.stats().clients == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_sends_nonsense_is_ended_and_its_neighbours_go_on() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let neighbour = rig.connect(&tenant).await.expect("in");
    for (bytes, words) in [
        (&b"Q\0\0\0\x02"[..], "invalid message length"),
        (b"Q\xff\xff\xff\xff", "invalid message length"),
        (b"\x01\0\0\0\x04", "invalid frontend message type 1"),
    ] {
        let answer = crate::raw::after_log_in(&rig, &tenant, bytes).await;
        assert!(String::from_utf8_lossy(&answer).contains(words), "{words}");
    }
    assert_eq!(neighbour.one("select 'well'").await, "well");
    until("they are gone", || async { rig.gateway.stats().sessions == 1 }).await;
}

/// Numbers that look random and are the same in every run.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_before_and_after_the_log_in_harms_nobody() {
    let rig = Rig::with(Cluster::start().await, |config| {
        config.timeouts.handshake = Duration::from_secs(3);
    })
    .await;
    let tenant = rig.tenant("a").await;
    let neighbour = rig.connect(&tenant).await.expect("in");
    let mut attacks = Vec::new();
    for seed in 0..300 {
        let mut bytes: Vec<u8> = noise(seed).take(60).collect();
        // Most lengths would be refused at once; some attacks shall come further.
        bytes.splice(0..4, [0, 0, 0, 60]).for_each(drop);
        if seed % 3 == 0 {
            bytes.splice(4..8, [0, 3, 0, 0]).for_each(drop);
        }
        let rig = &rig;
        attacks.push(async move { send(rig, &bytes).await });
    }
    futures_util::future::join_all(attacks).await;
    for seed in 0..30 {
        let mut stream = crate::raw::log_in(&rig, &tenant).await;
        // A short write, then the end: the server may wait for the rest of a message for ever.
        let bytes: Vec<u8> = noise(seed).take(200).collect();
        let _ = stream.write_all(&bytes).await;
    }
    assert_eq!(neighbour.one("select 'well'").await, "well");
    until("they are gone", || async { rig.gateway.stats().clients == 1 }).await;
    assert_eq!(rig.gateway.stats().sessions, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_costs_no_memory() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let before = resident();
    let mut slow = Vec::new();
    for _ in 0..8 {
        let query = crate::raw::query("select repeat('x', 1000000) from generate_series(1, 1000)");
        let mut stream = crate::raw::log_in(&rig, &tenant).await;
        stream.write_all(&query).await.expect("sent");
        slow.push(stream);
    }
    let busy = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite'";
    until("all wait for their clients", || async { rig.cluster.sql(busy).await == "8" }).await;
    let grown = resident().saturating_sub(before);
    println!("8 clients that do not read: {grown} kB more");
    assert!(grown < 20_000, "{grown} kB");
    drop(slow);
    until("their queries end", || async { rig.cluster.sql(busy).await == "0" }).await;
}

/// Messages that are announced as huge and do not come to an end. What the gateway looks into it has
/// to keep until it is there, and that has a bound for each session.
#[tokio::test(flavor = "multi_thread")]
async fn messages_without_an_end_cost_a_bounded_amount() {
    const COUNT: usize = 16;
    // The longest `Parse` that is looked into, but a little of it; of the others all is passed on.
    const SENT: usize = (1 << 20) - (64 << 10);
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    drop(crate::raw::log_in(&rig, &tenant).await);
    let before = resident();
    let mut streams = Vec::new();
    for number in 0..COUNT {
        let mut stream = crate::raw::log_in(&rig, &tenant).await;
        let tag = b"PPPQ"[number % 4];
        let header = [&[tag][..], &(1u32 << 29).to_be_bytes()].concat();
        stream.write_all(&header).await.expect("sent");
        // The server takes as much of it as it likes.
        let piece = vec![b'x'; 64 * 1024];
        let sending = async {
            for _ in 0..SENT / piece.len() {
                stream.write_all(&piece).await?;
            }
            std::io::Result::Ok(())
        };
        let _ = timeout(Duration::from_secs(5), sending).await;
        streams.push(stream);
    }
    let grown = resident().saturating_sub(before);
    println!("{COUNT} messages without an end: {grown} kB more");
    assert!(grown < COUNT * 2500, "{grown} kB");
    drop(streams);
    until("they are gone", || async { rig.gateway.stats().clients == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sessions_are_cheap() {
    const COUNT: usize = 40;
    const IDLE: usize = 2000;
    let rig = Rig::with(Cluster::start().await, |config| {
        config.timeouts.handshake = Duration::from_secs(60);
        config.capacity.handshakes = 2 * IDLE;
    })
    .await;
    let tenant = rig.tenant("a").await;
    rig.platform.change(|routes| routes[0].connection_limit = 1000);
    drop(crate::raw::log_in(&rig, &tenant).await);
    let before = resident();
    let mut idle = Vec::new();
    while idle.len() < IDLE {
        let connecting = (0..100).map(|_| TcpStream::connect(rig.address));
        let connected = futures_util::future::join_all(connecting).await;
        idle.extend(connected.into_iter().map(|stream| stream.expect("connected")));
    }
    until("all are taken on", || async { rig.gateway.stats().clients >= IDLE as u64 }).await;
    println!("{IDLE} clients that say nothing: {} bytes each", (resident() - before) * 1024 / IDLE);
    drop(idle);
    until("they are gone", || async { rig.gateway.stats().clients == 0 }).await;
    let before = resident();
    let mut sessions = Vec::new();
    for _ in 0..COUNT {
        sessions.push(crate::raw::log_in(&rig, &tenant).await);
    }
    println!(
        "{COUNT} idle sessions: {} bytes each",
        resident().saturating_sub(before) * 1024 / COUNT
    );
    until("all are open", || async { rig.gateway.stats().sessions == COUNT as u64 }).await;
}

/// Kilobytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// M18: neighbours on a shared server survive whatever a client makes of the protocol.
#[tokio::test(flavor = "multi_thread")]
async fn m18_the_portal_of_a_failed_query_harms_nobody() {
    for bin in crate::cluster::majors() {
        let rig = Rig::with(Cluster::start_with(&bin).await, |_| {}).await;
        let (hostile, neighbour) = (rig.tenant("a").await, rig.tenant("b").await);
        let other = rig.connect(&neighbour).await.expect("in");
        let server = other.ask("select pg_backend_pid()").await;
        let execute = |rows: u8| [&b"E\0\0\0\x09\0\0\0\0"[..], &[rows]].concat();
        for rows in 0..4 {
            let mut stream = crate::raw::log_in(&rig, &hostile).await;
            for sql in ["begin", "rollback to s", "select $1::int + 1"] {
                stream.write_all(&crate::raw::query(sql)).await.expect("sent");
            }
            if rows % 2 == 0 {
                // Only after it has seen that the query failed.
                let mut answers = Vec::new();
                while answers.windows(6).filter(|bytes| bytes == b"Z\0\0\0\x05E").count() < 2 {
                    stream.read_buf(&mut answers).await.expect("answers");
                }
            }
            let rest = [execute(rows), b"S\0\0\0\x04X\0\0\0\x04".to_vec()].concat();
            stream.write_all(&rest).await.expect("sent");
            let mut answers = Vec::new();
            stream.read_to_end(&mut answers).await.expect("an end");
            let words = String::from_utf8_lossy(&answers).into_owned();
            assert!(words.contains("C34000"), "{words}");
        }
        assert_eq!(other.ask("select pg_backend_pid()").await, server);
    }
}
