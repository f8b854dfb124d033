//! addons:wait: until add-ons are made or gone.

use std::collections::VecDeque;

use super::addons::resolve;
use crate::app;
use crate::command::{
    APP, Argument, Command, Group, REMOTE, Times, WAIT_INTERVAL, WAIT_TIMEOUT, command,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::{Addon, AddonState};
use crate::session::Session;
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
        let addon = until_settled(session, given, &app, addon)
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

/// Waits until an add-on is made or gone. One that could not be made is a failure.
pub(super) async fn until_settled(
    session: &Session,
    given: &Given,
    app: &str,
    addon: Addon,
) -> Result<Addon, Failure> {
    if !is_on_its_way(addon.state) {
        return Ok(addon);
    }
    let name = addon.name.as_str();
    let advice = Hint::WaitForAddon.fill(&[("ADDON", name), ("APP", app)]);
    let patience = Patience::of(given, advice)?;
    let goes_away = addon.state == AddonState::Deprovisioning;
    let after = wait::until(session, &patience, name, || async {
        match session.get::<Addon>(&["apps", app, "addons", name]).await {
            Ok(addon) => Ok((!is_on_its_way(addon.state)).then_some(Some(addon))),
            Err(failure) if failure.exit == Exit::NotFound => Ok(Some(None)),
            Err(failure) => Err(failure),
        }
    })
    .await?;
    match after {
        Some(addon) if addon.state == AddonState::Provisioned => Ok(addon),
        Some(_) | None if goes_away => Ok(Addon { state: AddonState::Deprovisioned, ..addon }),
        Some(_) | None => {
            let message = format!("{name} could not be made");
            let advice = Hint::ListOperations.fill(&[("APP", app)]);
            Err(Failure::new(Exit::Failed, "not-made", message).advise(advice))
        }
    }
}
