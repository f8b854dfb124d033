//! Each kind of state, made in one session and found in another. The rows are those of the list of
//! what a session can have.

use crate::cluster::{Cluster, majors};
use crate::session::{Client, Session, bind, errors, execute, ground, parse, query, rows, sync};

/// Runs statements in a session, and compares what another has that is filled from its record:
/// both when the server is asked at the end, and when it is asked after each change.
async fn carried(cluster: &Cluster, parameters: &[(&str, &str)], statements: &[&str]) -> Session {
    let mut stepwise = Session::open(cluster, parameters).await;
    for statement in statements {
        stepwise.query(statement).await;
        stepwise.settle().await;
    }
    same(cluster, &mut stepwise, statements).await;
    let mut session = Session::open(cluster, parameters).await;
    for statement in statements {
        session.query(statement).await;
    }
    session.learn().await;
    same(cluster, &mut session, statements).await;
    session
}

async fn same(cluster: &Cluster, session: &mut Session, statements: &[&str]) {
    let mut twin = session.twin(cluster).await;
    assert_eq!(twin.state().await, session.client.state().await, "{statements:?}");
    session.client.reported.iter().for_each(|(name, value)| {
        assert_eq!(twin.reported.get(name), Some(value), "{statements:?}");
    });
}

#[tokio::test]
async fn h22_settings_of_all_kinds_are_carried() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        cluster.sql("alter role app set work_mem = '7MB'").await;
        cluster.sql("alter database app set lock_timeout = '9s'").await;
        let startup = [("application_name", "first"), ("options", "-c geqo=off -c app.flag=a\\ b")];
        let all: &[&[&str]] = &[
            &["set work_mem = '5MB'; set enable_seqscan = off; set timezone = 'Europe/Berlin'"],
            &["set search_path = \"a b\", public, \"$user\", \"c\"\"d'e\\f\""],
            &["set search_path = ''"],
            &["select set_config('random_page_cost', '1.25', false)"],
            &[
                "set datestyle = 'SQL, DMY'; set intervalstyle = iso_8601; set bytea_output = escape",
            ],
            &["set time zone interval '-08:00' hour to minute"],
            &["set application_name = 'it''s \\ \"me\"'"],
            &["set session characteristics as transaction isolation level serializable, read only"],
            &[
                "set default_transaction_isolation = 'repeatable read'; set default_transaction_deferrable = on",
            ],
            &[
                "set statement_timeout = '90s'; set lock_timeout = 0; set idle_session_timeout = '1h'",
            ],
            &["do $$ begin set plan_cache_mode = force_custom_plan; end $$"],
            &["begin", "set work_mem = '6MB'", "commit"],
            &["set work_mem = '6MB'", "begin", "set work_mem = '8MB'", "rollback"],
            &["set work_mem = '6MB'", "reset work_mem", "set geqo = on", "reset application_name"],
            &[
                "set standard_conforming_strings = off; set backslash_quote = on",
                "set application_name = 'a\\\\b'",
            ],
            &[
                "set default_text_search_config = 'english'; set geqo_seed = 0.25; set xmloption = document",
            ],
            &["set work_mem = '6MB'", "discard all"],
        ];
        for statements in all {
            carried(&cluster, &startup, statements).await;
        }
        // What only this transaction has is nothing to ask for.
        let mut session = Session::open(&cluster, &startup).await;
        session
            .query("begin; set local work_mem = '1MB'; select set_config('a.b', 'c', true); commit")
            .await;
        session.query("begin").await;
        session.query("set local timezone = 'Europe/Berlin'").await;
        session.query("set transaction read only").await;
        session.query("commit").await;
        assert!(!session.record.is_dirty());
        assert!(session.record.fill().is_empty() && session.record.finish(&[]).is_empty());
        // Defaults that the servers have by themselves are not repeated.
        session.learn().await;
        assert!(session.record.carried().is_empty(), "{:?}", session.record.carried());
    }
}

#[tokio::test]
async fn h22_custom_settings_are_carried_when_their_names_were_seen() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let all: &[&[&str]] = &[
            &["set app.tenant = '42'"],
            &["set session App.Tenant to 'Ä ''\" \\ 🦀'"],
            &["select set_config('app.tenant', '', false)"],
            &[
                "do $$ begin perform set_config('app.tenant', 'x', false); set app.flag = on; end $$",
            ],
            &["do $$ begin execute 'set app.tenant = 1'; end $$"],
            &["set app.tenant = 1", "set app.tenant = 2; set app.flag = 3", "reset app.flag"],
        ];
        for statements in all {
            carried(&cluster, &[], statements).await;
        }
        // The name is only in what the statement is given.
        let mut session = Session::open(&cluster, &[]).await;
        session.parse("s", "select set_config($1, $2, false)", &[]).await;
        assert!(!session.record.is_dirty());
        for value in ["1", "2"] {
            session.send(&[bind("s", &["app.tenant", value]), execute(), sync()]).await;
            assert!(session.record.is_dirty());
            session.learn().await;
            let mut twin = session.twin(&cluster).await;
            let shown = "select current_setting('app.tenant', true)";
            assert_eq!(twin.ask(shown).await, [value]);
        }
    }
}

