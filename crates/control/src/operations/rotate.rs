//! Giving credentials new names and passwords.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_model::agent::{Run, Wanted};
use howdah_model::attachment::Namespace;
use howdah_model::ids::{AppId, ParticipantId};
use howdah_model::machine::Machine as _;
use howdah_model::name::RoleName;
use howdah_model::operation::Outcome;
use howdah_model::operation::rotate::{Arguments, Effect, Former, Rotate, Seen, State};
use howdah_store::databases::Database;
use howdah_store::logins::{self, Login, Next, Stage};
use howdah_store::participants::Participant as Row;
use howdah_store::{
    Connection, Tx, apps, attachments, credentials, databases, operations, participants, routes,
    wakes,
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Facts as Asked, mark};
use crate::Control;
use crate::engine::{Fence, Supervised};
use crate::requests::config::CREDENTIAL;
use crate::requests::releases::{Change, publish, updated};
use crate::{password, scram};

/// How long a former login opens its database at most, however much it is used.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What is known of a rotation.
#[derive(Debug)]
pub(crate) struct Facts {
    asked: Asked,
    /// The next or former logins that it has made.
    logins: Vec<Login>,
    /// The participant that makes the roles.
    maker: Option<Row>,
}

impl Facts {
    /// Whether the agent has made the next logins.
    fn applied(&self, control_says: Option<howdah_model::agent::Revision>) -> bool {
        let told = self.logins.iter().find_map(|login| login.told);
        let (Some(maker), Some((participant, revision))) = (&self.maker, told) else {
            return false;
        };
        // Another one has taken the database over: with all that it is told it has these.
        let needed = if maker.id == participant { revision } else { maker.revision };
        maker.run == Run::Up && control_says.is_some_and(|applied| applied >= needed)
    }
}

/// The participant that makes the roles of a database: of a follower, that of its leader.
pub(crate) async fn maker(
    conn: &mut Connection,
    database: &Database,
) -> howdah_store::Result<Option<ParticipantId>> {
    match database.follows {
        Some(leader) => Ok(databases::get(conn, leader).await?.and_then(|one| one.participant_id)),
        None => Ok(database.participant_id),
    }
}

impl Supervised for Rotate {
    type Facts = (Facts, bool);

    async fn feel(control: &Control, ids: &[Uuid]) -> Result<Vec<(Uuid, Self::Facts)>> {
        let mut all = Vec::new();
        for (id, asked) in super::feel(control, ids).await? {
            let mut conn = control.reader().get().await?;
            let logins = logins::of_rotation(&mut conn, asked.asked.id).await?;
            let maker = match maker(&mut conn, &asked.database.placed.database).await? {
                Some(id) => participants::get(&mut conn, id).await?,
                None => None,
            };
            let facts = Facts { asked, logins, maker };
            let applied = facts.maker.as_ref().and_then(|row| {
                let last = control.sightings().last(row.server_id)?;
                last.participants.get(&row.id)?.applied
            });
            let applied = facts.applied(applied);
            all.push((id, (facts, applied)));
        }
        Ok(all)
    }

    fn seen((facts, applied): &Self::Facts, _state: State, _now: Timestamp) -> Seen {
        let waiting = facts.logins.iter().any(|login| login.stage == Stage::Next);
        Seen {
            wish: facts.asked.wish(),
            next: mark(!facts.logins.is_empty()),
            applied: mark(*applied),
            published: mark(!facts.logins.is_empty() && !waiting),
            database: facts.asked.database.placed.database.state,
        }
    }

    fn hindrance((facts, _): &Self::Facts) -> Option<String> {
        facts.asked.database.hindrance()
    }

    async fn perform(
        control: &Control,
        (facts, _): &Self::Facts,
        fence: Fence<State>,
        effect: Effect,
    ) -> Result<()> {
        match effect {
            Effect::WantNext => want_next(control, facts, fence).await,
            Effect::Publish => hand_out(control, facts, fence).await,
        }
    }

    async fn entered(
        tx: &mut Tx,
        (facts, _): &Self::Facts,
        _from: State,
        to: State,
        now: Timestamp,
    ) -> howdah_store::Result<()> {
        let outcome = match to {
            State::Requested | State::Exchanging => Outcome::Running,
            State::Done => Outcome::Done,
            State::Undone => Outcome::Undone,
            State::NeedsOperator => Outcome::NeedsOperator,
        };
        super::entered(tx, &facts.asked, outcome, Self::is_over(to), now).await
    }
}

fn arguments(facts: &Facts) -> Result<Arguments> {
    let arguments = serde_json::from_value(facts.asked.asked.arguments.clone());
    arguments.context("read which credentials are to be rotated")
}

