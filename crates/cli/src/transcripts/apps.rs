use insta::assert_snapshot;

use super::*;

#[test]
fn apps_are_listed_by_owner_and_an_empty_list_says_what_to_do() {
    let mut other = app("other");
    other["owner"]["email"] = "b@example.com".into();
    other["region"]["name"] = "eu".into();
    let account = json!({ "id": "a-1", "email": "dev@example.com", "name": null });
    let platform = Platform::with(&[
        ("GET /apps", 200, json!([app("demo"), other])),
        ("GET /account", 200, account.clone()),
    ]);
    assert_snapshot!(platform.howdah("apps"), @r"
    $ howdah apps
    === dev@example.com Apps

    demo

    === Collaborated Apps

    App         Owner
    other (eu)  b@example.com
    exit 0
    ");
    assert_snapshot!(platform.howdah("apps --json=name,owner"), @r#"
    $ howdah apps --json=name,owner
    {
      "data": [
        {
          "name": "demo",
          "owner": {
            "email": "dev@example.com"
          }
        },
        {
          "name": "other",
          "owner": {
            "email": "b@example.com"
          }
        }
      ],
      "meta": {
        "request_id": "req-1"
      },
      "schema": "howdah.v1/apps"
    }
    exit 0
    "#);
    let platform = Platform::with(&[("GET /apps", 200, json!([])), ("GET /account", 200, account)]);
    assert_snapshot!(platform.howdah("apps"), @r"
    $ howdah apps
    2> You have no apps; make one: `howdah apps:create`
    exit 0
    ");
}

#[test]
fn b1_a_new_app_is_told_with_its_region_its_addresses_and_the_git_remote() {
    let platform =
        Platform::with(&[("POST /apps", 201, app("demo")), ("GET /apps/demo", 200, app("demo"))]);
    let git = |arguments: &[&str]| {
        let out = std::process::Command::new("git")
            .args(arguments)
            .current_dir(platform.home.path())
            .output()
            .expect("git runs");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    git(&["init", "-q"]);
    assert_snapshot!(platform.howdah("apps:create demo --region us"), @r"
    $ howdah apps:create demo --region us
    http://127.0.0.1:5080/apps/demo | http://127.0.0.1:5080/demo.git
    2> Creating demo... done, region is us
    2> Git remote heroku added
    exit 0
    ");
    assert_eq!(platform.changes(), [r#"POST /apps {"name":"demo","region":"us"}"#]);
    assert!(git(&["remote", "-v"]).contains("heroku\thttp://127.0.0.1:5080/demo.git"));
    // A8: from now on the directory names the app.
    assert_snapshot!(platform.howdah("maintenance"), @r"
    $ howdah maintenance
    off
    exit 0
    ");
}

#[test]
fn a15_errors_of_the_platform_are_passed_through_and_the_step_failed() {
    let taken = json!({ "id": "invalid_params", "message": "Name demo is already taken" });
    let platform = Platform::with(&[("POST /apps", 422, taken)]);
    assert_snapshot!(platform.howdah("create demo"), @r"
    $ howdah create demo
    2> Creating demo... failed
    2>  !    Name demo is already taken
    exit 1
    ");
    assert_snapshot!(platform.howdah("create demo --json"), @r#"
    $ howdah create demo --json
    {
      "error": {
        "code": "invalid-params",
        "hint": null,
        "message": "Name demo is already taken",
        "request_id": "req-1",
        "retryable": false
      },
      "schema": "howdah.v1/error"
    }
    2> Creating demo... failed
    exit 1
    "#);
}

#[test]
fn an_app_is_shown_with_what_belongs_to_it() {
    let people = json!([
        { "user": { "email": "dev@example.com" }, "role": "owner" },
        { "user": { "email": "b@example.com" }, "role": "collaborator" },
    ]);
    let platform = Platform::with(&[
        ("GET /apps/demo", 200, app("demo")),
        ("GET /apps/demo/addons", 200, json!([addon(GOLD, "provisioned", &["DATABASE_URL"])])),
        ("GET /apps/demo/collaborators", 200, people),
    ]);
    assert_snapshot!(platform.howdah("apps:info -a demo"), @r"
    $ howdah apps:info -a demo
    === demo

    Addons:         heroku-postgresql:standard-0
    Collaborators:  b@example.com
    Created:        2026-01-02T03:04:05Z
    Git URL:        http://127.0.0.1:5080/demo.git
    Maintenance:    off
    Owner:          dev@example.com
    Region:         us
    Stack:          heroku-24
    Web URL:        http://127.0.0.1:5080/apps/demo
    exit 0
    ");
    assert_snapshot!(platform.howdah("access -a demo"), @r"
    $ howdah access -a demo
    Account          Role
    dev@example.com  owner
    b@example.com    collaborator
    exit 0
    ");
}

#[test]
fn a13_a14_an_app_is_destroyed_only_when_its_name_was_typed() {
    let platform = Platform::with(&[
        ("GET /apps/demo", 200, app("demo")),
        ("DELETE /apps/id-demo", 200, app("demo")),
    ]);
    assert_snapshot!(platform.fed("apps:destroy -a demo", "nope\n"), @r#"
    $ howdah apps:destroy -a demo
    2>  !    WARNING: Destructive Action
    2>  !    This command will affect the app: demo
    2>  !    To proceed, type "demo" or re-run this command with --confirm demo
    2>
    2> >  !    Confirmation did not match demo. Aborted.
    exit 5
    "#);
    assert_snapshot!(platform.howdah("apps:destroy -a demo"), @r#"
    $ howdah apps:destroy -a demo
    2>  !    WARNING: Destructive Action
    2>  !    This command will affect the app: demo
    2>  !    To proceed, type "demo" or re-run this command with --confirm demo
    2>
    2> >
    2>  !    This command is destructive, and was not confirmed for demo
    2>  !    hint: run it with the confirmation: `howdah apps:destroy -a demo --confirm demo`
    exit 5
    "#);
    assert_snapshot!(platform.howdah("apps:destroy -a demo --no-input"), @r"
    $ howdah apps:destroy -a demo --no-input
    2>  !    This command is destructive, and was not confirmed for demo
    2>  !    hint: run it with the confirmation: `howdah apps:destroy -a demo --no-input --confirm demo`
    exit 5
    ");
    assert_snapshot!(platform.howdah("apps:destroy demo --confirm other"), @r"
    $ howdah apps:destroy demo --confirm other
    2>  !    Confirmation did not match demo. Aborted.
    exit 5
    ");
    assert!(platform.changes().is_empty());
    assert_snapshot!(platform.fed("apps:destroy -a demo", "demo\n"), @r#"
    $ howdah apps:destroy -a demo
    2>  !    WARNING: Destructive Action
    2>  !    This command will affect the app: demo
    2>  !    To proceed, type "demo" or re-run this command with --confirm demo
    2>
    2> > Destroying demo (including all add-ons)... done
    exit 0
    "#);
    assert_snapshot!(platform.howdah("destroy demo -c demo"), @r"
    $ howdah destroy demo -c demo
    2> Destroying demo (including all add-ons)... done
    exit 0
    ");
    assert_eq!(platform.changes().len(), 2);
}

#[test]
fn b18_maintenance_mode_is_switched() {
    let mut on = app("demo");
    on["maintenance"] = true.into();
    let platform =
        Platform::with(&[("PATCH /apps/demo", 200, on), ("GET /apps/demo", 200, app("demo"))]);
    assert_snapshot!(platform.howdah("maintenance:on -a demo"), @r"
    $ howdah maintenance:on -a demo
    2> Enabling maintenance mode for demo... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("maintenance -a demo --json"), @r#"
    $ howdah maintenance -a demo --json
    {
      "data": {
        "maintenance": false
      },
      "meta": {
        "request_id": "req-1"
      },
      "schema": "howdah.v1/maintenance"
    }
    exit 0
    "#);
    assert_eq!(platform.changes(), [r#"PATCH /apps/demo {"maintenance":true}"#]);
}

#[test]
fn a24_access_is_given_and_taken() {
    let one = json!({ "id": "c-1", "user": { "email": "b@example.com" }, "role": "collaborator" });
    let platform = Platform::with(&[
        ("POST /apps/demo/collaborators", 201, one.clone()),
        ("DELETE /apps/demo/collaborators/b@example.com", 200, one),
    ]);
    assert_snapshot!(platform.howdah("access:add b@example.com -a demo"), @r"
    $ howdah access:add b@example.com -a demo
    2> Adding b@example.com access to the app demo... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("sharing:remove b@example.com -a demo"), @r"
    $ howdah sharing:remove b@example.com -a demo
    2> Removing b@example.com access from the app demo... done
    exit 0
    ");
}
