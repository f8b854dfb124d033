//! A client comes in that is to take its servers from a pool.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::{Instant, sleep};

use super::hiring::{open, opened, take};
use super::{Claim, PoolServer, Seat, deadline};
use crate::error::{ErrorKind, Fatal};
use crate::message::{Builder, Message};
use crate::pool::{Granted, Pool};
use crate::routes::Entry;
use crate::session::connecting::{Connecting, Obstacle, PAUSE, Ready, not_ready};
use crate::session::hindrance::Hindrance;
use crate::session::leg::{self, Opened};
use crate::session::record::{Carried, Reported, Tenure, apply};
use crate::session::relaying::Identity;

/// Process numbers for clients that have no process.
static NUMBERS: AtomicU32 = AtomicU32::new(1);

impl Connecting {
    /// Finds out what the client has to be told. It needs a server only when no other client came
    /// with the same settings before.
    pub(crate) async fn enter(&self, identity: &Identity) -> Result<Ready, Obstacle> {
        let until = Instant::now() + self.context.shared.config.timeouts.hold;
        let carried = Carried::of_startup(&self.startup);
        let (entry, member, reported) = loop {
            let entry = self.ready_route(until).await?;
            let Some(dir) = leg::dir(&entry) else {
                return Err(not_ready("the database system is not accepting connections").into());
            };
            let servers = &self.context.shared.servers;
            let pool = servers.pool(&entry, dir);
            let member = pool.join().ok_or_else(|| too_many(&entry))?;
            if let Some(reported) = servers.greeting(&entry, dir, &carried) {
                break (entry, member, reported);
            }
            match self.ask(identity, &entry, dir, &pool, &carried).await {
                Ok(reported) => {
                    servers.keep_greeting(&entry, dir, &carried, &reported);
                    break (entry, member, reported);
                }
                Err(hindrance) => self.weigh(hindrance, until)?,
            }
            drop(member);
            sleep(PAUSE).await;
        };
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff;
        let registration = self.register(&entry, number, None)?;
        Ok(Ready {
            seat: None,
            greeting: parameters(&reported),
            reported,
            rest: Vec::new(),
            tenure: Tenure::Shared,
            entry,
            registration,
            claim: Claim::Client(member),
        })
    }

    /// Asks a server what it reports with the client's settings.
    async fn ask(
        &self,
        identity: &Identity,
        entry: &Entry,
        dir: &Path,
        pool: &Arc<Pool<PoolServer>>,
        carried: &Carried,
    ) -> Result<Reported, Hindrance> {
        let (context, shard) = (&self.context, self.context.shard);
        let queue = context.shared.config.timeouts.queue;
        let lease = match take(pool, shard, deadline(queue)).await? {
            Granted::Idle(lease) => lease,
            Granted::Open(permit) => open(context, identity, entry, permit, dir).await?,
        };
        let script = apply(carried, &lease.carried);
        let mut asked = opened(lease);
        let answers = asked.say((&script.bytes, script.ready), leg::bound(context)).await?;
        if let Some(error) = answers.iter().find(|message| message.tag == b'E') {
            let mut builder = Builder::default();
            builder.copy(&as_fatal(error));
            return Err(Hindrance::Refused(builder.into_bytes()));
        }
        let Opened { seat, reported, .. } = asked;
        if let Seat::Hired(mut lease) = seat {
            (lease.carried, lease.reported) = (carried.clone(), reported.clone());
            pool.give_back(shard, *lease);
        }
        Ok(reported)
    }

    /// Whether a hindrance may pass by itself in time.
    fn weigh(&self, hindrance: Hindrance, until: Instant) -> Result<(), Obstacle> {
        match hindrance {
            Hindrance::NotNow(_) if Instant::now() + PAUSE < until => Ok(()),
            Hindrance::NotNow(_) => {
                Err(not_ready("the database system is not accepting connections").into())
            }
            Hindrance::Queue(why) => {
                Err(Fatal::new(ErrorKind::QueueTimeout, why.to_string()).into())
            }
            Hindrance::State(what) => Err(not_ready(&what).into()),
            Hindrance::Refused(words) => Err(Obstacle::Words(words)),
        }
    }
}

/// What a server says of a setting, as it says it of a first packet: it ends the session.
fn as_fatal(error: &Message) -> Message {
    let fields = error.body.split_inclusive(|byte| *byte == 0);
    let body = fields.flat_map(|field| match field {
        [b'S', ..] => b"SFATAL\0",
        [b'V', ..] => b"VFATAL\0",
        field => field,
    });
    Message { tag: error.tag, body: body.copied().collect() }
}

/// What the client is told of parameters.
fn parameters(reported: &Reported) -> Vec<Message> {
    let message = |(name, value): (&[u8], &[u8])| {
        let body = [name, b"\0", value, b"\0"].concat();
        Message { tag: b'S', body }
    };
    reported.iter().map(message).collect()
}

fn too_many(entry: &Entry) -> Fatal {
    let message = format!("too many connections for role \"{}\"", entry.route.role);
    Fatal::new(ErrorKind::TooManyConnections, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_setting_of_the_first_packet_is_fatal() {
        let error = Message { tag: b'E', body: b"SERROR\0VERROR\0C42704\0MSome\0\0".to_vec() };
        assert_eq!(as_fatal(&error).body, b"SFATAL\0VFATAL\0C42704\0MSome\0\0");
    }
}
