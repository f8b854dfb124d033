//! What the worker needs of each kind of machine beside its table.

use anyhow::{Result, anyhow};
use howdah_model::machine::Machine;
use howdah_store::Tx;
use howdah_store::machines::{Lease, Stored};
use jiff::Timestamp;
use uuid::Uuid;

use crate::Control;

/// A claim on a machine in a state: what an effect checks in its own transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence<S> {
    /// The claim.
    pub(crate) lease: Lease,
    /// The state in which the effect was decided.
    pub(crate) state: S,
}

impl<S: std::fmt::Display> Fence<S> {
    /// Makes sure, until the end of the transaction, that nobody else works on the machine and
    /// that it has not moved on.
    pub(crate) async fn check(&self, tx: &mut Tx) -> howdah_store::Result<()> {
        howdah_store::machines::fence(tx, self.lease, &self.state.to_string()).await
    }
}

/// The `feel` and `perform` of a kind of machine.
pub(crate) trait Supervised: Machine {
    /// What a feel reads.
    type Facts: Send + Sync;

    /// Reads what there is to know about some machines. Never asks an agent.
    fn feel(
        control: &Control,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<Vec<(Uuid, Self::Facts)>>> + Send;

    /// Maps it to what the table decides by.
    fn seen(facts: &Self::Facts, state: Self::State, now: Timestamp) -> Self::Seen;

    /// What stands in the way of what is waited for, as its agent says it to people.
    fn hindrance(_facts: &Self::Facts) -> Option<String> {
        None
    }

    /// Carries out one effect: one write, which changes nothing when it has been done already or
    /// when the claim was lost.
    fn perform(
        control: &Control,
        facts: &Self::Facts,
        fence: Fence<Self::State>,
        effect: Self::Effect,
    ) -> impl Future<Output = Result<()>> + Send;

    /// What belongs to a change of state, in its transaction: columns beside the state, and
    /// waking those who look at this machine.
    fn entered(
        tx: &mut Tx,
        facts: &Self::Facts,
        from: Self::State,
        to: Self::State,
        now: Timestamp,
    ) -> impl Future<Output = howdah_store::Result<()>> + Send;
}

/// The state of a stored machine.
///
/// # Errors
/// When the table of this version has no such state.
pub(crate) fn state_of<M: Machine>(stored: &Stored) -> Result<M::State> {
    let unknown = || anyhow!("{} has no state `{}`", M::KIND, stored.state);
    stored.state.parse().map_err(|_| unknown())
}
