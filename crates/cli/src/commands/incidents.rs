//! incidents: what went wrong with the protection of databases, and whether it still does.

use serde::{Deserialize, Serialize};

use crate::app;
use crate::command::{APP, Command, Group, Opt, REMOTE, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::page::Page;
use crate::resources::Named;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] =
    &[command("incidents", Group::Operate, "List what endangers or endangered data", |s, g| {
        Box::pin(list(s, g))
    })
    .options(&[
        APP,
        REMOTE,
        Opt::flag("all", None, "also those that are over"),
        Opt::value("num", Some('n'), "N", "how many [default: 15]"),
    ])
    .note("Of the app's databases, or of all that one may see when there is no app.")
    .examples(&["howdah incidents", "howdah incidents --all -a demo --json"])];

/// Something that went wrong for a while.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Incident {
    id: String,
    /// What kind of thing, in one word.
    what: String,
    /// For people.
    text: String,
    #[serde(default)]
    addon: Option<Named>,
    #[serde(default)]
    app: Option<Named>,
    began_at: String,
    #[serde(default)]
    ended_at: Option<String>,
}

impl Incident {
    /// Whether it is about this add-on.
    pub(super) fn is_about(&self, addon: &str) -> bool {
        self.addon.as_ref().is_some_and(|own| own.name == addon)
    }

    fn is_over(&self) -> bool {
        self.ended_at.is_some()
    }
}

/// All that may be seen, newest first.
pub(super) async fn all(session: &Session) -> Result<Vec<Incident>, Failure> {
    session.get(&["howdah", "v1", "incidents"]).await
}

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::maybe(session, given)?;
    let most = usize::try_from(given.number("num", 15)?).unwrap_or(usize::MAX);
    let mut incidents = all(session).await?;
    // What is about no app is about the machine, and so about every app.
    let is_of = |one: &Incident, app: &str| one.app.as_ref().is_none_or(|own| own.name == app);
    incidents.retain(|one| app.as_ref().is_none_or(|app| is_of(one, app)));
    incidents.retain(|one| given.has("all") || !one.is_over());
    incidents.truncate(most);
    if incidents.is_empty() && !session.wants_json() {
        let of = app.map_or_else(String::new, |app| format!(" of {app}"));
        let now = if given.has("all") { "" } else { " now" };
        session.say(&format!("There are no incidents{of}{now}."));
        return Ok(());
    }
    session.answer("incidents", &incidents, |page| table(page, &incidents))
}

/// Incidents as a table.
pub(super) fn table(page: &mut Page<'_>, incidents: &[Incident]) {
    let row = |one: &Incident| {
        let addon = one.addon.as_ref().map_or("-", |addon| addon.name.as_str());
        let ended = one.ended_at.as_ref().map_or_else(|| "-".to_owned(), |time| page.time(time));
        [one.what.clone(), addon.to_owned(), page.time(&one.began_at), ended, one.text.clone()]
    };
    let rows: Vec<_> = incidents.iter().map(row).collect();
    page.table(["Incident", "Add-on", "Began", "Ended", "What happened"], &rows);
}
