//! What the record notices by itself, and what it is told when it asks.

use howdah_gateway::session::record::Tie;

use crate::cluster::{Cluster, majors};
use crate::session::{Client, Session, bind, errors, execute, ground, parse, sync};

fn ties(session: &Session) -> Vec<Tie> {
    session.record.pins().iter().collect()
}

#[tokio::test]
async fn h22_what_ties_a_session_to_its_server_is_noticed_and_so_is_its_end() {
    for bin in majors() {
        let cluster =
            Cluster::start_set(&bin, &["wal_level=logical".into()]).await.expect("it starts");
        ground(&cluster).await;
        cluster.sql("alter role app replication").await;
        let all = [
            (Tie::Temporary, "create temp table t (a int)", "drop table t"),
            (Tie::Temporary, "create temp table t as select 1", "drop table pg_temp.t"),
            (Tie::Temporary, "select 1 as a into temporary t", "discard temp"),
            (Tie::Temporary, "create temp view v as select 1", "drop view v"),
            (Tie::Temporary, "create temp sequence q", "drop sequence q"),
            (
                Tie::Temporary,
                "create function pg_temp.f() returns int language sql as 'select 1'",
                "drop function pg_temp.f()",
            ),
            (Tie::Temporary, "create type pg_temp.e as enum ('a')", "drop type pg_temp.e"),
            (Tie::HeldCursors, "declare c cursor with hold for select 1", "close c"),
            (Tie::HeldCursors, "declare c cursor with hold for select 1", "close all"),
            (Tie::AdvisoryLocks, "select pg_advisory_lock(1)", "select pg_advisory_unlock(1)"),
            (
                Tie::AdvisoryLocks,
                "select pg_try_advisory_lock_shared(1, 2)",
                "select pg_advisory_unlock_all()",
            ),
            (
                Tie::TemporarySlots,
                "select pg_create_physical_replication_slot('s', false, true)",
                "select pg_drop_replication_slot('s')",
            ),
            (Tie::Listens, "listen a", "unlisten a"),
            (Tie::Prepared, "prepare p as select 1", "deallocate p"),
        ];
        for (tie, make, end) in all {
            let mut session = Session::open(&cluster, &[]).await;
            assert!(!session.record.is_dirty());
            session.query(make).await;
            assert!(session.record.is_dirty(), "{make}");
            session.learn().await;
            assert_eq!(ties(&session), [tie], "{make}");
            assert_eq!(session.record.pins().can_move(), tie.can_move());
            session.query(end).await;
            assert!(session.record.is_dirty(), "{end}");
            session.learn().await;
            assert_eq!(ties(&session), [], "{end}");
        }
    }
}

#[tokio::test]
async fn h22_what_a_transaction_ends_by_itself_ties_nothing() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let mut session = Session::open(&cluster, &[]).await;
        for statement in [
            "begin; declare c cursor for select 1; fetch c; commit",
            "begin; select pg_advisory_xact_lock(1); commit",
            "begin; set constraints all deferred; commit",
            "select 1 as temp",
            "notify x",
        ] {
            session.query(statement).await;
            assert!(!session.record.is_dirty(), "{statement}");
        }
        session.query("begin; create temp table t (a int) on commit drop; commit").await;
        session.query("begin; create temp table t (a int); rollback").await;
        assert!(session.record.is_dirty());
        session.learn().await;
        assert_eq!(ties(&session), []);
        // A failed statement keeps its locks.
        let failed = session
            .send(&[crate::session::query(
                "select pg_advisory_lock(1), 1 / (g - 1) from generate_series(1, 1) g",
            )])
            .await;
        assert_eq!(errors(&failed).len(), 1);
        assert!(session.record.is_dirty());
        session.learn().await;
        assert_eq!(ties(&session), [Tie::AdvisoryLocks]);
    }
}

#[tokio::test]
async fn h22_a_change_is_noticed_each_time_that_a_prepared_statement_makes_it() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let mut session = Session::open(&cluster, &[]).await;
        session.parse("plain", "select 1", &[]).await;
        assert!(!session.record.follows_binds());
        session.parse("lock", "select pg_advisory_lock($1)", &[]).await;
        session.parse("set", "set work_mem = '5MB'", &[]).await;
        session.parse("local", "set local work_mem = '5MB'", &[]).await;
        assert!(session.record.follows_binds() && !session.record.is_dirty());
        let run = |name, values: &[&str]| [bind(name, values), execute(), sync()];
        session.send(&run("plain", &[])).await;
        session.send(&run("local", &[])).await;
        assert!(!session.record.is_dirty());
        for _ in 0..2 {
            session.send(&run("lock", &["1"])).await;
            assert!(session.record.is_dirty());
            session.learn().await;
            session.send(&run("set", &[])).await;
            assert!(session.record.is_dirty());
            session.learn().await;
        }
        assert_eq!(session.record.carried().get("work_mem"), Some("5120"));
        // The unnamed one, prepared once and run again later.
        let prepared = parse("", "select set_config('work_mem', $1, false)", &[]);
        session.send(&[prepared, bind("", &["6MB"]), execute(), sync()]).await;
        session.settle().await;
        assert_eq!(session.record.carried().get("work_mem"), Some("6144"));
        session.send(&run("", &["7MB"])).await;
        session.settle().await;
        assert_eq!(session.record.carried().get("work_mem"), Some("7168"));
        // One of SQL's.
        session.query("prepare p (text) as select set_config('work_mem', $1, false)").await;
        session.settle().await;
        session.query("execute p ('8MB')").await;
        session.settle().await;
        assert_eq!(session.record.carried().get("work_mem"), Some("8192"));
        session.query("deallocate all").await;
        session.settle().await;
        assert!(!session.record.follows_binds());
    }
}

