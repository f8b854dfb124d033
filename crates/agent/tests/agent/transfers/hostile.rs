//! Dumps and addresses that somebody gives to do harm, or that are just bad.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode as Status, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use howdah_model::secret::Secret;

use super::*;

/// What a web server of a stranger does.
struct Stranger {
    at: String,
    _serving: JoinSet<()>,
}

impl Stranger {
    async fn new(dump: Bytes) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let broken = dump.clone();
        let short = dump.slice(..dump.len() - 200);
        let junk = Bytes::from([&dump[..11], &[0xff; 500]].concat());
        let router = axum::Router::new()
            .route("/good", get(async move || dump))
            .route("/moved", get(async || Redirect::temporary("/good")))
            .route("/breaks", get(async move |headers| breaks(&headers, &broken)))
            .route("/short", get(async move || short))
            .route("/junk", get(async move || junk))
            .route("/nothing", get(async || ""))
            .route("/page", get(async || axum::response::Html("<html>Sign in</html>")))
            .route("/expired", get(async || Status::FORBIDDEN))
            .route("/endless", get(endless))
            .route(
                "/large",
                get(async || {
                    (
                        [(header::CONTENT_LENGTH, 1_u64 << 50)],
                        Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
                    )
                }),
            )
            .route("/round", get(async || Redirect::temporary("/round")))
            .route("/inside", get(async || Redirect::temporary("http://169.254.169.254/meta")))
            .route("/file", get(async || Redirect::temporary("file:///etc/passwd")));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { at, _serving: serving }
    }

    fn url(&self, path: &str) -> From {
        From::Web { url: Secret::new(format!("{}{path}", self.at)) }
    }
}

/// A dump, as it seems, that has no end and does not say how long it is.
async fn endless() -> Response {
    let begin = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"PGDMP"))]);
    let zeros = Bytes::from(vec![0; 1 << 20]);
    Body::from_stream(begin.chain(stream::repeat_with(move || Ok(zeros.clone())))).into_response()
}

/// Sends a third and breaks off; whoever goes on gets the rest.
fn breaks(headers: &HeaderMap, dump: &Bytes) -> Response {
    let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap().to_owned());
    let Some(from) = range.and_then(|range| range[6..].strip_suffix('-')?.parse::<usize>().ok())
    else {
        let third = stream::iter([Ok(dump.slice(..dump.len() / 3))]);
        // What was said before is sent while nothing more comes.
        let end = stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(std::io::Error::other("broken"))
        });
        let body = Body::from_stream(third.chain(end));
        return ([(header::CONTENT_LENGTH, dump.len().to_string())], body).into_response();
    };
    let range = format!("bytes {from}-{}/{}", dump.len() - 1, dump.len());
    (Status::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range)], dump.slice(from..)).into_response()
}

/// What a dump can say instead of what `pg_dump` has written. Comments are only tried, so all of it
/// is said.
const EVIL: &[&str] = &[
    "RESET ROLE; CREATE ROLE hacked SUPERUSER",
    "SET SESSION AUTHORIZATION howdah; CREATE ROLE hacked SUPERUSER",
    "RESET SESSION AUTHORIZATION; ALTER ROLE u_one SUPERUSER",
    "SET ROLE u_one; CREATE TABLE as_owner (x int)",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "CREATE EXTENSION pageinspect",
    "CREATE EXTENSION file_fdw",
    "COPY (SELECT 1) TO PROGRAM 'touch /tmp/howdah-was-hacked'",
    "DROP DATABASE d_one WITH (FORCE)",
    "ALTER DATABASE d_one ALLOW_CONNECTIONS false",
    "ALTER ROLE u_one SET search_path = evil",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "SELECT pg_read_file('/etc/passwd')",
    "DROP EVENT TRIGGER howdah_extension_guard",
];

/// Puts other statements in the place of comments; they have blanks enough for it.
fn corrupted(dump: &[u8]) -> Vec<u8> {
    let mut dump = dump.to_vec();
    for (number, evil) in EVIL.iter().enumerate() {
        let begin = format!("COMMENT ON FUNCTION public.f{number}() IS '");
        let at = dump.windows(begin.len()).position(|bytes| bytes == begin.as_bytes());
        let at = at.unwrap_or_else(|| panic!("no comment {number}"));
        let length = begin.len() + 200;
        let text = format!("{evil}; --{}", " ".repeat(length - evil.len() - 4));
        dump[at..at + length].copy_from_slice(text.as_bytes());
    }
    dump
}

