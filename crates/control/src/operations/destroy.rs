//! Removing a database.

use anyhow::Result;
use howdah_model::machine::Machine as _;
use howdah_model::operation::Outcome;
use howdah_model::operation::destroy::{Destroy, Effect, Seen, State};
use howdah_store::Tx;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Facts, withdraw};
use crate::Control;
use crate::engine::{Fence, Supervised};

impl Supervised for Destroy {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        super::feel(control, ids).await
    }

    fn seen(facts: &Facts, _state: State, _now: Timestamp) -> Seen {
        Seen { withdrawn: facts.withdrawn(), database: facts.database.placed.database.state }
    }

    fn hindrance(facts: &Facts) -> Option<String> {
        facts.database.hindrance()
    }

    async fn perform(
        control: &Control,
        facts: &Facts,
        fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        match effect {
            Effect::Withdraw => withdraw::perform(control, facts, fence).await,
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
            State::Requested | State::Removing => Outcome::Running,
            State::Done => Outcome::Done,
            State::NeedsOperator => Outcome::NeedsOperator,
        };
        super::entered(tx, facts, outcome, Self::is_over(to), now).await
    }
}
