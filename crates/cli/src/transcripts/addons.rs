use insta::assert_snapshot;

use super::*;

const MADE: &str = "POST /apps/demo/addons";

fn made(state: &str) -> Value {
    addon(GOLD, state, &["HEROKU_POSTGRESQL_GOLD_URL"])
}

#[test]
fn c1_c3_c4_a_new_database_is_told_with_release_price_and_variable() {
    let mut answers = two_databases();
    answers.push((MADE, 201, made("provisioned")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("addons:add heroku-postgresql:standard-0 -a demo"), @r"
    $ howdah addons:add heroku-postgresql:standard-0 -a demo
    Attached as HEROKU_POSTGRESQL_GOLD_URL
    2> Adding heroku-postgresql:standard-0 on demo... done, v7 ($50/mo)
    2> Database has been created and is available
    2>  ! This database is empty. If upgrading, you can transfer
    2>  ! data from another database with pg:copy
    2> Use `howdah help pg` to see what can be done with it.
    exit 0
    ");
    assert_eq!(
        platform.changes(),
        [
            r#"POST /apps/demo/addons {"attachment":{},"config":{},"plan":{"name":"heroku-postgresql:standard-0"}}"#
        ]
    );
    let forked = platform.howdah("addons:create heroku-postgresql -a demo --fork DATABASE");
    assert!(!forked.contains("empty"), "{forked}");
}

#[test]
fn options_for_the_provider_are_taken_with_and_without_dashes_before_them() {
    let mut answers = two_databases();
    answers.push((MADE, 201, made("provisioned")));
    let platform = Platform::with(&answers);
    for line in [
        "addons:create heroku-postgresql -a demo --as RED --name orders -- --fork DATABASE --version 15 --fast",
        "addons:create heroku-postgresql -a demo --fork DATABASE --as=RED --version 15 --name orders --fast",
        "addons add --fast --version=15 -a demo heroku-postgresql --fork=DATABASE --as RED --name orders",
        "addons add heroku-postgresql fork=DATABASE fast=true -a demo --as RED --name orders -- version=15",
    ] {
        platform.howdah(line);
        assert_eq!(
            platform.changes(),
            [
                r#"POST /apps/demo/addons {"attachment":{"name":"RED"},"config":{"fast":true,"fork":"DATABASE","version":"15"},"name":"orders","plan":{"name":"heroku-postgresql"}}"#
            ],
            "{line}"
        );
    }
    assert_snapshot!(platform.howdah("addons:create heroku-postgresql -a demo -- nonsense"), @r"
    $ howdah addons:create heroku-postgresql -a demo -- nonsense
    2>  !    `nonsense` is not an option: --NAME VALUE
    exit 2
    ");
}

#[test]
fn a_database_that_takes_time_is_waited_for_or_left_to_itself() {
    let mut answers = two_databases();
    let path = "GET /apps/demo/addons/postgresql-calm-11111";
    answers.push((MADE, 201, made("provisioning")));
    answers.push((path, 200, made("provisioned")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("addons:create heroku-postgresql:standard-0 -a demo"), @r"
    $ howdah addons:create heroku-postgresql:standard-0 -a demo
    Attached as HEROKU_POSTGRESQL_GOLD_URL
    2> Adding heroku-postgresql:standard-0 on demo... done ($50/mo)
    2> postgresql-calm-11111 is being created in the background.
    2> The app will restart when complete; wait for it: `howdah addons:wait postgresql-calm-11111 -a demo`
    exit 0
    ");
    assert_snapshot!(platform.howdah("addons:create heroku-postgresql:standard-0 -a demo --wait"), @r"
    $ howdah addons:create heroku-postgresql:standard-0 -a demo --wait
    Attached as HEROKU_POSTGRESQL_GOLD_URL
    2> Adding heroku-postgresql:standard-0 on demo... done, v7 ($50/mo)
    2> Database has been created and is available
    2>  ! This database is empty. If upgrading, you can transfer
    2>  ! data from another database with pg:copy
    2> Use `howdah help pg` to see what can be done with it.
    exit 0
    ");
}

#[test]
fn c19_an_unknown_plan_is_refused_with_the_way_to_the_plans() {
    let message =
        "Couldn't find either the add-on service or the add-on plan of \"heroku-postgresql:nope\".";
    let platform =
        Platform::with(&[(MADE, 422, json!({ "id": "invalid_params", "message": message }))]);
    assert_snapshot!(platform.howdah("addons:create heroku-postgresql:nope -a demo"), @r#"
    $ howdah addons:create heroku-postgresql:nope -a demo
    2> Adding heroku-postgresql:nope on demo... failed
    2>  !    Couldn't find either the add-on service or the add-on plan of "heroku-postgresql:nope".
    2>  !    hint: the plans: `howdah addons:plans heroku-postgresql`
    exit 1
    "#);
}

#[test]
fn c20_addons_are_listed_with_plan_price_state_and_attachments() {
    let mut answers = two_databases();
    let all = json!([attachment("DATABASE", GOLD), attachment("HEROKU_POSTGRESQL_GOLD", GOLD)]);
    answers.push(("GET /apps/demo/addons", 200, json!([made("provisioned")])));
    answers.push(("GET /addon-attachments", 200, all.clone()));
    answers.push(("POST /actions/addons/resolve", 200, json!([made("provisioned")])));
    answers.push(("GET /addons/id-postgresql-calm-11111/addon-attachments", 200, all));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("addons -a demo"), @r"
    $ howdah addons -a demo
    Add-on                 Plan                          Price   State    Attachments
    postgresql-calm-11111  heroku-postgresql:standard-0  $50/mo  created  DATABASE, HEROKU_POSTGRESQL_GOLD
    exit 0
    ");
    assert_snapshot!(platform.howdah("addons:info gold -a demo"), @r"
    $ howdah addons:info gold -a demo
    === postgresql-calm-11111

    Attachments:   demo::DATABASE
                   demo::HEROKU_POSTGRESQL_GOLD
    Installed at:  2026-01-02T03:04:05Z
    Owning app:    demo
    Plan:          heroku-postgresql:standard-0
    Price:         $50/mo
    State:         created
    exit 0
    ");
}

#[test]
fn c13_a_database_is_removed_after_the_owning_apps_name_was_typed() {
    let mut answers = two_databases();
    answers.push(("POST /actions/addons/resolve", 200, json!([made("provisioned")])));
    answers.push(("DELETE /apps/demo/addons/id-postgresql-calm-11111", 200, made("deprovisioned")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.fed("addons:remove HEROKU_POSTGRESQL_GOLD_URL -a demo", "demo\n"), @r#"
    $ howdah addons:remove HEROKU_POSTGRESQL_GOLD_URL -a demo
    2>  !    WARNING: Destructive Action
    2>  !    This command will affect the app: demo
    2>  !    To proceed, type "demo" or re-run this command with --confirm demo
    2>
    2> > Removing HEROKU_POSTGRESQL_GOLD on demo... done, v7 ($50/mo)
    exit 0
    "#);
    assert_eq!(
        platform.changes()[1],
        r#"DELETE /apps/demo/addons/id-postgresql-calm-11111 {"force":false}"#
    );
    let refused =
        platform.howdah("addons:destroy HEROKU_POSTGRESQL_GOLD_URL -a demo --confirm nope");
    assert!(refused.ends_with("exit 5"), "{refused}");
    assert_eq!(platform.changes().len(), 1, "nothing but the look-up");
}

#[test]
fn an_attachment_that_would_be_replaced_is_confirmed_first() {
    let required = json!({ "id": "confirmation_required", "message": "DATABASE is attached to another database." });
    let mut answers = two_databases();
    answers.push(("GET /addons/demo::RED", 200, made("provisioned")));
    answers.push(("POST /addon-attachments", 423, required));
    answers.push(("POST /addon-attachments", 201, attachment("DATABASE", RED)));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.fed("addons:attach demo::RED --as DATABASE -a demo", "demo\n"), @r#"
    $ howdah addons:attach demo::RED --as DATABASE -a demo
    2> Attaching postgresql-calm-11111 to demo... not yet
    2>  !    DATABASE is attached to another database.
    2>  !    WARNING: Destructive Action
    2>  !    This command will affect the app: demo
    2>  !    To proceed, type "demo" or re-run this command with --confirm demo
    2>
    2> > Attaching postgresql-calm-11111 to demo... done
    2> Setting DATABASE config vars and restarting demo... done, v7
    exit 0
    "#);
    let changes = platform.changes();
    assert!(changes[1].contains(r#""confirm":"demo""#), "{changes:?}");
}

#[test]
fn attachments_are_detached_and_addons_renamed() {
    let mut answers = two_databases();
    answers.push((
        "GET /apps/demo/addon-attachments/HEROKU_POSTGRESQL_RED",
        200,
        attachment("HEROKU_POSTGRESQL_RED", RED),
    ));
    answers.push(("DELETE /addon-attachments/at-HEROKU_POSTGRESQL_RED", 200, json!({})));
    answers.push(("GET /addons/postgresql-calm-11111", 200, made("provisioned")));
    answers.push(("PATCH /apps/id-demo/addons/id-postgresql-calm-11111", 200, made("provisioned")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("addons:detach HEROKU_POSTGRESQL_RED_URL -a demo"), @r"
    $ howdah addons:detach HEROKU_POSTGRESQL_RED_URL -a demo
    2> Detaching HEROKU_POSTGRESQL_RED from postgresql-wise-22222 on demo... done
    2> Unsetting HEROKU_POSTGRESQL_RED config vars and restarting demo... done, v7
    exit 0
    ");
    assert_snapshot!(platform.howdah("addons:rename postgresql-calm-11111 orders"), @r"
    $ howdah addons:rename postgresql-calm-11111 orders
    2> Renaming postgresql-calm-11111 to orders... done
    exit 0
    ");
}

#[test]
fn plans_and_services_are_tables() {
    let mut standard = plan("standard-0", 5000);
    standard["connections"] = 120.into();
    let mut hobby = plan("hobby-dev", 0);
    hobby["connections"] = 20.into();
    hobby["default"] = true.into();
    standard["ram_mib"] = 1024.into();
    standard["disk_gib"] = 64.into();
    hobby["rows"] = 10_000.into();
    hobby["versions"] = json!([
        { "major": 15, "version": "15.20", "status": "supported", "default": false },
        { "major": 18, "version": "18.6", "status": "supported", "default": true },
    ]);
    let platform = Platform::with(&[
        ("GET /addon-services/heroku-postgresql/plans", 200, json!([hobby, standard])),
        (
            "GET /addon-services",
            200,
            json!([{ "name": "heroku-postgresql", "human_name": "Heroku Postgres", "state": "ga" }]),
        ),
    ]);
    assert_snapshot!(platform.howdah("addons:plans"), @r"
    $ howdah addons:plans
    Plan                                   Price   Connections  Rows       RAM     Disk
    heroku-postgresql:hobby-dev (default)  free    20           10000      -       -
    heroku-postgresql:standard-0           $50/mo  120          unlimited  1.0 GB  64.0 GB

    PostgreSQL: 15.20, 18.6 (default)
    exit 0
    ");
    assert_snapshot!(platform.howdah("addons:services"), @r"
    $ howdah addons:services
    Service            Name             State
    heroku-postgresql  Heroku Postgres  ga
    exit 0
    ");
}
