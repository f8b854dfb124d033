//! The least that anything between client and server can do: bytes from one socket to the other,
//! by epoll, on one thread.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;
/// Events that are taken at once.
const EVENTS: usize = 256;
/// The number of the listener among the sockets.
const LISTENER: u64 = u64::MAX;

struct Side {
    socket: OwnedFd,
    /// The number of the other side.
    peer: usize,
    /// What it has not taken yet. While there is any, the other side is not read.
    unsent: Vec<u8>,
}

struct Forwarder {
    epoll: OwnedFd,
    sides: Vec<Option<Side>>,
}

/// Forwards what connects to a port of 127.0.0.1 to the socket at a path, until it is ended.
pub(crate) fn run(port: u16, path: &Path) -> anyhow::Result<()> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut forwarder = Forwarder { epoll, sides: Vec::new() };
    let mut buffer = vec![0; BUFFER];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        epoll::wait(&forwarder.epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => forwarder.open(listener.accept()?.0, path)?,
                number => forwarder.serve(usize::try_from(number)?, event.flags, &mut buffer)?,
            }
        }
    }
}

impl Forwarder {
    fn open(&mut self, client: std::net::TcpStream, path: &Path) -> anyhow::Result<()> {
        // Without a server there is nothing to say to a client.
        let Ok(server) = UnixStream::connect(path) else { return Ok(()) };
        client.set_nodelay(true)?;
        client.set_nonblocking(true)?;
        server.set_nonblocking(true)?;
        let pair = self.sides.chunks(2).position(|pair| pair[0].is_none());
        let first = 2 * pair.unwrap_or(self.sides.len() / 2);
        self.sides.resize_with(self.sides.len().max(first + 2), || None);
        let sockets = [OwnedFd::from(client), OwnedFd::from(server)];
        for (offset, socket) in sockets.into_iter().enumerate() {
            let number = first + offset;
            epoll::add(&self.epoll, &socket, EventData::new_u64(number as u64), EventFlags::IN)?;
            let peer = first + 1 - offset;
            self.sides[number] = Some(Side { socket, peer, unsent: Vec::new() });
        }
        Ok(())
    }

    fn serve(&mut self, number: usize, flags: EventFlags, buffer: &mut [u8]) -> anyhow::Result<()> {
        // One that was closed meanwhile.
        let Some(side) = self.sides[number].as_ref() else { return Ok(()) };
        let peer = side.peer;
        let moved = if flags.contains(EventFlags::OUT) {
            self.write_rest(number)
        } else {
            self.copy(number, peer, buffer)
        };
        match moved {
            Ok(true) | Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(false) | Err(_) => {
                self.sides[number] = None;
                self.sides[peer] = None;
            }
        }
        Ok(())
    }

    /// From one side to the other; false at the end.
    fn copy(&mut self, from: usize, to: usize, buffer: &mut [u8]) -> rustix::io::Result<bool> {
        let [Some(reader), Some(writer)] = [&self.sides[from], &self.sides[to]] else {
            return Ok(false);
        };
        let (count, _) = recv(&reader.socket, &mut *buffer, RecvFlags::empty())?;
        if count == 0 {
            return Ok(false);
        }
        let sent = match send(&writer.socket, &buffer[..count], SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => 0,
            sent => sent?,
        };
        if sent < count {
            self.watch(from, EventFlags::empty())?;
            self.watch(to, EventFlags::OUT)?;
            if let Some(writer) = &mut self.sides[to] {
                writer.unsent.extend_from_slice(&buffer[sent..count]);
            }
        }
        Ok(true)
    }

    fn write_rest(&mut self, number: usize) -> rustix::io::Result<bool> {
        let Some(side) = &mut self.sides[number] else { return Ok(false) };
        let sent = send(&side.socket, &side.unsent, SendFlags::NOSIGNAL)?;
        side.unsent.drain(..sent);
        let peer = side.peer;
        if side.unsent.is_empty() {
            self.watch(number, EventFlags::IN)?;
            self.watch(peer, EventFlags::IN)?;
        }
        Ok(true)
    }

    fn watch(&self, number: usize, flags: EventFlags) -> rustix::io::Result<()> {
        let Some(side) = &self.sides[number] else { return Ok(()) };
        epoll::modify(&self.epoll, &side.socket, EventData::new_u64(number as u64), flags)
    }
}
