//! pg:promote: a database becomes the app's primary (C10–C12).

use howdah_model::attachment::{DEFAULT, Namespace, PRIMARY_POOL};
use howdah_model::name::PRIMARY;
use serde_json::json;

use crate::command::{APP, Command, Group, Opt, REMOTE, THE_DATABASE, command};
use crate::database::{self, Database};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::{Attachment, DatabaseInfo, WaitStatus};
use crate::session::{Ignored, Session};

pub(super) const COMMANDS: &[Command] =
    &[command("pg:promote", Group::Databases, "Make a database the app's primary", |s, g| {
        Box::pin(promote(s, g))
    })
    .arguments(&[THE_DATABASE])
    .options(&[
        APP,
        REMOTE,
        Opt::value("as", None, "NAME", "the attachment to move [default: DATABASE]"),
        Opt::flag("force", Some('f'), "also when it is still being made"),
    ])
    .note(
        "DATABASE_URL then points to it; the one before keeps a config var of its own. A follower \
         is unfollowed first.",
    )
    .examples(&["howdah pg:promote gold -a demo"])];

async fn promote(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let (app, addon) = (database.app.as_str(), &database.attachment.addon);
    let name = given.value("as").unwrap_or(PRIMARY).to_uppercase();
    let all = database::attachments(session, app).await?;
    let current = all.iter().find(|one| one.name == name);
    if let Some(current) = current
        && current.addon.id == addon.id
        && current.namespace == database.attachment.namespace
    {
        let message = format!("{} is already promoted on {app}", addon.name);
        return Err(Failure::new(Exit::Conflict, "already-promoted", message));
    }
    if name == PRIMARY {
        refuse_follower(session, &database).await?;
    }
    if !given.has("force") {
        refuse_unready(session, &database).await?;
    }
    if let Some(current) = current {
        keep(session, app, current, &all).await?;
    }
    let var = format!("{name}_URL");
    let step = session.step(&format!("Promoting {} to {var}", database.var()));
    let body = json!({
        "addon": { "name": addon.name },
        "app": { "name": app },
        "confirm": app,
        "name": name,
        "namespace": database.attachment.namespace,
    });
    let attachment: Attachment = session.post(&["addon-attachments"], body).await?;
    session.done_in_release(step, app, "").await;
    let before = current.filter(|current| current.name == PRIMARY);
    if let Some(pool) = before.and_then(|before| pool_of(before, &all)) {
        move_pool(session, &database, pool).await;
    }
    session.answer("attachment", &attachment, |_| {})
}

/// The primary that was must not be left without a name (C11).
async fn keep(
    session: &Session,
    app: &str,
    current: &Attachment,
    all: &[Attachment],
) -> Result<(), Failure> {
    let same = |one: &&Attachment| {
        one.addon.id == current.addon.id
            && one.namespace == current.namespace
            && one.name != current.name
    };
    if all.iter().any(|one| same(&one)) {
        return Ok(());
    }
    let step =
        session.step(&format!("Ensuring an alternate alias for existing {}", current.url_var()));
    let body = json!({
        "addon": { "name": current.addon.name },
        "app": { "name": app },
        "confirm": app,
        "namespace": current.namespace,
    });
    let kept: Attachment = session.post(&["addon-attachments"], body).await?;
    step.done_with(&kept.url_var());
    Ok(())
}

/// The attachment of the pools that belong to the primary that was.
fn pool_of<'a>(current: &Attachment, all: &'a [Attachment]) -> Option<&'a Attachment> {
    let of_default = Namespace::pooling(DEFAULT).text();
    all.iter().find(|one| {
        one.name == PRIMARY_POOL && one.addon.id == current.addon.id && one.namespace == of_default
    })
}

/// Lets the URL of the pools lead to the new primary too. Where that cannot be, the promotion is
/// done all the same, and people are told where the URL still leads.
async fn move_pool(session: &Session, database: &Database, pool: &Attachment) {
    let (app, addon) = (database.app.as_str(), &database.attachment.addon.name);
    let step = session.step(&format!("Reattaching {} to {addon}", pool.url_var()));
    let body = json!({
        "addon": { "name": addon },
        "app": { "name": app },
        "confirm": app,
        "name": pool.name,
        "namespace": pool.namespace,
    });
    match session.post::<Ignored>(&["addon-attachments"], body).await {
        Ok(_) => session.done_in_release(step, app, "").await,
        Err(failure) => {
            step.ended("failed");
            session.say(failure.text().trim_end());
            let advice = Hint::Pool.fill(&[("APP", app)]);
            session.say(&format!(
                " !    {} still leads to {}; {} `{}`",
                pool.url_var(),
                pool.addon.name,
                advice.lead,
                advice.command
            ));
        }
    }
}

async fn refuse_unready(session: &Session, database: &Database) -> Result<(), Failure> {
    let path = ["client", "v11", "databases", &database.attachment.addon.id, "wait_status"];
    let waiting = match session.get::<WaitStatus>(&path).await {
        Ok(status) => status.waiting,
        Err(failure) if failure.exit == Exit::NotFound => true,
        Err(failure) => return Err(failure),
    };
    if !waiting {
        return Ok(());
    }
    let var = database.var();
    let message = format!("{var} is still being prepared, and was not promoted");
    let advice = Hint::PromoteAnyway.fill(&[("DATABASE", &var), ("APP", &database.app)]);
    Err(Failure::new(Exit::Conflict, "not-ready", message).advise(advice))
}

/// The primary must be writable: a follower is unfollowed first.
async fn refuse_follower(session: &Session, database: &Database) -> Result<(), Failure> {
    let path = ["client", "v11", "databases", &database.attachment.addon.id];
    let following = match session.get::<DatabaseInfo>(&path).await {
        Ok(info) => info.following,
        // One that is still being made is told of elsewhere.
        Err(failure) if failure.exit == Exit::NotFound => None,
        Err(failure) => return Err(failure),
    };
    if following.is_none() {
        return Ok(());
    }
    let var = database.var();
    let message = format!("{var} follows another database and is read-only; it was not promoted");
    let advice = Hint::Unfollow.fill(&[("DATABASE", &var), ("APP", &database.app)]);
    Err(Failure::new(Exit::Conflict, "follower", message).advise(advice))
}
