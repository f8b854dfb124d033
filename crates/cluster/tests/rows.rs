//! The limit of rows against its owner, on servers of every installed major.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::process::{Command, Stdio};
use std::time::Duration;

use howdah_cluster::connection::Limits;
use howdah_cluster::databases::{Databases, Look, Wanted};
use howdah_cluster::rows::{self, Manner};
use howdah_cluster::{Cluster, Connection, look};
use howdah_model::agent::{CredentialOf, CredentialSpec, Installed};
use howdah_model::compliance::{Compliance, Limit};
use howdah_testkit::clusters::{Cutter, Home, Session, Tenant, majors, until, verifier};
use jiff::Timestamp;

const LIMIT: Limit = Limit { rows: 100, grace: Duration::from_secs(1000) };

/// A database with a limit, and what looks at it.
struct Limited {
    cluster: Cluster,
    tenant: Tenant,
    session: Session,
    now: Timestamp,
    _home: Home,
}

impl Limited {
    async fn new(major: &Installed) -> Self {
        let home = Home::new();
        let cluster = home.running(major, "a").await;
        let mut tenant = Tenant::new("one");
        let other = CredentialSpec {
            role: "u_reader".parse().unwrap(),
            verifier: verifier("reader"),
            connection_limit: 5,
            of: CredentialOf::Own,
            ..tenant.spec.credentials[0].clone()
        };
        tenant.spec.credentials.push(other);
        converge(&cluster, &tenant).await;
        let session = tenant.connect(&cluster.socket_dir).await.unwrap();
        Self {
            cluster,
            tenant,
            session,
            // Later than any session of a test begins.
            now: Timestamp::from_second(4_000_000_000).unwrap(),
            _home: home,
        }
    }

    async fn ask(&self, sql: &str) -> Result<String, String> {
        self.session.ask(sql).await
    }

