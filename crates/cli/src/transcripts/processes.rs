use insta::assert_snapshot;

use super::*;

fn dyno(name: &str, kind: &str, command: &str, state: &str) -> Value {
    json!({
        "id": format!("id-{name}"), "name": name, "type": kind, "command": command, "size": "Basic",
        "state": state, "release": { "id": "r-7", "version": 7 }, "attach_url": null,
        "app": { "id": "id-demo", "name": "demo" },
        "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
    })
}

fn process(kind: &str, quantity: u32, size: &str) -> Value {
    json!({
        "id": format!("id-{kind}"), "type": kind, "command": format!("bin/{kind}"),
        "quantity": quantity, "size": size, "app": { "id": "id-demo", "name": "demo" },
        "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
    })
}

fn platform() -> Platform {
    let dynos = json!([
        dyno("run.1234", "run", "bin/console", "up"),
        dyno("web.1", "web", "bin/web", "up"),
        dyno("web.2", "web", "bin/web", "crashed"),
    ]);
    let formation = json!([process("web", 2, "Basic"), process("worker", 0, "2X")]);
    Platform::with(&[
        ("GET /apps/demo/dynos", 200, dynos),
        ("GET /apps/empty/dynos", 200, json!([])),
        ("GET /apps/demo/formation", 200, formation.clone()),
        ("PATCH /apps/demo/formation", 200, formation),
        ("DELETE /apps/demo/dynos", 202, json!({})),
        ("DELETE /apps/demo/dynos/web.1", 202, json!({})),
        ("DELETE /apps/demo/formations/web", 202, json!({})),
        ("POST /apps/demo/dynos/run.1234/actions/stop", 202, json!({})),
        ("POST /apps/demo/dynos", 201, dyno("run.7", "run", "bin/nightly", "starting")),
    ])
}

