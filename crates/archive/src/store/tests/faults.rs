use std::time::Instant;

use howdah_testkit::faults::{Fault, Proxy};

use super::*;

/// Short enough that a store which hangs does not hold up the tests.
const HASTY: Duration = Duration::from_millis(700);

struct Line {
    _server: S3,
    proxy: Proxy,
    store: Store,
    direct: Store,
}

impl Line {
    async fn new() -> Self {
        let server = S3::start().await;
        let proxy = Proxy::start(server.address()).await;
        let store = Store::open_with(&at(proxy.address()), HASTY).expect("open");
        let direct = Store::open(&at(server.address())).expect("open");
        // The format is there, and is not asked for again.
        store.put_new(&place("first"), content(1, 10), How::Fast).await.expect("put");
        Self { _server: server, proxy, store, direct }
    }
}

const PASSING: [Fault; 7] = [
    Fault::Drop,
    Fault::Answer(500, ""),
    Fault::Answer(503, ""),
    Fault::CutUp(700),
    Fault::CutUp(60_000),
    Fault::CutDown(20),
    Fault::Hang,
];

#[tokio::test]
async fn a_put_outlives_what_passes() {
    let line = Line::new().await;
    for (number, fault) in PASSING.into_iter().enumerate() {
        let place = place(&format!("put-{number}"));
        let put = content(number as u32, 200_000);
        line.proxy.fail_times(fault, 1);
        let outcome = line.store.put_new(&place, put.clone(), How::Fast).await;
        // An answer that was lost makes it look as if somebody else had put it.
        assert!(outcome.is_ok(), "{fault:?}: {outcome:?}");
        assert_eq!(line.proxy.met(), 1, "{fault:?}");
        assert_eq!(line.direct.get(&place).await.expect("get"), put, "{fault:?}");
    }
}

#[tokio::test]
async fn a_get_outlives_what_passes() {
    let line = Line::new().await;
    let put = content(5, 400_000);
    line.direct.put_new(&place("a"), put.clone(), How::Fast).await.expect("put");
    let in_the_body = [Fault::CutDown(1000), Fault::CutDown(300_000)];
    for fault in PASSING.into_iter().chain(in_the_body) {
        line.proxy.fail_times(fault, 1);
        let got = line.store.get(&place("a")).await;
        assert!(
            got.as_ref().is_ok_and(|got| *got == put),
            "{fault:?}: {:?}",
            got.map(|got| got.len())
        );
        assert_eq!(line.proxy.met(), 1, "{fault:?}");
        line.proxy.fail_times(fault, 1);
        let listed = line.store.list(&Place::timelines()).await;
        assert_eq!(listed.map(|listed| listed.len()).ok(), Some(2), "{fault:?}");
        line.proxy.fail_times(fault, 1);
        line.store.delete(&[place("never")]).await.expect("delete");
    }
}

#[tokio::test]
async fn what_does_not_pass_ends_in_an_error_within_a_bound() {
    let line = Line::new().await;
    for fault in [Fault::Drop, Fault::Answer(503, ""), Fault::CutUp(100), Fault::Hang] {
        line.proxy.fail(fault);
        let begun = Instant::now();
        let put = line.store.put_new(&place("b"), content(1, 100_000), How::Fast).await;
        let error = put.expect_err("the store is away");
        assert!(matches!(error, Error::Unavailable { .. }) && error.is_transient(), "{error:?}");
        assert!(error.to_string().contains("s3://archive/howdah"), "{error}");
        let got = line.store.get(&place("first")).await;
        assert!(matches!(got, Err(Error::Unavailable { .. })), "{fault:?}: {got:?}");
        // Four times a patience that grows with the size, and pauses; twice.
        assert!(begun.elapsed() < Duration::from_secs(30), "{fault:?}: {:?}", begun.elapsed());
    }
    line.proxy.fail(Fault::None);
    assert!(!line.direct.exists(&place("b")).await.expect("exists"));
    line.store.put_new(&place("b"), content(1, 10), How::Fast).await.expect("put");
}

#[tokio::test]
async fn half_an_object_is_never_seen() {
    let line = Line::new().await;
    for bytes in [1000, 50_000, 150_000] {
        line.proxy.fail(Fault::CutUp(bytes));
        let put = line.store.put_new(&place("half"), content(1, 200_000), How::Plain).await;
        assert!(matches!(put, Err(Error::Unavailable { .. })), "{put:?}");
        assert!(line.proxy.met() >= 4, "{bytes}");
        assert!(!line.direct.exists(&place("half")).await.expect("exists"), "{bytes}");
        assert_eq!(line.direct.list(&Place::timelines()).await.expect("list").len(), 1);
    }
}

#[tokio::test]
async fn a_slow_line_is_waited_for() {
    let line = Line::new().await;
    line.proxy.fail(Fault::Delay(Duration::from_millis(150)));
    // Many pieces of 64 KiB: longer in all than the patience for a short call.
    let put = content(5, 600_000);
    line.store.put_new(&place("slow"), put.clone(), How::Plain).await.expect("put");
    assert_eq!(line.store.get(&place("slow")).await.expect("get"), put);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_without_secrets() {
    let server = S3::start().await;
    let url = server.url();
    let config = Config::parse(&url, None).expect("parse");
    for (id, secret) in [(ACCESS_KEY_ID, "hunter2-hunter2"), ("AKIANOBODY", SECRET_ACCESS_KEY)] {
        let store = Store::open(&config.clone().with_credentials(id, secret)).expect("open");
        let begun = Instant::now();
        let error = store.put_new(&place("a"), content(1, 10), How::Fast).await;
        let error = error.expect_err("not let in");
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        let shown = format!("{error} {error:?} {store:?}");
        assert!(!shown.contains(secret), "{shown}");
        assert!(begun.elapsed() < Duration::from_secs(5), "it was tried again");
    }
}

/// s3s-fs makes buckets up as they are named, so the answer of S3 is given by hand.
#[tokio::test]
async fn a_bucket_that_is_not_there_is_told() {
    let server = S3::start().await;
    let proxy = Proxy::start(server.address()).await;
    let answer = "<Error><Code>NoSuchBucket</Code></Error>";
    proxy.fail(Fault::Answer(404, answer));
    let store = Store::open(&at(proxy.address())).expect("open");
    let error = store.put_new(&place("a"), content(1, 10), How::Fast).await.expect_err("none");
    assert!(matches!(error, Error::NoStore { .. }), "{error:?}");
    assert!(error.to_string().starts_with("s3://archive/howdah does not exist"), "{error}");
    let listed = store.list(&Place::timelines()).await;
    assert!(matches!(listed, Err(Error::NoStore { .. })), "{listed:?}");
}

#[tokio::test]
async fn a_server_that_dies_is_an_error_that_passes() {
    let mut server = S3::start().await;
    let store = Store::open_with(&at(server.address()), HASTY).expect("open");
    store.put_new(&place("a"), content(1, 10), How::Fast).await.expect("put");
    server.kill();
    let put = store.put_new(&place("b"), content(1, 10), How::Fast).await;
    assert!(matches!(put, Err(Error::Unavailable { .. })), "{put:?}");
}
