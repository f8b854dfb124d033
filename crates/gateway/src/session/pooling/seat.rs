//! The server that a session has.

use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::limits::Slot;
use crate::pool::{Lease, Membership, Resident};
use crate::session::leg::{Birth, Leg};
use crate::session::names::Holds;
use crate::session::record::{Carried, Reported};
use crate::startup::CancelKey;
use crate::stream::local::Local;

/// The server that a session has.
#[derive(Debug)]
pub enum Seat {
    /// Its own.
    Own(Leg),
    /// One of a pool, for now.
    Hired(Box<Lease<PoolServer>>),
}

/// A server that clients share, and what the last one left it with.
#[derive(Debug)]
pub struct PoolServer {
    /// The connection.
    pub leg: Leg,
    /// What it has reported of its parameters.
    pub reported: Reported,
    /// What is set.
    pub carried: Carried,
    /// The statements that it has.
    pub holds: Holds,
}

/// What counts a session among those of its database.
#[derive(Debug)]
pub enum Claim {
    /// A server of its own.
    Session(Slot),
    /// A place among the clients of the pools.
    Client(Membership<PoolServer>),
}

/// A shared server between two threads.
#[derive(Debug)]
pub struct Parked {
    socket: UnixStream,
    key: CancelKey,
    dir: Arc<Path>,
    birth: Option<Birth>,
    reported: Reported,
    carried: Carried,
    holds: Holds,
}

impl Resident for PoolServer {
    type Parked = Parked;

    fn park(self) -> Option<Parked> {
        let Self { leg, reported, carried, holds } = self;
        let Leg { stream, key, dir, birth, .. } = leg;
        Some(Parked { socket: stream.into_socket(), key, dir, birth, reported, carried, holds })
    }

    fn unpark(parked: Parked) -> Option<Self> {
        // Outside a runtime there is no reactor for it.
        Handle::try_current().ok()?;
        let Parked { socket, key, dir, birth, reported, carried, holds } = parked;
        let stream = Local::new(socket).ok()?;
        let leg = Leg { stream, key, dir, birth, is_deaf: false };
        Some(Self { leg, reported, carried, holds })
    }

    fn is_sound(&mut self) -> bool {
        self.leg.stream.is_silent()
    }

    fn close(self) {
        self.leg.leave();
    }
}

impl Seat {
    /// Ends it. PostgreSQL hears of it when it next reads.
    pub fn leave(self) {
        match self {
            Self::Own(leg) => leg.leave(),
            Self::Hired(lease) => lease.close(),
        }
    }

    /// The connection, and the statements that a shared server has.
    pub fn parts(&mut self) -> (&mut Leg, Option<&mut Holds>) {
        match self {
            Self::Own(leg) => (leg, None),
            Self::Hired(lease) => {
                let PoolServer { leg, holds, .. } = &mut ***lease;
                (leg, Some(holds))
            }
        }
    }

    /// The gateway said something to the server itself: it has no statement without a name now.
    pub fn overwritten(&mut self) {
        if let (_, Some(holds)) = self.parts() {
            holds.overwritten();
        }
    }
}

impl Deref for Seat {
    type Target = Leg;

    fn deref(&self) -> &Leg {
        match self {
            Self::Own(leg) => leg,
            Self::Hired(lease) => &lease.leg,
        }
    }
}

impl DerefMut for Seat {
    fn deref_mut(&mut self) -> &mut Leg {
        self.parts().0
    }
}
