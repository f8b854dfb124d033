//! pg:connection-pooling:attach and pg:pool: URLs of the gateway's pools, and how these are.

use std::time::Duration;

use howdah_model::attachment::DEFAULT;
use howdah_model::pool::{Pool, Totals};
use howdah_model::size::{Bytes, Span};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::command::{APP, Command, DATABASE, Group, Opt, REMOTE, command};
use crate::database;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::page::Page;
use crate::resources::Attachment;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] = &[
    command(
        "pg:connection-pooling:attach",
        Group::Databases,
        "Give an app a URL whose clients share servers",
        |s, g| Box::pin(attach(s, g)),
    )
    .arguments(&[DATABASE])
    .options(&[
        APP,
        REMOTE,
        Opt::value(
            "as",
            None,
            "NAME",
            "name of the attachment [default: DATABASE_CONNECTION_POOL]",
        ),
        Opt::value("credential", None, "NAME", "log in with this credential [default: default]"),
    ])
    .note(
        "By that URL a client takes a server for each transaction, so that many more clients fit. \
         DATABASE_URL stays as it is. `addons:detach` takes it away again.",
    )
    .examples(&["howdah pg:connection-pooling:attach DATABASE_URL -a demo"]),
    command("pg:pool", Group::Databases, "Show how busy clients and servers are", |s, g| {
        Box::pin(show(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE])
    .note("For each credential: who waits, how long transactions take, and what was moved.")
    .examples(&["howdah pg:pool -a demo", "howdah pg:pool DATABASE_URL -a demo --json"]),
];

async fn attach(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let (app, addon) = (&database.app, &database.attachment.addon.name);
    let credential = given.value("credential").unwrap_or(DEFAULT);
    let mut body = json!({ "app": app, "credential": credential });
    if let Some(name) = given.value("as") {
        body["name"] = json!(name);
    }
    let step = session.step(&format!("Enabling Connection Pooling on {addon} to {app}"));
    let path = ["client", "v11", "databases", addon, "connection-pooling"];
    let attachment: Attachment = session.post(&path, body).await?;
    step.done();
    let step =
        session.step(&format!("Setting {} config vars and restarting {app}", attachment.name));
    session.done_in_release(step, app, "").await;
    session.answer("attachment", &attachment, |_| {})
}

/// What the gateway says of one database.
#[derive(Debug, Deserialize, Serialize)]
struct Pools {
    /// When it said so.
    at: String,
    /// Since when it counts.
    since: String,
    pools: Vec<Named>,
}

/// The clients of one credential in one mode.
#[derive(Debug, Deserialize, Serialize)]
struct Named {
    /// None when it is not one of the database any more.
    credential: Option<String>,
    #[serde(flatten)]
    pool: Pool,
}

impl Named {
    /// Which it is, as each table begins: the credential, and how its clients come by a server.
    fn names(&self) -> [String; 2] {
        let credential = self.credential.as_deref().unwrap_or(self.pool.role.as_str());
        [credential.to_owned(), self.pool.mode.to_string()]
    }
}

async fn show(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let addon = &database.attachment.addon.id;
    let pools: Pools = session.get(&["howdah", "v1", "databases", addon, "pool"]).await?;
    let label = database.label();
    if pools.pools.is_empty() {
        let names = [("DATABASE", database.var()), ("APP", database.app.clone())];
        let advice =
            Hint::OpenSession.fill(&[(names[0].0, &names[0].1), (names[1].0, &names[1].1)]);
        session.nothing(&format!("No client of {label} has come yet."), &advice);
    }
    session.answer("pools", &pools, |page| {
        if !pools.pools.is_empty() {
            page.heading(&label);
            now(page, &pools.pools);
            let since = page.time(&pools.since);
            page.line(&format!("Since {since}:"));
            page.line("");
            counted(page, &pools.pools);
            errors(page, &pools.pools);
        }
    })
}

/// A table with a row for each pool: its names, and figures.
fn table<const N: usize>(
    page: &mut Page<'_>,
    header: [&str; N],
    pools: &[Named],
    cells: impl Fn(&Named) -> [String; N],
) {
    let rows: Vec<_> = pools.iter().map(cells).collect();
    page.figures(header, 2, &rows);
    page.line("");
}

/// Who is there now.
fn now(page: &mut Page<'_>, pools: &[Named]) {
    let header = ["Clients", "Mode", "Active", "Waiting", "Idle", "Longest wait", "State"];
    table(page, header, pools, |named| {
        let [credential, mode] = named.names();
        let Pool { flow, clients, longest_wait_micros, .. } = &named.pool;
        let [active, waiting, idle] = [clients.active, clients.waiting, clients.idle].map(number);
        let longest = wait(*longest_wait_micros);
        [credential, mode, active, waiting, idle, longest, flow.to_string()]
    });
    let header = ["Servers", "Mode", "Active", "Kept", "Idle", "All", "Limit"];
    table(page, header, pools, |named| {
        let [credential, mode] = named.names();
        let servers = &named.pool.servers;
        let [active, kept, idle] = [servers.active, servers.pinned, servers.idle].map(number);
        let [all, limit] = [servers.all(), named.pool.size].map(number);
        [credential, mode, active, kept, idle, all, limit]
    });
}

/// What came of clients since the gateway started.
fn counted(page: &mut Page<'_>, pools: &[Named]) {
    let header = ["Work", "Mode", "Transactions", "Average", "Queries", "Average", "In", "Out"];
    table(page, header, pools, |named| {
        let [credential, mode] = named.names();
        let totals = &named.pool.totals;
        [
            credential,
            mode,
            number(totals.transactions),
            time(totals.average_transaction()),
            number(totals.queries),
            time(totals.average_query()),
            Bytes(totals.bytes_from_clients).to_string(),
            Bytes(totals.bytes_to_clients).to_string(),
        ]
    });
    let header =
        ["Waits", "Mode", "Times", "Average", "Longest", "Moves", "Holds", "Longest", "Errors"];
    table(page, header, pools, |named| {
        let [credential, mode] = named.names();
        let totals = &named.pool.totals;
        [
            credential,
            mode,
            number(totals.waits),
            time(totals.average_wait()),
            wait(totals.longest_wait_micros),
            number(totals.moves),
            number(totals.holds),
            wait(totals.longest_hold_micros),
            number(totals.all_errors()),
        ]
    });
}

/// What the errors were, and what a server that went away has cost: each a line of its own, as
/// there are none on a good day.
fn errors(page: &mut Page<'_>, pools: &[Named]) {
    for named in pools {
        let Totals { errors, moves_failed, resent, transactions_lost, commits_in_doubt, .. } =
            &named.pool.totals;
        let losses = [
            ("sessions that could not be moved", moves_failed),
            ("statements sent again", resent),
            ("transactions lost with their server", transactions_lost),
            ("commits in doubt", commits_in_doubt),
        ];
        let kinds = errors.iter().map(|(kind, count)| (kind.as_str(), count));
        let all: Vec<_> = kinds
            .chain(losses)
            .filter(|(_, count)| **count > 0)
            .map(|(what, count)| format!("{count} {}", what.replace('_', " ")))
            .collect();
        if !all.is_empty() {
            page.line(&format!(" !    {}: {}", named.names().join(" "), all.join(", ")));
        }
    }
}

fn number(number: impl ToString) -> String {
    number.to_string()
}

/// A time, or that there is none to tell.
fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| Span(time).to_string())
}

fn wait(micros: u64) -> String {
    time((micros > 0).then(|| Duration::from_micros(micros)))
}