#[tokio::test]
async fn h22_roles_are_carried() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        carried(&cluster, &[], &["set role other"]).await;
        carried(&cluster, &[], &["set work_mem = '5MB'; set role other; set timezone = 'GMT'"])
            .await;
        carried(&cluster, &[], &["set role other", "set role none"]).await;
        let boss = [("user", "boss")];
        let authorization = ["set log_statement = 'all'", "set session authorization app"];
        let session = carried(&cluster, &boss, &authorization).await;
        assert_eq!(session.record.carried().get("session_authorization"), Some("app"));
        let both = ["set session authorization app", "set role other", "set app.tenant = 1"];
        carried(&cluster, &boss, &both).await;
        // A role that comes with the login, and one that the session took off again.
        cluster.sql("alter role app set role = 'other'").await;
        carried(&cluster, &[], &["set app.tenant = 1"]).await;
        carried(&cluster, &[], &["set role none"]).await;
    }
}

#[tokio::test]
async fn h22_prepared_statements_are_carried() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let mut session = Session::open(&cluster, &[]).await;
        session.query("create table t (a int, b text)").await;
        session.settle().await;
        session.parse("s1", "select $1 + 1", &[20]).await;
        session.parse("s2", "insert into t values ($1, $2)", &[]).await;
        session.parse("s3 \"'", "select 'x' -- end", &[]).await;
        session.parse("gone", "select 1", &[]).await;
        let refused = session.send(&[parse("bad", "select nothing", &[]), sync()]).await;
        assert_eq!(errors(&refused).len(), 1);
        session.send(&[crate::session::close("gone"), sync()]).await;
        assert!(!session.record.is_dirty());
        let mut twin = session.twin(&cluster).await;
        assert_eq!(twin.state().await, session.client.state().await);
        twin.send(&[bind("s1", &["41"]), execute(), sync()]).await;
        assert_eq!(rows(&twin.until_ready(1).await), ["42"]);
        // SQL takes away what the protocol made.
        session.query("deallocate s1").await;
        session.settle().await;
        let mut twin = session.twin(&cluster).await;
        assert_eq!(twin.state().await, session.client.state().await);
        session.query("deallocate all").await;
        assert!(session.record.statement(b"s2").is_none());
        session.settle().await;
        let mut twin = session.twin(&cluster).await;
        assert_eq!(twin.state().await, session.client.state().await);
        // A statement whose table is gone takes no other with it.
        session.parse("s1", "select * from t", &[]).await;
        session.parse("s2", "select 2", &[]).await;
        session.query("drop table t").await;
        let mut twin = Client::open(&cluster, session.client.startup.clone()).await;
        let fill = session.record.fill();
        let answers = twin.run(&fill).await;
        let troubles = fill.judge(&answers);
        assert_eq!(troubles.len(), 1);
        assert!(!troubles[0].step.is_vital() && troubles[0].to_string().ends_with("42P01"));
        twin.send(&[bind("s2", &[]), execute(), sync()]).await;
        assert_eq!(rows(&twin.until_ready(1).await), ["2"]);
        session.query("create table t (a int)").await;
        twin.play(&session.record.finish(&[b"s1"])).await;
        twin.send(&[bind("s1", &[]), execute(), sync()]).await;
        assert_eq!(errors(&twin.until_ready(1).await), [""; 0]);
    }
}

#[tokio::test]
async fn h22_statements_prepared_in_sql_are_carried_and_nothing_is_run_twice() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let mut owner = Client::connect(&cluster, &[]).await;
        owner.ask("create table t (a int); create schema s; create table s.u (a int)").await;
        carried(
            &cluster,
            &[],
            &["prepare p1 (int) as select $1 + 1", "PREPARE \"P 2\" AS SELECT ';'"],
        )
        .await;
        let path = ["set search_path = s", "prepare p1 as select * from u"];
        carried(&cluster, &[], &path).await;
        // The server gives the whole text that a PREPARE came with.
        let mut session = Session::open(&cluster, &[]).await;
        session.query("insert into t values (1); prepare p1 as insert into t values (2); insert into t values (3)").await;
        session
            .query("do $$ begin execute 'insert into t values (4); prepare p2 as select 2'; end $$")
            .await;
        session.settle().await;
        let mut twin = session.twin(&cluster).await;
        let names = "select string_agg(name, ',' order by name) from pg_prepared_statements";
        assert_eq!(twin.ask(names).await, ["p1,p2"]);
        assert_eq!(twin.ask("select count(*) from t").await, ["3"]);
        assert_eq!(twin.ask("execute p1; select count(*) from t").await, ["4"]);
        // A text that is not ASCII, for clients of two encodings.
        for encoding in ["UTF8", "LATIN1"] {
            let mut session = Session::open(&cluster, &[("client_encoding", encoding)]).await;
            let text = if encoding == "UTF8" { "ö".as_bytes() } else { &b"\xf6"[..] };
            let sql =
                [&b"prepare p as select 'x"[..], text, &b"', '\\', length('"[..], text, b"')\0"];
            let body = sql.concat();
            session.send(&[howdah_gateway::message::Message { tag: b'Q', body }]).await;
            session.settle().await;
            let mut twin = session.twin(&cluster).await;
            assert_eq!(twin.ask("execute p").await, session.client.ask("execute p").await);
            assert_eq!(twin.ask("show client_encoding").await, [encoding]);
            assert_eq!(twin.state().await, session.client.state().await);
        }
    }
}

