//! The client proves that it knows the password of its role.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use howdah_model::route::Mode;
use howdah_model::route::Replication;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connecting::Connecting;
use super::hello::send_away;
use super::{Context, Failure, Refused, Session};
use crate::error::{ErrorKind, Fatal};
use crate::limits::visits::Visit;
use crate::limits::{Handshake, Place};
use crate::message::{Builder, Inbox, Message, ReadError, take_cstr, take_u32};
use crate::routes::Entry;
use crate::scram::server::{Exchange, Proven, Refusal};
use crate::scram::{self, Keys};
use crate::startup::Startup;
use crate::stream::Client;

/// The longest message of a client that has not proved anything.
const LONGEST_MESSAGE: usize = 4096;

const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;

/// A client that has said who it wants to be.
#[derive(Debug)]
pub struct Authenticating {
    /// What it works with.
    pub context: Context,
    /// Its connection.
    pub client: Client,
    /// How it comes by servers.
    pub mode: Mode,
    /// What has come from it and was not read yet.
    pub inbox: Inbox,
    /// Its address.
    pub peer: SocketAddr,
    /// Its place among all clients.
    pub place: Place,
    /// Its place among those that are logging in.
    pub handshake: Handshake,
    /// Its place among those of its address.
    pub visit: Visit,
    /// When its log-in must be done.
    pub deadline: Instant,
    /// What it asked for.
    pub startup: Startup,
}

impl Authenticating {
    pub(super) async fn step(mut self) -> Session {
        let result = timeout_at(self.deadline, self.prove()).await;
        let Self {
            context, client, mode, peer, place, handshake, visit, deadline, startup, ..
        } = self;
        let fatal = match result {
            Err(_) => {
                Fatal::new(ErrorKind::HandshakeTimeout, "canceling authentication due to timeout")
            }
            Ok(Err(Failure::Gone)) => return Session::Over,
            Ok(Err(Failure::Fatal(fatal))) => fatal,
            Ok(Ok((entry, proven))) => {
                drop((handshake, visit));
                return Session::Connecting(Box::new(Connecting {
                    context,
                    client,
                    mode,
                    place,
                    startup,
                    entry,
                    proven,
                }));
            }
        };
        if fatal.kind == ErrorKind::InvalidPassword {
            // It holds its place meanwhile, also when it hangs up.
            let pause = context.shared.limits.failures.note(peer.ip(), &startup.user);
            sleep_until(deadline.min(Instant::now() + pause)).await;
        }
        let refused = Refused::because(context, client, &fatal);
        send_away(refused, (place, handshake, visit)).await
    }

    /// The whole exchange. An unknown role goes through it like any other, and fails at its end.
    async fn prove(&mut self) -> Result<(Arc<Entry>, Proven), Failure> {
        let binding = self.client.end_point().cloned();
        let offer = self.offer(binding.is_some());
        self.send(&offer).await?;

        // The offer is the same for all, and while a client answers it the route is looked for: so
        // the time that this takes tells a stranger little.
        let Self { context, client, inbox, startup, .. } = self;
        let (entry, initial) = futures_util::join!(find(context, startup), response(client, inbox));
        let keys = self.keys(entry.as_deref());
        let initial = initial?;
        let (mechanism, first) = parse_initial(&initial.body)?;
        let nonce = scram::nonce().map_err(|_| Failure::Gone)?;
        let exchange = Exchange::begin(mechanism, first, binding.as_deref(), &keys, &nonce)
            .map_err(|refusal| self.refuse(refusal))?;
        self.send(&authentication(SASL_CONTINUE, exchange.server_first().as_bytes())).await?;

        let last = response(&mut self.client, &mut self.inbox).await?;
        let last = std::str::from_utf8(&last.body)
            .map_err(|_| Fatal::protocol("malformed SCRAM message: not text"))?;
        let proven = exchange.finish(last, &keys).map_err(|refusal| self.refuse(refusal))?;
        if !self.inbox.is_empty() {
            return Err(Fatal::protocol("unexpected data after the password").into());
        }
        let entry = entry.ok_or_else(|| Fatal::invalid_password(&self.startup.user))?;
        check_replication(&self.startup, &entry)?;
        self.startup.settle(&entry.route.database, entry.route.known_as.as_ref());
        Ok((entry, proven))
    }

