//! The figures of one database (D32, I31–I38): each a query of its own in `extras/`, which the
//! local psql runs as the owner of the database and shows.

use howdah_model::diagnosis::BLOAT;
use serde_json::Value;

use super::pg_psql::target;
use crate::command::{APP, Argument, Command, DATABASE, Group, Opt, REMOTE, Times, command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::psql::{self, Target};
use crate::session::Session;

/// A command that shows the answer of one query.
macro_rules! extra {
    ($name:literal, $does:literal, $file:literal) => {
        command($name, Group::Databases, $does, |s, g| {
            Box::pin(show(s, g, include_str!(concat!("../extras/", $file, ".sql"))))
        })
        .arguments(&[DATABASE])
        .options(&[APP, REMOTE])
        .examples(&[concat!("howdah ", $name, " -a demo")])
    };
}

pub(super) const COMMANDS: &[Command] = &[
    command("pg:bloat", Group::Databases, "Show how much room dead rows have left", |s, g| {
        Box::pin(bloat(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE])
    .note("An estimate from the last ANALYZE. A bloat above 10 of a large table wants a cure.")
    .examples(&["howdah pg:bloat -a demo"]),
    extra!("pg:blocking", "Show which statements wait for which sessions", "blocking")
        .note("`pg:kill PID -f` ends a session that blocks others."),
    extra!("pg:cache-hit", "Show how often reads are answered from memory", "cache_hit")
        .note("0.99 is the target. Below it, look at slow queries or take a larger plan."),
    extra!("pg:extensions", "List the extensions that a database may have", "extensions"),
    extra!("pg:index-size", "Show the size of each index", "index_size"),
    extra!("pg:index-usage", "Show how often tables are read by their indexes", "index_usage"),
    command("pg:locks", Group::Databases, "Show who holds exclusive locks", |s, g| {
        Box::pin(locks(s, g))
    })
    .arguments(&[DATABASE])
    .options(&[APP, REMOTE, TRUNCATE])
    .examples(&["howdah pg:locks -a demo"]),
    extra!(
        "pg:long-running-queries",
        "Show what runs for more than five minutes",
        "long_running_queries"
    ),
    extra!("pg:mandelbrot", "Show the Mandelbrot set", "mandelbrot"),
    extra!("pg:records-rank", "Show about how many rows each table has", "records_rank"),
    extra!("pg:seq-scans", "Show how often tables were read as a whole", "seq_scans"),
    extra!(
        "pg:table-indexes-size",
        "Show the size of the indexes of each table",
        "table_indexes_size"
    ),
    extra!("pg:table-size", "Show the size of each table without its indexes", "table_size"),
    extra!("pg:total-index-size", "Show the size of all indexes together", "total_index_size"),
    extra!(
        "pg:total-table-size",
        "Show the size of each table with its indexes",
        "total_table_size"
    ),
    extra!("pg:unused-indexes", "Show indexes that are hardly ever used", "unused_indexes")
        .note("Counted on this server only: a follower may use what its leader does not."),
    extra!("pg:user-connections", "Show the sessions of each credential", "user_connections"),
    extra!("pg:vacuum-stats", "Show when tables were vacuumed", "vacuum_stats"),
    command(
        "pg:fdwsql",
        Group::Databases,
        "Print SQL that makes foreign tables of a database",
        |s, g| Box::pin(fdwsql(s, g)),
    )
    .arguments(&[
        Argument { name: "PREFIX", times: Times::Once, means: "how the new names begin" },
        DATABASE,
    ])
    .options(&[APP, REMOTE])
    .note("What is printed has the password in it. It is for the other database's psql.")
    .examples(&["howdah pg:fdwsql reports -a demo"]),
];

/// `-t`: long statements are cut.
pub(super) const TRUNCATE: Opt =
    Opt::flag("truncate", Some('t'), "cut statements to 40 characters");

/// The column of a statement's text, cut when that was asked for.
pub(super) fn text_of(given: &Given, column: &str) -> String {
    if given.has("truncate") {
        format!(
            "case when pg_catalog.length({column}) <= 40 then {column} \
             else pg_catalog.substr({column}, 1, 39) || '…' end"
        )
    } else {
        column.to_owned()
    }
}

async fn show(session: &Session, given: &Given, query: &str) -> Result<(), Failure> {
    let target = target(session, given).await?;
    answer(session, given, &target, query).await
}

async fn bloat(session: &Session, given: &Given) -> Result<(), Failure> {
    let worst_first = bare(include_str!("../extras/bloat.sql"));
    show(session, given, &format!("{BLOAT}{worst_first}")).await
}

async fn locks(session: &Session, given: &Given) -> Result<(), Failure> {
    let query = include_str!("../extras/locks.sql").replace("{query}", &text_of(given, "a.query"));
    show(session, given, &query).await
}

/// Shows the rows of a query as psql's table, or as JSON.
pub(super) async fn answer(
    session: &Session,
    given: &Given,
    target: &Target,
    query: &str,
) -> Result<(), Failure> {
    let query = bare(query);
    if !session.wants_json() {
        let table = psql::output(session, target, &["-c", &query]).await?;
        session.screen.out_bytes(&table);
        return Ok(());
    }
    let query = format!("select coalesce(pg_catalog.json_agg(q), '[]') from ({query}) q");
    let output = psql::output(session, target, &["-At", "-c", &query]).await?;
    let rows: Value = serde_json::from_slice(&output).map_err(|error| {
        Failure::new(Exit::Failed, "bad-answer", format!("psql's output is not JSON: {error}"))
    })?;
    let name = given.command.name.trim_start_matches("pg:");
    session.answer(name, &rows, |_| {})
}

/// A query without the comment that it begins with.
pub(super) fn bare(query: &str) -> String {
    let lines = query.lines().skip_while(|line| line.starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}

async fn fdwsql(session: &Session, given: &Given) -> Result<(), Failure> {
    let prefix = given.needed("PREFIX")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !prefix.chars().all(plain) || prefix.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Failure::usage(
            "PREFIX starts with a letter or underscore and has only letters, numbers and \
             underscores",
        ));
    }
    let target = target(session, given).await?;
    let query = bare(include_str!("../extras/fdwsql.sql")).replace("{prefix}", prefix);
    let tables = psql::output(session, &target, &["-At", "-c", &query]).await?;
    let tables = String::from_utf8_lossy(&tables);
    let statements: Vec<_> =
        server(prefix, &target).into_iter().chain(tables.lines().map(str::to_owned)).collect();
    session.answer("statements", &statements, |page| {
        statements.iter().for_each(|statement| page.line(statement));
    })
}

/// The statements that tell another database where this one is, and how to come in.
fn server(prefix: &str, target: &Target) -> [String; 4] {
    let [host, port, user, password, database] = target.quoted();
    [
        "CREATE EXTENSION IF NOT EXISTS postgres_fdw;".to_owned(),
        format!("DROP SERVER IF EXISTS {prefix}_db;"),
        format!(
            "CREATE SERVER {prefix}_db FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname \
             {database}, host {host}, port {port}, sslmode 'require');"
        ),
        format!(
            "CREATE USER MAPPING FOR CURRENT_USER SERVER {prefix}_db OPTIONS (user {user}, \
             password {password});"
        ),
    ]
}
