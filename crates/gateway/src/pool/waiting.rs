//! Waiting in the queue of a pool.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::group::{Grant, Waiter};
use super::lease::{Entry, Lease, Permit};
use super::{Pool, Resident, Shard};
use crate::stats::clock::Moment;

/// What came of waiting.
#[derive(Debug)]
pub enum Granted<T: Resident> {
    /// A server.
    Idle(Lease<T>),
    /// The place for one, which is to be opened.
    Open(Permit<T>),
}

/// Why somebody who waited got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Nothing came free in time.
    #[error("no server of the pool came free in time")]
    TimedOut,
    /// As many wait as the database may have clients.
    #[error("too many clients wait for a server of the pool")]
    TooMany,
    /// Servers of this pool are not used any more: look at the route again.
    #[error("the pool is not used any more")]
    Gone,
}

/// A place in the queue; given up when dropped. What came in the meantime is given back.
#[derive(Debug)]
#[must_use = "it waits while it is polled"]
pub struct Waiting<T: Resident> {
    pool: Arc<Pool<T>>,
    shard: Shard,
    number: u64,
    since: Moment,
    deadline: Moment,
    /// Nothing once the wait is over.
    receiver: Option<oneshot::Receiver<Grant<T>>>,
}

impl<T: Resident> Waiting<T> {
    pub(super) fn begin(
        pool: &Arc<Pool<T>>,
        shard: Shard,
        deadline: Moment,
    ) -> Result<Self, WaitError> {
        let (sender, receiver) = oneshot::channel();
        let since = Moment::now();
        let number = pool.group.wait(pool, shard, deadline, sender)?;
        Ok(Self { pool: pool.clone(), shard, number, since, deadline, receiver: Some(receiver) })
    }

    /// Nothing when what was granted broke on its way: then it waits where it was.
    fn accept(&mut self, grant: Grant<T>) -> Option<Result<Granted<T>, WaitError>> {
        let (server, ticket) = match grant {
            Grant::Here(server, ticket) => (server, ticket),
            Grant::Moved(parked, ticket) => match T::unpark(parked) {
                Some(server) => (server, ticket),
                None => {
                    self.wait_again();
                    return None;
                }
            },
            Grant::Place(permit) => return Some(Ok(Granted::Open(permit))),
            Grant::TimedOut => return Some(Err(WaitError::TimedOut)),
        };
        let since = self.pool.group.now();
        Some(Ok(Granted::Idle(Entry { server, ticket, since }.into_lease())))
    }

    /// Whether something was granted that was not looked at yet.
    #[cfg(test)]
    pub(super) fn is_served(&self) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| !receiver.is_empty())
    }

    fn wait_again(&mut self) {
        let (sender, receiver) = oneshot::channel();
        self.receiver = Some(receiver);
        let Self { shard, number, since, deadline, .. } = *self;
        let waiter = Waiter { number, shard, since, deadline, sender };
        self.pool.group.wait_again(&self.pool, waiter);
    }
}

impl<T: Resident> Future for Waiting<T> {
    type Output = Result<Granted<T>, WaitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let Some(receiver) = &mut self.receiver else {
                return Poll::Ready(Err(WaitError::Gone));
            };
            let Ok(grant) = ready!(Pin::new(receiver).poll(cx)) else {
                self.receiver = None;
                return Poll::Ready(Err(WaitError::Gone));
            };
            self.receiver = None;
            if let Some(outcome) = self.accept(grant) {
                return Poll::Ready(outcome);
            }
        }
    }
}

impl<T: Resident> Drop for Waiting<T> {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else { return };
        if self.pool.group.abandon(self.pool.id, self.shard, self.number) {
            return;
        }
        // It is on its way or has come.
        receiver.close();
        let Ok(grant) = receiver.try_recv() else { return };
        let (server, ticket) = match grant {
            Grant::Here(server, ticket) => (Some(server), ticket),
            Grant::Moved(parked, ticket) => (T::unpark(parked), ticket),
            Grant::Place(_) | Grant::TimedOut => return,
        };
        if let Some(server) = server {
            let since = self.pool.group.now();
            let lease = Entry { server, ticket, since }.into_lease();
            self.pool.give_back(self.shard, lease);
        }
    }
}