/// One write: the agent is told of the next logins, and the gateway knows them.
async fn want_next(control: &Control, facts: &Facts, fence: Fence<State>) -> Result<()> {
    let (asked, now) = (&facts.asked.asked, control.now());
    let wanted = arguments(facts)?.credentials;
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    let database = databases::lock(&mut tx, asked.database_id).await?;
    let current =
        operations::get(&mut tx, asked.id).await?.context("the operation is not there")?;
    let made = logins::of_rotation(&mut tx, asked.id).await?;
    if !made.is_empty() || current.cancelled_at.is_some() {
        return Ok(());
    }
    let maker = maker(&mut tx, &database).await?;
    let Some(maker) = maker.filter(|_| database.wanted == Wanted::Present) else {
        bail!("{} is not there to have its credentials rotated", database.addon_name);
    };
    let revision = participants::raise(&mut tx, maker).await?;
    let all = credentials::list(&mut tx, database.id).await?;
    for credential in all.iter().filter(|one| wanted.contains(&one.id)) {
        let (role, password) = (password::random_role(), password::random_password());
        let sealed =
            control.keyring().seal(CREDENTIAL, credential.id, password.reveal().as_bytes());
        let next = Next {
            role: &role,
            credential: credential.id,
            operation: asked.id,
            verifier: &scram::verifier(&password),
            password: &sealed,
            told: (maker, revision),
        };
        logins::insert_next(&mut tx, &next, now).await?;
    }
    wakes::insert(&mut tx, &[database.id.0]).await?;
    routes::changed(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// One transaction: the apps have the new logins, each with one release.
async fn hand_out(control: &Control, facts: &Facts, fence: Fence<State>) -> Result<()> {
    let (asked, now) = (&facts.asked.asked, control.now());
    let arguments = arguments(facts)?;
    let mut tx = control.store().begin().await?;
    fence.check(&mut tx).await?;
    let living = lock_apps(&mut tx, facts).await?;
    let database = databases::lock(&mut tx, asked.database_id).await?;
    let made = logins::of_rotation(&mut tx, asked.id).await?;
    if !made.iter().any(|login| login.stage == Stage::Next) {
        return Ok(());
    }
    logins::exchange(&mut tx, asked.id, now.checked_add(LONGEST)?, now).await?;
    if arguments.former == Former::Revoked {
        revoke_former(&mut tx, &database, &arguments, now).await?;
    }
    for (app, names) in concerned(&mut tx, &database, &arguments).await? {
        if !living.contains(&app) {
            continue;
        }
        let description = updated(&names, database.addon_name.as_str());
        let (account, operation) = (asked.account_id, Some(asked.id));
        let change = Change { app, description: &description, account, operation };
        publish(control.keyring(), &mut tx, change, now).await?;
    }
    routes::changed(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// With the logins of this rotation those of earlier ones are revoked, too: what is out is out.
async fn revoke_former(
    tx: &mut Tx,
    database: &Database,
    arguments: &Arguments,
    now: Timestamp,
) -> Result<()> {
    let all = logins::list(tx, &arguments.credentials).await?;
    let roles: Vec<RoleName> = all.into_iter().map(|login| login.role).collect();
    logins::revoke(tx, &roles, now).await?;
    if let Some(maker) = maker(tx, database).await? {
        participants::raise(tx, maker).await?;
    }
    Ok(())
}

/// Locks the apps that have the database, in the order of their ids; answers those that live.
async fn lock_apps(tx: &mut Tx, facts: &Facts) -> Result<BTreeSet<AppId>> {
    let all = attachments::list_by_database(tx, facts.asked.asked.database_id).await?;
    let ids: BTreeSet<_> = all.iter().map(|one| one.app_id).collect();
    let mut living = BTreeSet::new();
    for id in ids {
        if apps::lock(tx, id).await? {
            living.insert(id);
        }
    }
    Ok(living)
}

/// The attachments whose URLs change, by app.
async fn concerned(
    tx: &mut Tx,
    database: &Database,
    arguments: &Arguments,
) -> Result<BTreeMap<AppId, Vec<String>>> {
    let rotated: BTreeSet<String> = credentials::list(tx, database.id)
        .await?
        .into_iter()
        .filter(|one| arguments.credentials.contains(&one.id))
        .map(|one| one.name)
        .collect();
    let mut by_app = BTreeMap::<AppId, Vec<String>>::new();
    for one in attachments::list_by_database(tx, database.id).await? {
        let namespace = Namespace::parse(one.namespace.as_deref());
        if namespace.is_ok_and(|namespace| rotated.contains(&namespace.credential)) {
            by_app.entry(one.app_id).or_default().push(one.name.to_string());
        }
    }
    Ok(by_app)
}
