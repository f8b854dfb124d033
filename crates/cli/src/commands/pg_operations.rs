//! pg:operations: what was asked of databases, how far it is, and why (every transition has its
//! reason).

use serde::{Deserialize, Serialize};

use crate::app;
use crate::command::{APP, Argument, Command, DATABASE, Group, Opt, REMOTE, Times, command};
use crate::database;
use crate::failure::Failure;
use crate::given::Given;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] = &[
    command("pg:operations", Group::Databases, "List what was asked of databases", |s, g| {
        Box::pin(list(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, Opt::value("num", Some('n'), "N", "how many [default: 15]")])
    .examples(&["howdah pg:operations -a demo"]),
    command(
        "pg:operations:explain",
        Group::Databases,
        "Show every step with its reason",
        |s, g| Box::pin(explain(s, g)),
    )
    .arguments(&[Argument {
        name: "ID",
        times: Times::Once,
        means: "the id of an operation, or its first letters",
    }])
    .options(&[APP, REMOTE])
    .examples(&["howdah pg:operations:explain 0190f3c2 -a demo"]),
];

/// An operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Operation {
    id: String,
    kind: String,
    state: String,
    outcome: String,
    /// Why it is where it is.
    #[serde(default)]
    reason: Option<String>,
    /// Why its last attempt did not succeed.
    #[serde(default)]
    last_error: Option<String>,
    addon: Subject,
    created_at: String,
    #[serde(default)]
    finished_at: Option<String>,
    #[serde(default)]
    transitions: Vec<Transition>,
}

impl Operation {
    /// Whether it came to that.
    pub(super) fn is(&self, outcome: &str) -> bool {
        self.outcome == outcome
    }

    /// Why it turned back, or else why it is where it is.
    pub(super) fn story(&self) -> String {
        let turned = self.transitions.iter().rfind(|one| one.to == "undoing");
        turned.map_or_else(|| self.why(), |one| one.reason.clone())
    }

    /// What people want to know first: what stands in its way, or why it is where it is.
    fn why(&self) -> String {
        let error = self.last_error.as_ref().filter(|_| self.finished_at.is_none());
        error.or(self.reason.as_ref()).cloned().unwrap_or_default()
    }
}

/// The database that an operation is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Subject {
    id: String,
    #[serde(default)]
    name: Option<String>,
}

impl Subject {
    fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// One change of state.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Transition {
    #[serde(default)]
    from: Option<String>,
    to: String,
    reason: String,
    at: String,
}

async fn list(session: &Session, given: &Given) -> Result<(), Failure> {
    let (app, addon) = match given.value("DATABASE") {
        Some(_) => {
            let database = database::named(session, given).await?;
            (database.app, Some(database.attachment.addon.name))
        }
        None => (app::named(session, given)?, None),
    };
    let mut operations: Vec<Operation> =
        session.get(&["howdah", "v1", "apps", &app, "operations"]).await?;
    operations.retain(|one| addon.as_ref().is_none_or(|addon| addon == one.addon.shown()));
    operations.truncate(usize::try_from(given.number("num", 15)?).unwrap_or(usize::MAX));
    if operations.is_empty() && !session.wants_json() {
        session.say(&format!("Nothing was asked of the databases of {app} yet."));
        return Ok(());
    }
    session.answer("operations", &operations, |page| {
        let row = |one: &Operation| {
            [
                one.id.clone(),
                one.kind.clone(),
                one.addon.shown().to_owned(),
                one.state.clone(),
                page.time(&one.created_at),
                one.why(),
            ]
        };
        let rows: Vec<_> = operations.iter().map(row).collect();
        page.table(["Id", "Operation", "Add-on", "State", "Asked", "Reason"], &rows);
    })
}

async fn explain(session: &Session, given: &Given) -> Result<(), Failure> {
    let typed = given.needed("ID")?;
    let id = full_id(session, given, typed).await?;
    let operation: Operation = session.get(&["howdah", "v1", "operations", &id]).await?;
    session.answer("operation", &operation, |page| {
        page.heading(&format!("{} of {}", operation.kind, operation.addon.shown()));
        let (asked, ended) = (
            page.time(&operation.created_at),
            operation.finished_at.as_ref().map(|time| page.time(time)),
        );
        let mut fields = vec![
            ("Id", operation.id.clone()),
            ("State", operation.state.clone()),
            ("Outcome", operation.outcome.clone()),
            ("Asked", asked),
        ];
        fields.extend(ended.map(|ended| ("Ended", ended)));
        fields.extend(operation.last_error.clone().map(|error| ("Last error", error)));
        page.fields(fields);
        page.line("");
        let row = |one: &Transition| {
            let from = one.from.clone().unwrap_or_else(|| "-".to_owned());
            [page.exact_time(&one.at), from, one.to.clone(), one.reason.clone()]
        };
        let rows: Vec<_> = operation.transitions.iter().map(row).collect();
        page.table(["When", "From", "To", "Reason"], &rows);
    })
}

/// Why the newest operation of an add-on ended as it did, also of one that is gone; `None` when
/// nothing can be found out.
pub(super) async fn last_word(session: &Session, app: &str, addon: &str) -> Option<String> {
    let newest = newest(session, app, addon).await.ok()??;
    Some(newest.story()).filter(|story| !story.is_empty())
}

/// The newest operation on an add-on, with its steps.
pub(super) async fn newest(
    session: &Session,
    app: &str,
    addon: &str,
) -> Result<Option<Operation>, Failure> {
    let all: Vec<Operation> = session.get(&["howdah", "v1", "apps", app, "operations"]).await?;
    match all.into_iter().find(|one| one.addon.id == addon) {
        Some(one) => session.get(&["howdah", "v1", "operations", &one.id]).await.map(Some),
        None => Ok(None),
    }
}

/// The id that a few letters mean, among the operations of the app.
async fn full_id(session: &Session, given: &Given, typed: &str) -> Result<String, Failure> {
    if typed.parse::<uuid::Uuid>().is_ok() {
        return Ok(typed.to_owned());
    }
    let app = app::named(session, given)?;
    let operations: Vec<Operation> =
        session.get(&["howdah", "v1", "apps", &app, "operations"]).await?;
    let mut fitting = operations.iter().filter(|one| one.id.starts_with(typed));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.id.clone()),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("Several operations of {app} begin with {typed}")))
        }
        (None, _) => Err(Failure::not_found(format!("No operation of {app} begins with {typed}"))),
    }
}
