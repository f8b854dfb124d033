//! The port to the agents of servers.

pub mod http;
pub mod sightings;
pub(crate) mod watch;

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

use howdah_model::agent::{DatabaseLook, ParticipantSpec, Refusal, ServerObservation};
use howdah_model::diagnosis::{Asked, Check};
use howdah_model::ids::{LinkId, ParticipantId, TimelineId, TransferId};
use howdah_model::link::LinkSpec;
use howdah_model::name::{DatabaseName, LinkName};
use howdah_model::transfer::TransferSpec;
use howdah_store::servers::Server;
use serde::{Deserialize, Serialize};

/// What an agent answers, once it does.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Bytes as they come.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;

/// Why an agent did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It has a newer spec.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot do it, and says why.
    #[error("the agent refused: {0}")]
    Invalid(String),
    /// It did not answer. It is not known whether it has done it.
    #[error("the agent does not answer: {0}")]
    Unreachable(String),
}

/// Which sessions of a database to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminate {
    /// The session's process; none means all sessions of tenants.
    pub pid: Option<i32>,
    /// Whether to cancel only the running statement.
    pub only_cancel: bool,
}

/// Speaks to the agents of servers. Each call has a bound of its own.
pub trait Servers: Send + Sync {
    /// Gives an agent the whole desired state of one participant. When it answers, the spec is on
    /// its disk.
    fn put<'a>(&'a self, server: &'a Server, spec: &'a ParticipantSpec) -> Answer<'a, ()>;

    /// What an agent sees: at once, or as soon as something differs from change `after`, at the
    /// latest after `wait`.
    fn observe<'a>(
        &'a self,
        server: &'a Server,
        after: Option<u64>,
        wait: Duration,
    ) -> Answer<'a, ServerObservation>;

    /// Lets an agent erase the archive of a timeline. That it is gone is told by its observations.
    fn erase<'a>(&'a self, server: &'a Server, timeline: TimelineId) -> Answer<'a, ()>;

    /// Tells an agent of a transfer, or that it is not wanted any more. How it fares is told by the
    /// agent's observations.
    fn put_transfer<'a>(&'a self, server: &'a Server, spec: &'a TransferSpec) -> Answer<'a, ()>;

    /// Lets an agent erase a dump. When it answers, nothing of the dump is left.
    fn delete_dump<'a>(&'a self, server: &'a Server, dump: TransferId) -> Answer<'a, ()>;

    /// Bytes of a dump.
    fn read_dump<'a>(
        &'a self,
        server: &'a Server,
        dump: TransferId,
        range: RangeInclusive<u64>,
    ) -> Answer<'a, Chunks>;

    /// Gives an agent a dump for the archive. When it answers, all of it is there.
    fn write_dump<'a>(
        &'a self,
        server: &'a Server,
        dump: TransferId,
        content: Chunks,
    ) -> Answer<'a, ()> {
        let _ = (server, dump, content);
        Box::pin(async { Err(Failure::Invalid("it takes no dumps".to_owned())) })
    }

    /// Looks into one database now.
    fn look<'a>(
        &'a self,
        server: &'a Server,
        participant: ParticipantId,
        database: &'a DatabaseName,
    ) -> Answer<'a, DatabaseLook>;

    /// Ends sessions of a database, or their statements. Answers how many.
    fn terminate<'a>(
        &'a self,
        server: &'a Server,
        participant: ParticipantId,
        database: &'a DatabaseName,
        which: Terminate,
    ) -> Answer<'a, u32>;

    /// Makes a link in a database, unless it is there.
    fn link<'a>(
        &'a self,
        server: &'a Server,
        at: (ParticipantId, &'a DatabaseName),
        link: &'a LinkSpec,
    ) -> Answer<'a, ()> {
        let _ = (server, at, link);
        Box::pin(async { Err(Failure::Invalid("it cannot link databases".to_owned())) })
    }

    /// Removes a link from a database, if it is there.
    fn unlink<'a>(
        &'a self,
        server: &'a Server,
        at: (ParticipantId, &'a DatabaseName),
        link: (&'a LinkName, LinkId),
    ) -> Answer<'a, ()> {
        let _ = (server, at, link);
        Box::pin(async { Err(Failure::Invalid("it cannot link databases".to_owned())) })
    }

    /// Gives the owner of a database all rights on everything in it.
    fn repair_default<'a>(
        &'a self,
        server: &'a Server,
        participant: ParticipantId,
        database: &'a DatabaseName,
    ) -> Answer<'a, ()> {
        let _ = (server, participant, database);
        Box::pin(async { Err(Failure::Invalid("it cannot repair credentials".to_owned())) })
    }

    /// Sets PostgreSQL's statistics of a database back to zero.
    fn reset_statistics<'a>(
        &'a self,
        server: &'a Server,
        participant: ParticipantId,
        database: &'a DatabaseName,
    ) -> Answer<'a, ()>;

    /// Makes the checks of one database that its server can answer.
    fn diagnose<'a>(
        &'a self,
        _server: &'a Server,
        _participant: ParticipantId,
        _database: &'a DatabaseName,
        _asked: Asked,
    ) -> Answer<'a, Vec<Check>> {
        Box::pin(async { Err(Failure::Invalid("it makes no diagnosis".to_owned())) })
    }
}
