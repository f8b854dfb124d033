use std::time::UNIX_EPOCH;

use super::*;

async fn everywhere(test: impl AsyncFn(&Bed)) {
    for kind in [Kind::Directory, Kind::S3] {
        for key in [None, Some(KEY)] {
            test(&Bed::new(kind, key).await).await;
        }
    }
}

fn conflicts<T: std::fmt::Debug>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Conflict { .. }))
}

#[tokio::test]
async fn what_was_put_is_read_and_never_replaced() {
    everywhere(async |bed| {
        let store = &bed.store;
        for (number, how) in [How::Plain, How::Fast].into_iter().enumerate() {
            for length in [0, 1, 100_000] {
                let place = place(&format!("{number}-{length}"));
                let put = content(1, length);
                assert!(!store.exists(&place).await.expect("exists"));
                let missing = store.get(&place).await;
                assert!(matches!(missing, Err(Error::Missing { .. })), "{missing:?}");
                let stored = store.put_new(&place, put.clone(), how).await.expect("put");
                let size = bed.file(&place).metadata().expect("its file").len();
                assert_eq!(stored, Stored::New { bytes: size });
                assert!(store.exists(&place).await.expect("exists"));

                let again = bed.another().put_new(&place, put.clone(), how).await;
                assert_eq!(again.expect("put again"), Stored::Already);
                let other = bed.another().put_new(&place, content(2, length + 1), how).await;
                assert!(conflicts(other));
                assert_eq!(bed.another().get(&place).await.expect("get"), put);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_there_is_listed_and_deleted() {
    everywhere(async |bed| {
        let store = &bed.store;
        assert_eq!(store.list(&place("a")).await.expect("list"), []);
        assert_eq!(store.directories(&Place::timelines()).await.expect("list"), [""; 0]);
        let mut places: Vec<_> = (0..40).map(|number| place(&format!("a/{number:02}"))).collect();
        places.push(place("a/deep/er"));
        let beside = [place("ab"), place("b/1")];
        for place in places.iter().chain(&beside) {
            store.put_new(place, content(1, 10), How::Fast).await.expect("put");
        }
        let mut listed = store.list(&place("a")).await.expect("list");
        listed.sort_by(|a, b| a.place.cmp(&b.place));
        assert_eq!(listed.iter().map(|of| of.place.clone()).collect::<Vec<_>>(), places);
        let file = bed.file(&listed[0].place).metadata().expect("its file");
        let put_at = file.modified().expect("when").duration_since(UNIX_EPOCH).expect("when");
        assert!(put_at.as_secs().abs_diff(listed[0].at.as_second() as u64) < 2, "{:?}", listed[0]);
        assert_eq!(listed[0].bytes, file.len());
        assert_eq!(store.directories(&Place::timelines()).await.expect("list"), ["x"]);

        // Also what is not there, and twice.
        places.insert(7, place("a/never"));
        store.delete(&places).await.expect("delete");
        store.delete(&places).await.expect("delete again");
        assert_eq!(store.list(&place("a")).await.expect("list"), []);
        assert_eq!(store.list(&Place::timelines()).await.expect("list").len(), 2);
        // A place is free again once it was deleted.
        let put = store.put_new(&places[0], content(9, 10), How::Fast).await;
        assert!(matches!(put, Ok(Stored::New { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_of_one_object_one_wins_and_the_same_content_is_no_conflict() {
    for round in 0..20 {
        let bed = Bed::new(Kind::Directory, None).await;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8u32 {
            let store = bed.another();
            let same = content(writer % 2, 50_000);
            writers.spawn(async move {
                (writer % 2, store.put_new(&place("a"), same, How::Fast).await)
            });
        }
        let mut won = [0, 0];
        while let Some(done) = writers.join_next().await {
            match done.expect("a writer") {
                (of, Ok(_)) => won[of as usize] += 1,
                (_, Err(Error::Conflict { .. })) => {}
                (_, Err(error)) => panic!("{error}"),
            }
        }
        assert!(won == [4, 0] || won == [0, 4], "round {round}: {won:?}");
        let winner = if won[0] == 4 { 0 } else { 1 };
        let there = bed.store.get(&place("a")).await.expect("get");
        assert_eq!(there, content(winner, 50_000));
    }
}

#[tokio::test]
async fn an_archive_has_one_key_from_its_beginning() {
    for kind in [Kind::Directory, Kind::S3] {
        let locked = Bed::new(kind, Some(KEY)).await;
        locked.store.put_new(&place("a"), content(1, 10), How::Fast).await.expect("put");
        let put = |store: Store| async move {
            store.put_new(&place("b"), content(1, 10), How::Fast).await.expect_err("refused")
        };
        assert!(matches!(put(locked.another_with(None)).await, Error::KeyNeeded { .. }));
        assert!(matches!(put(locked.another_with(Some([8; 32]))).await, Error::WrongKey { .. }));
        let open = Bed::new(kind, None).await;
        open.store.put_new(&place("a"), content(1, 10), How::Fast).await.expect("put");
        assert!(matches!(put(open.another_with(Some(KEY))).await, Error::NotEncrypted { .. }));
        assert_eq!(locked.store.list(&Place::timelines()).await.expect("list").len(), 1);
    }
}

#[tokio::test]
async fn a_later_format_is_left_alone() {
    let bed = Bed::new(Kind::Directory, None).await;
    bed.store.put_new(&place("a"), content(1, 10), How::Fast).await.expect("put");
    let later = br#"{"howdah_archive":2,"other":["things"]}"#;
    std::fs::write(bed.file(&Place::format()), later).expect("write");
    let store = bed.another();
    let outcomes = [
        store.put_new(&place("b"), content(1, 10), How::Fast).await.map(|_| ()),
        store.get(&place("a")).await.map(|_| ()),
        store.delete(&[place("a")]).await,
        store.list(&place("a")).await.map(|_| ()),
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Err(Error::NewerFormat { found: 2, .. })), "{outcome:?}");
    }
    assert_eq!(std::fs::read(bed.file(&Place::format())).expect("read"), later);
    assert!(bed.file(&place("a")).exists() && !bed.file(&place("b")).exists());
}

#[tokio::test]
async fn a_store_that_replaces_objects_is_worked_around() {
    let bed = Bed::new(Kind::S3, None).await;
    bed.store.put_new(&place("a"), content(1, 10), How::Fast).await.expect("put");
    bed.store.distrust();
    assert!(conflicts(bed.store.put_new(&place("a"), content(2, 10), How::Fast).await));
    let again = bed.store.put_new(&place("a"), content(1, 10), How::Fast).await;
    assert_eq!(again.expect("again"), Stored::Already);
    let new = bed.store.put_new(&place("b"), content(2, 10), How::Fast).await;
    assert!(matches!(new, Ok(Stored::New { .. })));
}

#[tokio::test]
async fn a_check_says_how_it_is_and_leaves_nothing() {
    everywhere(async |bed| {
        let archive = crate::Archive::open(&bed.config).expect("open");
        let checked = archive.check().await.expect("check");
        assert_eq!(checked.encrypted, bed.config.key.is_some());
        assert!(checked.conditional);
        assert!(bed.store.list(&Place::probes()).await.expect("list").is_empty());
    })
    .await;
}

/// Stores list a thousand at a time, and delete no more at once.
#[tokio::test]
async fn long_lists_are_whole() {
    for kind in [Kind::Directory, Kind::S3] {
        let bed = Bed::new(kind, None).await;
        bed.store.put_new(&place("a/first"), content(1, 10), How::Fast).await.expect("put");
        let sealed = std::fs::read(bed.file(&place("a/first"))).expect("read");
        for number in 0..2300 {
            let file = bed.file(&place(&format!("a/{number:05}")));
            std::fs::write(file, &sealed).expect("write");
        }
        let listed = bed.store.list(&Place::timelines()).await.expect("list");
        let places: Vec<_> = listed.into_iter().map(|object| object.place).collect();
        let different: std::collections::BTreeSet<_> = places.iter().collect();
        assert_eq!((places.len(), different.len()), (2301, 2301), "{kind:?}");
        bed.store.delete(&places).await.expect("delete");
        assert_eq!(bed.store.list(&Place::timelines()).await.expect("list"), []);
    }
}

#[tokio::test]
async fn settings_that_do_not_suffice_are_told_at_once() {
    let azure = Config::parse("az://container/x?account=somebody", None).expect("parse");
    assert!(Store::open(&azure).is_ok());
    let google = Config::parse("gs://bucket/x", None).expect("parse");
    assert!(Store::open(&google).is_ok());
    let nowhere = Location::Directory("/proc/nowhere".into());
    let error = Store::open(&Config { location: nowhere, key: None }).expect_err("no place");
    assert!(error.to_string().contains("/proc/nowhere"), "{error}");
}
