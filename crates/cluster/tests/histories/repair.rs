//! Diverged histories, damaged data, canaries, and the brake on a disk that is nearly full.

use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use howdah_cluster::brake::{self, Writes};
use howdah_cluster::cluster::Written;
use howdah_cluster::control_data::State;
use howdah_cluster::databases::{Databases, Look, Wanted};
use howdah_cluster::rewind::{Aside, RewindError, Rewound, set_aside};
use howdah_cluster::sound::{self, Unsound};
use howdah_cluster::{Standby, StopMode, canary};
use howdah_testkit::clusters::{Tenant, majors, until};

use super::*;

fn standby_of(primary: Option<&Cluster>) -> Standby {
    Standby {
        primary: primary.map(|primary| primary.socket_dir.clone()),
        restore_command: None,
        application_name: "f".to_owned(),
    }
}

#[tokio::test]
async fn g18_a_leader_that_was_left_behind_is_rewound_and_what_it_had_alone_is_kept() {
    for major in majors() {
        let home = Home::new();
        let old = home.running(&major, "a").await;
        run(&old, "create table t (n bigint)").await;
        let (new, _) = copied(&old, &home, "b", &small()).await;
        start_as(&new, &Mode::Standby(standby_of(Some(&old)))).await;
        run(&old, "insert into t values (1)").await;
        until("both have it", || async { number(&new, "select count(*) from t").await == 1 }).await;
        new.promote(&session(&new).await, PATIENCE).await.unwrap();
        // Both go on, until the old one is killed.
        run(&old, "insert into t select generate_series(-5000, -1)").await;
        run(&new, "insert into t values (2)").await;
        kill(&old).await;
        let settings = std::fs::read_to_string(old.data.join("postgresql.conf")).unwrap();
        let nobody = old.rewind(&standby_of(None), PATIENCE).await;
        assert!(matches!(nobody, Err(RewindError::NoSource)), "{nobody:?}");
        let standby = standby_of(Some(&new));
        let Rewound::Rewound { divergence, aside } = old.rewind(&standby, PATIENCE).await.unwrap()
        else {
            panic!("it has diverged");
        };
        assert!(divergence.lost() > 5000 * 20, "{divergence:?}");
        let now = std::fs::read_to_string(old.data.join("postgresql.conf")).unwrap();
        assert_eq!(now, settings);
        start_as(&old, &Mode::Standby(standby.clone())).await;
        let both = "select count(*) from t where n > 0";
        until("it has what it lacked", || async { number(&old, both).await == 2 }).await;
        assert_eq!(number(&old, "select count(*) from t").await, 2);
        // Another time there is nothing to do, and nothing is kept.
        old.stop(StopMode::Fast, PATIENCE).await.unwrap();
        assert_eq!(old.rewind(&standby, PATIENCE).await.unwrap(), Rewound::NotNeeded);
        assert!(!aside.with_file_name("data.diverged-2").exists());
        // What was kept is whole.
        let kept = home.cluster(&major, "kept");
        std::fs::create_dir_all(kept.data.parent().unwrap()).unwrap();
        std::fs::rename(&aside, &kept.data).unwrap();
        kept.configure(&small()).await.unwrap();
        start_as(&kept, &Mode::Primary).await;
        assert_eq!(number(&kept, "select count(*) from t").await, 5001);
    }
}

#[tokio::test]
async fn g18_wal_that_a_rewind_needs_and_the_disk_has_no_more_comes_from_the_archive() {
    for major in majors() {
        let home = Home::new();
        let old = home.running(&major, "a").await;
        run(&old, "create table t (n bigint)").await;
        let (new, _) = copied(&old, &home, "b", &small()).await;
        start_as(&new, &Mode::Standby(standby_of(Some(&old)))).await;
        new.promote(&session(&new).await, PATIENCE).await.unwrap();
        run(&old, "insert into t values (-1)").await;
        // `pg_rewind` has to find the last checkpoint before the fork.
        for _ in 0..3 {
            run(&old, "insert into t values (-1)").await;
            run(&old, "select pg_switch_wal()").await;
            run(&old, "checkpoint").await;
        }
        old.stop(StopMode::Fast, PATIENCE).await.unwrap();
        let archive = home.path().join("archive");
        home.run_as.make_dir(&archive).unwrap();
        let redo = old.control_data().await.unwrap().redo.0 >> 24;
        for entry in std::fs::read_dir(old.data.join("pg_wal")).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let number = name.get(8..).and_then(|number| u64::from_str_radix(number, 16).ok());
            if name.len() == 24 && number.is_some_and(|number| number < redo) {
                std::fs::rename(entry.path(), archive.join(name)).unwrap();
            }
        }
        let without = old.rewind(&standby_of(Some(&new)), PATIENCE).await;
        assert!(matches!(without, Err(RewindError::Refused(_))), "{without:?}");
        let dir = howdah_cluster::commands::argument(&archive.display().to_string());
        let restore_command = Some(format!("cp {dir}/%f %p"));
        let standby = Standby { restore_command, ..standby_of(Some(&new)) };
        let rewound = old.rewind(&standby, PATIENCE).await.unwrap();
        assert!(matches!(rewound, Rewound::Rewound { .. }), "{rewound:?}");
        start_as(&old, &Mode::Standby(standby)).await;
        assert_eq!(number(&old, "select count(*) from t").await, 0);
    }
}

