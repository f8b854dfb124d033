//! Making a database an app's primary.

use anyhow::Result;
use howdah_model::machine::Machine as _;
use howdah_model::operation::Outcome;
use howdah_model::operation::promote::{Effect, Promote, Seen, State};
use howdah_store::Tx;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Facts, attach, mark};
use crate::Control;
use crate::engine::{Fence, Supervised};

impl Supervised for Promote {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        super::feel(control, ids).await
    }

    /// Whether the exchange was made is told by its release alone: the attachment may have been
    /// promoted elsewhere since, and must not be taken back.
    fn seen(facts: &Facts, _state: State, _now: Timestamp) -> Seen {
        Seen { wish: facts.wish(), attachment: mark(facts.released) }
    }

    async fn perform(
        control: &Control,
        facts: &Facts,
        fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        match effect {
            Effect::Attach => attach::perform(control, facts, fence).await,
        }
    }

    async fn entered(
        tx: &mut Tx,
        facts: &Facts,
        _from: State,
        to: State,
        now: Timestamp,
    ) -> howdah_store::Result<()> {
        let outcome = match to {
            State::Requested => Outcome::Running,
            State::Done => Outcome::Done,
            State::Undone => Outcome::Undone,
        };
        super::entered(tx, facts, outcome, Self::is_over(to), now).await
    }
}
