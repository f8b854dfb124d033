//! The first packets: TLS or not, and what the client wants.

use std::net::SocketAddr;

use howdah_model::route::Mode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::authenticating::Authenticating;
use super::{Context, Failure, Refused, Session};
use crate::cancel;
use crate::config::Plaintext;
use crate::error::{ErrorKind, Fatal};
use crate::limits::{Handshake, Place};
use crate::startup::{self, LONGEST_PACKET, Packet, SessionKey, Startup};
use crate::stream::{self, Client};
use crate::tls::ALPN;

/// The first byte of a TLS record of the handshake; no packet of PostgreSQL begins so.
const TLS_HANDSHAKE: u8 = 0x16;
/// GSSAPI, TLS and then the start-up: nobody needs more packets than that.
const MOST_PACKETS: usize = 3;

/// A client that has not said anything yet.
#[derive(Debug)]
pub struct Hello {
    /// What it works with.
    pub context: Context,
    /// Its connection.
    pub socket: TcpStream,
    /// Its address.
    pub peer: SocketAddr,
    /// How it comes by servers.
    pub mode: Mode,
    /// Its place among all clients.
    pub place: Place,
    /// Its place among those that are logging in.
    pub handshake: Handshake,
    /// When its log-in must be done.
    pub deadline: Instant,
}

/// What the first packets come to.
enum Wish {
    Session(Startup),
    Cancel(SessionKey),
}

/// Why they come to nothing. A client that is still there is told.
enum Parting {
    Gone,
    Refused(Client, Fatal),
}

impl Hello {
    pub(super) async fn step(self) -> Session {
        let Self { context, socket, peer, mode, place, handshake, deadline } = self;
        match timeout_at(deadline, greet(&context, socket)).await {
            Err(_) => {
                context.counters.error(ErrorKind::HandshakeTimeout);
                Session::Over
            }
            Ok(Err(Parting::Gone)) => Session::Over,
            Ok(Err(Parting::Refused(client, fatal))) => Refused::because(context, client, &fatal),
            Ok(Ok((client, Wish::Cancel(key)))) => {
                pass_on(&context, key).await;
                // Libpq takes TLS that ends without a farewell for a cancel that came to nothing.
                client.say_goodbye(&[], context.shared.config.timeouts.farewell).await;
                Session::Over
            }
            Ok(Ok((client, Wish::Session(startup)))) => {
                if let Err(fatal) = check_encryption(&context, &client, peer, &startup) {
                    return Refused::because(context, client, &fatal);
                }
                Session::Authenticating(Box::new(Authenticating {
                    context,
                    client,
                    mode,
                    place,
                    handshake,
                    deadline,
                    startup,
                }))
            }
        }
    }
}

async fn greet(context: &Context, socket: TcpStream) -> Result<(Client, Wish), Parting> {
    stream::prepare(&socket).map_err(|_| Parting::Gone)?;
    let mut first = [0; 1];
    let direct = match socket.peek(&mut first).await {
        Ok(1) => first[0] == TLS_HANDSHAKE,
        // Who only looks whether the port is open says nothing.
        Ok(_) | Err(_) => return Err(Parting::Gone),
    };
    let mut client =
        if direct { start_direct_tls(context, socket).await? } else { Client::Plain(socket) };
    for _ in 0..MOST_PACKETS {
        let packet = match read_packet(&mut client).await {
            Ok(packet) => packet,
            Err(Failure::Gone) => return Err(Parting::Gone),
            Err(Failure::Fatal(fatal)) => return Err(Parting::Refused(client, fatal)),
        };
        client = match (packet, client) {
            (Packet::Startup(startup), client) => return Ok((client, Wish::Session(startup))),
            (Packet::Cancel(key), client) => return Ok((client, Wish::Cancel(key))),
            (Packet::Ssl, Client::Plain(socket)) => answer_ssl(context, socket).await?,
            (Packet::GssEnc, Client::Plain(socket)) => answer(socket, b"N").await?,
            (Packet::Ssl | Packet::GssEnc, client @ Client::Tls(_)) => {
                let fatal = Fatal::protocol("the connection is encrypted already");
                return Err(Parting::Refused(client, fatal));
            }
        };
    }
    Err(Parting::Refused(client, Fatal::protocol("too many requests for encryption")))
}

/// Reads exactly one packet: what follows it may be TLS, and what was sent in clear before that
/// must never count as part of it.
async fn read_packet(client: &mut Client) -> Result<Packet, Failure> {
    let length = usize::try_from(client.read_u32().await?).unwrap_or(usize::MAX);
    if !(8..=LONGEST_PACKET).contains(&length) {
        return Err(Fatal::protocol("invalid length of startup packet").into());
    }
    let mut body = vec![0; length - 4];
    client.read_exact(&mut body).await?;
    Ok(startup::parse(&body)?)
}

async fn answer_ssl(context: &Context, socket: TcpStream) -> Result<Client, Parting> {
    let Client::Plain(socket) = answer(socket, b"S").await? else { return Err(Parting::Gone) };
    start_tls(context, socket).await
}

async fn answer(mut socket: TcpStream, letter: &[u8]) -> Result<Client, Parting> {
    socket.write_all(letter).await.map_err(|_| Parting::Gone)?;
    Ok(Client::Plain(socket))
}

async fn start_tls(context: &Context, socket: TcpStream) -> Result<Client, Parting> {
    match context.shared.tls.acceptor.accept(socket).await {
        Ok(stream) => Ok(Client::Tls(Box::new(stream))),
        Err(error) => {
            tracing::debug!(error = %error, "a client's TLS handshake came to nothing");
            context.counters.error(ErrorKind::Protocol);
            Err(Parting::Gone)
        }
    }
}

/// As in PostgreSQL, TLS without a request must name the protocol, so that a client of another
/// one cannot be led here.
async fn start_direct_tls(context: &Context, socket: TcpStream) -> Result<Client, Parting> {
    let client = start_tls(context, socket).await?;
    let named = match &client {
        Client::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(ALPN),
        Client::Plain(_) => false,
    };
    if named {
        return Ok(client);
    }
    let fatal = Fatal::protocol("direct SSL connection request without ALPN protocol negotiation");
    Err(Parting::Refused(client, fatal))
}

/// A cancel request may come without TLS, as clients before PostgreSQL 17 always send it so.
async fn pass_on(context: &Context, key: SessionKey) {
    let counters = &context.counters;
    let passed_on = cancel::forward(&context.shared.sessions, key).await;
    let counter = if passed_on { &counters.cancels } else { &counters.cancels_unknown };
    counter.add(1);
}

fn check_encryption(
    context: &Context,
    client: &Client,
    peer: SocketAddr,
    startup: &Startup,
) -> Result<(), Fatal> {
    let address = peer.ip().to_canonical();
    let allowed = match (client, context.shared.config.plaintext) {
        (Client::Tls(_), _) => true,
        (Client::Plain(_), Plaintext::Loopback) => address.is_loopback(),
        (Client::Plain(_), Plaintext::Refused) => false,
    };
    if allowed {
        return Ok(());
    }
    let Startup { user, database, .. } = startup;
    let message = format!(
        "no pg_hba.conf entry for host \"{address}\", user \"{user}\", database \"{database}\", no encryption"
    );
    Err(Fatal::new(ErrorKind::NoEncryption, message).hint("Connect with sslmode=require."))
}
