//! addons:destroy: a database goes, for good (C13–C15).

use reqwest::Method;
use serde_json::json;

use super::addons::{ADDON, resolve};
use super::addons_wait;
use crate::app;
use crate::command::{
    APP, Argument, CONFIRM, Command, Group, Opt, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT,
    command,
};
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::{Addon, AddonState};
use crate::session::Session;

pub(super) const COMMANDS: &[Command] = &[command(
    "addons:destroy",
    Group::Databases,
    "Destroy databases with their contents",
    |s, g| Box::pin(destroy(s, g)),
)
.aliases(&["addons:remove", "addons:delete"])
.arguments(&[Argument { times: Times::OnceOrMore, ..ADDON }])
.options(&[
    APP,
    REMOTE,
    Opt::flag("force", Some('f'), "also when it is attached to other apps"),
    Opt::flag("wait", None, "return when it is gone"),
    WAIT_INTERVAL,
    WAIT_TIMEOUT,
    CONFIRM,
])
.examples(&["howdah addons:destroy HEROKU_POSTGRESQL_PINK_URL -a demo --confirm demo"])];

async fn destroy(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::maybe(session, given)?;
    let mut addons: Vec<(String, Addon)> = Vec::new();
    // All names are looked up before anything is destroyed.
    for typed in given.values("ADDON") {
        let addon = resolve(session, app.as_deref(), typed).await?;
        if addons.iter().all(|(_, other)| other.id != addon.id) {
            addons.push((typed.to_owned(), addon));
        }
    }
    let mut owners: Vec<&str> = Vec::new();
    for (_, addon) in &addons {
        if !owners.contains(&addon.app.name.as_str()) {
            confirm::app(session, given, &addon.app.name)?;
            owners.push(&addon.app.name);
        }
    }
    let mut gone = Vec::new();
    for (typed, addon) in &addons {
        gone.push(one(session, given, typed, addon).await?);
    }
    session.answer("addons", &gone, |_| {})
}

async fn one(
    session: &Session,
    given: &Given,
    typed: &str,
    addon: &Addon,
) -> Result<Addon, Failure> {
    let app = addon.app.name.as_str();
    let name = shown(typed, addon);
    let step = session.step(&format!("Removing {name} on {app}"));
    let body = json!({ "force": given.has("force") });
    let path = ["apps", app, "addons", &addon.id];
    let mut after: Addon = session.call(Method::DELETE, &path, Some(body), None).await?;
    if given.has("wait") {
        after = addons_wait::until_settled(session, given, app, after, &step)
            .await
            .inspect_err(|failure| step.given_up(failure))?;
    }
    match after.state {
        AddonState::Deprovisioned | AddonState::Deprovisioning => {
            session.done_in_release(step, app, &format!("({})", addon.price())).await;
        }
        AddonState::Provisioning | AddonState::Provisioned => {
            let message = format!("{} is still there ({})", addon.name, after.state);
            return Err(Failure::new(Exit::Failed, "not-destroyed", message));
        }
    }
    if after.state == AddonState::Deprovisioning {
        let advice = Hint::WaitForAddon.fill(&[("ADDON", &addon.name), ("APP", app)]);
        session.say(&format!("{} is being destroyed in the background.", addon.name));
        session.say(&format!("To {} `{}`", advice.lead, advice.command));
    }
    Ok(after)
}

/// What was typed, when it is the name of an attachment: `HEROKU_POSTGRESQL_PINK`.
fn shown(typed: &str, addon: &Addon) -> String {
    let var = format!("{}_URL", typed.strip_suffix("_URL").unwrap_or(typed)).to_uppercase();
    match addon.config_vars.iter().find(|own| **own == var) {
        Some(own) => own.trim_end_matches("_URL").to_owned(),
        None => addon.name.clone(),
    }
}
