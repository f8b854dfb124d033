use insta::assert_snapshot;

use super::*;

fn platform() -> Platform {
    let vars = json!({ "DATABASE_URL": GOLD_URL, "NOTE": "it's here", "X": "1" });
    Platform::with(&[
        ("GET /apps/demo/config-vars", 200, vars.clone()),
        ("PATCH /apps/demo/config-vars", 200, vars),
        ("GET /apps/demo/releases", 200, json!([release(7, "Set X config vars")])),
    ])
}

#[test]
fn b11_config_vars_are_listed_for_people_and_for_a_shell() {
    let platform = platform();
    assert_snapshot!(platform.howdah("config -a demo"), @r"
    $ howdah config -a demo
    === demo Config Vars

    DATABASE_URL:  postgres://u1:p1@127.0.0.1:5433/d1
    NOTE:          it's here
    X:             1
    exit 0
    ");
    assert_snapshot!(platform.howdah("config -s -a demo"), @r"
    $ howdah config -s -a demo
    DATABASE_URL=postgres://u1:p1@127.0.0.1:5433/d1
    NOTE='it'\''s here'
    X=1
    exit 0
    ");
    assert_snapshot!(platform.howdah("config:get DATABASE_URL -a demo"), @r"
    $ howdah config:get DATABASE_URL -a demo
    postgres://u1:p1@127.0.0.1:5433/d1
    exit 0
    ");
    assert_snapshot!(platform.howdah("config:get NOPE -a demo"), @r"
    $ howdah config:get NOPE -a demo

    exit 0
    ");
}

#[test]
fn b12_b9_setting_and_unsetting_print_the_release() {
    let platform = platform();
    assert_snapshot!(platform.howdah("config:set X=1 'NOTE=it is' -a demo"), @r"
    $ howdah config:set X=1 'NOTE=it is' -a demo
    NOTE:  it is
    X:     1
    2> Setting config vars and restarting demo... done, v7
    exit 0
    ");
    assert_snapshot!(platform.howdah("config:unset X -a demo"), @r"
    $ howdah config:unset X -a demo
    2> Unsetting X and restarting demo... done, v7
    exit 0
    ");
    assert_eq!(
        platform.changes(),
        [
            r#"PATCH /apps/demo/config-vars {"NOTE":"it is","X":"1"}"#,
            r#"PATCH /apps/demo/config-vars {"X":null}"#
        ]
    );
}

#[test]
fn a_value_without_a_name_is_not_repeated() {
    assert_snapshot!(platform().howdah("config:set s3cret -a demo"), @r"
    $ howdah config:set s3cret -a demo
    2>  !    Config vars are given as NAME=VALUE
    exit 2
    ");
}

#[test]
fn c16_a_var_that_an_attachment_owns_is_refused_with_the_way_out() {
    let message = "Cannot overwrite attachment values DATABASE_URL.";
    let refused = json!({ "id": "invalid_params", "message": message });
    let platform = Platform::with(&[("PATCH /apps/demo/config-vars", 422, refused)]);
    assert_snapshot!(platform.howdah("config:set DATABASE_URL=postgres://x -a demo"), @r"
    $ howdah config:set DATABASE_URL=postgres://x -a demo
    2> Setting config vars and restarting demo... failed
    2>  !    Cannot overwrite attachment values DATABASE_URL.
    2>  !    hint: to set it by hand, detach it first: `howdah addons:detach DATABASE -a demo`
    exit 1
    ");
}

#[test]
fn a8_the_app_comes_from_the_option_then_from_the_environment() {
    let platform = platform();
    let by = |variables: &[(&str, &str)]| platform.call("config:get X", "", variables);
    assert!(by(&[("HOWDAH_APP", "demo"), ("HEROKU_APP", "other")]).ends_with("1\nexit 0"));
    assert!(by(&[("HEROKU_APP", "demo")]).ends_with("1\nexit 0"));
    assert_snapshot!(platform.howdah("config:get X"), @r"
    $ howdah config:get X
    2>  !    No app specified.
    2>  !    Name one with -a APP, set HOWDAH_APP, or run this in a repository with the app's Git remote.
    2>  !    hint: your apps: `howdah apps`
    exit 2
    ");
}

#[test]
fn releases_are_listed_shown_and_gone_back_to() {
    let platform = Platform::with(&[
        (
            "GET /apps/demo/releases",
            200,
            json!([release(7, "Set X config vars"), release(6, "Attach DATABASE")]),
        ),
        ("GET /apps/demo/releases/6", 200, release(6, "Attach DATABASE")),
        ("GET /apps/demo/releases/6/config-vars", 200, json!({ "X": "1" })),
        ("POST /apps/demo/releases", 201, release(8, "Rollback to v6")),
    ]);
    assert_snapshot!(platform.howdah("releases -a demo"), @r"
    $ howdah releases -a demo
    === demo Releases - Current: v7

    Release  Change             By               When
    v7       Set X config vars  dev@example.com  2026-01-02T03:04:05Z
    v6       Attach DATABASE    dev@example.com  2026-01-02T03:04:05Z
    exit 0
    ");
    assert_snapshot!(platform.howdah("releases:info v6 -a demo"), @r"
    $ howdah releases:info v6 -a demo
    === Release v6

    Add-ons:  heroku-postgresql:standard-0
    By:       dev@example.com
    Change:   Attach DATABASE
    Status:   succeeded
    When:     2026-01-02T03:04:05Z

    === v6 Config Vars

    X:  1
    exit 0
    ");
    assert_snapshot!(platform.howdah("rollback v6 -a demo"), @r"
    $ howdah rollback v6 -a demo
    2> Rolling back demo to v6... done, v8
    2> Config vars went back, add-ons did not; to undo: `howdah rollback v7 -a demo`
    exit 0
    ");
    assert_snapshot!(platform.howdah("releases:rollback -a demo"), @r"
    $ howdah releases:rollback -a demo
    2> Rolling back demo to v6... done, v8
    2> Config vars went back, add-ons did not; to undo: `howdah rollback v7 -a demo`
    exit 0
    ");
    assert_eq!(platform.changes(), [r#"POST /apps/demo/releases {"release":"r-6"}"#; 2]);
}
