//! pg:import: a database moves in from any PostgreSQL that can be reached, a Heroku database first
//! of all (H24–H27): looked at, checked, copied by the platform, and compared.

use howdah_model::plan::{self, Plan};
use howdah_model::size::Bytes;
use serde_json::{Value, json};

use super::{addons_wait, pg_copy, pg_push_pull};
use crate::app;
use crate::command::{
    APP, Argument, CONFIRM, Command, Group, Opt, REMOTE, THE_DATABASE, Times, WAIT_INTERVAL,
    WAIT_TIMEOUT, command,
};
use crate::confirm;
use crate::database::{self, Database};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::import::checks::{self, Finding, Target, Weight};
use crate::import::compare::{self, Report};
use crate::import::inventory::Inventory;
use crate::libpq::Place;
use crate::page::Page;
use crate::resources::{Addon, ConfigVars};
use crate::session::Session;
use crate::transfer::Transfer;

use super::pg_backups::VERBOSE;

const SOURCE: Argument = Argument {
    name: "SOURCE",
    times: Times::Once,
    means: "postgres:// URL; without a password in it, PGPASSWORD is read or you are asked",
};

pub(super) const COMMANDS: &[Command] = &[
    command("pg:import", Group::Databases, "Move a database in from elsewhere", |s, g| {
        Box::pin(import(s, g))
    })
    .arguments(&[SOURCE])
    .options(&[
        APP,
        REMOTE,
        Opt::value("into", None, "DATABASE", "the database to fill"),
        Opt::value("plan", None, "PLAN", "make a database of this plan and fill that"),
        Opt::flag("check", None, "only look what stands in the way"),
        VERBOSE,
        WAIT_INTERVAL,
        WAIT_TIMEOUT,
        CONFIRM,
    ])
    .note(
        "Nothing is written to the source. The platform reads it itself, so it must reach it too; \
         then both sides are compared, row by row. Do it first for a staging app, then again for \
         production.",
    )
    .examples(&[
        "howdah pg:import postgres://me@db.example.com/shop --plan standard-0 -a demo",
        "howdah pg:import postgres://me@db.example.com/shop --into RED -a demo --check",
    ]),
    command(
        "pg:import:verify",
        Group::Databases,
        "Compare a database elsewhere with its copy",
        |s, g| Box::pin(verify(s, g)),
    )
    .aliases(&["pg:verify"])
    .arguments(&[SOURCE, THE_DATABASE])
    .options(&[APP, REMOTE])
    .note("Objects by name, tables by rows and checksums. The exit code is 1 when they differ.")
    .examples(&["howdah pg:import:verify postgres://me@db.example.com/shop RED -a demo"]),
];

/// What was moved, or would be.
struct Move {
    source: Place,
    inventory: Inventory,
    findings: Vec<Finding>,
}

async fn import(session: &Session, given: &Given) -> Result<(), Failure> {
    let app = app::named(session, given)?;
    let into = match (given.value("into"), given.value("plan")) {
        (Some(typed), None) => Some(database::by_name(session, given, typed, None).await?),
        (None, Some(_)) => None,
        _ => {
            let message = "Say where to: --into DATABASE, or --plan PLAN to make one";
            return Err(Failure::usage(message));
        }
    };
    let plan = wanted_plan(given, into.as_ref())?;
    let source = Place::of_url(&session.environment, given.needed("SOURCE")?)?;
    let source = source.entered(session).await?;
    let moving = look(session, source, plan, into.as_ref()).await?;
    if given.has("check") {
        return checked(session, &moving);
    }
    tell(session, &moving);
    refuse_blocked(&moving)?;
    let target = match into {
        Some(database) => database,
        None => make(session, given, &app, plan).await?,
    };
    let place = place_of(session, &target).await?;
    if !pg_push_pull::is_empty(session, &place).await? {
        confirm::app(session, given, &target.app)?;
    }
    let transfer = copy(session, given, &moving, &target).await?;
    let report = compared(session, &moving.source, &place).await?;
    let data = json!({
        "source": moving.source.label,
        "inventory": moving.inventory,
        "findings": moving.findings,
        "addon": target.attachment.addon.name,
        "transfer": transfer.shown(),
        "report": report,
    });
    end(session, &moving.inventory, &target, &report, &data)
}

