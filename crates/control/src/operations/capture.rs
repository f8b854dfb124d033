//! Making a backup.

use anyhow::Result;
use howdah_model::machine::Machine as _;
use howdah_model::operation::Outcome;
use howdah_model::operation::capture::{Capture, Effect, Seen, State};
use howdah_store::Tx;
use jiff::Timestamp;
use uuid::Uuid;

use super::transferring::{self, Facts};
use crate::Control;
use crate::engine::{Fence, Supervised};
use crate::transfers::make_room;

impl Supervised for Capture {
    type Facts = Facts;

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
        transferring::feel(control, ids).await
    }

    fn seen(facts: &Facts, _state: State, now: Timestamp) -> Seen {
        Seen {
            wish: facts.asked.wish(),
            wanted: facts.asked.database.placed.database.wanted,
            chosen: facts.chosen(),
            fares: facts.fares(now),
        }
    }

    fn hindrance(facts: &Facts) -> Option<String> {
        facts.hindrance()
    }

    async fn perform(
        control: &Control,
        facts: &Facts,
        fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        match effect {
            Effect::Choose => transferring::choose_capture(control, facts, fence).await,
            Effect::Tell => transferring::tell(control, facts, fence).await,
            Effect::TakeBack => transferring::take_back(control, facts).await,
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
            State::Requested | State::Undoing => Outcome::Running,
            State::Dumping => {
                facts.started(tx, now).await?;
                Outcome::Running
            }
            State::Done => {
                facts.finish(tx, true, now).await?;
                make_room(tx, &facts.row, now).await?;
                Outcome::Done
            }
            State::Undone => {
                facts.finish(tx, false, now).await?;
                Outcome::Undone
            }
        };
        super::entered(tx, &facts.asked, outcome, Self::is_over(to), now).await
    }
}
