use std::fs;

use super::*;

/// Whatever bit of what lies in the store changes, it is either found or means nothing.
#[tokio::test]
async fn damage_is_found_and_named() {
    for kind in [Kind::Directory, Kind::S3] {
        for key in [None, Some(KEY)] {
            let bed = Bed::new(kind, key).await;
            let place = place("a");
            let put = content(3, 2000);
            bed.store.put_new(&place, put.clone(), How::Fast).await.expect("put");
            let file = bed.file(&place);
            let sound = fs::read(&file).expect("read");
            for at in [0, 6, 7, 8, 15, 20, 47, 50, sound.len() / 2, sound.len() - 1] {
                let mut bad = sound.clone();
                bad[at] ^= 0x41;
                fs::write(&file, bad).expect("write");
                match bed.store.get(&place).await {
                    Err(error) => assert!(error.to_string().contains("timelines/x/a"), "{error}"),
                    Ok(_) => panic!("{kind:?}: byte {at}"),
                }
                // Nor is it taken for what somebody wants to put.
                let again = bed.store.put_new(&place, put.clone(), How::Fast).await;
                assert!(again.is_err(), "{kind:?}: byte {at}");
            }
            fs::write(&file, &sound[..sound.len() - 7]).expect("write");
            assert!(matches!(bed.store.get(&place).await, Err(Error::Corrupt { .. })));
            fs::write(&file, b"").expect("write");
            assert!(matches!(bed.store.get(&place).await, Err(Error::Corrupt { .. })));
            fs::write(&file, &sound).expect("write");
            assert_eq!(bed.store.get(&place).await.expect("get"), put);
        }
    }
}

/// An encrypted object does not open under another's name.
#[tokio::test]
async fn objects_cannot_be_exchanged() {
    let bed = Bed::new(Kind::Directory, Some(KEY)).await;
    let (a, b) = (place("a"), place("b"));
    bed.store.put_new(&a, content(1, 2000), How::Fast).await.expect("put");
    bed.store.put_new(&b, content(2, 2000), How::Fast).await.expect("put");
    fs::copy(bed.file(&b), bed.file(&a)).expect("copy");
    assert!(matches!(bed.store.get(&a).await, Err(Error::Corrupt { .. })));
}

#[tokio::test]
async fn a_damaged_format_stops_everything() {
    let bed = Bed::new(Kind::Directory, None).await;
    bed.store.put_new(&place("a"), content(1, 10), How::Fast).await.expect("put");
    for bad in [&b""[..], b"{}", b"\xff", br#"{"howdah_archive":"1"}"#] {
        fs::write(bed.file(&Place::format()), bad).expect("write");
        let got = bed.another().get(&place("a")).await;
        assert!(matches!(got, Err(Error::Corrupt { .. })), "{got:?}");
    }
}

#[tokio::test]
async fn what_we_may_not_write_is_told() {
    let bed = Bed::new(Kind::Directory, None).await;
    bed.store.put_new(&place("a"), content(1, 10), How::Fast).await.expect("put");
    // A file where a directory must be.
    fs::write(bed.directory.join("timelines/y"), b"").expect("write");
    let put = bed.store.put_new(&Place::listed("timelines/y/a"), content(1, 10), How::Fast).await;
    let error = put.expect_err("refused").to_string();
    assert!(error.contains("timelines/y/a") && error.contains("archive"), "{error}");
}