#[tokio::test]
async fn h22_a_reported_setting_that_a_function_changes_is_noticed() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let mut session = Session::open(&cluster, &[]).await;
        let function = "create function f() returns void language sql as
            $$ select set_config('timezone', 'Europe/Berlin', false) $$";
        session.query(function).await;
        session.settle().await;
        session.query("select f()").await;
        assert!(session.record.is_dirty());
        session.learn().await;
        assert_eq!(session.record.carried().get("TimeZone"), Some("Europe/Berlin"));
        // One that is not reported is found when the record asks for another reason.
        let function = "create function g() returns void language sql as
            $$ select set_config('work_mem', '9MB', false) $$";
        session.query(function).await;
        session.settle().await;
        session.query("select g()").await;
        assert!(!session.record.is_dirty());
        session.learn().await;
        assert_eq!(session.record.carried().get("work_mem"), Some("9216"));
    }
}

#[tokio::test]
async fn h22_hostile_settings_do_not_keep_the_record_from_asking() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let mut owner = Client::connect(&cluster, &[]).await;
        // Everything that the question uses, in the tenant's own words.
        owner
            .ask(
                "create schema evil; set search_path = evil, pg_catalog;
                create view pg_settings as select 'x' as name;
                create function eq(text, text) returns bool language plpgsql
                    as $$ begin raise 'evil'; end $$;
                create operator evil.= (function = eq, leftarg = text, rightarg = text);
                create operator evil.<> (function = eq, leftarg = text, rightarg = text);
                create operator evil.~~ (function = eq, leftarg = text, rightarg = text);
                create function current_setting(text) returns text language plpgsql
                    as $$ begin raise 'evil'; end $$;
                create function unnest(text[]) returns setof text language plpgsql
                    as $$ begin raise 'evil'; end $$",
            )
            .await;
        let all: &[&[&str]] = &[
            &["set search_path = evil, pg_catalog"],
            &["set statement_timeout = 1"],
            &["set role other"],
            &[
                "set default_transaction_isolation = serializable",
                "set default_transaction_read_only = on",
                "set default_transaction_deferrable = on",
            ],
            &["set client_encoding = 'SQL_ASCII'", "set app.tenant = 'ü'"],
            &["set client_encoding = 'SJIS'", "prepare p as select 1"],
            &[
                "set client_encoding = 'LATIN1'; select set_config('app.tenant', U&'\\20ac', false) is null",
            ],
            &["set bytea_output = escape; set extra_float_digits = -15; set xmlbinary = hex"],
        ];
        for statements in all {
            let mut session = Session::open(&cluster, &[]).await;
            for statement in *statements {
                session.query(statement).await;
            }
            for _ in 0..3 {
                session.learn().await;
            }
            let mut twin = session.twin(&cluster).await;
            if !statements[0].contains("evil") && !statements[0].contains("timeout") {
                // Nothing but UTF-8 can show all of it.
                session.client.ask("set client_encoding = 'UTF8'").await;
                twin.ask("set client_encoding = 'UTF8'").await;
                let wanted = session.client.state().await;
                assert_eq!(twin.state().await, wanted, "{statements:?}");
            }
        }
        // A transaction that failed in the middle of the question leaves nothing behind.
        let mut session = Session::open(&cluster, &[]).await;
        session.query("set work_mem = '5MB'").await;
        let mut broken = session.record.snapshot();
        let place = broken.bytes.windows(4).position(|some| some == b"json").expect("it is there");
        broken.bytes[place] = b'x';
        let answers = session.client.run(&broken).await;
        assert_eq!(
            session.record.learn(&answers).expect_err("refused").to_string(),
            "the server refused to tell the session's state (42883)"
        );
        assert!(session.record.is_dirty());
        assert_eq!(answers.last().map(|ready| ready.body.as_slice()), Some(&b"I"[..]));
        session.learn().await;
        assert_eq!(session.client.ask("select count(*) from pg_prepared_statements").await, ["0"]);
    }
}

