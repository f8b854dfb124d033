//! The first packets of a client.

use howdah_gateway::startup::{Packet, Startup, parse};

/// Reads a packet. What is passed on to a server means the same to it.
pub(crate) fn run(data: &[u8]) {
    let Ok(Packet::Startup(startup)) = parse(data) else { return };
    let _ = startup.negotiation().map(|bytes| check(&bytes));
    let passed = reread(&startup);
    assert_eq!(
        (&passed.user, &passed.database, passed.purpose, passed.parameters()),
        (&startup.user, &startup.database, startup.purpose, startup.parameters())
    );
    assert_eq!(reread(&passed), passed);
    assert_eq!(passed.negotiation(), None);
}

fn reread(startup: &Startup) -> Startup {
    let packet = startup.to_packet();
    let (length, body) = packet.split_first_chunk().expect("a length");
    assert_eq!(u32::from_be_bytes(*length) as usize, packet.len());
    match parse(body) {
        Ok(Packet::Startup(startup)) => startup,
        other => panic!("what is passed on is read as {other:?}"),
    }
}

fn check(negotiation: &[u8]) {
    assert_eq!(negotiation[0], b'v');
    let length = negotiation[1..].first_chunk().expect("a length");
    assert_eq!(u32::from_be_bytes(*length) as usize, negotiation.len() - 1);
}

/// Packets of clients.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let long = "x".repeat(64);
    vec![
        b"\0\x03\0\0user\0u\0database\0d\0application_name\0psql\0\0".to_vec(),
        b"\0\x03\0\x02user\0u\0replication\0database\0options\0-c a=b\0\0".to_vec(),
        b"\0\x03\x27\x0fuser\0u\0_pq_.test_protocol_negotiation\0\0\0".to_vec(),
        format!("\0\x03\0\0user\0{long}\0database\0{long}\0replication\0true\0\0").into_bytes(),
        b"\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02".to_vec(),
        [&b"\x04\xd2\x16\x2e\0\0\0\x01"[..], &[7; 32]].concat(),
        b"\x04\xd2\x16\x2f".to_vec(),
        b"\x04\xd2\x16\x30".to_vec(),
    ]
}
