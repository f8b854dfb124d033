//! The first packets: TLS or not, and what the client wants.

use std::net::SocketAddr;

use howdah_model::route::Mode;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::authenticating::Authenticating;
use super::{Context, Failure, Refused, Session};
use crate::cancel::{self, Outcome};
use crate::config::Plaintext;
use crate::error::{ErrorKind, Fatal};
use crate::limits::visits::Visit;
use crate::limits::{Handshake, Place};
use crate::message::{Inbox, ReadError};
use crate::startup::{self, LONGEST_PACKET, Packet, SessionKey, Startup};
use crate::stream::{self, Client};
use crate::tls::Secured;

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

/// A client that has said what it wants.
struct Greeted {
    client: Client,
    inbox: Inbox,
    wish: Wish,
}

/// Why they come to nothing. A client that is still there is told.
enum Parting {
    Gone,
    Refused(Client, Fatal),
}

impl Hello {
    pub(super) async fn step(self) -> Session {
        let Self { context, socket, peer, mode, place, handshake, deadline } = self;
        let Some(visit) = context.shared.limits.visits.begin(peer.ip()) else {
            let fatal = Fatal::new(ErrorKind::TooManyUnfinished, "sorry, too many clients already")
                .hint("Too many log-ins from this address are unfinished.");
            return Refused::because(context, Client::Plain(socket), &fatal);
        };
        match timeout_at(deadline, greet(&context, socket)).await {
            Err(_) => {
                context.counters.error(ErrorKind::HandshakeTimeout);
                Session::Over
            }
            Ok(Err(Parting::Gone)) => Session::Over,
            Ok(Err(Parting::Refused(client, fatal))) => {
                let refused = Refused::because(context, client, &fatal);
                send_away(refused, (place, handshake, visit)).await
            }
            Ok(Ok(Greeted { client, wish: Wish::Cancel(key), .. })) => {
                pass_on(&context, key, peer).await;
                // Libpq takes TLS that ends without a farewell for a cancel that came to nothing.
                client.say_goodbye(&[], context.shared.config.timeouts.farewell).await;
                Session::Over
            }
            Ok(Ok(Greeted { client, inbox, wish: Wish::Session(startup) })) => {
                if let Err(fatal) = check_encryption(&context, &client, peer, &startup) {
                    let refused = Refused::because(context, client, &fatal);
                    return send_away(refused, (place, handshake, visit)).await;
                }
                Session::Authenticating(Box::new(Authenticating {
                    context,
                    client,
                    mode,
                    inbox,
                    peer,
                    place,
                    handshake,
                    visit,
                    deadline,
                    startup,
                }))
            }
        }
    }
}

/// Lets a client go that is refused. It has its places until then, so that those who are refused
/// are not more than those who may come.
pub(super) async fn send_away(refused: Session, places: (Place, Handshake, Visit)) -> Session {
    let over = match refused {
        Session::Refused(state) => Box::pin(state.step()).await,
        other => other,
    };
    drop(places);
    over
}

async fn greet(context: &Context, mut socket: TcpStream) -> Result<Greeted, Parting> {
    stream::prepare(&socket).map_err(|_| Parting::Gone)?;
    let mut inbox = Inbox::default();
    // Who only looks whether the port is open says nothing.
    let first = inbox.first(&mut socket).await.map_err(|_| Parting::Gone)?;
    let mut client = if first == TLS_HANDSHAKE {
        start_direct_tls(context, socket, std::mem::take(&mut inbox)).await?
    } else {
        Client::Plain(socket)
    };
    for _ in 0..MOST_PACKETS {
        let packet = match read_packet(context, &mut inbox, &mut client).await {
            Ok(packet) => packet,
            Err(Failure::Gone) => return Err(Parting::Gone),
            Err(Failure::Fatal(fatal)) => return Err(Parting::Refused(client, fatal)),
        };
        let wish = match packet {
            Packet::Startup(startup) => Wish::Session(startup),
            Packet::Cancel(key) => Wish::Cancel(key),
            Packet::Ssl | Packet::GssEnc => {
                client = answer(context, client, &packet, &inbox).await?;
                continue;
            }
        };
        return Ok(Greeted { client, inbox, wish });
    }
    Err(Parting::Refused(client, Fatal::protocol("too many requests for encryption")))
}

async fn read_packet(
    context: &Context,
    inbox: &mut Inbox,
    client: &mut Client,
) -> Result<Packet, Failure> {
    match inbox.packet(client, LONGEST_PACKET).await {
        Ok(packet) => Ok(startup::parse(&packet)?),
        Err(ReadError::Io(error)) => Err(error.into()),
        Err(ReadError::Length) => {
            // As in PostgreSQL it is told nothing: it speaks another protocol, or says good-bye
            // before anything else.
            context.counters.error(ErrorKind::Protocol);
            Err(Failure::Gone)
        }
    }
}

/// Answers a request for encryption. What came after it in clear must never count as a part of what
/// is encrypted, so there must be nothing.
async fn answer(
    context: &Context,
    client: Client,
    packet: &Packet,
    inbox: &Inbox,
) -> Result<Client, Parting> {
    let Client::Plain(mut socket) = client else {
        let fatal = Fatal::protocol("the connection is encrypted already");
        return Err(Parting::Refused(client, fatal));
    };
    let (letter, name) = match packet {
        Packet::Ssl => (b"S", "SSL"),
        _ => (b"N", "GSSAPI encryption"),
    };
    if !inbox.is_empty() {
        let fatal = Fatal::protocol(format!("received unencrypted data after {name} request"));
        return Err(Parting::Refused(Client::Plain(socket), fatal));
    }
    socket.write_all(letter).await.map_err(|_| Parting::Gone)?;
    match packet {
        Packet::Ssl => start_tls(context, socket, Vec::new()).await.map(Client::Tls),
        _ => Ok(Client::Plain(socket)),
    }
}

async fn start_tls(
    context: &Context,
    socket: TcpStream,
    before: Vec<u8>,
) -> Result<Box<Secured>, Parting> {
    match context.shared.tls.secure(socket, before).await {
        Ok(secured) => Ok(Box::new(secured)),
        Err(error) => {
            tracing::debug!(error = %error, "a client's TLS handshake came to nothing");
            context.counters.error(ErrorKind::Protocol);
            Err(Parting::Gone)
        }
    }
}

/// As in PostgreSQL, TLS without a request must name the protocol, so that a client of another
/// one cannot be led here.
async fn start_direct_tls(
    context: &Context,
    socket: TcpStream,
    inbox: Inbox,
) -> Result<Client, Parting> {
    let secured = start_tls(context, socket, inbox.into_rest()).await?;
    if secured.names_postgresql() {
        return Ok(Client::Tls(secured));
    }
    let fatal = Fatal::protocol("direct SSL connection request without ALPN protocol negotiation");
    Err(Parting::Refused(Client::Tls(secured), fatal))
}

/// A cancel request may come without TLS, as clients before PostgreSQL 17 always send it so. Whoever
/// guesses keys has to wait for each answer.
async fn pass_on(context: &Context, key: SessionKey, peer: SocketAddr) {
    let Context { counters, shared, .. } = context;
    match cancel::forward(&shared.sessions, key).await {
        Outcome::PassedOn => counters.cancels.add(1),
        Outcome::Nothing => {}
        Outcome::Unknown if shared.elders.cancel(key).await => counters.cancels.add(1),
        Outcome::Unknown => {
            counters.cancels_unknown.add(1);
            sleep(shared.limits.failures.note_guess(peer.ip())).await;
        }
    }
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
