//! Where a worker is: told to a test, which may kill it or hold it there.

use std::pin::Pin;

use howdah_model::machine::Kind;
use uuid::Uuid;

/// A place between two writes of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter)]
pub enum Point {
    /// Machines were claimed and not looked at.
    Claimed,
    /// A machine was looked at and nothing was done yet.
    Felt,
    /// An effect is about to be carried out.
    BeforeEffect,
    /// An effect was carried out and nothing was recorded yet.
    AfterEffect,
    /// A change of state is about to be written.
    BeforeGoto,
    /// A change of state was written.
    AfterGoto,
    /// The machine is about to be let go of.
    BeforeRest,
}

/// Is told where a worker is. A future that never ends kills the worker there, once it is dropped.
pub trait Probe: Send + Sync {
    /// The worker is at `point`, with a machine in its hands.
    fn reached(
        &self,
        point: Point,
        machine: Option<(Kind, Uuid)>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// How often each effect is carried out: whatever is done must bear being done again.
    fn times(&self) -> usize {
        1
    }
}
