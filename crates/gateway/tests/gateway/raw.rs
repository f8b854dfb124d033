//! A client that logs in by hand and then sends what it likes.

use std::time::Duration;

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rig::{Rig, Tenant};

/// A session whose greeting has been read up to `ReadyForQuery`.
pub(crate) async fn log_in(rig: &Rig, tenant: &Tenant) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).await.expect("connected");
    let mut out = bytes::BytesMut::new();
    let parameters = [("user", tenant.role.as_str()), ("database", tenant.database.as_str())];
    frontend::startup_message(parameters, &mut out).expect("packet");
    stream.write_all_buf(&mut out).await.expect("sent");
    let mut scram = ScramSha256::new(tenant.password.as_bytes(), ChannelBinding::unsupported());
    let mut input = bytes::BytesMut::new();
    loop {
        let Some(message) = Message::parse(&mut input).expect("message") else {
            assert_ne!(stream.read_buf(&mut input).await.expect("read"), 0, "closed");
            continue;
        };
        match message {
            Message::AuthenticationSasl(_) => {
                frontend::sasl_initial_response("SCRAM-SHA-256", scram.message(), &mut out)
                    .expect("first");
            }
            Message::AuthenticationSaslContinue(body) => {
                scram.update(body.data()).expect("challenge");
                frontend::sasl_response(scram.message(), &mut out).expect("last");
            }
            Message::AuthenticationSaslFinal(body) => scram.finish(body.data()).expect("signature"),
            Message::ReadyForQuery(_) => return stream,
            Message::ErrorResponse(_) => panic!("refused"),
            _ => {}
        }
        stream.write_all_buf(&mut out).await.expect("sent");
    }
}

/// What comes until the end after some bytes were sent in a session.
pub(crate) async fn after_log_in(rig: &Rig, tenant: &Tenant, bytes: &[u8]) -> Vec<u8> {
    let mut stream = log_in(rig, tenant).await;
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    ended.expect("the gateway closes").expect("no reset");
    answer
}

/// A simple query.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    frontend::query(sql, &mut out).expect("query");
    out.to_vec()
}
