//! The threads that carry sessions. A client and its server stay on one thread for life.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use howdah_model::route::Mode;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use crate::limits::{Handshake, Place};
use crate::pool::Shard;
use crate::session::hello::Hello;
use crate::session::{Context, Session, Shared};
use crate::stats::Counters;

/// A client that was accepted.
#[derive(Debug)]
pub struct Arrival {
    /// Its connection, in non-blocking mode.
    pub socket: std::net::TcpStream,
    /// Its address.
    pub peer: SocketAddr,
    /// How it comes by servers.
    pub mode: Mode,
    /// Its place among all clients.
    pub place: Place,
    /// Its place among those that are logging in.
    pub handshake: Handshake,
}

/// One thread.
#[derive(Debug)]
pub struct Worker {
    sender: mpsc::UnboundedSender<Arrival>,
    load: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(
        number: usize,
        shared: Arc<Shared>,
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("make a runtime for sessions")?;
        // What waits in the channel is bounded by the places that clients have.
        let (sender, receiver) = mpsc::unbounded_channel();
        let load = Arc::new(AtomicUsize::new(0));
        let context = Context { shared, counters, shard: Shard(number) };
        let carried = load.clone();
        let thread = std::thread::Builder::new()
            .name(format!("gateway-{number}"))
            .spawn(move || runtime.block_on(carry(receiver, context, carried)))
            .context("start a thread for sessions")?;
        Ok(Self { sender, load, thread })
    }

    /// How many clients it has.
    #[must_use]
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Gives it a client.
    ///
    /// # Errors
    /// When the thread has ended, which only a panic of its own brings about.
    pub fn give(&self, arrival: Arrival) -> anyhow::Result<()> {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.sender.send(arrival).ok().context("a thread of the gateway has ended")
    }

    /// Lets it end its sessions within the farewell time; they must have been told.
    pub fn stop(self) -> JoinHandle<()> {
        self.thread
    }
}

async fn carry(
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    context: Context,
    load: Arc<AtomicUsize>,
) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => begin(&mut sessions, &context, arrival, &load),
                None => break,
            },
            Some(ended) = sessions.join_next(), if !sessions.is_empty() => note(&context, ended, &load),
        }
    }
    let bound: Duration = context.shared.config.timeouts.farewell * 2;
    let drained = async {
        while let Some(ended) = sessions.join_next().await {
            note(&context, ended, &load);
        }
    };
    // Who is not done by then is cut off when the runtime ends.
    let _ = timeout(bound, drained).await;
}

fn begin(sessions: &mut JoinSet<()>, context: &Context, arrival: Arrival, load: &AtomicUsize) {
    let Arrival { socket, peer, mode, place, handshake } = arrival;
    let Ok(socket) = TcpStream::from_std(socket) else {
        load.fetch_sub(1, Ordering::Relaxed);
        return;
    };
    context.counters.clients.add(1);
    let deadline = Instant::now() + context.shared.config.timeouts.handshake;
    let context = context.clone();
    let hello = Hello { context, socket, peer, mode, place, handshake, deadline };
    sessions.spawn(Session::Hello(Box::new(hello)).run());
}

fn note(context: &Context, ended: Result<(), JoinError>, load: &AtomicUsize) {
    load.fetch_sub(1, Ordering::Relaxed);
    context.counters.clients_gone.add(1);
    if let Err(error) = ended {
        tracing::error!(error = %error, "a session of the gateway broke off");
    }
}
