//! addons:wait: until add-ons are made or gone.

use std::collections::VecDeque;

use super::addons::resolve;
use super::pg_operations;
use crate::app;
use crate::command::{
    APP, Argument, Command, Group, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT, command,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::{Addon, AddonState, WaitStatus};
use crate::session::Session;
use crate::step::Step;
use crate::wait::{self, Patience};

pub(super) const COMMANDS: &[Command] =
    &[command("addons:wait", Group::Databases, "Wait until add-ons are made or gone", |s, g| {
        Box::pin(run(s, g))
    })
    .arguments(&[Argument {
        name: "ADDON",
        times: Times::Optional,
        means: "its name [default: every add-on that is on its way]",
    }])
    .options(&[APP, REMOTE, WAIT_INTERVAL, WAIT_TIMEOUT])
    .examples(&["howdah addons:wait -a demo"])];

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::maybe(session, given)?;
    let mut waiting: VecDeque<Addon> = match (given.value("ADDON"), &app) {
        (Some(typed), _) => VecDeque::from([resolve(session, app.as_deref(), typed).await?]),
        (None, Some(app)) => session.get(&["apps", app, "addons"]).await?,
        (None, None) => session.get(&["addons"]).await?,
    };
    waiting.retain(|addon| is_on_its_way(addon.state));
    let mut settled = Vec::new();
    while let Some(addon) = waiting.pop_front() {
        let (doing, done) = match addon.state {
            AddonState::Provisioning | AddonState::Provisioned => ("Creating", "created"),
            AddonState::Deprovisioning | AddonState::Deprovisioned => ("Destroying", "destroyed"),
        };
        let step = session.step(&format!("{doing} {}", addon.name));
        let app = addon.app.name.clone();
        let addon = until_settled(session, given, &app, addon, &step)
            .await
            .inspect_err(|failure| step.given_up(failure))?;
        step.done_with(done);
        settled.push(addon);
    }
    session.answer("addons", &settled, |_| {})
}

fn is_on_its_way(state: AddonState) -> bool {
    match state {
        AddonState::Provisioning | AddonState::Deprovisioning => true,
        AddonState::Provisioned | AddonState::Deprovisioned => false,
    }
}

/// Waits until an add-on is made or gone; the step shows how far it is. One that could not be made
/// is a failure.
pub(super) async fn until_settled(
    session: &Session,
    given: &Given,
    app: &str,
    addon: Addon,
    step: &Step<'_>,
) -> Result<Addon, Failure> {
    if !is_on_its_way(addon.state) {
        return Ok(addon);
    }
    let name = addon.name.as_str();
    let advice = Hint::WaitForAddon.fill(&[("ADDON", name), ("APP", app)]);
    let patience = Patience::of(given, advice)?;
    let goes_away = addon.state == AddonState::Deprovisioning;
    let after = wait::until(session, &patience, step, name, || async {
        match session.get::<Addon>(&["apps", app, "addons", name]).await {
            Ok(addon) if is_on_its_way(addon.state) => {
                show_progress(session, &addon, step).await;
                Ok(None)
            }
            Ok(addon) => Ok(Some(Some(addon))),
            Err(failure) if failure.exit == Exit::NotFound => Ok(Some(None)),
            Err(failure) => Err(failure),
        }
    })
    .await?;
    match after {
        Some(addon) if addon.state == AddonState::Provisioned => Ok(addon),
        Some(_) | None if goes_away => Ok(Addon { state: AddonState::Deprovisioned, ..addon }),
        Some(_) | None => {
            let why = pg_operations::last_word(session, app, &addon.id).await;
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            let message = format!("{name} could not be made{why}");
            let advice = Hint::ListOperations.fill(&[("APP", app)]);
            Err(Failure::new(Exit::Failed, "not-made", message).advise(advice))
        }
    }
}

/// How far a database is that is being made, when that is known.
async fn show_progress(session: &Session, addon: &Addon, step: &Step<'_>) {
    if addon.state == AddonState::Provisioning {
        let path = ["client", "v11", "databases", &addon.id, "wait_status"];
        if let Ok(status) = session.get::<WaitStatus>(&path).await {
            step.progress(&status.message);
        }
    }
}