/// The plan that is filled.
fn wanted_plan(given: &Given, into: Option<&Database>) -> Result<&'static Plan, Failure> {
    let name = match into {
        Some(database) => &database.attachment.addon.plan.name,
        None => given.needed("plan")?,
    };
    plan::find(name)
        .map_err(|error| Failure::not_found(error.to_string()).advise(Hint::ListPlans.plain()))
}

/// Looks at the source, and judges what was found.
async fn look(
    session: &Session,
    source: Place,
    plan: &'static Plan,
    into: Option<&Database>,
) -> Result<Move, Failure> {
    let step = session.step(&format!("Looking at {}", source.label));
    let inventory = tokio::select! {
        found = Inventory::of(session, &source) => found?,
        never = step.turn() => match never {},
    };
    let major = match into {
        Some(database) => Some(place_of(session, database).await?.major(session).await?),
        None => None,
    };
    let findings = checks::judge(&inventory, Target { plan, major });
    step.done();
    Ok(Move { source, inventory, findings })
}

/// The end of `--check`.
fn checked(session: &Session, moving: &Move) -> Result<(), Failure> {
    let data = json!({
        "source": moving.source.label,
        "inventory": moving.inventory,
        "findings": moving.findings,
    });
    session.answer("import", &data, |page| {
        describe(page, moving);
        page.line("");
        if moving.findings.is_empty() {
            page.line("Nothing stands in the way.");
        }
        moving.findings.iter().for_each(|finding| page.line(&line_of(finding)));
    })?;
    refuse_blocked(moving)
}

fn describe(page: &mut Page<'_>, moving: &Move) {
    let found = &moving.inventory;
    let (major, minor) = (found.major(), found.version % 10_000);
    page.heading(&moving.source.label);
    page.fields([
        ("PG Version", format!("{major}.{minor}")),
        ("Data Size", Bytes(found.bytes).to_string()),
        ("Tables", format!("{} in {} schemas", found.tables, found.schemas)),
        ("Rows", format!("about {}", found.rows)),
        ("Large Objects", found.large_objects.to_string()),
        ("Extensions", found.extensions.join(", ")),
        ("Encoding", format!("{}, sorted as {}", found.encoding, found.collation)),
        ("Writable", if found.writable { "yes" } else { "no" }.to_owned()),
    ]);
}

fn line_of(finding: &Finding) -> String {
    let mark = match finding.weight {
        Weight::Blocker => "BLOCKED",
        Weight::Warning => "WARNING",
        Weight::Note => "note",
    };
    format!("{mark}: {}", finding.text)
}

/// Says what was found, while the move goes on.
fn tell(session: &Session, moving: &Move) {
    for finding in &moving.findings {
        session.say(&format!(" !    {}", line_of(finding)));
    }
}

fn refuse_blocked(moving: &Move) -> Result<(), Failure> {
    let blockers = moving.findings.iter().filter(|one| one.weight == Weight::Blocker);
    let blockers: Vec<_> = blockers.map(|one| one.text.clone()).collect();
    if blockers.is_empty() {
        return Ok(());
    }
    let message = format!("It cannot be moved so:\n{}", blockers.join("\n"));
    Err(Failure::new(Exit::Conflict, "blocked", message))
}

/// Makes the database that is filled.
async fn make(
    session: &Session,
    given: &Given,
    app: &str,
    plan: &Plan,
) -> Result<Database, Failure> {
    let step = session.step(&format!("Adding {} on {app}", plan.full_name()));
    let body = json!({ "plan": { "name": plan.full_name() }, "attachment": {}, "config": {} });
    let addon: Addon = session.post(&["apps", app, "addons"], body).await?;
    let addon = addons_wait::until_settled(session, given, app, addon, &step)
        .await
        .inspect_err(|failure| step.given_up(failure))?;
    step.done_with(&addon.name);
    database::by_name(session, given, &format!("{app}::{}", addon.name), None).await
}

