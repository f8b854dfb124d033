//! A gateway in its place among those of its home: it takes over, serves, hands on, drains.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::hand_on::{Elder, Outcome};
use super::run_dir::Placed;
use super::station::{Legacy, Station};
use crate::Gateway;
use crate::admin::{self, Comer, Departure, Desk};

/// How long a gateway that has ended may take to leave its figures to another one.
const DEPARTURE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Why a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop; its elders were, too.
    Stopped,
    /// Another one has taken over, and no session is left here.
    HandedOn,
}

/// Serves clients from a station until `stop` is cancelled, or until another gateway has taken over
/// and the sessions have ended by themselves or `drain` has passed; those that are left are told
/// (57P01). A gateway that takes over accepts before its elder lets go. Answers on the admin socket
/// as long as it lives. Calls `ready` when clients come to this gateway.
///
/// # Errors
/// When the run directory cannot be written to, when the elder does not let go, or when the gateway
/// itself fails.
pub async fn serve(
    gateway: Arc<Gateway>,
    mut station: Station,
    drain: Duration,
    stop: CancellationToken,
    ready: impl FnOnce(),
) -> anyhow::Result<End> {
    let (listener, placed) = station.run.bind_own()?;
    let (younger, mut comers) = mpsc::unbounded_channel();
    let told = stop.child_token();
    let run = station.run.clone();
    let turn = Arc::new(Semaphore::new(1));
    let desk =
        Desk { gateway: gateway.clone(), run: run.clone(), younger, turn, stop: told.clone() };
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(listener, desk));

    let shared = gateway.shared.clone();
    // What takes time comes first: from the elder's last word on, clients wait.
    shared.elders.find(&run, &placed)?;
    let Legacy { held, moves } = station.assume().await?;
    shared.limits.set_elsewhere(held);
    for (database, made) in moves {
        shared.routes.set_move(database, made);
    }
    run.point_to(&placed)?;
    let watched = shared.clone();
    tasks.spawn(async move {
        watched.elders.watch(&watched.limits).await;
        std::future::pending().await
    });

    let over = CancellationToken::new();
    let mut running = std::pin::pin!(gateway.run(over.clone()));
    // What comes before the first turn of `running` waits in the kernel's queue.
    ready();
    let mut elder = Elder {
        gateway: &gateway,
        run: &run,
        placed: &placed,
        lock: Some(station.lock),
        own_elder: station.elder,
        drain,
    };
    let mut handing_on = std::pin::pin!(async {
        while let Some(Comer { stream, turn }) = comers.recv().await {
            if elder.hand_on(stream).await == Outcome::Drained {
                break;
            }
            drop(turn);
        }
    });
    let end = tokio::select! {
        result = &mut running => {
            return result.and(Err(anyhow::anyhow!("the gateway ended by itself")));
        }
        ended = tasks.join_next() => anyhow::bail!("the admin socket ended: {ended:?}"),
        () = told.cancelled() => End::Stopped,
        () = &mut handing_on => End::HandedOn,
    };
    if end == End::Stopped {
        // Before the connection to them ends, which would make one of them accept again.
        shared.elders.stop().await;
    }
    over.cancel();
    let result = running.await;
    if end == End::HandedOn {
        depart(&gateway, &station.run, &placed).await;
    }
    tasks.shutdown().await;
    result.map(|()| end)
}

async fn answer(listener: UnixListener, desk: Desk) -> anyhow::Result<()> {
    let app = admin::router(desk).into_make_service();
    axum::serve(listener, app).await.context("answer on the admin socket")
}

/// Leaves the figures to the gateway that accepts clients now, with those that were left to this one.
async fn depart(gateway: &Gateway, run: &super::RunDir, placed: &Placed) {
    let mut figures = gateway.figures();
    gateway.shared.elders.add_ended_to(&mut figures);
    let departure = Departure { name: placed.name.clone(), figures };
    let until = Instant::now() + DEPARTURE;
    loop {
        let told = async { admin::client::Client::new(run.current())?.depart(&departure).await };
        match told.await {
            Ok(()) => return,
            // The one that accepts clients is just changing.
            Err(_) if Instant::now() < until => sleep(PAUSE).await,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the figures of this gateway are lost"
                );
                return;
            }
        }
    }
}
