//! Commands that run psql, against a real PostgreSQL that takes TLS connections only.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub(super) use super::server::Server;
use super::*;

impl Server {
    /// A platform whose app has this server's database as its primary.
    pub(super) fn platform(&self) -> Platform {
        let url = format!("postgres://u1:p1@127.0.0.1:{}/postgres", self.port);
        Platform::with(&[
            ("GET /apps/demo/addon-attachments", 200, json!([attachment("DATABASE", GOLD)])),
            ("GET /apps/demo/config-vars", 200, json!({ "DATABASE_URL": url })),
        ])
    }

    /// Something that runs on the server until it is killed.
    pub(super) fn session(&self, name: &str, sql: &str) -> Child {
        self.psql("postgres")
            .args(["-c", sql])
            .env("PGAPPNAME", name)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql runs")
    }
}

/// Runs what a call becomes, with something on standard input.
fn carried_out(platform: &Platform, line: &str, input: &str) -> (String, String, Option<i32>) {
    use std::io::Write as _;
    let End::Become(mut program) = platform.end(line) else { panic!("becomes psql") };
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("psql runs");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("writes");
    let output = child.wait_with_output().expect("psql ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// The pids that `pg:ps --json` shows for a name.
fn pids(platform: &Platform, name: &str) -> Vec<u64> {
    let said = platform.howdah("pg:ps -v -a demo --json");
    let from = said.find('{').expect("JSON");
    let to = said.rfind('}').expect("JSON") + 1;
    let all: Value = serde_json::from_str(&said[from..to]).expect("JSON");
    let rows = all["data"].as_array().expect("rows").iter();
    rows.filter(|row| row["source"] == name).filter_map(|row| row["pid"].as_u64()).collect()
}

/// Waits until `pg:ps` shows a session of this name.
pub(super) fn pid(platform: &Platform, name: &str) -> u64 {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let [pid] = pids(platform, name)[..] {
            return pid;
        }
        assert!(Instant::now() < until, "the session {name} does not show");
    }
}

#[test]
fn d9_d10_sql_comes_by_pipe_option_or_file_over_tls_and_the_exit_code_is_psqls() {
    let server = Server::start();
    let platform = server.platform();
    let (out, err, code) = carried_out(&platform, "pg:psql -a demo", "select 41+1;\n\\echo meta\n");
    assert!(out.contains("42") && out.contains("meta") && code == Some(0), "{out}{err}");
    let sql = "select ssl, application_name from pg_stat_ssl join pg_stat_activity using (pid) \
               where pid = pg_backend_pid()";
    let (out, err, _) = carried_out(&platform, &format!("pg:psql -a demo -c '{sql}'"), "");
    assert!(out.contains("t   | psql non-interactive"), "{out}{err}");
    let (_, err, code) = carried_out(&platform, "pg:psql -a demo -c 'select 1/0'", "");
    assert!(err.contains("division by zero") && code == Some(1), "{err}");
    let file = platform.home.path().join("file.sql");
    std::fs::write(&file, "select 'from ' || 'a file';\n").expect("writes");
    let line = format!("psql -a demo -f {}", file.display());
    assert!(carried_out(&platform, &line, "").0.contains("from a file"));
}

#[test]
fn d19_d20_d21_d22_queries_are_listed_cancelled_and_their_sessions_ended() {
    let server = Server::start();
    let platform = server.platform();
    let sleeping = server.session("sleeper", "select pg_sleep(60)");
    let holder = pid(&platform, "sleeper");
    let said = platform.howdah("pg:ps -a demo");
    let header: Vec<_> = said.lines().nth(1).expect("a header").split('|').map(str::trim).collect();
    for column in ["pid", "state", "source", "running_for", "waiting", "query"] {
        assert!(header.contains(&column), "{said}");
    }
    assert!(said.contains("(1 row)") && said.contains(&holder.to_string()), "{said}");
    assert!(said.contains("pg_sleep") && said.ends_with("exit 0"), "{said}");

    let said = platform.howdah(&format!("pg:kill {holder} -a demo"));
    assert!(said.contains("pg_cancel_backend") && said.contains(" t\n"), "{said}");
    let output = sleeping.wait_with_output().expect("ends");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("canceling statement due to user request"), "{error}");

    let sleeping = server.session("second", "select pg_sleep(60)");
    let holder = pid(&platform, "second");
    let said = platform.howdah(&format!("pg:kill {holder} --force -a demo --json=done"));
    assert!(said.contains("\"done\": true"), "{said}");
    let output = sleeping.wait_with_output().expect("ends");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("terminating connection due to administrator command"), "{error}");

    let said = platform.howdah("pg:kill 1 -a demo");
    assert!(said.contains(" f\n") && said.contains("WARNING"), "{said}");
}

#[test]
fn a_psql_that_cannot_connect_tells_why_and_the_call_fails() {
    let server = Server::start();
    let url = format!("postgres://u1:wrong@127.0.0.1:{}/postgres", server.port);
    let platform = Platform::with(&[
        ("GET /apps/demo/addon-attachments", 200, json!([attachment("DATABASE", GOLD)])),
        ("GET /apps/demo/config-vars", 200, json!({ "DATABASE_URL": url })),
    ]);
    let said = platform.howdah("pg:ps -a demo");
    assert!(said.contains("password authentication failed") && said.ends_with("exit 1"), "{said}");
    let said = platform.howdah("pg:ps -a demo --json");
    assert!(said.contains("\"code\": \"psql-failed\"") && said.ends_with("exit 1"), "{said}");
}
