//! Incremental backups: PostgreSQL 17 and later.

use std::path::PathBuf;

use howdah_archive::backup::{self, Backup, Error, Progress};
use howdah_archive::restore;
use howdah_model::version::Major;
use howdah_testkit::clusters::majors;

use crate::bed::{Bed, files, never};

/// M12: only what changed is sent, and what it is put together with gives what was there.
#[tokio::test]
async fn m12_an_incremental_backup_is_restored_with_all_that_it_adds_to() {
    for installed in majors().into_iter().filter(|one| one.version.major >= Major(17)) {
        let bed = Bed::new(&installed).await;
        let full = bed.take(&bed.taking()).await;
        bed.sql("update numbers set text = 'once' where n <= 1000").await;
        let first = adding_to(&bed, &full).await;
        bed.sql("update numbers set text = 'twice' where n <= 500; delete from numbers where n > 299000")
            .await;
        let second = adding_to(&bed, &first).await;
        for (of, to) in [(&first, &full), (&second, &first)] {
            assert_eq!(of.base.as_ref(), Some(&to.id));
            assert!(of.bytes < full.bytes / 2, "{} of {} bytes", of.bytes, full.bytes);
        }
        let listed = bed.timeline.backups().await.expect("list");
        assert_eq!(listed, [full.clone(), first, second.clone()]);

        let restored = bed.restore(&second, "restored").await;
        let is_ours = |path: &PathBuf| path.to_string_lossy().contains("/data/howdah-");
        let left = files(&restored.data).into_iter().filter(is_ours);
        assert_eq!(left.count(), 0, "what it was made of is gone");
        bed.start(&restored).await;
        for (sql, should) in [
            ("select count(*) from numbers where text = 'twice'", 500),
            ("select count(*) from numbers where text = 'once'", 500),
            ("select count(*) from numbers", 299_000),
        ] {
            assert_eq!(Bed::number(&restored, sql).await, should, "{sql}");
        }
        bed.check(&restored).await;
        bed.restore(&full, "full").await;
    }
}

/// One of which a base is missing or damaged is not restored.
#[tokio::test]
async fn an_incremental_backup_needs_all_that_it_adds_to() {
    let Some(installed) = majors().into_iter().find(|one| one.version.major >= Major(17)) else {
        return;
    };
    let bed = Bed::new(&installed).await;
    let full = bed.take(&bed.taking()).await;
    let backup = adding_to(&bed, &full).await;
    let (cluster, how) = bed.restoring("restored");
    let of_full = files(&bed.archive_dir()).into_iter();
    let of_full: Vec<_> =
        of_full.filter(|path| path.to_string_lossy().contains(full.id.as_str())).collect();
    for name in ["part-000001", "backup.json"] {
        let object = of_full.iter().find(|path| path.ends_with(name)).expect("an object");
        let aside = object.with_extension("aside");
        std::fs::rename(object, &aside).expect("rename");
        let restored = restore::restore(&bed.timeline, &backup, &how, &Progress::default()).await;
        let error = restored.expect_err("its base is not whole");
        match (name, &error) {
            ("backup.json", restore::Error::NoBase { base, .. }) => assert_eq!(*base, full.id),
            ("part-000001", restore::Error::Archive(_)) => {}
            _ => panic!("{error}"),
        }
        assert!(!cluster.data.join("global/pg_control").exists(), "it looks like a cluster");
        std::fs::rename(&aside, object).expect("rename");
    }
    // What the failed attempts left is no obstacle.
    bed.restore(&backup, "restored").await;
}

/// Before 17 that is refused before anything is done.
#[tokio::test]
async fn older_servers_take_no_incremental_backups() {
    for installed in majors().into_iter().filter(|one| one.version.major < Major(17)) {
        let bed = Bed::new(&installed).await;
        let mut how = bed.taking();
        how.base = Some(bed.take(&how).await);
        let taken = backup::take(&bed.timeline, &how, &Progress::default(), &never()).await;
        assert!(matches!(taken, Err(Error::NotIncremental(_))), "{taken:?}");
    }
}

async fn adding_to(bed: &Bed, base: &Backup) -> Backup {
    let mut how = bed.taking();
    how.base = Some(base.clone());
    bed.take(&how).await
}
