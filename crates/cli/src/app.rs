//! Which app a command is about (A8): `-a`, a variable, or the Git remote of the directory.

use std::collections::BTreeSet;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::git;
use crate::given::Given;
use crate::hint::Hint;
use crate::session::Session;

/// The app that was named.
pub(crate) fn named(session: &Session, given: &Given) -> Result<String, Failure> {
    if let Some(app) = maybe(session, given)? {
        return Ok(app);
    }
    let message = "No app specified.\nName one with -a APP, set HOWDAH_APP, \
                   or run this in a repository with the app's Git remote.";
    Err(Failure::new(Exit::Usage, "no-app", message).advise(Hint::ListApps.plain()))
}

/// The app that was named, if any.
pub(crate) fn maybe(session: &Session, given: &Given) -> Result<Option<String>, Failure> {
    if let Some(app) = given.value("app") {
        return Ok(Some(app.to_owned()));
    }
    if let Some(remote) = given.value("remote") {
        return of_remote(session, remote).map(Some);
    }
    let environment = &session.environment;
    let variable = environment.get("HOWDAH_APP").or_else(|| environment.get("HEROKU_APP"));
    match variable {
        Some(app) => Ok(Some(app.to_owned())),
        None => of_directory(session),
    }
}

fn of_remote(session: &Session, name: &str) -> Result<String, Failure> {
    let remotes = git::remotes(&session.environment);
    let url = remotes.iter().find(|(remote, _)| remote == name).map(|(_, url)| url.as_str());
    url.and_then(git::app_of)
        .map(str::to_owned)
        .ok_or_else(|| Failure::not_found(format!("No Git remote `{name}` names an app here")))
}

fn of_directory(session: &Session) -> Result<Option<String>, Failure> {
    let remotes = git::remotes(&session.environment);
    if remotes.is_empty() {
        return Ok(None);
    }
    let host = session.platform.split("://").nth(1).unwrap_or(&session.platform);
    let ours = |name: &str, url: &str| name == git::REMOTE || url.contains(&format!("//{host}/"));
    let candidates: Vec<_> = remotes.iter().filter(|(name, url)| ours(name, url)).collect();
    let apps: BTreeSet<_> = candidates.iter().filter_map(|(_, url)| git::app_of(url)).collect();
    if apps.len() <= 1 {
        return Ok(apps.first().map(|app| (*app).to_owned()));
    }
    if let Some(preferred) = git::preferred(&session.environment) {
        return of_remote(session, &preferred).map(Some);
    }
    let apps: Vec<_> = apps.into_iter().collect();
    let message = format!("The Git remotes name several apps: {}", apps.join(", "));
    let advice = Hint::NameApp.fill(&[("COMMAND", "pg:info")]);
    Err(Failure::new(Exit::Usage, "several-apps", message).advise(advice))
}