/// Nobody has a right that it had not, and nothing is set.
async fn not_hacked(seen: &ParticipantObservation) {
    let platform = Connection::open(&seen.socket_dir, "postgres", Limits::WORK).await.unwrap();
    let hacked = "select rolname::text from pg_roles where (rolsuper and rolname not in ('howdah')) or rolname = 'hacked' \
                  union select setconfig::text from pg_db_role_setting where setconfig::text ~ 'evil' \
                  union select name from pg_file_settings where sourcefile ~ 'auto.conf'";
    let hacked: Vec<String> =
        platform.rows(hacked, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(hacked, [""; 0]);
    assert!(!Path::new("/tmp/howdah-was-hacked").exists());
}

/// E21: a hostile dump becomes nobody, a bad one is told; the database stays as it was.
#[tokio::test]
async fn e21_hostile_and_bad_dumps_leave_the_database_as_it_was() {
    for major in majors() {
        let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
        let tenant = Tenant::new("one");
        let mut spec = spec(&major, &[&tenant]);
        let seen = agent.put_and_wait(&spec).await;
        let session = tenant.connect(&seen.socket_dir).await.unwrap();
        for number in 0..EVIL.len() {
            let function = format!(
                "create function f{number}() returns int language sql as 'select 1'; \
                 comment on function f{number}() is '{}'",
                "x".repeat(260)
            );
            session.ask(&function).await.unwrap();
        }
        session.ask("create table kept as select 42 as answer").await.unwrap();
        session
            .ask("create table noise as select gen_random_uuid() from generate_series(1, 2000)")
            .await
            .unwrap();
        let capture = capture(&spec, &tenant);
        assert_eq!(agent.transferred(&capture).await.state, TransferState::Done);
        let dump = agent.dump(capture.id, None).await.bytes().await.unwrap();
        session.ask("update kept set answer = 43").await.unwrap();

        let evil = Stranger::new(corrupted(&dump).into()).await;
        let restoring = restore(evil.url("/good"), &spec, &tenant);
        let done = agent.transferred(&restoring).await;
        assert_eq!(done.state, TransferState::Done, "{done:?}");
        let warnings = done.made.as_ref().unwrap().warnings;
        // Whatever of it does no harm may succeed.
        assert!(warnings as usize >= EVIL.len() - 2, "{done:?}");
        assert_eq!(session.ask("select answer from kept").await.unwrap(), "43");
        not_hacked(&seen).await;
        tenant.connect(&seen.socket_dir).await.unwrap();
        let absent = TransferSpec { wanted: Wanted::Absent, ..restoring };
        agent.transfer(&absent).await;
        agent
            .wait_transfer(absent.id, "it is taken back", |one| one.state == TransferState::Absent)
            .await;
        assert_eq!(left_over(&seen).await, [""; 0]);

        let stranger = Stranger::new(dump).await;
        for (path, why) in [
            ("/short", "end of file"),
            ("/junk", "not a dump that can be read"),
            ("/nothing", "but empty"),
            ("/page", "but a web page (HTML)"),
            ("/expired", "403 Forbidden; it may have expired"),
            ("/round", "redirected more than"),
            ("/inside", "`169.254.169.254` is not a public address"),
            ("/file", "it leads nowhere"),
        ] {
            let failed = agent.transferred(&restore(stranger.url(path), &spec, &tenant)).await;
            assert_eq!(failed.state, TransferState::Failed, "{path}: {failed:?}");
            let error = failed.error.unwrap();
            assert!(error.contains(why), "{path}: {error}");
            assert!(!error.contains("howdah_"), "{path}: {error}");
        }
        assert_eq!(left_over(&seen).await, [""; 0]);
        assert!(agent.home().join("transfers").read_dir().unwrap().next().is_none());
        assert_eq!(session.ask("select answer from kept").await.unwrap(), "43");

        for path in ["/moved", "/breaks"] {
            let restoring = restore(stranger.url(path), &spec, &tenant);
            let done = agent.transferred(&restoring).await;
            assert_eq!(done.state, TransferState::Done, "{path}: {done:?}");
            exchange(&mut spec, &tenant, restoring.id);
            agent.put_and_wait(&spec).await;
            let session = tenant.connect(&seen.socket_dir).await.unwrap();
            assert_eq!(session.ask("select answer from kept").await.unwrap(), "42");
        }
    }
}

/// E21: what has no room is refused before the disk is full, and the room is given back.
#[tokio::test]
async fn e21_a_dump_that_fills_the_disk_is_refused_before_it_is_full() {
    let major = majors().pop().unwrap();
    let home = Home::new();
    let Some(_small) = disk::Small::mount(home.path(), 700) else {
        eprintln!("left out: a file system can only be made by root");
        return;
    };
    let agent = Agent::start_in(home, std::slice::from_ref(&major), None).await;
    let tenant = Tenant::new("one");
    let spec = spec(&major, &[&tenant]);
    let seen = agent.put_and_wait(&spec).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    session.ask("create table kept as select 42 as answer").await.unwrap();
    let stranger = Stranger::new(Bytes::from_static(&[0; 500])).await;
    for path in ["/endless", "/large"] {
        let failed = agent.transferred(&restore(stranger.url(path), &spec, &tenant)).await;
        let error = failed.error.unwrap_or_default();
        assert!(error.contains("the disk has not enough room"), "{path}: {error}");
        assert!(agent.home().join("transfers").read_dir().unwrap().next().is_none());
    }
    session.ask("update kept set answer = 43").await.unwrap();
    assert!(agent.observe(None).await.disk < howdah_model::protection::DiskStage::ReadOnly);
    // Without an archive there is nowhere for a capture.
    let refused = agent.transfer(&capture(&spec, &tenant)).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
}
