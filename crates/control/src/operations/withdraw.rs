//! The effect that takes a database from its apps and makes it unwanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use anyhow::Result;
use howdah_model::agent::Wanted;
use howdah_model::ids::AppId;
use howdah_model::operation::Operation;
use howdah_store::databases::Database;
use howdah_store::{
    Tx, apps, attachments, credentials, databases, operations, participants, routes,
};

use super::Facts;
use crate::Control;
use crate::engine::Fence;
use crate::requests::releases::{Change, detached, publish};

pub(super) async fn perform<S: Display>(
    control: &Control,
    facts: &Facts,
    fence: Fence<S>,
) -> Result<()> {
    let now = control.now();
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    let living = lock_apps(&mut tx, facts).await?;
    let database = databases::lock(&mut tx, facts.asked.database_id).await?;
    if database.wanted == Wanted::Absent {
        return Ok(());
    }
    let published = operations::was_published(&mut tx, database.id).await?;
    let taken = attachments::delete_by_database(&mut tx, database.id).await?;
    if published {
        let living = taken.into_iter().filter(|(app, _)| living.contains(app)).collect();
        release(control, &mut tx, facts, &database, living).await?;
    }
    credentials::revoke_all(&mut tx, database.id, now).await?;
    let revision = match database.participant_id {
        Some(participant) => {
            if !database.plan.shares_participant() {
                participants::want_absent(&mut tx, participant).await?;
            }
            Some(participants::raise(&mut tx, participant).await?)
        }
        None => None,
    };
    databases::withdraw(&mut tx, database.id, revision).await?;
    routes::changed(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// Locks the apps that have the database, in the order of their ids; answers those that live.
async fn lock_apps(tx: &mut Tx, facts: &Facts) -> Result<BTreeSet<AppId>> {
    let all = attachments::list_by_database(tx, facts.asked.database_id).await?;
    let ids: BTreeSet<_> = all.iter().map(|one| one.app_id).collect();
    let mut living = BTreeSet::new();
    for id in ids {
        if apps::lock(tx, id).await? {
            living.insert(id);
        }
    }
    Ok(living)
}

/// One release for each app that had it.
async fn release(
    control: &Control,
    tx: &mut Tx,
    facts: &Facts,
    database: &Database,
    taken: BTreeMap<AppId, Vec<String>>,
) -> Result<()> {
    for (app, names) in taken {
        let description = detached(&names, database.addon_name.as_str());
        let change = Change {
            app,
            description: &description,
            account: facts.asked.account_id,
            // The release of an operation that provides is what tells that it was published.
            operation: (facts.asked.kind == Operation::Destroy).then_some(facts.asked.id),
        };
        publish(control.keyring(), tx, change, control.now()).await?;
    }
    Ok(())
}