#[tokio::test]
async fn data_is_kept_aside_under_a_name_that_is_free() {
    let home = Home::new();
    let cluster = home.running(&majors()[0], "a").await;
    cluster.stop(StopMode::Fast, PATIENCE).await.unwrap();
    let keep = |how| set_aside(&cluster.data, how, &cluster.run_as).unwrap();
    let name = |n: u32| cluster.data.with_file_name(format!("data.diverged-{n}"));
    assert_eq!(keep(Aside::Copy), name(1));
    assert!(cluster.is_made());
    assert_eq!(keep(Aside::Move), name(2));
    assert!(!cluster.data.exists() && name(1).join("PG_VERSION").exists());
}

#[tokio::test]
async fn control_data_says_how_a_server_fared() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        assert_eq!(cluster.control_data().await.unwrap().state, State::InProduction);
        cluster.stop(StopMode::Fast, PATIENCE).await.unwrap();
        let control = cluster.control_data().await.unwrap();
        assert_eq!((control.state, control.tli.0), (State::ShutDown, 1));
        assert!(control.checkpoint >= control.redo && control.system_identifier > 0);
        // A bit of it is wrong.
        let path = cluster.data.join("global/pg_control");
        let mut file = std::fs::File::options().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(40)).unwrap();
        file.write_all(b"xx").unwrap();
        cluster.control_data().await.unwrap_err();
    }
}

/// The file of a relation, below the data directory.
async fn file_of(cluster: &Cluster, relation: &str) -> PathBuf {
    let path = format!("select pg_relation_filepath('{relation}')");
    let session = session(cluster).await;
    session.run("checkpoint").await.unwrap();
    let path: String = session.rows(&path, &[]).await.unwrap()[0].get(0);
    cluster.data.join(path)
}

fn damage(file: &PathBuf, at: u64) {
    let mut file = std::fs::File::options().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[0x5a; 64]).unwrap();
}

const FICKLE: &str = "\
create function asc_cmp(a int, b int) returns int language sql immutable as \
 $$ select case when a = b then 0 when a > b then 1 else -1 end $$; \
create function desc_cmp(a int, b int) returns int language sql immutable as \
 $$ select case when a = b then 0 when a > b then -1 else 1 end $$; \
create operator class fickle_ops for type int using btree as operator 1 <, operator 2 <=, \
 operator 3 =, operator 4 >=, operator 5 >, function 1 asc_cmp(int, int); \
create table fickle as select generate_series(1, 5000) as n; \
create index fickle_index on fickle (n fickle_ops)";

#[tokio::test]
async fn m13_a_damaged_page_is_found_in_a_running_and_in_a_stopped_server() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let one = Tenant::new("one");
        let mut databases = Databases::open(&cluster).await.unwrap();
        let wanted = Wanted::from([(one.name.clone(), one.spec.clone())]);
        databases.converge(&wanted, Look::Everything).await.unwrap();
        let tenant = one.connect(&cluster.socket_dir).await.unwrap();
        for hinder in [
            "create table t as select generate_series(1, 5000) as n",
            "alter database d_one set statement_timeout = 1",
            "alter database d_one set local_preload_libraries = 'nothing'",
            "alter database d_one set default_transaction_read_only = on",
        ] {
            tenant.ask(hinder).await.unwrap();
        }
        sound::check(&cluster, PATIENCE).await.unwrap();
        let running = sound::checksums(&cluster, PATIENCE).await;
        assert!(matches!(running, Err(Unsound::Unknown(_))), "{running:?}");
        run(&cluster, "create table damaged as select generate_series(1, 5000) as n").await;
        let file = file_of(&cluster, "damaged").await;
        cluster.stop(StopMode::Fast, PATIENCE).await.unwrap();
        sound::checksums(&cluster, PATIENCE).await.unwrap();
        damage(&file, 8192 + 4000);
        let stopped = sound::checksums(&cluster, PATIENCE).await;
        assert!(matches!(stopped, Err(Unsound::Damaged(_))), "{stopped:?}");
        cluster.start(PATIENCE).await.unwrap();
        sound::check(&cluster, PATIENCE).await.unwrap_err();
        run(&cluster, "drop table damaged").await;
        sound::check(&cluster, PATIENCE).await.unwrap();
        // An index in an order that is no order any more, in pages whose checksums are right.
        run(&cluster, FICKLE).await;
        sound::check(&cluster, PATIENCE).await.unwrap();
        run(
            &cluster,
            "update pg_catalog.pg_amproc set amproc = 'public.desc_cmp'::regproc \
             where amproc = 'public.asc_cmp'::regproc",
        )
        .await;
        let index = sound::check(&cluster, PATIENCE).await;
        assert!(
            matches!(&index, Err(Unsound::Damaged(what)) if what.contains("fickle")),
            "{index:?}"
        );
        let soon = sound::check(&cluster, Duration::ZERO).await;
        assert!(matches!(soon, Err(Unsound::TooLong(_))), "{soon:?}");
    }
}

