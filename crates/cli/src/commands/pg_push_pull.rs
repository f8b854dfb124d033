//! pg:push and pg:pull: a database comes from this machine, or goes there (D11–D18).

use std::collections::BTreeSet;
use std::process::Stdio;

use howdah_model::size::Bytes;
use serde_json::json;

use crate::command::{APP, Argument, Command, Group, Opt, REMOTE, Times, command};
use crate::database;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::libpq::Place;
use crate::pipe::{Copied, Pipe, Takes, Tools};
use crate::resources::ConfigVars;
use crate::session::Session;
use crate::step::Step;

const WITHOUT_ROWS: Opt = Opt::value(
    "exclude-table-data",
    None,
    "TABLES",
    "tables whose rows stay behind, with semicolons",
);

pub(super) const COMMANDS: &[Command] = &[
    command("pg:push", Group::Databases, "Copy a database of yours into an empty one", |s, g| {
        Box::pin(push(s, g))
    })
    .arguments(&[
        Argument {
            name: "SOURCE",
            times: Times::Once,
            means: "name of a database on this machine, or postgres:// URL",
        },
        Argument {
            name: "DATABASE",
            times: Times::Once,
            means: "attachment, config var, colour, add-on or APP::NAME; it must be empty",
        },
    ])
    .options(&[APP, REMOTE, WITHOUT_ROWS])
    .note(
        "PGHOST, PGPORT, PGUSER and PGPASSWORD say where SOURCE is and who you are there. Owners \
         and grants stay behind.",
    )
    .examples(&["howdah pg:push mydb DATABASE_URL -a demo"]),
    command("pg:pull", Group::Databases, "Copy a database to your machine", |s, g| {
        Box::pin(pull(s, g))
    })
    .arguments(&[
        Argument {
            name: "DATABASE",
            times: Times::Once,
            means: "attachment, config var, colour, add-on or APP::NAME",
        },
        Argument {
            name: "TARGET",
            times: Times::Once,
            means: "name of a database to make on this machine, or postgres:// URL of an empty one",
        },
    ])
    .options(&[APP, REMOTE, WITHOUT_ROWS])
    .note(
        "PGHOST, PGPORT, PGUSER and PGPASSWORD say where TARGET is and who you are there. Owners \
         and grants stay behind.",
    )
    .examples(&[
        "howdah pg:pull DATABASE_URL mydb -a demo",
        "howdah pg:pull gold mydb -a demo --exclude-table-data 'logs;events'",
    ]),
];

/// Relations that are not the system's and not an extension's, in any schema (D12).
const RELATIONS: &str = "\
select count(*) from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname <> 'information_schema'
and n.nspname !~ '^pg_' and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid
and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e');";

/// Extensions that are there.
const EXTENSIONS: &str = "select extname from pg_catalog.pg_extension order by 1;";

/// Those of them that a dump holds: what every new database of a server has is in none.
const COPIED_EXTENSIONS: &str =
    "select extname from pg_catalog.pg_extension where oid >= 16384 order by 1;";

/// Ends a transaction as one that has changed something: what was committed before is on the disk
/// then, also what did not wait for it.
const FLUSH: &str = "select txid_current();";

/// Whether one may do everything, and the extensions that one can make.
const TAKES: &str = "\
select rolsuper from pg_catalog.pg_roles where rolname = current_user;
select name from pg_catalog.pg_available_extensions a, (select rolsuper,
string_to_array(replace(coalesce(current_setting('extwlist.extensions', true), ''), ' ', ''), ',')
as allowed from pg_catalog.pg_roles where rolname = current_user) me
where me.rolsuper or me.allowed = '{}' or a.name = any (me.allowed)
or a.installed_version is not null;";

async fn push(session: &Session, given: &Given) -> Result<(), Failure> {
    let (remote, addon) = remote(session, given).await?;
    let local = Place::of(&session.environment, given.needed("SOURCE")?)?;
    let local = local.entered(session).await?;
    refuse_unless_empty(session, given, &remote).await?;
    let step = session.step(&format!("Pushing {} to {}", local.label, remote.label));
    let eager = remote.clone().without_waiting_for_the_disk();
    let copied = copy(session, given, &local, &eager, &step).await.map_err(|failure| {
        let advice = crate::hint::Hint::EmptyFirst;
        let names = [("DATABASE", given.value("DATABASE").unwrap_or("DATABASE"))];
        match app_of(given) {
            Some(app) => failure.advise(advice.fill(&[names[0], ("APP", &app)])),
            None => failure.advise(advice.fill(&names)),
        }
    })?;
    remote.ask(session, FLUSH).await?;
    step.done_with(&Bytes(copied.bytes).to_string());
    finish(session, &local, &remote, &copied, &addon).await
}

fn app_of(given: &Given) -> Option<String> {
    let named = given.value("DATABASE").and_then(|typed| typed.split_once("::"));
    named.map(|(app, _)| app.to_owned()).or_else(|| given.value("app").map(str::to_owned))
}

async fn pull(session: &Session, given: &Given) -> Result<(), Failure> {
    let (remote, addon) = remote(session, given).await?;
    let local = Place::of(&session.environment, given.needed("TARGET")?)?;
    let local = if local.is_local() {
        let server = local.with_database("postgres").entered(session).await?;
        let local = server.with_database(local.database()).called(&local.label);
        create(session, &local).await?;
        local
    } else {
        let local = local.entered(session).await?;
        refuse_unless_empty(session, given, &local).await?;
        local
    };
    let step = session.step(&format!("Pulling {} to {}", remote.label, local.label));
    let copied = copy(session, given, &remote, &local, &step).await.map_err(|mut failure| {
        failure.message.push_str(&format!("\n{} is not complete.", local.label));
        failure
    })?;
    step.done_with(&Bytes(copied.bytes).to_string());
    finish(session, &remote, &local, &copied, &addon).await
}