#[test]
fn ps_lists_processes_by_type() {
    let platform = platform();
    assert_snapshot!(platform.howdah("ps -a demo"), @r"
    $ howdah ps -a demo
    === run: one-off processes (1)

    run.1234: up 2026-01-02T03:04:05Z: bin/console

    === web (Basic): bin/web (2)

    web.1: up 2026-01-02T03:04:05Z
    web.2: crashed 2026-01-02T03:04:05Z
    exit 0
    ");
    assert_snapshot!(platform.howdah("ps -a empty"), @r"
    $ howdah ps -a empty
    2> No dynos on empty; run them: `howdah runner DIR -a empty`
    exit 0
    ");
    assert_snapshot!(platform.howdah("ps --json=name,state -a demo"), @r#"
    $ howdah ps --json=name,state -a demo
    {
      "data": [
        {
          "name": "run.1234",
          "state": "up"
        },
        {
          "name": "web.1",
          "state": "up"
        },
        {
          "name": "web.2",
          "state": "crashed"
        }
      ],
      "meta": {
        "request_id": "req-1"
      },
      "schema": "howdah.v1/dynos"
    }
    exit 0
    "#);
    assert_snapshot!(platform.howdah("ps:type -a demo"), @r"
    $ howdah ps:type -a demo
    === Process Types

    Type    Size   Qty  Command
    web     Basic  2    bin/web
    worker  2X     0    bin/worker
    exit 0
    ");
}

#[test]
fn b17_scaling_prints_both_of_herokus_lines() {
    let platform = platform();
    assert_snapshot!(platform.howdah("ps:scale web=2 -a demo"), @r"
    $ howdah ps:scale web=2 -a demo
    2> Scaling web dynos... done, now running 2
    exit 0
    ");
    assert_snapshot!(platform.howdah("ps:scale worker=0:2X -a demo"), @r"
    $ howdah ps:scale worker=0:2X -a demo
    2> Scaling dynos... done, now running worker at 0:2X
    exit 0
    ");
    assert_snapshot!(platform.howdah("ps:scale web+1 worker-1 -a demo"), @r"
    $ howdah ps:scale web+1 worker-1 -a demo
    2> Scaling dynos... done, now running web at 2:Basic, worker at 0:2X
    exit 0
    ");
    assert_snapshot!(platform.howdah("scale -a demo"), @r"
    $ howdah scale -a demo
    web=2:Basic worker=0:2X
    exit 0
    ");
    assert_snapshot!(platform.howdah("ps:scale web -a demo"), @r"
    $ howdah ps:scale web -a demo
    2>  !    `web` is not TYPE=NUMBER, TYPE+NUMBER or TYPE-NUMBER, such as web=2 or worker+1
    exit 2
    ");
    assert_eq!(
        platform.changes(),
        [
            r#"PATCH /apps/demo/formation {"updates":[{"quantity":"2","type":"web"}]}"#,
            r#"PATCH /apps/demo/formation {"updates":[{"quantity":"0","size":"2X","type":"worker"}]}"#,
            r#"PATCH /apps/demo/formation {"updates":[{"quantity":"+1","type":"web"},{"quantity":"-1","type":"worker"}]}"#,
        ]
    );
}

#[test]
fn restarting_and_stopping_name_all_a_type_or_one() {
    let platform = platform();
    assert_snapshot!(platform.howdah("ps:restart -a demo"), @r"
    $ howdah ps:restart -a demo
    2> Restarting all dynos on demo... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("restart web.1 -a demo"), @r"
    $ howdah restart web.1 -a demo
    2> Restarting dyno web.1 on demo... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("ps:restart -p web -a demo"), @r"
    $ howdah ps:restart -p web -a demo
    2> Restarting all web dynos on demo... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("ps:stop run.1234 -a demo"), @r"
    $ howdah ps:stop run.1234 -a demo
    2> Stopping dyno run.1234 on demo... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("ps:stop -a demo"), @r"
    $ howdah ps:stop -a demo
    2>  !    Which process shall stop? `howdah ps:stop web.1`, or a type
    exit 2
    ");
}

#[test]
fn b27_a_one_off_process_is_started_or_told_why_not() {
    let platform = platform();
    assert_snapshot!(platform.howdah("run:detached -a demo bin/nightly --all"), @r"
    $ howdah run:detached -a demo bin/nightly --all
    2> Running bin/nightly --all on demo... done, run.7
    2> its output: `howdah logs -p run.7 -a demo`
    exit 0
    ");
    assert_snapshot!(platform.howdah("run -a demo"), @r"
    $ howdah run -a demo
    2>  !    What shall be run? `howdah run COMMAND`, such as `howdah run bash`
    exit 2
    ");
    let message = "No runner is there for demo. Start one where its Procfile is with `howdah runner \
                   DIR -a demo`, or run the command on your machine with `howdah run --local`.";
    let refused = json!({ "id": "invalid_params", "message": message });
    let alone = Platform::with(&[
        ("POST /apps/demo/dynos", 422, refused),
        ("GET /apps/demo/config-vars", 200, json!({ "A": "1" })),
    ]);
    assert_snapshot!(alone.howdah("run -a demo -- psql '$DATABASE_URL' -c 'select 1'"), @r#"
    $ howdah run -a demo -- psql '$DATABASE_URL' -c 'select 1'
    2> Running psql $DATABASE_URL -c "select 1" on demo... failed
    2>  !    No runner is there for demo. Start one where its Procfile is with `howdah runner DIR -a demo`, or run the command on your machine with `howdah run --local`.
    exit 1
    "#);
    assert_eq!(
        alone.changes(),
        [
            r#"POST /apps/demo/dynos {"attach":true,"command":"psql $DATABASE_URL -c \"select 1\"","env":{},"stream":{"terminal":null},"type":"run"}"#
        ]
    );
    assert_snapshot!(alone.howdah("run --local -a demo -- echo '$A' -n"), @r"
    $ howdah run --local -a demo -- echo '$A' -n
    becomes sh -c echo $A -n
    ");
}

#[test]
fn b15_a_runner_and_local_need_a_procfile() {
    let platform = platform();
    assert_snapshot!(platform.howdah("runner -a demo"), @r"
    $ howdah runner -a demo
    2>  !    /home/dev/Procfile: No such file or directory (os error 2)
    2>  !    A Procfile has a line for each process type, such as `web: bin/server`
    exit 2
    ");
    std::fs::write(platform.home.path().join("Procfile"), "web bin/web\n").expect("write");
    assert_snapshot!(platform.howdah("local"), @r"
    $ howdah local
    2>  !    /home/dev/Procfile: line 1 of the Procfile is not `type: command`
    exit 2
    ");
    std::fs::write(platform.home.path().join("Procfile"), "web: bin/web\n").expect("write");
    assert_snapshot!(platform.howdah("local worker"), @r"
    $ howdah local worker
    2>  !    The Procfile has no process type `worker`
    exit 3
    ");
    let held = "The processes of demo are run by the runner other. Stop that one first; when its \
                machine is gone, try again after 45 seconds.";
    let held = json!({ "id": "conflict", "message": held });
    let platform = Platform::with(&[("PUT /howdah/v1/apps/demo/runner/here", 409, held)]);
    std::fs::write(platform.home.path().join("Procfile"), "web: bin/web\n").expect("write");
    assert_snapshot!(platform.howdah("runner -a demo --name here"), @r"
    $ howdah runner -a demo --name here
    2>  !    The processes of demo are run by the runner other. Stop that one first; when its machine is gone, try again after 45 seconds.
    exit 6
    ");
}

#[test]
fn b24_logs_show_a_stream_until_its_end() {
    let stream = "data: 2026-01-01T00:00:00.000000+00:00 app[web.1]: one\nid: 1\n\n\
                  :alive\n\ndata: 2026-01-01T00:00:01.000000+00:00 heroku[api]: two\nid: 2\n\n";
    let serve = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let serve = serve.expect("a runtime");
    let listener = serve.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let at = listener.local_addr().expect("an address");
    let events =
        axum::Router::new().route("/logs/s", axum::routing::get(move || async move { stream }));
    serve.spawn(async move { axum::serve(listener, events).await });
    let url = json!({ "logplex_url": format!("http://{at}/logs/s") });
    let platform = Platform::with(&[("POST /apps/demo/log-sessions", 201, url)]);
    assert_snapshot!(platform.howdah("logs -a demo"), @r"
    $ howdah logs -a demo
    2026-01-01T00:00:00.000000+00:00 app[web.1]: one
    2026-01-01T00:00:01.000000+00:00 heroku[api]: two
    exit 0
    ");
    assert_snapshot!(platform.howdah("logs -n 5 -s app -p web --json -a demo"), @r#"
    $ howdah logs -n 5 -s app -p web --json -a demo
    {
      "data": [
        {
          "line": "2026-01-01T00:00:00.000000+00:00 app[web.1]: one"
        },
        {
          "line": "2026-01-01T00:00:01.000000+00:00 heroku[api]: two"
        }
      ],
      "meta": {
        "request_id": "req-1"
      },
      "schema": "howdah.v1/logs"
    }
    exit 0
    "#);
    assert_eq!(
        platform.changes(),
        [
            r#"POST /apps/demo/log-sessions {"lines":100,"tail":false}"#,
            r#"POST /apps/demo/log-sessions {"dyno":"web","lines":5,"source":"app","tail":false}"#,
        ]
    );
    serve.shutdown_background();
}
