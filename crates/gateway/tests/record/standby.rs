//! A session is filled on a hot standby and used after its promotion.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::cluster::{Cluster, majors};
use crate::session::{Client, Session, bind, execute, ground, rows, sync};

/// A hot standby that has all that its primary had when it was made.
async fn standby_of(primary: &Cluster, bin: &Path) -> Cluster {
    let standby = Cluster::start_with(bin).await;
    standby.kill();
    primary.kill();
    let (from, to) = (primary.socket_dir().join("data"), standby.socket_dir().join("data"));
    fs::remove_dir_all(&to).expect("removed");
    let copied = Command::new("cp").arg("-a").args([&from, &to]).status();
    assert!(copied.expect("cp").success());
    fs::write(to.join("standby.signal"), "").expect("written");
    standby.restart().await;
    primary.restart().await;
    standby
}

#[tokio::test]
async fn h22_a_session_that_was_filled_on_a_standby_is_the_same_after_its_promotion() {
    for bin in majors() {
        let primary = Cluster::start_with(&bin).await;
        ground(&primary).await;
        let mut owner = Client::connect(&primary, &[]).await;
        owner.ask("create table t (a int)").await;
        let standby = standby_of(&primary, &bin).await;
        let options = [("options", "-c idle_session_timeout=1000ms")];
        let mut session = Session::open(&primary, &options).await;
        for statement in [
            "set default_transaction_isolation = serializable; set work_mem = '5MB'; set app.tenant = 'é'",
            "prepare p as insert into t values (1)",
            "listen news",
            "set role other",
            "set role none",
        ] {
            session.query(statement).await;
        }
        session.parse("s", "insert into t values ($1) returning a", &[]).await;
        session.parse("", "insert into t values (3) returning a", &[]).await;
        session.learn().await;
        let mut twin = Client::open(&standby, session.client.startup.clone()).await;
        assert_eq!(twin.reported.get(b"in_hot_standby"), Some(&b"on"[..]));
        twin.play(&session.record.fill()).await;
        // It waits for the switch for longer than a session may be idle.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        primary.kill();
        standby.sql("select pg_promote()").await;
        twin.play(&session.record.finish(&[])).await;
        twin.send(&[bind("", &[]), execute(), sync(), bind("s", &["2"]), execute(), sync()]).await;
        assert_eq!(rows(&twin.until_ready(2).await), ["3", "2"]);
        assert_eq!(twin.reported.get(b"in_hot_standby"), Some(&b"off"[..]));
        twin.ask("execute p").await;
        let shown = "select current_setting('app.tenant') || current_setting('work_mem')
            || current_setting('transaction_isolation') || current_setting('idle_session_timeout')";
        assert_eq!(twin.ask(shown).await, ["é5MBserializable1s"]);
        assert_eq!(twin.ask("select pg_listening_channels()").await, ["news"]);
    }
}
