//! From a standby.

use howdah_archive::backup::{self, Progress};
use howdah_cluster::{Mode, Standby};
use howdah_testkit::clusters::{majors, small, until};

use crate::bed::{BOUND, Bed, copy_wal, never, taking};

/// M12: a follower is backed up instead of its leader, and what is restored of it goes on with the
/// leader's WAL.
#[tokio::test]
async fn m12_a_standby_is_backed_up() {
    for installed in majors() {
        let bed = Bed::new(&installed).await;
        let first = bed.take(&bed.taking()).await;
        let standby = bed.restore(&first, "standby").await;
        copy_wal(&bed.source.data, &standby.data, &standby);
        standby.configure(&small()).await.expect("configure");
        let mode = Mode::Standby(Standby {
            primary: Some(bed.source.socket_dir.clone()),
            restore_command: None,
            application_name: "standby".to_owned(),
        });
        standby.start_as(&mode, BOUND).await.expect("start the standby");
        bed.sql("create table later as select 1 as one").await;
        let there = "select count(*) from pg_class where relname = 'later'";
        until("the standby has it", || async { Bed::number(&standby, there).await == 1 }).await;
        bed.sql("checkpoint").await;

        let progress = Progress::default();
        let taken = backup::take(&bed.timeline, &taking(&standby), &progress, &never()).await;
        let backup = taken.expect("back the standby up");
        assert_eq!(backup.system_identifier, first.system_identifier);
        bed.sql("insert into later values (2)").await;

        let restored = bed.restore(&backup, "restored").await;
        bed.start(&restored).await;
        assert_eq!(Bed::number(&restored, "select sum(one)::bigint from later").await, 3);
        bed.check(&restored).await;
    }
}
