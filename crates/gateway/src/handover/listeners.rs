//! The listening sockets of a gateway: taken from its elder where they are where they should be, and
//! bound else.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use anyhow::Context as _;
use howdah_model::route::Mode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Duty;
use super::station::Socket;
use crate::admin::Port;
use crate::stream;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// All of them, and whether clients are accepted.
#[derive(Debug)]
pub struct Listeners {
    open: Mutex<Arc<[Listener]>>,
    ports: Vec<Port>,
    duty: watch::Sender<Duty>,
    /// Which one has its turn.
    turn: AtomicUsize,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) mode: Mode,
    pub(super) socket: TcpListener,
}

impl Listeners {
    /// Listens on each address; port 0 takes any that is free, or that the elder had.
    ///
    /// # Errors
    /// When an address cannot be taken.
    pub fn open(wanted: &[(Mode, SocketAddr)], given: Vec<Socket>) -> anyhow::Result<Self> {
        let mut given = given;
        let mut open = Vec::new();
        for (mode, address) in wanted {
            let is_it = |socket: &Socket| socket.mode == *mode && fits(socket, *address);
            let socket = match given.iter().position(is_it) {
                Some(at) => adopt(given.swap_remove(at).listener),
                None => listen(*address),
            };
            let socket =
                socket.with_context(|| format!("listen on {address} for clients of databases"))?;
            open.push(Listener { mode: *mode, socket });
        }
        let port = |listener: &Listener| {
            let address = listener.socket.local_addr().context("read the gateway's address")?;
            Ok(Port { mode: listener.mode, address })
        };
        let ports = open.iter().map(port).collect::<anyhow::Result<_>>()?;
        let duty = watch::Sender::new(Duty::Serve);
        Ok(Self { open: Mutex::new(open.into()), ports, duty, turn: AtomicUsize::new(0) })
    }

    /// The addresses, as they were at the start.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// The address of the clients of a mode.
    #[must_use]
    pub fn address(&self, mode: Mode) -> Option<SocketAddr> {
        self.ports.iter().find(|port| port.mode == mode).map(|port| port.address)
    }

    /// The next client, by whichever socket it comes. While the gateway drains nobody does.
    ///
    /// # Errors
    /// What `accept` says.
    pub async fn accept(&self) -> io::Result<(Mode, TcpStream, SocketAddr)> {
        let mut duty = self.duty.subscribe();
        loop {
            // The sender lives as long as this.
            let _ = duty.wait_for(|duty| *duty == Duty::Serve).await;
            let open = self.lock().clone();
            tokio::select! {
                biased;
                _ = duty.wait_for(|duty| *duty == Duty::Drain) => {}
                accepted = self.accept_any(&open) => return accepted,
            }
        }
    }

    async fn accept_any(&self, open: &[Listener]) -> io::Result<(Mode, TcpStream, SocketAddr)> {
        poll_fn(|cx| {
            // One with many clients must not keep those of the others waiting.
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            for number in 0..open.len() {
                let Listener { mode, socket } = &open[turn.wrapping_add(number) % open.len()];
                if let Poll::Ready(accepted) = socket.poll_accept(cx) {
                    return Poll::Ready(accepted.map(|(stream, peer)| (*mode, stream, peer)));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Whether clients are accepted.
    #[must_use]
    pub fn duty(&self) -> Duty {
        *self.duty.borrow()
    }

    pub(super) fn set_duty(&self, duty: Duty) {
        self.duty.send_replace(duty);
    }

    /// The sockets, to be handed on.
    pub(super) fn sockets(&self) -> Arc<[Listener]> {
        self.lock().clone()
    }

    /// Lets go of the sockets, which others have now.
    pub(super) fn close(&self) {
        *self.lock() = Arc::new([]);
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[Listener]>> {
        // A pointer is whole also after a panic of whoever held it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fits(socket: &Socket, wanted: SocketAddr) -> bool {
    socket.listener.local_addr().is_ok_and(|address| {
        address == wanted || (wanted.port() == 0 && address.ip() == wanted.ip())
    })
}

fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    stream::prepare(&listener)?;
    TcpListener::from_std(listener)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // So that a restart is not refused because of connections that are closing.
    socket.set_reuseaddr(true)?;
    stream::prepare(&socket)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[tokio::test]
    async fn clients_are_told_apart_by_the_socket_and_wait_while_nobody_serves() {
        let wanted = [(Mode::Session, any()), (Mode::Transaction, any())];
        let listeners = Listeners::open(&wanted, Vec::new()).expect("open");
        for (mode, _) in wanted {
            let address = listeners.address(mode).expect("an address");
            let client = TcpStream::connect(address).await.expect("connected");
            let (came_by, _, peer) = listeners.accept().await.expect("accepted");
            assert_eq!((came_by, peer), (mode, client.local_addr().expect("an address")));
        }
        listeners.set_duty(Duty::Drain);
        let address = listeners.address(Mode::Session).expect("an address");
        let _client = TcpStream::connect(address).await.expect("the kernel queues it");
        let nobody = timeout(Duration::from_millis(50), listeners.accept()).await;
        assert!(nobody.is_err(), "{nobody:?}");
        listeners.set_duty(Duty::Serve);
        assert!(listeners.accept().await.is_ok());
    }

    #[tokio::test]
    async fn sockets_of_an_elder_are_taken_where_they_fit() {
        let bound = || std::net::TcpListener::bind(any()).expect("bound");
        let (fits, other) = (bound(), bound());
        let (address, elsewhere) =
            (fits.local_addr().expect("address"), other.local_addr().expect("address"));
        let given = vec![
            Socket { mode: Mode::Session, listener: fits },
            Socket { mode: Mode::Transaction, listener: other },
        ];
        // Nothing else could bind these while they are open.
        let wanted = [(Mode::Session, address), (Mode::Transaction, any())];
        let listeners = Listeners::open(&wanted, given).expect("open");
        assert_eq!(listeners.address(Mode::Session), Some(address));
        assert_eq!(listeners.address(Mode::Transaction), Some(elsewhere));
        let taken = Listeners::open(&[(Mode::Session, address)], Vec::new());
        assert!(taken.is_err());
        listeners.close();
        assert!(Listeners::open(&[(Mode::Session, address)], Vec::new()).is_ok());
    }
}