    /// What the proof is checked against. Nothing fits the keys of an unknown role.
    fn keys(&self, entry: Option<&Entry>) -> Keys {
        if let Some(entry) = entry {
            return entry.keys.clone();
        }
        let shared = &self.context.shared;
        Keys::mock(&shared.mock_secret, &self.startup.user, shared.routes.usual_rounds())
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.client.write_all(bytes).await?;
        self.client.flush().await
    }

    fn offer(&self, plus: bool) -> Vec<u8> {
        let mut names = Vec::new();
        for name in [plus.then_some(scram::PLUS), Some(scram::PLAIN)].into_iter().flatten() {
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
        names.push(0);
        let mut bytes = self.startup.negotiation().unwrap_or_default();
        bytes.extend(authentication(SASL, &names));
        bytes
    }

    fn refuse(&self, refusal: Refusal) -> Failure {
        Failure::Fatal(match refusal {
            Refusal::Malformed(_) => Fatal::protocol(refusal.to_string()),
            Refusal::WrongProof => Fatal::invalid_password(&self.startup.user),
        })
    }
}

/// The route of the role. One that was made a moment ago may not have arrived yet.
async fn find(context: &Context, startup: &Startup) -> Option<Arc<Entry>> {
    let routes = &context.shared.routes;
    if let Some(entry) = routes.find(&startup.user) {
        return Some(entry);
    }
    routes.refreshed(context.shared.config.timeouts.route).await;
    routes.find(&startup.user)
}

/// Told after the proof only: a stranger learns nothing of a credential.
fn check_replication(startup: &Startup, entry: &Entry) -> Result<(), Fatal> {
    match entry.route.replication {
        Replication::Refused if startup.replication() => Err(Fatal::new(
            ErrorKind::ReplicationRefused,
            "permission denied to start WAL sender: this credential may not replicate",
        )
        .hint("Take a dump with pg_dump, which needs no replication connection.")),
        Replication::Refused | Replication::Allowed => Ok(()),
    }
}

async fn response(client: &mut Client, inbox: &mut Inbox) -> Result<Message, Failure> {
    match inbox.next(client, LONGEST_MESSAGE).await {
        Ok(message) if message.tag == b'p' => Ok(message),
        // Who has no password hangs up here, with or without a word.
        Ok(message) if message.tag == b'X' => Err(Failure::Gone),
        Ok(message) => {
            let tag = message.tag;
            Err(Fatal::protocol(format!("expected SASL response, got message type {tag}")).into())
        }
        Err(ReadError::Io(_)) => Err(Failure::Gone),
        Err(error @ ReadError::Length) => Err(Fatal::protocol(error.to_string()).into()),
    }
}

fn parse_initial(mut body: &[u8]) -> Result<(&str, &str), Fatal> {
    let malformed = || Fatal::protocol("malformed SASL initial response");
    let mechanism = take_cstr(&mut body).ok_or_else(malformed)?;
    let length = take_u32(&mut body).ok_or_else(malformed)?;
    if usize::try_from(length) != Ok(body.len()) {
        return Err(malformed());
    }
    let mechanism = std::str::from_utf8(mechanism).map_err(|_| malformed())?;
    if ![scram::PLAIN, scram::PLUS].contains(&mechanism) {
        return Err(Fatal::protocol("client selected an invalid SASL authentication mechanism"));
    }
    Ok((mechanism, std::str::from_utf8(body).map_err(|_| malformed())?))
}

/// An authentication request of that kind.
#[must_use]
pub fn authentication(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut builder = Builder::default();
    builder.message(b'R', |body| {
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(data);
    });
    builder.into_bytes()
}
