//! pg:vacuum: makes room for new rows where old ones were (J29).

use serde_json::json;

use super::pg_psql::target;
use crate::command::{APP, Argument, Command, DATABASE, Group, Opt, REMOTE, Times, command};
use crate::failure::Failure;
use crate::given::Given;
use crate::psql;
use crate::session::Session;

pub(super) const COMMANDS: &[Command] =
    &[command("pg:vacuum", Group::Databases, "Make room where old rows were", |s, g| {
        Box::pin(run(s, g))
    })
    .arguments(&[
        DATABASE,
        Argument {
            name: "TABLE",
            times: Times::Optional,
            means: "as it is written: users, billing.Invoices",
        },
    ])
    .options(&[
        APP,
        REMOTE,
        Opt::flag("full", None, "write the table anew; nobody can use it meanwhile"),
        Opt::flag("analyze", None, "also count anew what queries are planned by"),
        Opt::flag("verbose", Some('v'), "say what is done"),
    ])
    .note("PostgreSQL does this by itself; see `pg:vacuum-stats`. System tables are skipped.")
    .examples(&["howdah pg:vacuum -a demo", "howdah pg:vacuum DATABASE users --full -a demo"])];

async fn run(session: &Session, given: &Given) -> Result<(), Failure> {
    let options: Vec<_> =
        ["full", "analyze", "verbose"].into_iter().filter(|name| given.has(name)).collect();
    let mut statement = "vacuum".to_owned();
    if !options.is_empty() {
        statement += &format!(" ({})", options.join(", "));
    }
    if let Some(table) = given.value("TABLE") {
        statement += &format!(" {}", named(table)?);
    }
    let target = target(session, given).await?;
    let said = psql::output(session, &target, &["-c", &statement]).await?;
    let done = json!({ "done": true, "table": given.value("TABLE") });
    session.answer("vacuum", &done, |page| page.line(String::from_utf8_lossy(&said).trim_end()))
}

/// A table as people write it, `TABLE` or `SCHEMA.TABLE`, in double quotes.
fn named(typed: &str) -> Result<String, Failure> {
    let quoted = |part: &str| format!("\"{}\"", part.trim_matches('"').replace('"', "\"\""));
    let parts: Vec<_> = typed.split('.').collect();
    match parts[..] {
        [table] if !table.is_empty() => Ok(quoted(table)),
        [schema, table] if !schema.is_empty() && !table.is_empty() => {
            Ok(format!("{}.{}", quoted(schema), quoted(table)))
        }
        _ => Err(Failure::usage(format!("TABLE is TABLE or SCHEMA.TABLE, not `{typed}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_one_name_whatever_is_in_it() {
        let named = |typed| named(typed).ok();
        assert_eq!(named("users").as_deref(), Some("\"users\""));
        assert_eq!(named("Billing.\"In voices\"").as_deref(), Some("\"Billing\".\"In voices\""));
        assert_eq!(named("a\"b; drop table c").as_deref(), Some("\"a\"\"b; drop table c\""));
        for bad in ["", ".", "a.", ".b", "a.b.c"] {
            assert!(named(bad).is_none(), "{bad}");
        }
    }
}
