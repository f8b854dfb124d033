//! The right to accept the clients of a home: free, or taken over from the gateway that has it.

use std::collections::HashMap;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use howdah_model::ids::DatabaseId;
use howdah_model::route::Mode;
use tokio::time::{Instant, sleep, timeout};

use super::Held;
use super::link::{Link, Word};
use super::run_dir::RunDir;
use crate::admin;
use crate::routes::Move;

/// How long an elder may take for each of its words.
const WORD: Duration = Duration::from_secs(5);
/// Between attempts while another gateway starts, or is being taken over from by somebody else.
const PAUSE: Duration = Duration::from_millis(50);

/// The right to accept clients. One gateway of a home has it at a time, or two between whom it is
/// changing hands.
#[derive(Debug)]
pub struct Station {
    pub(super) run: RunDir,
    pub(super) lock: OwnedFd,
    pub(super) elder: Option<Link>,
    /// The sockets that an elder gave; empty without one.
    sockets: Vec<Socket>,
}

/// What an elder says when it lets go.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    /// The sessions that it has to be counted with.
    pub(super) held: Held,
    /// The moves that it was told of, and not by the platform.
    pub(super) moves: HashMap<DatabaseId, Move>,
}

/// A listening socket.
#[derive(Debug)]
pub struct Socket {
    /// How the clients that come by it take servers.
    pub mode: Mode,
    /// The socket.
    pub listener: TcpListener,
}

impl Station {
    /// Takes it if no gateway has it.
    ///
    /// # Errors
    /// When the home cannot be written to.
    pub fn free(run: &RunDir) -> anyhow::Result<Option<Self>> {
        let station = |lock| Self { run: run.clone(), lock, elder: None, sockets: Vec::new() };
        Ok(run.try_lock()?.map(station))
    }

    /// Takes it, over from the gateway that has it if one does.
    ///
    /// # Errors
    /// When that gateway does not let go within the bound; it then goes on.
    pub async fn take(run: &RunDir, bound: Duration) -> anyhow::Result<Self> {
        let until = Instant::now() + bound;
        loop {
            if let Some(station) = Self::free(run)? {
                return Ok(station);
            }
            let error = match Self::take_over(run).await {
                Ok(station) => return Ok(station),
                Err(error) => error,
            };
            if Instant::now() + PAUSE > until {
                return Err(error.context("take over from the gateway that runs on this home"));
            }
            sleep(PAUSE).await;
        }
    }

    async fn take_over(run: &RunDir) -> anyhow::Result<Self> {
        let (listener, placed) = run.bind("taking-over-")?;
        admin::client::Client::new(run.current())?.take_over(&placed.name).await?;
        let (stream, _) = timeout(WORD, listener.accept())
            .await
            .context("the other gateway does not come")?
            .context("accept the other gateway")?;
        let mut link = Link::new(stream);
        let heard = timeout(WORD, link.hear()).await.context("the other gateway says nothing")?;
        let heard = heard.context("listen to the other gateway")?;
        let (word, mut descriptors) = heard.context("the other gateway has gone")?;
        let Word::Offer { ports } = word else { bail!("the other gateway offers nothing") };
        ensure!(descriptors.len() == ports.len() + 1, "the other gateway offers too little");
        let lock = descriptors.pop().context("the other gateway offers no lock")?;
        let listeners = descriptors.into_iter().map(TcpListener::from);
        let sockets = ports.into_iter().zip(listeners);
        let sockets = sockets.map(|(mode, listener)| Socket { mode, listener }).collect();
        Ok(Self { run: run.clone(), lock, elder: Some(link), sockets })
    }

    /// The listening sockets that the elder gave, once.
    pub fn take_sockets(&mut self) -> Vec<Socket> {
        std::mem::take(&mut self.sockets)
    }

    /// Whether it is being taken over from another gateway, which accepts until this one
    /// [serves](super::serve()).
    #[must_use]
    pub fn has_elder(&self) -> bool {
        self.elder.is_some()
    }

    /// Says that everything is prepared, and waits until the elder accepts nobody any more.
    pub(super) async fn assume(&mut self) -> anyhow::Result<Legacy> {
        let Some(elder) = &mut self.elder else { return Ok(Legacy::default()) };
        let exchange = async {
            elder.say(&Word::Ready).await?;
            elder.hear().await
        };
        let heard = timeout(WORD, exchange).await.context("the other gateway does not let go")?;
        match heard {
            Ok(Some((Word::Serve { held, moves }, _))) => Ok(Legacy { held, moves }),
            Ok(Some((word, _))) => bail!("the other gateway says {word:?} instead of letting go"),
            // It has died: its sockets and the lock are ours alone.
            Ok(None) | Err(_) => Ok(Legacy::default()),
        }
    }
}
