//! addons:upgrade and addons:downgrade.

use insta::assert_snapshot;

use super::*;

const CHANGE: &str = "PATCH /apps/demo/addons/postgresql-calm-11111";
const SHOWN: &str = "GET /apps/demo/addons/postgresql-calm-11111";
const OPERATIONS: &str = "GET /howdah/v1/apps/demo/operations";
const OPERATION: &str = "GET /howdah/v1/operations/0190f3c2-0000-7000-8000-000000000001";

fn of_plan(name: &str, cents: u64, message: Value) -> Value {
    let mut addon = addon(GOLD, "provisioned", &["DATABASE_URL"]);
    addon["plan"] = plan(name, cents);
    addon["billed_price"] = plan(name, cents)["price"].clone();
    addon["provision_message"] = message;
    addon
}

fn operation(outcome: &str, reason: &str) -> Value {
    json!({
        "id": "0190f3c2-0000-7000-8000-000000000001", "kind": "change_plan", "state": outcome,
        "outcome": outcome, "reason": reason,
        "addon": { "id": format!("id-{GOLD}"), "name": GOLD },
        "created_at": "2026-01-02T03:04:05Z", "finished_at": null, "transitions": [],
    })
}

fn platform(more: &[(&'static str, u16, Value)]) -> Platform {
    let mut answers = two_databases();
    let old = of_plan("standard-0", 5000, Value::Null);
    answers.push(("POST /actions/addons/resolve", 200, json!([old])));
    answers.extend_from_slice(more);
    Platform::with(&answers)
}

#[test]
fn g25_a_plan_is_changed_in_the_background_or_waited_for() {
    let begun = of_plan("standard-0", 5000, json!("The data is copied first."));
    let done = of_plan("standard-2", 20_000, Value::Null);
    let running = operation("running", "the copy follows");
    let more = [
        (CHANGE, 200, begun),
        (SHOWN, 200, of_plan("standard-0", 5000, Value::Null)),
        (SHOWN, 200, done),
        (OPERATIONS, 200, json!([running.clone()])),
        (OPERATION, 200, running),
        (OPERATION, 200, operation("done", "its sessions have moved")),
    ];
    let changing = platform(&more);
    assert_snapshot!(changing.howdah("addons:upgrade DATABASE standard-2 -a demo"), @r"
    $ howdah addons:upgrade DATABASE standard-2 -a demo
    2> Changing postgresql-calm-11111 on demo from heroku-postgresql:standard-0 to heroku-postgresql:standard-2... begun
    2> The data is copied first.
    2> To see how it goes: `howdah pg:operations -a demo`
    exit 0
    ");
    assert_snapshot!(changing.changes().join("\n"), @r#"
    POST /actions/addons/resolve {"addon":"DATABASE","app":"demo"}
    PATCH /apps/demo/addons/postgresql-calm-11111 {"plan":{"name":"heroku-postgresql:standard-2"}}
    "#);
    assert_snapshot!(changing.howdah("addons upgrade gold heroku-postgresql:standard-2 --wait -a demo"), @r"
    $ howdah addons upgrade gold heroku-postgresql:standard-2 --wait -a demo
    2> Changing postgresql-calm-11111 on demo from heroku-postgresql:standard-0 to heroku-postgresql:standard-2... done, v7 ($200/mo)
    exit 0
    ");
    let undone = platform(&[
        more[0].clone(),
        more[1].clone(),
        (OPERATIONS, 200, json!([operation("undone", "there is no room")])),
        (OPERATION, 200, operation("undone", "there is no room")),
    ]);
    assert_snapshot!(undone.howdah("addons:downgrade DATABASE standard-2 --wait -a demo"), @r"
    $ howdah addons:downgrade DATABASE standard-2 --wait -a demo
    2> Changing postgresql-calm-11111 on demo from heroku-postgresql:standard-0 to heroku-postgresql:standard-2... failed
    2>  !    The plan of postgresql-calm-11111 could not be changed: there is no room
    2>  !    hint: see why: `howdah pg:operations -a demo`
    exit 1
    ");
}

#[test]
fn g25_a_plan_that_cannot_be_is_refused_with_the_way_to_the_plans() {
    let message =
        "Couldn't find either the add-on service or the add-on plan of \"heroku-postgresql:nope\".";
    let refusing =
        platform(&[(CHANGE, 422, json!({ "id": "invalid_params", "message": message }))]);
    assert_snapshot!(refusing.howdah("addons:upgrade DATABASE nope -a demo"), @r#"
    $ howdah addons:upgrade DATABASE nope -a demo
    2> Changing postgresql-calm-11111 on demo from heroku-postgresql:standard-0 to heroku-postgresql:nope... failed
    2>  !    Couldn't find either the add-on service or the add-on plan of "heroku-postgresql:nope".
    2>  !    hint: the plans: `howdah addons:plans heroku-postgresql`
    exit 1
    "#);
    assert_snapshot!(refusing.howdah("addons:upgrade DATABASE -a demo"), @r"
    $ howdah addons:upgrade DATABASE -a demo
    2>  !    Must specify the new PLAN
    2>  !    hint: the plans: `howdah addons:plans heroku-postgresql`
    exit 2
    ");
    let same = platform(&[(CHANGE, 200, of_plan("standard-0", 5000, Value::Null))]);
    assert_snapshot!(same.howdah("addons:upgrade DATABASE standard-0 -a demo"), @r"
    $ howdah addons:upgrade DATABASE standard-0 -a demo
    2> Changing postgresql-calm-11111 on demo from heroku-postgresql:standard-0 to heroku-postgresql:standard-0... it has that plan already ($50/mo)
    exit 0
    ");
}
