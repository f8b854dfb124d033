//! Versions of the protocol, byte by byte: clients that are newer than any library here.

use std::time::Duration;

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rig::{Rig, Tenant, until};

/// A session, and what the gateway said until it was ready: types and bodies.
struct Opened {
    stream: TcpStream,
    greeting: Vec<(u8, Vec<u8>)>,
}

impl Opened {
    /// The body of the only message of a type.
    fn told(&self, tag: u8) -> Option<&[u8]> {
        let mut found = self.greeting.iter().filter(|(other, _)| *other == tag);
        let body = found.next().map(|(_, body)| body.as_slice());
        assert!(found.next().is_none(), "told twice");
        body
    }
}

async fn read(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let message = async {
        let tag = stream.read_u8().await.expect("a type");
        let length = stream.read_u32().await.expect("a length");
        let mut body = vec![0; usize::try_from(length).expect("small") - 4];
        stream.read_exact(&mut body).await.expect("a body");
        (tag, body)
    };
    timeout(Duration::from_secs(10), message).await.expect("an answer in time")
}

fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("small");
    [&length.to_be_bytes()[..], body].concat()
}

/// Logs in with a version of the protocol and further parameters.
async fn log_in(rig: &Rig, tenant: &Tenant, minor: u16, more: &str) -> Opened {
    let mut stream = TcpStream::connect(rig.address).await.expect("connected");
    let Tenant { role, database, .. } = tenant;
    let parameters = format!("user\0{role}\0database\0{database}\0{more}\0");
    let version = [&[0, 3][..], &minor.to_be_bytes()].concat();
    stream.write_all(&packet(&[&version, parameters.as_bytes()].concat())).await.expect("sent");
    let mut scram = ScramSha256::new(tenant.password.as_bytes(), ChannelBinding::unsupported());
    let mut greeting = Vec::new();
    loop {
        let (tag, body) = read(&mut stream).await;
        let answer = match (tag, body.get(3)) {
            (b'R', Some(10)) => {
                let first = scram.message();
                let length = u32::try_from(first.len()).expect("small").to_be_bytes();
                [b"SCRAM-SHA-256\0", &length[..], first].concat()
            }
            (b'R', Some(11)) => {
                scram.update(&body[4..]).expect("a challenge");
                scram.message().to_vec()
            }
            (b'Z', _) => return Opened { stream, greeting },
            (b'E', _) => panic!("{}", String::from_utf8_lossy(&body)),
            _ => {
                greeting.push((tag, body));
                continue;
            }
        };
        stream.write_all(&[&b"p"[..], &packet(&answer)].concat()).await.expect("sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m22_versions_are_negotiated_as_postgresql_does() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    for (minor, negotiated, key) in [(0, None, 8), (2, None, 36), (3, Some(2), 36)] {
        let opened = log_in(&rig, &tenant, minor, "").await;
        let wanted = negotiated.map(|minor| vec![0, 3, 0, minor, 0, 0, 0, 0]);
        assert_eq!(opened.told(b'v').map(<[u8]>::to_vec), wanted, "3.{minor}");
        assert_eq!(opened.told(b'K').expect("a key").len(), key, "3.{minor}");
    }
    // What the libpq of PostgreSQL 19 asks for, to see whether it is negotiated.
    let grease = "_pq_.test_protocol_negotiation\0\0";
    let mut opened = log_in(&rig, &tenant, 9999, grease).await;
    let wanted = [&[0, 3, 0, 2, 0, 0, 0, 1][..], b"_pq_.test_protocol_negotiation\0"].concat();
    assert_eq!(opened.told(b'v'), Some(&wanted[..]));
    opened.stream.write_all(&crate::raw::query("select 1")).await.expect("sent");
    let answer = [read(&mut opened.stream).await.0, read(&mut opened.stream).await.0];
    assert_eq!(answer, *b"TD");
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_a_long_key_cancels_its_session_and_a_part_of_it_does_not() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let mut opened = log_in(&rig, &tenant, 2, "").await;
    let key = opened.told(b'K').expect("a key").to_vec();
    opened.stream.write_all(&crate::raw::query("select pg_sleep(60)")).await.expect("sent");
    let asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    until("it sleeps", || async { rig.cluster.sql(asleep).await == "1" }).await;

    let cancel = async |key: &[u8]| {
        let mut stream = TcpStream::connect(rig.address).await.expect("connected");
        let request = [&80_877_102u32.to_be_bytes()[..], key].concat();
        stream.write_all(&packet(&request)).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an end");
        assert!(answer.is_empty(), "nothing is said of cancels");
    };
    let mut changed = key.clone();
    *changed.last_mut().expect("a byte") ^= 1;
    let longer = [&key[..], &[0]].concat();
    for wrong in [&key[..8], &key[..key.len() - 1], &changed, &longer] {
        cancel(wrong).await;
    }
    assert_eq!((rig.gateway.stats().cancels, rig.gateway.stats().cancels_unknown), (0, 4));
    assert_eq!(rig.cluster.sql(asleep).await, "1");
    cancel(&key).await;
    let error = loop {
        if let (b'E', body) = read(&mut opened.stream).await {
            break body;
        }
    };
    assert!(String::from_utf8_lossy(&error).contains("C57014"));
    assert_eq!(rig.gateway.stats().cancels, 1);
}
