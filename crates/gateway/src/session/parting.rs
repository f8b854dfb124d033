//! The end of a session: the client reads its last words, and PostgreSQL lets go.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::pooling::{Claim, Seat};
use super::{Context, Session};
use crate::cancel;
use crate::limits::Place;
use crate::registry::Cancellation;
use crate::stream::Client;
use crate::stream::local::Local;

/// Between two cancels of a query that nobody waits for. A function can survive one.
const CANCEL_AGAIN: Duration = Duration::from_secs(5);

/// A session that has ended for its client.
#[derive(Debug)]
pub struct Parting {
    /// What it works with.
    pub context: Context,
    /// The client, with its last words, if it is still there.
    pub client: Option<(Client, Vec<u8>)>,
    /// The server, if it is still there.
    pub server: Option<Seat>,
    /// How to cancel the query that nobody waits for any more.
    pub cancellation: Option<Cancellation>,
    /// Counts as a session of the database until PostgreSQL has ended it: whoever leaves queries
    /// behind could otherwise have any number of them.
    pub claim: Claim,
    /// Its place among all clients.
    pub place: Place,
}

impl Parting {
    pub(super) async fn step(self) -> Session {
        let Self { context, client, server, cancellation, claim, place } = self;
        let bound = context.shared.config.timeouts.farewell;
        let goodbye = async {
            if let Some((client, words)) = client {
                client.say_goodbye(&words, bound).await;
            }
        };
        let release = async {
            if let Some(server) = server {
                release(server, cancellation).await;
            }
            drop(claim);
        };
        futures_util::join!(goodbye, release);
        drop(place);
        Session::Over
    }
}

/// Ends a session in PostgreSQL and waits until it has: a process that runs a query notices only
/// when it next reads or writes that nobody is there.
async fn release(mut seat: Seat, cancellation: Option<Cancellation>) {
    let server = &mut seat.stream;
    if server.shutdown().await.is_err() {
        return;
    }
    loop {
        if let Some(cancellation) = &cancellation {
            cancel::send(cancellation).await;
        }
        // However long it takes: the query holds its place for as long as it runs.
        if timeout(CANCEL_AGAIN, discard(server)).await.is_ok() {
            return;
        }
    }
}

async fn discard(server: &mut Local) -> io::Result<()> {
    let mut sink = vec![0; 16 * 1024];
    while server.read(&mut sink).await? > 0 {}
    Ok(())
}