/// The platform's side, with the name of its add-on.
async fn remote(session: &Session, given: &Given) -> Result<(Place, String), Failure> {
    let database = database::by_name(session, given, given.needed("DATABASE")?, None).await?;
    let vars: ConfigVars = session.get(&["apps", &database.app, "config-vars"]).await?;
    let var = database.attachment.url_var();
    let url = vars.get(&var).ok_or_else(|| {
        let message = format!("{var} is not set on {}: is it still being made?", database.app);
        let names = [("DATABASE", var.as_str()), ("APP", database.app.as_str())];
        let advice = crate::hint::Hint::WaitForDatabase.fill(&names);
        Failure::new(Exit::Conflict, "not-ready", message).advise(advice)
    })?;
    let place = Place::ours(&session.environment, url, database.var())?;
    Ok((place, database.attachment.addon.name.clone()))
}

/// Whether there is nothing in a database.
pub(super) async fn is_empty(session: &Session, place: &Place) -> Result<bool, Failure> {
    Ok(place.ask(session, RELATIONS).await?.trim() == "0")
}

/// Nothing is copied into what holds something already.
async fn refuse_unless_empty(
    session: &Session,
    given: &Given,
    place: &Place,
) -> Result<(), Failure> {
    if is_empty(session, place).await? {
        return Ok(());
    }
    let message = "Remote database is not empty.\n\
                   Please create a new database, or use `howdah pg:reset`";
    let failure = Failure::new(Exit::Conflict, "not-empty", message);
    Err(match app_of(given) {
        Some(app) if given.command.name == "pg:push" => {
            let typed = given.needed("DATABASE")?;
            let names = [("DATABASE", typed), ("APP", app.as_str())];
            failure.advise(crate::hint::Hint::EmptyFirst.fill(&names))
        }
        _ => failure,
    })
}

/// Makes the database on this machine's server (D16, D17).
async fn create(session: &Session, place: &Place) -> Result<(), Failure> {
    let program = session.environment.program("createdb").ok_or_else(|| {
        let message = "The local createdb command could not be located; it comes with psql.";
        Failure::new(Exit::Failed, "createdb-missing", message)
    })?;
    let mut command = place.with_database("postgres").command(&program);
    command.args(["--no-password", "--template=template0", "--", place.database()]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output().await.map_err(|error| {
        Failure::new(
            Exit::Failed,
            "createdb-missing",
            format!("createdb could not be run: {error}"),
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let mut message = said.trim().to_owned();
    let name = crate::shell::word(place.database());
    if message.contains("already exists") {
        message.push_str(&format!(
            "\nPlease drop the local database (`dropdb {name}`) and try again."
        ));
    }
    Err(Failure::new(Exit::Conflict, "not-created", message))
}

async fn copy(
    session: &Session,
    given: &Given,
    from: &Place,
    into: &Place,
    step: &Step<'_>,
) -> Result<Copied, Failure> {
    let tools = Tools::for_server(session, from.major(session).await?).await?;
    let takes = takes(session, into).await?;
    let without: Vec<String> = given.value("exclude-table-data").map_or_else(Vec::new, |tables| {
        let names = tables.split(';').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    });
    let pipe = Pipe { tools: &tools, from, into, takes: &takes, without_rows_of: &without };
    tokio::select! {
        copied = pipe.run(step) => copied,
        never = step.turn() => match never {},
        _ = tokio::signal::ctrl_c() => {
            let message = format!("The copy was broken off; {} is not complete.", into.label);
            Err(Failure::new(Exit::Interrupted, "interrupted", message))
        }
    }
}

async fn takes(session: &Session, place: &Place) -> Result<Takes, Failure> {
    let said = place.ask(session, TAKES).await?;
    let mut lines = said.lines();
    let superuser = lines.next() == Some("t");
    Ok(Takes { superuser, extensions: lines.map(str::to_owned).collect() })
}

/// Tells what was left out, and compares the extensions of both sides (D15).
async fn finish(
    session: &Session,
    from: &Place,
    into: &Place,
    copied: &Copied,
    addon: &str,
) -> Result<(), Failure> {
    for what in &copied.left_out {
        session.say(&format!(" !    WARNING: left out: {what}"));
    }
    let (source, target) =
        (names(session, from, COPIED_EXTENSIONS).await?, names(session, into, EXTENSIONS).await?);
    if !source.is_subset(&target) {
        let list = |names: &BTreeSet<String>| {
            names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        session.say(" !    WARNING: Extensions in newly created target database differ from existing source database.");
        session.say(&format!(" !    Target extensions: {}", list(&target)));
        session.say(&format!(" !    Source extensions: {}", list(&source)));
        session.say(" !    What needs a missing one may be missing too.");
    }
    let data = json!({
        "from": from.label,
        "to": into.label,
        "addon": addon,
        "bytes": copied.bytes,
        "left_out": copied.left_out,
        "source_extensions": source,
        "target_extensions": target,
    });
    session.answer("copied", &data, |_| {})
}

async fn names(session: &Session, place: &Place, sql: &str) -> Result<BTreeSet<String>, Failure> {
    let said = place.ask(session, sql).await?;
    Ok(said.lines().map(str::to_owned).collect())
}
