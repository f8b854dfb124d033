//! Making a database.

use anyhow::Result;
use howdah_model::machine::Machine as _;
use howdah_model::operation::Outcome;
use howdah_model::operation::provision::{Effect, Provision, Seen, State};
use howdah_store::Tx;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Facts, mark, place, publish, withdraw};
use crate::Control;
use crate::engine::{Fence, Supervised};

impl Supervised for Provision {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        super::feel(control, ids).await
    }

    fn seen(facts: &Facts, _state: State, _now: Timestamp) -> Seen {
        let database = &facts.database.placed.database;
        Seen {
            wish: facts.wish(),
            place: mark(database.participant_id.is_some()),
            release: mark(facts.released),
            database: database.state,
            withdrawn: facts.withdrawn(),
        }
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
            Effect::Place => place::perform(control, facts, fence).await,
            Effect::Publish => publish::perform(control, facts, fence).await,
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
            State::Placing | State::Making | State::Publishing | State::Undoing => Outcome::Running,
            State::Done => Outcome::Done,
            State::Undone => Outcome::Undone,
            State::NeedsOperator => Outcome::NeedsOperator,
        };
        super::entered(tx, facts, outcome, Self::is_over(to), now).await
    }
}
