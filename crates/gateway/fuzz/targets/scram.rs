//! SCRAM, both sides of it, against a peer that does not keep to it.

use std::sync::LazyLock;

use howdah_gateway::scram::{ClientKey, Keys, PLAIN, PLUS, client, server};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

use super::{Input, counted};

/// The verifier of the password `pencil`, of one round, so that clients are quick.
pub(crate) const VERIFIER: &str = "SCRAM-SHA-256$1:W22ZaJ0SNY7soEsUEjb6gQ==$bzcn5wYzlcMpEXczzDM1iuyLhni5BVbqsm82vjMHWXI=:fg/vS0Y425LcbLGWSqdzrFlRn9451QblzgpwLQYoXCI=";
const BINDING: &[u8] = b"hash of the certificate";

/// What the password is checked against, and the key that it proves.
pub(crate) static SECRETS: LazyLock<(Keys, ClientKey)> = LazyLock::new(|| {
    let keys = Keys::decode(&VERIFIER.parse().expect("a verifier")).expect("keys");
    let (exchange, last) = honest(&keys);
    let proven = exchange.finish(&last, &keys).expect("the password is right");
    (keys, proven.client_key)
});

/// An exchange with a client that knows the password, and its last message.
fn honest(keys: &Keys) -> (server::Exchange, String) {
    let mut client = ScramSha256::new(b"pencil", ChannelBinding::unsupported());
    let first = String::from_utf8(client.message().to_vec()).expect("text");
    let exchange = server::Exchange::begin(PLAIN, &first, None, keys, "ofserver").expect("good");
    client.update(exchange.server_first().as_bytes()).expect("good");
    let last = String::from_utf8(client.message().to_vec()).expect("text");
    (exchange, last)
}

/// A client whose messages are not what they should be is not let in.
pub(crate) fn run_server(data: &[u8]) {
    let (keys, _) = &*SECRETS;
    let mut input = Input(data);
    let how = input.byte();
    let (place, value) = (usize::from(input.byte()), input.byte());
    // One who knows the password, with one byte of its last message changed.
    let (exchange, right) = honest(keys);
    let mut last = right.clone().into_bytes();
    let place = place % last.len();
    last[place] ^= value & 0x7f;
    if let Ok(last) = String::from_utf8(last) {
        assert_eq!(exchange.finish(&last, keys).is_ok(), last == right, "{last}");
    }
    // One who does not.
    let mechanism = if how & 1 == 0 { PLAIN } else { PLUS };
    let binding = (how & 2 == 0).then_some(BINDING);
    let (Ok(first), Ok(last)) = (text(input.bytes()), text(input.0)) else { return };
    if let Ok(exchange) = server::Exchange::begin(mechanism, first, binding, keys, "ofserver") {
        let sent = exchange.server_first().to_owned();
        assert!(sent.starts_with("r=") && sent.contains("ofserver,s="));
        assert!(exchange.finish(last, keys).is_err(), "let in: {first} {last}");
    }
}

/// A server that does not know the verifier is not believed.
pub(crate) fn run_client(data: &[u8]) {
    let (keys, key) = &*SECRETS;
    let mut input = Input(data);
    let (Ok(first), Ok(last)) = (text(input.bytes()), text(input.0)) else { return };
    let exchange = client::Exchange::new("ofclient".into());
    if let Ok(proved) = exchange.prove(first, keys, key) {
        assert!(first.starts_with("r=ofclient"), "another's nonce: {first}");
        assert!(proved.verify(last).is_err(), "believed: {last}");
    }
}

fn text(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> {
    std::str::from_utf8(bytes)
}

/// Messages of clients.
pub(crate) fn seeds_of_server() -> Vec<Vec<u8>> {
    let of = |how: u8, first: &str, last: &str| {
        [&[how, 3, 1][..], &counted(first.as_bytes()), last.as_bytes()].concat()
    };
    let proof = "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    vec![
        of(2, "n,,n=,r=abc", &format!("c=biws,r=abcofserver,{proof}")),
        of(3, "y,,n=,r=abc", &format!("c=eSws,r=abcofserver,{proof}")),
        of(1, "p=tls-server-end-point,,n=,r=abc", "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsaGFzaA=="),
    ]
}

/// Messages of servers.
pub(crate) fn seeds_of_client() -> Vec<Vec<u8>> {
    let first = "r=ofclientofserver,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1";
    let last = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    vec![[counted(first.as_bytes()), last.as_bytes().to_vec()].concat()]
}
