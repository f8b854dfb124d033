//! Changing the plan of a database (G25): it moves to a server of the new plan with its sessions.

use anyhow::Context as _;
use howdah_model::ids::{AccountId, OperationId, ParticipantId};
use howdah_model::operation::Operation;
use howdah_model::operation::change_plan::Arguments;
use howdah_model::plan::{self, Plan};
use howdah_store::addons::Addon;
use howdah_store::databases;
use howdah_store::operations::New;

use super::addons::check_owned;
use super::begin;
use super::error::{Error, Result};
use crate::Control;

/// What came of asking for another plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It has that plan already.
    Already,
    /// It is on its way; with what is to be said of it, in lines.
    Begun(String),
}

/// Changes an add-on's plan. Returns when that has begun: it takes as long as a copy of the data,
/// and a pause of some seconds at its end.
///
/// # Errors
/// [`Error::Invalid`] when there is no such plan, or one of the two is a hobby plan, or the database
/// follows another; [`Error::Conflict`] when something else is under way.
pub async fn change(
    control: &Control,
    account: AccountId,
    addon: &Addon,
    wanted: &str,
) -> Result<Changed> {
    check_owned(addon)?;
    let wanted = plan::find(wanted)?;
    if wanted == addon.plan {
        return Ok(Changed::Already);
    }
    check(addon, wanted)?;
    let remarks = remarks(control, addon, wanted).await?;
    let arguments = Arguments { plan: wanted.name.to_owned(), next: ParticipantId::new() };
    let new = New {
        id: OperationId::new(),
        kind: Operation::ChangePlan,
        database_id: addon.id,
        app_id: addon.app_id,
        account_id: Some(account),
        arguments: serde_json::to_value(arguments).context("write which plan is asked for")?,
    };
    let mut tx = control.store().begin().await?;
    begin(&mut tx, &new, addon.name.as_str(), control.now()).await?;
    tx.commit().await?;
    let mut lines = vec![format!(
        "{} is being copied to a server of {wanted}; then it moves there with its sessions, which \
         wait for some seconds. Its URL stays the same.",
        addon.name
    )];
    lines.extend(remarks);
    Ok(Changed::Begun(lines.join("\n")))
}

fn check(addon: &Addon, wanted: &Plan) -> Result<()> {
    let name = &addon.name;
    if addon.follows.is_some() {
        return Err(Error::invalid(format!(
            "{name} follows another database. Make a follower with the plan {wanted} instead, and \
             destroy this one: `addons:create {} --follow DATABASE`.",
            wanted.full_name()
        )));
    }
    if addon.plan.shares_participant() != wanted.shares_participant() {
        return Err(Error::invalid(format!(
            "{name} cannot be changed from {} to {wanted} in place, as hobby plans share their \
             server. {}",
            addon.plan,
            by_copy(addon, wanted)
        )));
    }
    if addon.plan.shares_participant() {
        return Err(Error::invalid(format!(
            "Changing {name} from {} to {wanted} is not offered yet. {}",
            addon.plan,
            by_copy(addon, wanted)
        )));
    }
    Ok(())
}

/// The way to another plan that is not one in place.
fn by_copy(addon: &Addon, wanted: &Plan) -> String {
    format!(
        "Create a database with `addons:create {}`, keep writers away with `maintenance:on`, copy \
         the data with `pg:copy {} NEW`, and use the copy with `pg:promote NEW` and \
         `maintenance:off`, where NEW is what `addons:create` said.",
        wanted.full_name(),
        addon.name
    )
}

/// What people should know when the new plan has less.
async fn remarks(control: &Control, addon: &Addon, wanted: &Plan) -> Result<Vec<String>> {
    let placed = databases::list_placed(&mut *control.reader().get().await?, &[addon.id.0]).await?;
    let look = placed.first().and_then(|placed| {
        control.seen_of(placed)?.1.databases.get(&placed.database.name)?.look.clone()
    });
    let mut remarks = Vec::new();
    let Some(look) = look else { return Ok(remarks) };
    if look.connections > i64::from(wanted.connections) {
        remarks.push(format!(
            "It has {} connections now, and {wanted} allows {}: what is beyond that is refused.",
            look.connections, wanted.connections
        ));
    }
    let room = wanted.disk_gib.map(|gib| gib << 30);
    if room.is_some_and(|room| u64::try_from(look.size_bytes).unwrap_or_default() > room) {
        remarks.push(format!("Its data is larger than the disk of {wanted}."));
    }
    Ok(remarks)
}