#[tokio::test]
async fn a_canary_grows_and_is_in_copies_and_where_it_was_lacking() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let connection = session(&cluster).await;
        assert_eq!(canary::read(&connection).await.unwrap(), None);
        // As in a cluster of an older version.
        connection.run("drop table howdah.canary; drop role howdah_replication").await.unwrap_err();
        connection.run("drop table howdah.canary").await.unwrap();
        connection
            .run("drop owned by howdah_replication; drop role howdah_replication")
            .await
            .unwrap();
        assert_eq!(canary::read(&connection).await.unwrap(), None);
        Databases::open(&cluster).await.unwrap();
        let mut last = canary::commit(&connection).await.unwrap();
        assert_eq!(last.number, 1);
        for number in 2..5 {
            let next = canary::commit(&connection).await.unwrap();
            assert!(next.number == number && next.at > last.at && next.lsn > last.lsn);
            last = next;
        }
        let (copy, of) = copied(&cluster, &home, "b", &small()).await;
        assert!(of.stop > last.lsn);
        start_as(&copy, &Mode::Standby(standby_of(Some(&cluster)))).await;
        let there = session(&copy).await;
        assert_eq!(canary::read(&there).await.unwrap().unwrap().number, 4);
        // On a standby it is read only.
        assert_eq!(Databases::open(&copy).await.unwrap().present().await.unwrap().len(), 0);
        canary::commit(&there).await.unwrap_err();
    }
}

#[tokio::test]
async fn m11_tenants_do_not_write_while_the_brake_is_on_and_who_does_is_ended() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let one = Tenant::new("one");
        let mut databases = Databases::open(&cluster).await.unwrap();
        let wanted = Wanted::from([(one.name.clone(), one.spec.clone())]);
        databases.converge(&wanted, Look::Everything).await.unwrap();
        let platform = session(&cluster).await;
        let tenant = one.connect(&cluster.socket_dir).await.unwrap();
        tenant.ask("create table t (n int)").await.unwrap();
        assert_eq!(cluster.brake(Writes::Refused).unwrap(), Written::Changed);
        assert_eq!(cluster.brake(Writes::Refused).unwrap(), Written::Same);
        cluster.reload(&platform).await.unwrap();
        let reads_only = || async {
            tenant.ask("insert into t values (1)").await.is_err_and(|e| e.starts_with("25006"))
        };
        until("it cannot write", reads_only).await;
        // The last before the setting came may have been written.
        let rows = tenant.ask("select count(*) from t").await.unwrap();
        canary::commit(&platform).await.unwrap();
        databases.converge(&wanted, Look::Everything).await.unwrap();
        // It holds over a restart, and a reader is left alone.
        cluster.stop(StopMode::Immediate, PATIENCE).await.unwrap();
        cluster.start(PATIENCE).await.unwrap();
        let platform = session(&cluster).await;
        let reader = one.connect(&cluster.socket_dir).await.unwrap();
        assert!(reader.ask("insert into t values (1)").await.is_err());
        reader.ask("begin; select * from t").await.unwrap();
        let writer = one.connect(&cluster.socket_dir).await.unwrap();
        writer.ask("set default_transaction_read_only = off").await.unwrap();
        writer.ask("begin; insert into t values (1)").await.unwrap();
        assert_eq!(brake::end_writers(&platform).await.unwrap(), 1);
        until("it has ended", || async { writer.client.is_closed() }).await;
        assert_eq!(reader.ask("select count(*) from t").await.unwrap(), rows);
        reader.ask("commit").await.unwrap();
        assert_eq!(cluster.brake(Writes::Allowed).unwrap(), Written::Changed);
        assert_eq!(cluster.braked(), Writes::Allowed);
        cluster.reload(&platform).await.unwrap();
        until("it writes", || async { reader.ask("insert into t values (1)").await.is_ok() }).await;
    }
}