/// Where a database of an app is.
async fn place_of(session: &Session, database: &Database) -> Result<Place, Failure> {
    let vars: ConfigVars = session.get(&["apps", &database.app, "config-vars"]).await?;
    let var = database.attachment.url_var();
    let url = vars.get(&var).ok_or_else(|| {
        let names = [("DATABASE", var.as_str()), ("APP", database.app.as_str())];
        let message = format!("{var} is not set on {}: is it still being made?", database.app);
        Failure::new(Exit::Conflict, "not-ready", message)
            .advise(Hint::WaitForDatabase.fill(&names))
    })?;
    Place::ours(&session.environment, url, database.label())
}

/// Has the platform copy it.
async fn copy(
    session: &Session,
    given: &Given,
    moving: &Move,
    target: &Database,
) -> Result<Transfer, Failure> {
    let from = pg_copy::Side {
        name: moving.source.label.clone(),
        database: None,
        url: moving.source.url()?,
    };
    let into = pg_copy::Side { name: target.var(), database: None, url: String::new() };
    let transfer = pg_copy::begin(session, &from, &into, target).await?;
    pg_copy::follow(session, given, &target.attachment.addon.app.name, &transfer).await
}

async fn compared(session: &Session, source: &Place, target: &Place) -> Result<Report, Failure> {
    let step = session.step("Comparing both sides");
    let report = tokio::select! {
        report = compare::compare(session, source, target) => report?,
        never = step.turn() => match never {},
        _ = tokio::signal::ctrl_c() => {
            let message = "The comparison was broken off; the copy is complete.";
            return Err(Failure::new(Exit::Interrupted, "interrupted", message));
        }
    };
    step.ended(if report.differences.is_empty() { "equal" } else { "different" });
    Ok(report)
}

async fn verify(session: &Session, given: &Given) -> Result<(), Failure> {
    let database = database::named(session, given).await?;
    let target = place_of(session, &database).await?;
    let source = Place::of_url(&session.environment, given.needed("SOURCE")?)?;
    let source = source.entered(session).await?;
    let inventory = Inventory::of(session, &source).await?;
    let report = compared(session, &source, &target).await?;
    let data = json!({
        "source": source.label,
        "addon": database.attachment.addon.name,
        "writable": inventory.writable,
        "report": report,
    });
    end(session, &inventory, &database, &report, &data)
}

/// Tells how both sides compare and what to do next.
fn end(
    session: &Session,
    inventory: &Inventory,
    target: &Database,
    report: &Report,
    data: &Value,
) -> Result<(), Failure> {
    session.answer("import", data, |page| {
        page.fields([
            ("Tables", format!("{} with {} equal rows", report.tables, report.rows)),
            ("Sequences", report.sequences.to_string()),
            ("Other objects", report.objects.to_string()),
            ("Differences", report.differences.len().to_string()),
        ]);
        for one in &report.differences {
            page.line(&format!("{} {} {}", one.kind, one.name, one.what).replace("  ", " "));
        }
    })?;
    if inventory.writable {
        session.say(
            " !    WARNING: the source can still be written to; what is written there is not in \
             the copy.",
        );
    }
    let (var, app) = (target.attachment.url_var(), target.app.as_str());
    let names = [("DATABASE", var.as_str()), ("APP", app)];
    let again = Hint::VerifyImport.fill(&names);
    if !report.differences.is_empty() {
        let message = format!("The source and {} differ", target.label());
        return Err(Failure::new(Exit::Failed, "different", message).advise(again));
    }
    if var != "DATABASE_URL" {
        let advice = Hint::Promote.fill(&names);
        session.say(&format!("Next, {} `{}`", advice.lead, advice.command));
    }
    Ok(())
}
