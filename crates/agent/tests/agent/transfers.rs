//! Logical copies with real clusters and a real archive.

mod broken;
mod hostile;

use howdah_model::ids::TransferId;
use howdah_model::transfer::{From, Into, TransferObservation, TransferSpec, TransferState};

use super::*;

impl Agent {
    pub(crate) async fn transfer(&self, spec: &TransferSpec) -> reqwest::Response {
        let url = format!("http://agent/transfers/{}", spec.id);
        self.http.put(url).json(spec).send().await.unwrap()
    }

    /// Tells a transfer and waits for its end.
    pub(crate) async fn transferred(&self, spec: &TransferSpec) -> TransferObservation {
        let response = self.transfer(spec).await;
        assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap());
        self.wait_transfer(spec.id, "it ends", |one| {
            !matches!(one.state, TransferState::Waiting | TransferState::Running)
        })
        .await
    }

    pub(crate) async fn wait_transfer(
        &self,
        id: TransferId,
        what: &str,
        holds: impl Fn(&TransferObservation) -> bool,
    ) -> TransferObservation {
        let begin = Instant::now();
        let mut seen = self.observe(None).await;
        loop {
            let one = seen.transfers.iter().find(|one| one.id == id);
            if let Some(one) = one.filter(|one| holds(one)) {
                return one.clone();
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "not that {what}: {one:?}");
            seen = self.observe(Some(seen.change)).await;
        }
    }

    pub(crate) async fn dump(&self, id: TransferId, range: Option<&str>) -> reqwest::Response {
        let mut request = self.http.get(format!("http://agent/dumps/{id}"));
        if let Some(range) = range {
            request = request.header("range", range);
        }
        request.send().await.unwrap()
    }
}

pub(crate) fn capture(spec: &ParticipantSpec, tenant: &Tenant) -> TransferSpec {
    TransferSpec {
        id: TransferId::new(),
        wanted: Wanted::Present,
        from: database(spec, tenant),
        into: Into::Archive,
        jobs: 2,
    }
}

pub(crate) fn database(spec: &ParticipantSpec, tenant: &Tenant) -> From {
    From::Database {
        participant: spec.id,
        database: tenant.name.clone(),
        owner: tenant.spec.owner.clone(),
    }
}

/// E6: a dump is `pg_dump`'s custom format; it is there once it is complete, as a whole and in parts,
/// and gone when it is deleted.
#[tokio::test]
async fn e6_a_capture_is_a_dump_in_the_custom_format() {
    let major = majors().pop().unwrap();
    let mut agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let tenant = Tenant::new("one");
    let spec = spec(&major, &[&tenant]);
    let seen = agent.put_and_wait(&spec).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    session
        .ask("create table t as select n, md5(n::text) from generate_series(1, 9999) n")
        .await
        .unwrap();
    session.ask("create table kept (x int); alter table kept enable row level security; alter table kept force row level security").await.unwrap();
    session.ask("select lo_from_bytea(0, 'large')").await.unwrap();

    let capture = capture(&spec, &tenant);
    let done = agent.transferred(&capture).await;
    assert_eq!(done.state, TransferState::Done, "{done:?}");
    let made = done.made.clone().unwrap();
    assert_eq!((made.tables, made.warnings, made.major), (2, 0, Some(major.version.major)));
    assert!(made.dump_bytes > 0 && made.dump_bytes < made.source_bytes, "{made:?}");

    let response = agent.dump(capture.id, None).await;
    assert_eq!(response.headers()["content-length"], made.dump_bytes.to_string().as_str());
    let whole = response.bytes().await.unwrap();
    assert_eq!((whole.len() as u64, &whole[..5]), (made.dump_bytes, &b"PGDMP"[..]));
    let part = agent.dump(capture.id, Some("bytes=100-")).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.unwrap(), whole[100..]);
    let beyond = agent.dump(capture.id, Some(&format!("bytes={}-", whole.len()))).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let platform = Connection::open(&seen.socket_dir, "postgres", Limits::WORK).await.unwrap();
    let left = "select from pg_roles where starts_with(rolname, 'howdah_transfer')";
    assert!(platform.rows(left, &[]).await.unwrap().is_empty(), "the role goes");

    // What is done is found again by an agent that knows nothing of it.
    agent.end().await;
    agent.begin().await;
    let again = agent.transferred(&capture).await;
    assert_eq!((again.state, again.made), (TransferState::Done, Some(made)));
    let url = format!("http://agent/dumps/{}", capture.id);
    for _ in 0..2 {
        let deleted = agent.http.delete(&url).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(agent.dump(capture.id, None).await.status(), StatusCode::NOT_FOUND);
    let left = agent
        .archived()
        .into_iter()
        .filter(|path| path.starts_with(agent.home().join("archive/dumps")));
    assert_eq!(left.count(), 0);
}