    /// Does it, and makes sure that PostgreSQL's statistics know.
    async fn does(&self, sql: &str) {
        self.ask(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        self.ask("select pg_stat_force_next_flush()").await.unwrap();
        self.ask("select 1").await.unwrap();
    }

    async fn look(&self) -> rows::Seen {
        rows::look(&self.cluster, &self.tenant.name, &LIMIT, self.now).await.unwrap()
    }

    /// Looks until nothing is left to do: what was cut may still run.
    async fn settle(&self) -> rows::Seen {
        let flush = "select pg_stat_force_next_flush()";
        self.ask(flush).await.unwrap();
        self.ask("select 1").await.unwrap();
        for _ in 0..100 {
            let seen = self.look().await;
            if seen.left.is_none() {
                return seen;
            }
        }
        panic!("looks do not come to an end");
    }

    async fn inside(&self) -> Connection {
        self.cluster.connect(self.tenant.name.as_str(), Limits::WORK).await.unwrap()
    }

    /// All rights on what is in the schema `public`, whoever gave them.
    async fn rights(&self) -> Vec<String> {
        let all = "select c.relname || ' ' || coalesce(g.rolname, 'public') || ' ' || a.privilege_type \
             || ' ' || a.is_grantable || ' by ' || pg_get_userbyid(a.grantor) \
             from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a \
             left join pg_roles g on g.oid = a.grantee \
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'f', 'v') \
             union all \
             select attrelid::regclass || '.' || attname || ' ' || coalesce(g.rolname, 'public') \
             || ' ' || a.privilege_type from pg_attribute, aclexplode(attacl) a \
             left join pg_roles g on g.oid = a.grantee where attacl is not null order by 1";
        let inside = self.inside().await;
        inside.rows(all, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn traces(&self) -> i64 {
        let count = "select (select count(*) from pg_class where relname ~ 'howdah') \
             + (select count(*) from pg_proc where proname = 'howdah_row_guard') \
             + (select count(*) from pg_event_trigger where evtname = 'howdah_row_guard')";
        self.inside().await.rows(count, &[]).await.unwrap()[0].get(0)
    }
}

async fn converge(cluster: &Cluster, tenant: &Tenant) {
    let mut databases = Databases::open(cluster).await.unwrap();
    let wanted = Wanted::from([(tenant.name.clone(), tenant.spec.clone())]);
    let report = databases.converge(&wanted, Look::Everything).await.unwrap();
    assert_eq!(report.errors, [""; 0]);
}

/// Tables of every kind, rights of every kind, and everything that could write for its owner later.
const PREPARE: &[&str] = &[
    "create table t (x int primary key, y int default 1)",
    "insert into t select generate_series(1, 150)",
    "create table p (x int) partition by range (x)",
    "create table p1 partition of p for values from (0) to (10)",
    "create table parted (x int) partition by list (x)",
    "create table child () inherits (t)",
    "create unlogged table u (x int)",
    "create table \"odd \"\" name.\" (\"a b\" int)",
    "create schema \"S ch\"; create table \"S ch\".t (x int)",
    "create view v as select * from t",
    "create view w as select x from t",
    "create materialized view m as select x from t where x <= 10",
    "create sequence s",
    "grant insert (x) on t to u_reader",
    "grant insert, select on u to u_reader with grant option",
    "grant insert on p to public",
    "alter default privileges grant insert on tables to public",
    "create function put() returns void language sql security definer as 'insert into t values (-1)'",
    "create function dyn() returns void language plpgsql as \
     $$ begin execute 'grant insert on t to u_one'; insert into t values (-2); end $$",
    "create function instead() returns trigger language plpgsql security definer as \
     $$ begin insert into t values (-3); return new; end $$",
    "create trigger i instead of insert on w for each row execute function instead()",
    "create function after() returns trigger language plpgsql security definer as \
     $$ begin insert into u values (1); return null; end $$",
    "create trigger a after update on child for each row execute function after()",
    "insert into child values (1000)",
    "create rule r as on update to p1 do also insert into u values (2)",
    "insert into p1 values (1)",
    "create function made() returns void language plpgsql as \
     $$ begin create table made_inside (x int); insert into made_inside values (1); end $$",
    "create procedure committing() language plpgsql as \
     $$ begin create table c1 (x int); commit; insert into c1 values (1); end $$",
];

/// What must be refused while rows are, with how its error begins.
const REFUSED: &[(&str, &str)] = &[
    ("insert into t values (500)", "42501: permission denied for table t"),
    ("insert into t default values", "42501: permission denied for table t"),
    ("insert into t values (1) on conflict do nothing", "42501: permission denied for table t"),
    ("insert into t (x) select 7", "42501: permission denied for table t"),
    ("insert into v values (500)", "42501: permission denied for table t"),
    ("insert into w values (500)", "42501: permission denied for table t"),
    ("insert into p values (1)", "42501: permission denied for table p"),
    ("insert into p1 values (1)", "42501: permission denied for table p1"),
    ("insert into child values (5)", "42501: permission denied for table child"),
    ("insert into u values (1)", "42501: permission denied for table u"),
    ("insert into \"odd \"\" name.\" values (1)", "42501: permission denied for table odd"),
    ("insert into \"S ch\".t values (1)", "42501: permission denied for table t"),
    (
        "with n as (insert into t values (9) returning 1) select * from n",
        "42501: permission denied",
    ),
    (
        "merge into t using (values (900)) n (x) on t.x = n.x when not matched then insert values (n.x)",
        "42501: permission denied for table t",
    ),
    ("copy t from stdin", "42501: permission denied for table t"),
    ("select put()", "42501: permission denied for table t"),
    ("select dyn()", "42501"),
    ("update child set y = 2", "42501: permission denied for table u"),
    ("update p1 set x = 2", "42501: permission denied for table u"),
    ("grant insert on t to u_one", "42501: GRANT is refused"),
    ("grant all on t to public", "42501: GRANT is refused"),
    ("grant insert (x) on t to u_one", "42501: GRANT is refused"),
    ("grant insert on all tables in schema public to u_one", "42501: GRANT is refused"),
    ("do $$ begin execute 'grant insert on t to u_one'; end $$", "42501: GRANT is refused"),
    ("create table n (x int)", "42501: CREATE TABLE is refused"),
    ("create unlogged table n (x int)", "42501: CREATE TABLE is refused"),
    ("create table n (like t)", "42501: CREATE TABLE is refused"),
    (
        "create table p2 partition of p for values from (10) to (20)",
        "42501: CREATE TABLE is refused",
    ),
    ("create table n as select * from t", "42501: CREATE TABLE AS is refused"),
    ("select * into n from t", "42501: SELECT INTO is refused"),
    ("create materialized view n as select * from t", "42501: CREATE MATERIALIZED VIEW is refused"),
    ("refresh materialized view m", "42501: REFRESH MATERIALIZED VIEW is refused"),
    ("create schema n create table inside (x int)", "42501: CREATE SCHEMA is refused"),
    ("select made()", "42501: CREATE TABLE is refused"),
    ("call committing()", "42501: CREATE TABLE is refused"),
    ("set event_triggers = off", ""),
    ("set session_replication_role = replica", "42501"),
    ("set allow_system_table_mods = on", "42501"),
    ("drop event trigger howdah_row_guard", "42501"),
    ("alter event trigger howdah_row_guard disable", "42501"),
    ("drop function pg_catalog.howdah_row_guard() cascade", "42501"),
    ("drop extension plpgsql cascade", "42501"),
    ("select * from pg_catalog.howdah_revoked", "42501"),
    ("delete from pg_catalog.howdah_revoked", "42501"),
    ("drop table pg_catalog.howdah_revoked", "42501"),
    ("update pg_class set relacl = null", "42501"),
    ("grant pg_write_all_data to u_one", "42501"),
    ("set role howdah", "42501"),
    // Nobody is alone in it.
    ("alter database d_one allow_connections false", "22023"),
];

/// What works all the same.
const ALLOWED: &[&str] = &[
    "select count(*) from t",
    "update only t set y = 3",
    "delete from t where x = 150",
    "truncate \"S ch\".t",
    "create temporary table n (x int); insert into n select generate_series(1, 10)",
    "create temporary table n2 as select * from t",
    "create index on t (y)",
    "alter table t add column z int",
    "alter table u rename to u2",
    "alter table u2 rename to u",
    "create table if not exists t (x int)",
    "create view v2 as select * from t",
    "grant select on t to public",
    "revoke select on t from public",
    "alter default privileges revoke insert on tables from u_one, public",
    "create table empty (x int)",
    "drop table empty; drop view v2",
    "alter default privileges grant insert on tables to u_one, public",
    "vacuum full t",
    "select lo_create(7)",
    "select nextval('s')",
];

#[tokio::test]
async fn c28_c29_no_rows_come_in_whatever_the_owner_does_and_all_is_as_it_was_afterwards() {
    for major in majors() {
        let mut it = Limited::new(&major).await;
        for one in PREPARE {
            it.ask(one).await.unwrap_or_else(|error| panic!("{one}: {error}"));
        }
        let early = it.tenant.connect(&it.cluster.socket_dir).await.unwrap();
        let lender = it.tenant.connect(&it.cluster.socket_dir).await.unwrap();
        early.ask("begin").await.unwrap();
        early.ask("insert into u values (1)").await.unwrap();
        early.ask("create table early (x int)").await.unwrap();
        it.does("select 1").await;

        // Over the limit: nothing happens yet (C27 shows it), and the grace is remembered.
        let seen = it.look().await;
        let over = it.now;
        assert_eq!(seen.rows, 162, "150 + 1 in a child, 1 in a partition, 10 in a view");
        assert!(matches!(seen.compliance, Compliance::Over { since, .. } if since == over));
        it.does("insert into t values (151)").await;
        assert_eq!(it.traces().await, 0);
        let before = it.rights().await;

        it.now = over + LIMIT.grace;
        // One table is held by a transaction that has changed its rights.
        lender.ask("begin").await.unwrap();
        lender.ask("grant select on child to public").await.unwrap();
        let seen = it.look().await;
        let refused = Compliance::Refused { over, since: it.now };
        let left = seen.left.map(|left| left.to_string()).unwrap_or_default();
        assert!(left.contains("1 tables still take rows"), "{left}");
        assert!(it.ask("insert into t values (152)").await.is_err(), "the others are closed");
        assert!(it.ask("grant insert on t to u_one").await.is_err());
        // What began earlier and writes has a minute.
        it.now += Duration::from_secs(60);
        let seen = it.look().await;
        assert_eq!((seen.compliance, seen.left.is_none()), (refused, true));
        assert!(early.ask("commit").await.is_err() && lender.ask("commit").await.is_err());

        for (what, why) in REFUSED {
            let said = it.ask(what).await;
            assert!(said.as_ref().is_err_and(|said| said.starts_with(why)), "{what}: {said:?}");
        }
        for what in ALLOWED {
            let said = it.ask(what).await;
            assert!(said.is_ok(), "PostgreSQL {}, {what}: {said:?}", major.version);
        }
        let reader = as_reader(&it.tenant).connect(&it.cluster.socket_dir).await.unwrap();
        assert!(reader.ask("select * from u").await.is_ok());
        for what in
            ["insert into t (x) values (8)", "insert into u values (8)", "insert into p values (1)"]
        {
            assert!(reader.ask(what).await.unwrap_err().starts_with("42501"), "{what}");
        }
        is_not_in_a_dump(&it);

        // Back under the limit: everything as before.
        it.does("delete from t where x > 20").await;
        let seen = it.look().await;
        assert_eq!((seen.rows, seen.compliance), (31, Compliance::Within));
        it.ask("alter table t drop column z").await.unwrap();
        assert_eq!(it.rights().await, before);
        assert_eq!(it.traces().await, 0);
        it.does("insert into t values (500)").await;
        it.does("create table n (x int)").await;
        it.does("refresh materialized view m").await;
        assert!(reader.ask("insert into t (x) values (600)").await.is_ok());
    }
}

fn as_reader(tenant: &Tenant) -> Tenant {
    let mut reader = tenant.clone();
    reader.spec.owner = "u_reader".parse().unwrap();
    reader.password = "reader".to_owned();
    reader
}

/// A tenant's `pg_dump` succeeds and has nothing of the platform in it.
fn is_not_in_a_dump(it: &Limited) {
    let dump = Command::new(it.cluster.installed.bindir.join("pg_dump"))
        .env("PGHOST", &it.cluster.socket_dir)
        .env("PGUSER", it.tenant.spec.owner.as_str())
        .env("PGDATABASE", it.tenant.name.as_str())
        .env("PGPASSWORD", &it.tenant.password)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (text, said) =
        (String::from_utf8_lossy(&dump.stdout), String::from_utf8_lossy(&dump.stderr));
    assert!(dump.status.success() && text.contains("CREATE TABLE public.t"), "{said}");
    assert!(!text.contains("howdah"), "{text}");
}

/// What PostgreSQL's statistics do not know, or have forgotten, is counted all the same; what is in
/// temporary tables, in the platform's and in other transactions is not.
#[tokio::test]
async fn c27_rows_are_counted_whatever_statistics_say() {
    for major in majors() {
        let it = Limited::new(&major).await;
        it.does(
            "create table t (x int); create temporary table n as select generate_series(1, 500)",
        )
        .await;
        let inside = it.inside().await;
        inside.run("create table public.ours as select generate_series(1, 500)").await.unwrap();
        assert_eq!(it.look().await.rows, 0);
        it.does("insert into t select generate_series(1, 99)").await;
        let other = it.tenant.connect(&it.cluster.socket_dir).await.unwrap();
        other.ask("begin; insert into t select generate_series(1, 500)").await.unwrap();
        assert_eq!(it.look().await.rows, 99);
        look::reset_statistics(&it.cluster.socket_dir, &it.tenant.name).await.unwrap();
        assert_eq!(it.look().await.rows, 99);
        it.does("insert into t values (1)").await;
        it.does("begin; insert into t values (2); rollback").await;
        it.does("alter table t set (autovacuum_enabled = off)").await;
        look::reset_statistics(&it.cluster.socket_dir, &it.tenant.name).await.unwrap();
        it.does("insert into t values (1)").await;
        assert_eq!(it.look().await.rows, 101);
        it.does("delete from t where x < 3").await;
        assert_eq!(it.look().await.rows, 97);
        other.ask("commit").await.unwrap();
        drop(other);
        until("what was committed is counted", || async { it.look().await.rows == 597 }).await;
    }
}

/// What a session holds that began after rows were refused is taken from it, too.
#[tokio::test]
async fn c29_a_table_that_is_held_does_not_stay_open() {
    for major in majors() {
        let it = Limited::new(&major).await;
        it.ask("create table t (x int)").await.unwrap();
        let holder = it.tenant.connect(&it.cluster.socket_dir).await.unwrap();
        holder.ask("begin; truncate t").await.unwrap();
        let inside = it.inside().await;
        assert!(rows::refuse(&inside, Manner::Polite).await.is_err());
        rows::refuse(&inside, Manner::Firm).await.unwrap();
        // Nothing else that the platform does for its owner gives it back.
        let repair = inside.run("grant all on public.t to u_one").await.unwrap_err();
        assert!(repair.to_string().contains("GRANT is refused"), "{repair}");
        assert!(holder.ask("commit").await.is_err());
        assert!(it.ask("insert into t values (1)").await.is_err());
        rows::allow(&inside).await.unwrap();
        it.ask("insert into t values (1)").await.unwrap();
    }
}

/// Cut after any statement, the next look makes it whole, in both directions.
#[tokio::test]
async fn c29_what_is_cut_at_any_statement_is_completed_by_the_next_look() {
    const FILL: &str = "insert into t select generate_series(1, 201)";
    const EMPTY: &str = "delete from t";
    for major in majors() {
        let it = Limited::new(&major).await;
        it.does("create table t (x int); grant insert on t to public").await;
        let before = it.rights().await;
        for (from, to) in [(EMPTY, FILL), (FILL, EMPTY)] {
            for nth in 1_usize.. {
                let _ = it.ask(from).await;
                it.settle().await;
                it.does(to).await;
                let dir = it.cluster.socket_dir.join(format!("{}-{nth}", &to[..1]));
                let cutter = Cutter::new(&it.cluster.socket_dir, dir, nth);
                let socket_dir = cutter.socket_dir.clone();
                let through = Cluster { socket_dir, ..it.cluster.clone() };
                let _ = rows::look(&through, &it.tenant.name, &LIMIT, it.now).await;
                let seen = it.settle().await;
                let is_refused = matches!(seen.compliance, Compliance::Refused { .. });
                assert_eq!(is_refused, to == FILL, "{nth}");
                assert_eq!(it.ask("insert into t values (1)").await.is_err(), is_refused, "{nth}");
                assert!(is_refused || it.rights().await == before, "{nth}");
                if !cutter.has_cut() {
                    assert!(nth > 7, "only {nth} statements were sent");
                    break;
                }
            }
        }
    }
}
