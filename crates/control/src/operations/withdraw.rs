//! The effect that takes a database from its apps and makes it unwanted.

mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use anyhow::Result;
use howdah_model::agent::{Revision, Wanted};
use howdah_model::ids::AppId;
use howdah_model::operation::Operation;
use howdah_store::databases::Database;
use howdah_store::participants::Participant;
use howdah_store::{
    Tx, apps, attachments, credentials, databases, operations, participants, routes,
};
use jiff::Timestamp;

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
    let names = kept::names(&mut tx, database.id).await?;
    let taken = attachments::delete_by_database(&mut tx, database.id).await?;
    if published {
        let living = taken.into_iter().filter(|(app, _)| living.contains(app)).collect();
        release(control, &mut tx, facts, &database, living).await?;
    }
    credentials::revoke_all(&mut tx, database.id, now).await?;
    let row = match database.participant_id {
        Some(id) => participants::get(&mut tx, id).await?,
        None => None,
    };
    let keep_until = kept::until(control, &facts.database, row.as_ref(), published, now);
    let revision = leave(&mut tx, &database, row.as_ref(), keep_until.unwrap_or(now)).await?;
    let incarnation = facts.database.incarnation();
    let withdrawn = databases::Withdrawn { revision, incarnation, names, keep_until };
    databases::withdraw(&mut tx, database.id, &withdrawn, now).await?;
    routes::changed(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// Takes a database from its participant, which goes with it unless others share it, and a
/// follower's role from its leader. Answers the revision of its participant.
async fn leave(
    tx: &mut Tx,
    database: &Database,
    row: Option<&Participant>,
    keep_until: Timestamp,
) -> howdah_store::Result<Option<Revision>> {
    let Some(row) = row else {
        return Ok(None);
    };
    let own = row.id;
    let mut concerned = vec![own];
    if !row.shared {
        participants::want_absent(tx, own, keep_until).await?;
    }
    concerned.extend(row.leader_id.filter(|_| database.follows.is_some()));
    // A former leader has the role until the two have parted.
    if let Some(leader) = database.follows {
        let there = databases::get(tx, leader).await?.and_then(|leader| leader.participant_id);
        concerned.extend(there);
    }
    concerned.sort();
    concerned.dedup();
    let mut revision = None;
    for id in concerned {
        let raised = participants::raise(tx, id).await?;
        if id == own {
            revision = Some(raised);
        }
    }
    Ok(revision)
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
