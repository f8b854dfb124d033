//! A network that fails as it is told: a proxy between a client and a server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Bytes go to and fro.
    None,
    /// It is closed at once.
    Drop,
    /// It is taken and nothing comes ever.
    Hang,
    /// Every piece of up to 64 KiB is held up for so long.
    Delay(Duration),
    /// It is cut when so many bytes have gone to the server.
    CutUp(usize),
    /// It is cut when so many bytes have come from the server.
    CutDown(usize),
    /// A HTTP answer with this status and body, whatever is asked.
    Answer(u16, &'static str),
}

/// The proxy. Connections end when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    changed: watch::Sender<()>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Plan {
    fault: Fault,
    /// For how many connections it holds.
    left: usize,
    met: usize,
}

impl Proxy {
    /// A proxy on a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("its address");
        let plan = Arc::new(Mutex::new(Plan { fault: Fault::None, left: 0, met: 0 }));
        let (changed, watched) = watch::channel(());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, plan.clone(), watched));
        Self { address, plan, changed, _accepting: accepting }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on every new connection meets a fault; those that are there are closed.
    pub fn fail(&self, fault: Fault) {
        self.fail_times(fault, usize::MAX);
    }

    /// The next so many connections meet a fault; those that are there are closed.
    pub fn fail_times(&self, fault: Fault, times: usize) {
        *self.plan() = Plan { fault, left: times, met: 0 };
        self.changed.send_replace(());
    }

    /// How many connections have met the fault that was set last.
    #[must_use]
    pub fn met(&self) -> usize {
        self.plan().met
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn next(&mut self) -> Fault {
        if self.left == 0 {
            return Fault::None;
        }
        self.left -= 1;
        self.met += 1;
        self.fault
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    changed: watch::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let fault = plan.lock().unwrap_or_else(PoisonError::into_inner).next();
        let mut changed = changed.clone();
        changed.mark_unchanged();
        connections.spawn(async move {
            tokio::select! {
                () = serve(client, server, fault) => {}
                _ = changed.changed() => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, fault: Fault) {
    match fault {
        Fault::Drop => {}
        Fault::Hang => {
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
            std::future::pending::<()>().await;
        }
        Fault::Answer(status, body) => {
            let mut some = [0; 4096];
            let _ = client.read(&mut some).await;
            let answer = format!(
                "HTTP/1.1 {status} Told\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = client.write_all(answer.as_bytes()).await;
            let _ = client.shutdown().await;
            // Until the client has said all: else it would see a reset, not the answer.
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        }
        Fault::None | Fault::Delay(_) | Fault::CutUp(_) | Fault::CutDown(_) => {
            let Ok(server) = TcpStream::connect(server).await else { return };
            let ((client_says, client_hears), (server_says, server_hears)) =
                (client.into_split(), server.into_split());
            let (up, down, delay) = match fault {
                Fault::CutUp(bytes) => (bytes, usize::MAX, Duration::ZERO),
                Fault::CutDown(bytes) => (usize::MAX, bytes, Duration::ZERO),
                Fault::Delay(delay) => (usize::MAX, usize::MAX, delay),
                _ => (usize::MAX, usize::MAX, Duration::ZERO),
            };
            let mut up = std::pin::pin!(pass(client_says, server_hears, up, delay));
            let mut down = std::pin::pin!(pass(server_says, client_hears, down, delay));
            // Who has said all may still listen; a cut ends both.
            let passed = tokio::select! { passed = &mut up => (passed, true), passed = &mut down => (passed, false) };
            match passed {
                (Passed::Cut, _) => {}
                (Passed::All, true) => _ = down.await,
                (Passed::All, false) => _ = up.await,
            }
        }
    }
}

/// How one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    /// Everything was said and passed on.
    All,
    /// It was cut, or broke off.
    Cut,
}

/// Passes on so many bytes, each piece after a while.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut left: usize,
    delay: Duration,
) -> Passed {
    let mut piece = vec![0; 64 << 10];
    while left > 0 {
        let Ok(read) = from.read(&mut piece).await else { return Passed::Cut };
        if read == 0 {
            let _ = to.shutdown().await;
            return Passed::All;
        }
        tokio::time::sleep(delay).await;
        let some = read.min(left);
        if to.write_all(&piece[..some]).await.is_err() {
            return Passed::Cut;
        }
        left -= some;
    }
    Passed::Cut
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("its address");
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut says, mut hears) = client.split();
                let _ = tokio::io::copy(&mut says, &mut hears).await;
            }
        });
        (address, serving)
    }

    async fn say(proxy: &Proxy, bytes: usize) -> usize {
        let mut client = TcpStream::connect(proxy.address()).await.expect("connect");
        let _ = client.write_all(&vec![7; bytes]).await;
        let _ = client.shutdown().await;
        let mut heard = Vec::new();
        let _ = client.read_to_end(&mut heard).await;
        heard.len()
    }

    #[tokio::test]
    async fn faults_are_what_they_are_called() {
        let (address, _serving) = echo().await;
        let proxy = Proxy::start(address).await;
        proxy.fail_times(Fault::Drop, 1);
        assert_eq!((say(&proxy, 10).await, proxy.met()), (0, 1));
        proxy.fail(Fault::CutDown(1000));
        assert_eq!(say(&proxy, 5000).await, 1000);
        proxy.fail(Fault::CutUp(1000));
        assert!(say(&proxy, 5000).await <= 1000);
        proxy.fail(Fault::Answer(503, ""));
        assert!(say(&proxy, 10).await > 20);
    }
}