#[tokio::test]
async fn what_pools_of_clients_do_between_two_uses_costs_no_question() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let asyncpg = "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;";
        let mut session = Session::open(&cluster, &[]).await;
        for statement in [asyncpg, "DISCARD ALL", "reset work_mem", "deallocate all", "unlisten *"]
        {
            session.query(statement).await;
            assert!(!session.record.is_dirty(), "{statement}");
        }
        // What DISCARD ALL leaves is known.
        let generation = session.record.generation();
        session.query("set timezone = 'GMT'").await;
        session.query("create temp table t (a int); listen a; prepare p as select 1").await;
        session.query("select pg_advisory_lock(1)").await;
        session.parse("s", "select 1", &[]).await;
        session.learn().await;
        assert_eq!(session.record.pins().iter().count(), 4);
        session.query("discard all").await;
        assert!(!session.record.is_dirty());
        assert!(session.record.pins().is_empty() && session.record.carried().is_empty());
        assert_ne!(session.record.generation(), generation);
        let mut twin = session.twin(&cluster).await;
        assert_eq!(twin.state().await, session.client.state().await);
        // It is not when it was not asked for before.
        session.query("select pg_advisory_lock(1)").await;
        session.query("discard all").await;
        assert!(session.record.is_dirty());
        session.learn().await;
    }
}

#[tokio::test]
async fn h22_one_set_costs_a_small_question_and_is_right_in_pipelines_with_errors() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let mut session = Session::open(&cluster, &[]).await;
        let whole = session.record.snapshot();
        session.query("set timezone = 'GMT'").await;
        session.query("set session work_mem to '5MB'").await;
        let brief = session.record.brief_snapshot();
        assert!(brief.bytes.len() * 4 < whole.bytes.len() && brief.ready == 1);
        session.settle().await;
        let values = ["TimeZone", "work_mem"].map(|name| session.record.carried().get(name));
        assert_eq!(values, [Some("GMT"), Some("5MB")]);
        // An error later in the batch takes it back.
        let set = [parse("", "set work_mem = '6MB'", &[]), bind("", &[]), execute()];
        let batch = [&set[..], &[parse("", "select nothing", &[]), sync()]].concat();
        assert_eq!(errors(&session.send(&batch).await).len(), 1);
        assert!(session.record.is_dirty());
        assert_eq!(session.record.brief_snapshot(), session.record.snapshot());
        session.learn().await;
        assert_eq!(session.record.carried().get("work_mem"), Some("5120"));
        // And so does the end of a transaction.
        for statement in ["begin", "set work_mem = '7MB'", "rollback"] {
            session.query(statement).await;
        }
        session.settle().await;
        assert_eq!(session.record.carried().get("work_mem"), Some("5120"));
        // Two in one batch, of which one has a name.
        session.parse("s", "set statement_timeout = '9s'", &[]).await;
        let both = [&set[..], &[bind("s", &[]), execute(), sync()]].concat();
        session.send(&both).await;
        session.settle().await;
        let values =
            ["work_mem", "statement_timeout"].map(|name| session.record.carried().get(name));
        assert_eq!(values, [Some("6144"), Some("9000")]);
        // A setting that may not be shown.
        session.query("set app.tenant = 1").await;
        let mut broken = session.record.brief_snapshot();
        let place = broken.bytes.windows(4).position(|some| some == b"json").expect("it is there");
        broken.bytes[place] = b'x';
        let answers = session.client.run(&broken).await;
        assert!(session.record.learn(&answers).is_err());
        assert_eq!(session.record.brief_snapshot(), session.record.snapshot());
        session.learn().await;
        assert_eq!(session.record.carried().get("app.tenant"), Some("1"));
    }
}

#[tokio::test]
async fn procedures_that_never_change_state_are_asked_after_ever_more_rarely() {
    let cluster = Cluster::start().await;
    ground(&cluster).await;
    let mut session = Session::open(&cluster, &[]).await;
    for create in [
        "create procedure nothing() language sql as 'select 1'",
        "create procedure sets() language plpgsql as $$ begin set work_mem = '9MB'; end $$",
    ] {
        session.query(create).await;
        session.settle().await;
    }
    let mut asked = 0;
    for _ in 0..100 {
        session.query("call nothing()").await;
        asked += usize::from(session.record.is_dirty());
        session.settle().await;
    }
    assert_eq!(asked, 6);
    // When one did change something, each is asked after again.
    while !session.record.is_dirty() {
        session.query("call sets()").await;
    }
    session.settle().await;
    assert_eq!(session.record.carried().get("work_mem"), Some("9216"));
    session.query("call nothing()").await;
    assert!(session.record.is_dirty());
}
