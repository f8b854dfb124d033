//! A disk that fills up: tenants only read before it is full, and there is a way back.

use std::process::Command;

use howdah_model::protection::DiskStage;

use super::*;

/// A file system of its own, of so many megabytes. Mounting takes root; without it there is none.
pub(crate) struct Small {
    at: PathBuf,
}

impl Small {
    pub(crate) fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        let size = format!("size={megabytes}m,mode=711");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|done| done.status.success()).then(|| Self { at: at.to_owned() })
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a server that is being ended may still be in it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
        let _ = std::fs::remove_dir(&self.at);
    }
}

/// M11: a tenant that fills the disk is stopped before PostgreSQL is, the others read on, and when
/// there is room again everybody writes.
#[tokio::test]
async fn m11_a_full_disk_stops_writers_and_not_the_server() {
    let major = majors().pop().unwrap();
    let home = Home::new();
    let Some(_small) = Small::mount(home.path(), 600) else {
        eprintln!("left out: a file system can only be made by root");
        return;
    };
    let agent = Agent::start_in(home, std::slice::from_ref(&major), None).await;
    let (hog, other) = (Tenant::new("hog"), Tenant::new("other"));
    let spec = spec(&major, &[&hog, &other]);
    let seen = agent.put_and_wait(&spec).await;
    let reader = other.connect(&seen.socket_dir).await.unwrap();
    reader.ask("create table t as select 42 as answer").await.unwrap();
    let session = hog.connect(&seen.socket_dir).await.unwrap();
    let table = "create table fill (x text); alter table fill alter x set storage external";
    session.ask(table).await.unwrap();

    let fill = "insert into fill select repeat(md5(i::text), 100) from generate_series(1, 500) i";
    let mut refusal = String::new();
    for _ in 0..2_000 {
        match session.ask(fill).await {
            // As fast as a good disk, which this is not: memory would be full between two looks.
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(why) => {
                refusal = why;
                break;
            }
        }
    }
    let is_told = refusal.contains("read-only transaction") || refusal.starts_with("57P01");
    assert!(is_told, "it was not stopped in time: {refusal}");
    assert_eq!(agent.observe(None).await.disk, DiskStage::ReadOnly);
    assert_eq!(reader.ask("select answer from t").await.unwrap(), "42");
    let one = agent.observe(None).await.participants.pop().unwrap();
    assert_eq!((one.instance, one.deaths), (InstanceState::Answering, 0));

    // Whoever does not keep to it is ended.
    let stubborn = hog.connect(&seen.socket_dir).await.unwrap();
    stubborn.ask("set default_transaction_read_only = off").await.unwrap();
    stubborn.ask("begin").await.unwrap();
    stubborn.ask("insert into fill values ('x')").await.unwrap();
    until("the stubborn writer is ended", || async { stubborn.ask("select 1").await.is_err() })
        .await;

    // The way back: the tenant makes room by itself.
    let tidy = hog.connect(&seen.socket_dir).await.unwrap();
    tidy.ask("set default_transaction_read_only = off").await.unwrap();
    tidy.ask("truncate fill").await.unwrap();
    until("there is room again", || async { agent.observe(None).await.disk < DiskStage::ReadOnly })
        .await;
    until("everybody writes", || async {
        let session = other.connect(&seen.socket_dir).await.unwrap();
        session.ask("insert into t values (43)").await.is_ok()
    })
    .await;
}
