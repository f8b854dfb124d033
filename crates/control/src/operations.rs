//! What people asked for and what takes time: what each operation sees, and what it does.

mod attach;
mod capture;
mod change_plan;
mod destroy;
mod place;
mod promote;
mod provision;
mod publish;
mod reset;
mod restore;
pub(crate) mod rotate;
pub(crate) mod transferring;
mod unfollow;
mod withdraw;

use anyhow::{Context as _, Result};
use howdah_model::agent::Wanted;
use howdah_model::ids::OperationId;
use howdah_model::operation::provision::{Arguments, Copied};
use howdah_model::operation::{Mark, Operation as Kind, Outcome, Wish};
use howdah_store::operations::{self, Operation};
use howdah_store::{Connection, Tx, databases, releases};
use jiff::Timestamp;
use uuid::Uuid;

use crate::Control;
use crate::databases::Facts as DatabaseFacts;

/// What is known of an operation.
#[derive(Debug)]
pub(crate) struct Facts {
    asked: Operation,
    database: DatabaseFacts,
    /// Whether it has made its release.
    released: bool,
    /// Of the making of a database: whose data it gets.
    copy: Option<Copied>,
}

impl Facts {
    fn wish(&self) -> Wish {
        if self.asked.cancelled_at.is_some() { Wish::Cancelled } else { Wish::Stands }
    }

    fn withdrawn(&self) -> Mark {
        mark(self.database.placed.database.wanted == Wanted::Absent)
    }
}

fn mark(made: bool) -> Mark {
    if made { Mark::Made } else { Mark::Missing }
}

async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Facts)>> {
    let mut conn = control.reader().get().await?;
    let mut all = Vec::new();
    for id in ids {
        all.push((*id, feel_one(control, &mut conn, OperationId(*id)).await?));
    }
    Ok(all)
}

async fn feel_one(control: &Control, conn: &mut Connection, id: OperationId) -> Result<Facts> {
    let asked = operations::get(conn, id).await?.context("the operation is not there")?;
    let released = releases::made_by(conn, asked.app_id, id).await?;
    let mut placed = databases::list_placed(conn, &[asked.database_id.0]).await?;
    let placed = placed.pop().context("its database is not there")?;
    let copy = match asked.kind {
        Kind::Provision => {
            let arguments = serde_json::from_value::<Arguments>(asked.arguments.clone());
            arguments.context("read what the database is to be made from")?.copy
        }
        Kind::Reset
        | Kind::Promote
        | Kind::Unfollow
        | Kind::ChangePlan
        | Kind::Capture
        | Kind::Restore
        | Kind::Rotate
        | Kind::Destroy => None,
    };
    Ok(Facts { asked, database: DatabaseFacts::new(control, placed), released, copy })
}

/// Records how an operation stands after a change of state. `over` says whether it ended.
async fn entered(
    tx: &mut Tx,
    facts: &Facts,
    outcome: Outcome,
    over: bool,
    now: Timestamp,
) -> howdah_store::Result<()> {
    if outcome == Outcome::Running {
        return Ok(());
    }
    operations::record(tx, facts.asked.id, outcome, over.then_some(now)).await
}
