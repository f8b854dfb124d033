//! Logical copies with real clusters and a real archive.

use howdah_model::ids::TransferId;
use howdah_model::transfer::{From, Into, TransferObservation, TransferSpec, TransferState};

use super::*;

impl Agent {
    pub(crate) async fn transfer(&self, spec: &TransferSpec) -> reqwest::Response {
        let url = format!("http://agent/transfers/{}", spec.id);
        self.http.put(url).json(spec).send().await.unwrap()
    }

    /// Tells a transfer and waits for its end.
    pub(crate) async fn transferred(&self, spec: &TransferSpec) -> TransferObservation {
        let response = self.transfer(spec).await;
        assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap());
        self.wait_transfer(spec.id, "it ends", |one| {
            !matches!(one.state, TransferState::Waiting | TransferState::Running)
        })
        .await
    }

    pub(crate) async fn wait_transfer(
        &self,
        id: TransferId,
        what: &str,
        holds: impl Fn(&TransferObservation) -> bool,
    ) -> TransferObservation {
        let begin = Instant::now();
        let mut seen = self.observe(None).await;
        loop {
            let one = seen.transfers.iter().find(|one| one.id == id);
            if let Some(one) = one.filter(|one| holds(one)) {
                return one.clone();
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "not that {what}: {one:?}");
            seen = self.observe(Some(seen.change)).await;
        }
    }

    pub(crate) async fn dump(&self, id: TransferId, range: Option<&str>) -> reqwest::Response {
        let mut request = self.http.get(format!("http://agent/dumps/{id}"));
        if let Some(range) = range {
            request = request.header("range", range);
        }
        request.send().await.unwrap()
    }
}

pub(crate) fn capture(spec: &ParticipantSpec, tenant: &Tenant) -> TransferSpec {
    TransferSpec {
        id: TransferId::new(),
        wanted: Wanted::Present,
        from: database(spec, tenant),
        into: Into::Archive,
        jobs: 2,
    }
}

pub(crate) fn database(spec: &ParticipantSpec, tenant: &Tenant) -> From {
    From::Database {
        participant: spec.id,
        database: tenant.name.clone(),
        owner: tenant.spec.owner.clone(),
    }
}

/// E6: a dump is `pg_dump`'s custom format; it is there once it is complete, as a whole and in parts,
/// and gone when it is deleted.
#[tokio::test]
async fn e6_a_capture_is_a_dump_in_the_custom_format() {
    let major = majors().pop().unwrap();
    let mut agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let tenant = Tenant::new("one");
    let spec = spec(&major, &[&tenant]);
    let seen = agent.put_and_wait(&spec).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    session
        .ask("create table t as select n, md5(n::text) from generate_series(1, 9999) n")
        .await
        .unwrap();
    session.ask("create table kept (x int); alter table kept enable row level security; alter table kept force row level security").await.unwrap();
    session.ask("select lo_from_bytea(0, 'large')").await.unwrap();

    let capture = capture(&spec, &tenant);
    let done = agent.transferred(&capture).await;
    assert_eq!(done.state, TransferState::Done, "{done:?}");
    let made = done.made.clone().unwrap();
    assert_eq!((made.tables, made.warnings, made.major), (2, 0, Some(major.version.major)));
    assert!(made.dump_bytes > 0 && made.dump_bytes < made.source_bytes, "{made:?}");

    let response = agent.dump(capture.id, None).await;
    assert_eq!(response.headers()["content-length"], made.dump_bytes.to_string().as_str());
    let whole = response.bytes().await.unwrap();
    assert_eq!((whole.len() as u64, &whole[..5]), (made.dump_bytes, &b"PGDMP"[..]));
    let part = agent.dump(capture.id, Some("bytes=100-")).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.unwrap(), whole[100..]);
    let beyond = agent.dump(capture.id, Some(&format!("bytes={}-", whole.len()))).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let platform = Connection::open(&seen.socket_dir, "postgres", Limits::WORK).await.unwrap();
    let left = "select from pg_roles where starts_with(rolname, 'howdah_transfer')";
    assert!(platform.rows(left, &[]).await.unwrap().is_empty(), "the role goes");

    // What is done is found again by an agent that knows nothing of it.
    agent.end().await;
    agent.begin().await;
    let again = agent.transferred(&capture).await;
    assert_eq!((again.state, again.made), (TransferState::Done, Some(made)));
    let url = format!("http://agent/dumps/{}", capture.id);
    for _ in 0..2 {
        let deleted = agent.http.delete(&url).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(agent.dump(capture.id, None).await.status(), StatusCode::NOT_FOUND);
    let left = agent
        .archived()
        .into_iter()
        .filter(|path| path.starts_with(agent.home().join("archive/dumps")));
    assert_eq!(left.count(), 0);
}
