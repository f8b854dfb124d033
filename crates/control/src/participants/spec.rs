//! The whole desired state of a participant, from the store.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use howdah_model::agent::{CredentialOf, CredentialSpec, DatabaseSpec, ParticipantSpec, Source};
use howdah_model::ids::ParticipantId;
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::permission::Permission;
use howdah_model::plan::{Catalogue, Plan};
use howdah_model::protection::Protection;
use howdah_model::scram::Verifier;
use howdah_store::credentials::Credential;
use howdah_store::databases::Database;
use howdah_store::lineage::{self, FollowerRole};
use howdah_store::logins::{self, Login, Stage};
use howdah_store::participants::{self, Participant as Row};
use howdah_store::{Connection, credentials, databases};

use super::{settings, tuning};

/// Reads the spec of a participant. All statements must see the same moment, so that one revision
/// is always the same spec; whatever changes it raises the revision in the same transaction.
///
/// # Errors
/// When there is no such participant, a database has no credential, or the store does not answer.
pub(crate) async fn build(
    snapshot: &mut Connection,
    id: ParticipantId,
    server_memory: u64,
    catalogue: Catalogue,
) -> Result<ParticipantSpec> {
    let row = participants::get(snapshot, id).await?.context("the participant is not there")?;
    let wanted = databases::list_wanted(snapshot, id).await?;
    let all = credentials::list_of_participant(snapshot, id).await?;
    let followers = lineage::follower_roles(snapshot, id).await?;
    let ids = all.iter().chain(followers.iter().map(|one| &one.credential)).map(|one| one.id);
    let logins = logins::list(snapshot, &ids.collect::<Vec<_>>()).await?;
    let mut specs = BTreeMap::new();
    for database in wanted {
        let own: Vec<_> = all.iter().filter(|one| one.database_id == database.id).collect();
        let followers = followers.iter().filter(|one| one.leader == database.id);
        specs.insert(database.name.clone(), of_database(&database, &own, followers, &logins)?);
    }
    let leader = match row.leader_id {
        Some(leader) => participants::get(snapshot, leader).await?,
        None => None,
    };
    let mut spec = spec(&row, leader.as_ref(), specs, server_memory, catalogue);
    tuning::tune(snapshot, &row, &mut spec).await?;
    Ok(spec)
}

fn spec(
    row: &Row,
    leader: Option<&Row>,
    databases: BTreeMap<DatabaseName, DatabaseSpec>,
    server_memory: u64,
    catalogue: Catalogue,
) -> ParticipantSpec {
    ParticipantSpec {
        id: row.id,
        timeline: row.timeline_id,
        epoch: row.epoch,
        revision: row.revision,
        wanted: row.wanted,
        role: row.role,
        run: row.run,
        source: row.source.clone().map_or(Source::Empty, Source::Timeline),
        leader: leader.filter(|leader| leader.server_id == row.server_id).map(|leader| leader.id),
        protection: protection(row, catalogue),
        major: row.major,
        restarts: row.restarts,
        settings: settings(row, leader, server_memory),
        databases,
    }
}

fn protection(row: &Row, catalogue: Catalogue) -> Protection {
    let of_plan = row.plan.tier.protection(catalogue);
    // There is nobody's data in one of the pool.
    let drill_every = if row.pooled { 0 } else { of_plan.drill_every };
    Protection { drill_every, backups: row.backups, drills: row.drills, ..of_plan }
}

/// PostgreSQL replays nothing on a server with lower limits than the leader has (G16).
fn settings(row: &Row, leader: Option<&Row>, server_memory: u64) -> BTreeMap<String, String> {
    let own = settings::of(row.plan, row.shared, server_memory);
    match leader {
        Some(leader) => {
            let followed = settings::of(leader.plan, leader.shared, server_memory);
            settings::at_least(own, &followed)
        }
        None => own,
    }
}

fn of_database<'a>(
    database: &Database,
    credentials: &[&Credential],
    followers: impl Iterator<Item = &'a FollowerRole>,
    logins: &[Login],
) -> Result<DatabaseSpec> {
    let owner = credentials
        .iter()
        .find(|one| one.name == credentials::DEFAULT)
        .with_context(|| format!("{} has no default credential", database.addon_name))?;
    let owner = next_of(owner, logins).map_or(&owner.role, |next| &next.role);
    let own = credentials.iter().flat_map(|one| {
        // A link's acts as the owner, as a follower's does.
        let of = if one.is_links() { CredentialOf::Follower } else { CredentialOf::Own };
        logins_of(one, logins, database.plan, of)
    });
    let others = followers
        .flat_map(|one| logins_of(&one.credential, logins, one.plan, CredentialOf::Follower));
    Ok(DatabaseSpec {
        incarnation: database.incarnation,
        owner: owner.clone(),
        credentials: own.chain(others).collect(),
        settings: BTreeMap::new(),
        extensions: database.extensions.clone(),
        adopts: database.adopts.clone(),
        filled: database.filled,
        row_limit: database.plan.rows,
    })
}

/// How many names of before an agent is told: it may have missed so many rotations.
const NAMES_OF_BEFORE: usize = 16;

fn next_of<'a>(credential: &Credential, logins: &'a [Login]) -> Option<&'a Login> {
    logins.iter().find(|one| one.credential == credential.id && one.stage == Stage::Next)
}

/// A credential's login as it shall be, first, and those of before that still open the database.
fn logins_of(
    credential: &Credential,
    logins: &[Login],
    plan: &Plan,
    of: CredentialOf,
) -> Vec<CredentialSpec> {
    let spec = |role: &RoleName, verifier: &Verifier, of, was| CredentialSpec {
        role: role.clone(),
        verifier: verifier.clone(),
        connection_limit: plan.connections,
        of,
        was,
        permission: Permission::None,
    };
    let next = next_of(credential, logins);
    let former = || {
        let all = logins.iter().filter(|one| one.credential == credential.id);
        all.filter(|one| one.stage == Stage::Former)
    };
    let own = next.map(|_| &credential.role);
    let was = own.into_iter().chain(former().map(|one| &one.role)).take(NAMES_OF_BEFORE);
    let (role, verifier) = match next {
        Some(next) => (&next.role, &next.verifier),
        None => (&credential.role, &credential.verifier),
    };
    let first = CredentialSpec {
        permission: credential.permission,
        ..spec(role, verifier, of, was.cloned().collect())
    };
    let own = next.map(|_| (&credential.role, &credential.verifier));
    let open = former().filter(|one| one.revoked_at.is_none());
    let open = open.map(|one| (&one.role, &one.verifier));
    let rest = own.into_iter().chain(open).take(NAMES_OF_BEFORE);
    let rest = rest.map(|(role, verifier)| spec(role, verifier, CredentialOf::Former, Vec::new()));
    std::iter::once(first).chain(rest).collect()
}