#[tokio::test]
async fn h22_the_unnamed_statement_lives_as_long_as_in_postgresql() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let mut session = Session::open(&cluster, &[]).await;
        session.parse("", "select 'first'", &[]).await;
        session.parse("", "select 'second'", &[]).await;
        session.parse("named", "select 'named'", &[]).await;
        let run = [bind("", &[]), execute(), sync()];
        // Asking leaves it alone, and so does the end of a transaction.
        session.learn().await;
        assert_eq!(rows(&session.send(&run).await), ["second"]);
        let mut twin = session.twin(&cluster).await;
        twin.send(&run).await;
        assert_eq!(rows(&twin.until_ready(1).await), ["second"]);
        session.query("select 1").await;
        assert_eq!(session.record.unnamed(), None);
        assert!(errors(&session.send(&run).await)[0].contains("26000"));
        session.parse("", "select 'third'", &[]).await;
        let pipeline = [
            parse("", "select 'fourth'", &[]),
            bind("", &[]),
            execute(),
            sync(),
            parse("", "select nothing", &[]),
            sync(),
        ];
        session.send(&pipeline).await;
        assert_eq!(session.record.unnamed(), None);
        assert!(errors(&session.send(&run).await)[0].contains("26000"));
        session
            .send(&[
                parse("", "select 'fifth'", &[]),
                sync(),
                query("select 1"),
                parse("", "select 6", &[]),
                sync(),
            ])
            .await;
        assert_eq!(session.record.unnamed(), Some(&b"select 6\0\0\0"[..]));
        assert_eq!(rows(&session.send(&run).await), ["6"]);
        session.send(&[crate::session::close(""), sync()]).await;
        assert_eq!(session.record.unnamed(), None);
        assert!(errors(&session.send(&run).await)[0].contains("26000"));
        // One that is too long to be kept is not mistaken for the one before.
        session.parse("", "select 7", &[]).await;
        session.parse("", &format!("select 8 -- {}", "x".repeat(17_000)), &[]).await;
        assert_eq!(session.record.unnamed(), None);
        assert_eq!(rows(&session.send(&run).await), ["8"]);
    }
}

#[tokio::test]
async fn h22_channels_are_carried() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let listen = ["listen news", "listen \"A \"\"b\"\" ü\\\"; listen c", "unlisten c"];
        let session = carried(&cluster, &[], &listen).await;
        let mut twin = session.twin(&cluster).await;
        let mut sender = Client::connect(&cluster, &[]).await;
        sender.ask("select pg_notify('A \"b\" ü\\', 'hello')").await;
        twin.send(&[query("select 1")]).await;
        let heard = twin.until_ready(1).await;
        assert!(heard.iter().any(|message| message.tag == b'A'));
        carried(&cluster, &[("client_encoding", "LATIN1")], &["listen a", "unlisten *"]).await;
    }
}

#[tokio::test]
async fn h22_a_stale_session_is_brought_to_the_present_state() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let mut session = Session::open(&cluster, &[("application_name", "a")]).await;
        session.query("set work_mem = '5MB'; set app.flag = 1; set role other").await;
        session.query("prepare p as select 1").await;
        session.parse("s", "select 1", &[]).await;
        session.settle().await;
        let filled = session.record.generation();
        let mut twin = Client::open(&cluster, session.client.startup.clone()).await;
        twin.play(&session.record.fill()).await;
        // Nothing that the twin would have to know.
        session.query("begin; set local work_mem = '1MB'; commit").await;
        session.parse("", "select 1", &[]).await;
        session.learn().await;
        assert_eq!(session.record.generation(), filled);
        let steps = [
            "set work_mem = '6MB'; reset role",
            "deallocate p",
            "deallocate s",
            "set app.flag = 2",
        ];
        let mut last = filled;
        for step in steps {
            session.query(step).await;
            session.settle().await;
            assert_ne!(session.record.generation(), last, "{step}");
            last = session.record.generation();
        }
        session.parse("s2", "select 2", &[]).await;
        assert_ne!(session.record.generation(), last);
        twin.play(&session.record.refill()).await;
        twin.play(&session.record.finish(&[])).await;
        assert_eq!(twin.state().await, session.client.state().await);
    }
}

#[tokio::test]
async fn h22_libraries_are_loaded_again() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let load = ["load 'auto_explain'; set auto_explain.log_min_duration = '10s'"];
        let session = carried(&cluster, &[("user", "boss")], &load).await;
        let mut twin = session.twin(&cluster).await;
        let known = "select count(*) from pg_settings where name = 'auto_explain.log_min_duration'";
        assert_eq!(twin.ask(known).await, ["1"]);
    }
}