/// A database with all that a tenant can have, in every way the same as another.
async fn fill_with_everything(tenant: &Tenant, seen: &ParticipantObservation) {
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    let allowed = session.ask("show extwlist.extensions").await.unwrap();
    session.ask("create schema heroku_ext").await.unwrap();
    for (at, name) in allowed.split(',').enumerate().filter(|(_, name)| *name != "plpgsql") {
        let place = if at % 2 == 0 || name == "earthdistance" || name == "cube" {
            "public"
        } else {
            "heroku_ext"
        };
        let create = format!("create extension if not exists \"{name}\" schema {place}");
        session.ask(&create).await.unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    session.ask(include_str!("transfers/everything.sql")).await.unwrap();
    let uses = "create table uses as select 'a=>1'::hstore as h, 'Text'::citext as c, \
                '(1,2)'::cube as q, ll_to_earth(1, 2) as e, 1 as n";
    session.ask(&format!("set search_path = public, heroku_ext; {uses}")).await.unwrap();
    let rows = "create table rows as select n, md5(n::text) as text from generate_series(1, 30000) n; \
                alter table rows add primary key (n)";
    session.ask(rows).await.unwrap();
}

/// The schema and the rows of a database, as text that is the same for the same content.
async fn content(dumper: &Installed, seen: &ParticipantObservation, database: &str) -> String {
    let dump = std::process::Command::new(dumper.bindir.join("pg_dump"))
        .args(["--schema-only", "--no-owner", "--no-acl", "--username=howdah", "--host"])
        .arg(&seen.socket_dir)
        .arg(database)
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let is_of_the_run = |line: &&str| {
        ["--", "\\restrict", "\\unrestrict"].iter().any(|begin| line.starts_with(begin))
    };
    let schema = String::from_utf8(dump.stdout).unwrap();
    let mut all: Vec<_> =
        schema.lines().filter(|line| !is_of_the_run(line)).map(str::to_owned).collect();
    let inside = Connection::open(&seen.socket_dir, database, Limits::WORK).await.unwrap();
    let tables = "select c.oid::regclass::text from pg_class c join pg_namespace n \
                  on n.oid = c.relnamespace where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' \
                  and n.nspname <> 'information_schema' order by 1";
    for row in inside.rows(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let sum = format!(
            "select md5(coalesce(string_agg(t::text, E'\n' order by t::text), '')) || count(*) from {table} t"
        );
        let sum: String = inside.rows(&sum, &[]).await.unwrap()[0].get(0);
        all.push(format!("{table}: {sum}"));
    }
    let others = [
        "select md5(string_agg(md5(lo_get(oid)), ',' order by md5(lo_get(oid)))) from pg_largeobject_metadata",
        "select string_agg(extname || n.nspname, ',' order by extname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace",
        "select last_value::text from counted",
        "select string_agg(distinct pg_get_userbyid(relowner)::text, ',') from pg_class where relnamespace::regnamespace::text !~ '^pg_|^information' and not exists (select from pg_depend d where d.objid = pg_class.oid and d.deptype = 'e')",
        "select string_agg(distinct pg_get_userbyid(proowner)::text, ',') from pg_proc where pronamespace::regnamespace::text !~ '^pg_|^information' and not exists (select from pg_depend d where d.objid = pg_proc.oid and d.deptype = 'e')",
        "select string_agg(distinct pg_get_userbyid(lomowner)::text, ',') from pg_largeobject_metadata",
    ];
    for (at, query) in others.iter().enumerate() {
        let query = query.replace("counted", "public.counted");
        let rows = inside.rows(&query, &[]).await.unwrap();
        let answer: Option<String> = rows[0].get(0);
        // Owners have the names of their own database.
        let answer = answer.unwrap_or_default();
        all.push(if at >= 3 { (!answer.contains(',')).to_string() } else { answer });
    }
    all.join("\n")
}

pub(crate) fn restore(from: From, spec: &ParticipantSpec, tenant: &Tenant) -> TransferSpec {
    TransferSpec {
        id: TransferId::new(),
        wanted: Wanted::Present,
        from,
        into: Into::Database {
            participant: spec.id,
            database: tenant.name.clone(),
            owner: tenant.spec.owner.clone(),
            extensions: vec![],
        },
        jobs: 2,
    }
}

/// Wants what a transfer has filled.
pub(crate) fn exchange(spec: &mut ParticipantSpec, tenant: &Tenant, id: TransferId) {
    next(spec);
    let database = spec.databases.get_mut(&tenant.name).unwrap();
    database.incarnation.0 += 1;
    database.filled = Some(id);
}

/// Nothing is left of transfers in a server but complete databases that wait for their spec.
async fn left_over(seen: &ParticipantObservation) -> Vec<String> {
    let platform = Connection::open(&seen.socket_dir, "postgres", Limits::WORK).await.unwrap();
    let left = "select rolname::text from pg_roles where starts_with(rolname, 'howdah_transfer') \
                union all select datname::text from pg_database \
                where starts_with(datname, 'howdah_fill_')";
    platform.rows(left, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// E19, E20, E23: what comes back is what was captured, on 15, on 18 and from 15 to 18; extensions that
/// tenants cannot create are there, and what the backup lacks is gone.
#[tokio::test]
async fn e20_e23_a_restore_brings_back_everything_and_nothing_else() {
    let all = majors();
    let agent = Agent::start_with_archive(&all).await;
    let mut captured = Vec::new();
    for major in &all {
        let tenant = Tenant::new("one");
        let mut spec = spec(major, &[&tenant]);
        let seen = agent.put_and_wait(&spec).await;
        fill_with_everything(&tenant, &seen).await;
        // What no tenant can make: it is left out, and said.
        let inside =
            Connection::open(&seen.socket_dir, tenant.name.as_str(), Limits::WORK).await.unwrap();
        inside.run("create function public.watch() returns event_trigger language plpgsql as 'begin end'; create event trigger watching on ddl_command_end execute function public.watch()").await.unwrap();
        let capture = capture(&spec, &tenant);
        let done = agent.transferred(&capture).await;
        assert_eq!(done.state, TransferState::Done, "{done:?}");
        inside.run("drop event trigger watching").await.unwrap();
        let before = content(major, &seen, tenant.name.as_str()).await;

        let session = tenant.connect(&seen.socket_dir).await.unwrap();
        session.ask("create table extra (x int); drop table rows cascade; update types set a_text = 'lost'").await.unwrap();
        let restore = restore(From::Dump { transfer: capture.id }, &spec, &tenant);
        let done = agent.transferred(&restore).await;
        assert_eq!(done.state, TransferState::Done, "{done:?}");
        assert_eq!(done.made.as_ref().unwrap().warnings, 1, "{done:?}");
        assert!(
            done.log.iter().any(|line| line.message.contains("EVENT TRIGGER - watching")),
            "{done:?}"
        );
        session.ask("select from extra").await.unwrap();
        let fill = left_over(&seen).await;
        assert_eq!(fill.len(), 1, "{fill:?}");
        assert!(
            tenant.connect_to(&seen.socket_dir, &fill[0]).await.is_err(),
            "nobody can enter it"
        );

        exchange(&mut spec, &tenant, restore.id);
        agent.put_and_wait(&spec).await;
        assert_eq!(content(major, &seen, tenant.name.as_str()).await, before);
        let session = tenant.connect(&seen.socket_dir).await.unwrap();
        session
            .ask("alter table types add column more int; create extension if not exists hstore")
            .await
            .unwrap();
        assert_eq!(left_over(&seen).await, [""; 0]);
        // It stays done, also when it has taken its place.
        assert_eq!(agent.transferred(&restore).await.state, TransferState::Done);
        session.ask("alter table types drop column more").await.unwrap();
        captured.push((capture, tenant, spec, seen));
    }
    let (old, new) = (all.first().unwrap(), all.last().unwrap());
    let (capture, from, _, from_seen) = &captured[0];
    let mut two = Tenant::new("two");
    two.spec.settings.insert("work_mem".to_owned(), "5MB".to_owned());
    let mut spec = spec(new, &[&two]);
    let seen = agent.put_and_wait(&spec).await;
    let restore = restore(From::Dump { transfer: capture.id }, &spec, &two);
    let done = agent.transferred(&restore).await;
    assert_eq!(done.state, TransferState::Done, "{done:?}");
    assert_eq!(done.made.unwrap().major, Some(old.version.major));
    exchange(&mut spec, &two, restore.id);
    agent.put_and_wait(&spec).await;
    let is = content(new, &seen, two.name.as_str()).await;
    let was = content(new, from_seen, from.name.as_str()).await;
    // How views are written differs, as do names of constraints that had none; and `dblink` is not
    // safe on 18.
    let alike = |text: &str| {
        let named =
            "CONSTRAINT \"Table with a very long name that is cut by Post_select_not_null\" ";
        let text = text.replace("dblinkheroku_ext,", "").replace(named, "");
        let kept = text.lines().filter(|line| !line.contains("dblink"));
        let text = kept.collect::<Vec<_>>().join("\n");
        ["parts.", "touched."].iter().fold(text, |text, table| text.replace(table, ""))
    };
    assert_alike(&alike(&is), &alike(&was));
}

/// Says which lines differ.
fn assert_alike(is: &str, was: &str) {
    let (is, was): (Vec<_>, Vec<_>) = (is.lines().collect(), was.lines().collect());
    let more: Vec<_> = is.iter().filter(|line| !was.contains(line)).collect();
    let less: Vec<_> = was.iter().filter(|line| !is.contains(line)).collect();
    assert!(more.is_empty() && less.is_empty(), "more: {more:#?}\nless: {less:#?}");
}
