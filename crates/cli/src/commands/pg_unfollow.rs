//! pg:unfollow: a follower becomes a database of its own (G20–G22).

use reqwest::Method;
use serde_json::json;

use super::{pg_info, pg_wait};
use crate::command::{
    APP, CONFIRM, Command, Group, REMOTE, THE_DATABASE, WAIT_INTERVAL, WAIT_TIMEOUT, command,
};
use crate::confirm;
use crate::database::{self, Database};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::{ConfigVars, DatabaseInfo};
use crate::session::{Ignored, Session};
use crate::step::Step;
use crate::wait::{self, Patience};

pub(super) const COMMANDS: &[Command] =
    &[command("pg:unfollow", Group::Databases, "Make a follower writable, for good", |s, g| {
        Box::pin(unfollow(s, g))
    })
    .arguments(&[THE_DATABASE])
    .options(&[APP, REMOTE, WAIT_INTERVAL, WAIT_TIMEOUT, CONFIRM])
    .note("Its URL stays the same, and so does its price. The leader is not touched.")
    .examples(&["howdah pg:unfollow HEROKU_POSTGRESQL_GOLD_URL -a demo --confirm demo"])];

async fn unfollow(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let (var, app) = (database.var(), database.app.as_str());
    let vars = session.get::<ConfigVars>(&["apps", app, "config-vars"]);
    let (vars, info) = tokio::try_join!(vars, look(session, &database))?;
    let Some(leader) = info.following else {
        let message = format!("{var} is not following another database.");
        return Err(Failure::new(Exit::Conflict, "no-follower", message));
    };
    session.say(&format!(" !    {var} will become writable and no longer"));
    let leader = pg_info::name_of(&leader, &vars);
    session.say(&format!(" !    follow {leader}. This cannot be undone.\n"));
    confirm::app(session, given, app)?;
    let step = session.step(&format!("Unfollowing {var}"));
    let path = ["client", "v11", "databases", &database.attachment.addon.id, "unfollow"];
    session.call::<Ignored>(Method::PUT, &path, Some(json!({})), None).await?;
    until_writable(session, given, &database, &step)
        .await
        .inspect_err(|failure| step.given_up(failure))?;
    step.done();
    let data = json!({ "addon": database.attachment.addon.name, "config_var": var });
    session.answer("unfollowed", &data, |_| {})
}

async fn look(session: &Session, database: &Database) -> Result<DatabaseInfo, Failure> {
    session.get(&["client", "v11", "databases", &database.attachment.addon.id]).await
}

/// The platform may answer before it is done.
async fn until_writable(
    session: &Session,
    given: &Given,
    database: &Database,
    step: &Step<'_>,
) -> Result<(), Failure> {
    let var = database.var();
    let advice = Hint::WaitForDatabase.fill(&[("DATABASE", &var), ("APP", &database.app)]);
    let patience = Patience::of(given, advice)?;
    wait::until(session, &patience, step, &var, || async {
        let info = look(session, database).await?;
        Ok(info.following.is_none().then_some(()))
    })
    .await?;
    pg_wait::until_usable(session, given, database, step).await.map(drop)
}
