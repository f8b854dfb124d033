//! How long lists and other reads take on a platform that has much: the calls of Heroku's CLI by
//! HTTP, and our commands as whole processes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bed::{Bed, text, time};
use crate::{Measure, median};

const ROUNDS: usize = 15;
const BACKUPS: usize = 1000;
/// Databases of one app.
const OF_APP: usize = 10;

/// The list of a thousand backups. One is captured; the others are rows in the platform's own
/// database that are made from it.
pub(crate) fn list() {
    let bed = Bed::new();
    let addon = bed.database("bench", "standard-0", None);
    let path = format!("/client/v11/databases/{}/backups", text(&addon, "name"));
    let mut transfer = bed.post(&path, json!({}));
    let of = format!("/client/v11/apps/bench/transfers/{}", text(&transfer, "uuid"));
    howdah_testkit::platform::wait_until("the first backup is complete", || {
        transfer = bed.get(&of);
        !transfer["finished_at"].is_null()
    });
    assert_eq!(transfer["succeeded"], true, "{transfer}");
    multiply(&bed, &text(&transfer, "uuid"));
    let listed = bed.get("/client/v11/apps/bench/transfers");
    assert_eq!(listed.as_array().map(Vec::len), Some(BACKUPS));
    println!("\n## {BACKUPS} backups (one captured, the others rows made from it)\n");
    println!("| | median, ms | goal |\n|---|---|---|");
    let http = milliseconds(|| drop(bed.get("/client/v11/apps/bench/transfers")));
    println!("| by HTTP | {http:.1} | ≤ 100 |");
    let command = milliseconds(|| drop(bed.platform.howdah(&["pg:backups", "-a", "bench"]).ok()));
    println!("| `howdah pg:backups`, the whole process | {command:.1} | |");
}

/// Copies the rows of a transfer and of its operation and machine, whatever columns they have.
fn multiply(bed: &Bed, id: &str) {
    let sql = format!(
        "begin; create temporary table n as \
           select i + 1 as number, gen_random_uuid() as id from generate_series(1, {}) i; \
         insert into operations select (jsonb_populate_record(o, jsonb_build_object('id', n.id))).* \
           from operations o, n where o.id = '{id}'; \
         insert into machines overriding user value \
           select (jsonb_populate_record(m, jsonb_build_object('id', n.id))).* \
           from machines m, n where m.id = '{id}'; \
         insert into transfers \
           select (jsonb_populate_record(t, jsonb_build_object('id', n.id, 'number', n.number))).* \
           from transfers t, n where t.id = '{id}'; \
         update apps set transfers = {BACKUPS} where name = 'bench'; commit; \
         analyze operations, machines, transfers",
        BACKUPS - 1
    );
    bed.store(&sql);
}

/// Every read.
pub(crate) fn every(measure: &Measure) {
    let bed = Bed::new();
    let apps = measure.databases.div_ceil(OF_APP).max(1);
    let mut one = Value::Null;
    let seconds = time(|| {
        for app in 0..apps {
            let name = format!("many-{app}");
            bed.post("/apps", json!({ "name": name }));
            for _ in 0..OF_APP.min(measure.databases - app * OF_APP) {
                one = bed.database(&name, "hobby-dev", None);
            }
        }
    });
    let production = bed.database("many-0", "standard-0", None);
    println!(
        "\n## Reads with {} hobby databases in {apps} apps, all made by the platform in {seconds:.0} s, \
         and one of standard-0\n",
        measure.databases
    );
    println!("| call | median, ms |\n|---|---|");
    let mut slowest = (0.0, String::new());
    for (method, path, body) in calls(&one, &production) {
        let took = milliseconds(|| drop(bed.call(method.clone(), &path, body.clone())));
        println!("| {method} {} | {took:.1} |", path.replace(&text(&production, "id"), "ID"));
        if took > slowest.0 {
            slowest = (took, path);
        }
    }
    println!("\nslowest call: {:.1} ms, {} (goal: every command ≤ 200 ms)\n", slowest.0, slowest.1);
    println!("| command, the whole process | median, ms |\n|---|---|");
    let mut slowest = (0.0, String::new());
    for command in commands(&text(&production, "name")) {
        let words: Vec<&str> = command.split(' ').collect();
        let took = milliseconds(|| {
            let ran = bed.platform.howdah(&words);
            assert_eq!(ran.code, 0, "{command}: {} {}", ran.stdout, ran.stderr);
        });
        println!("| `howdah {command}` | {took:.1} |");
        if took > slowest.0 {
            slowest = (took, command);
        }
    }
    println!("\nslowest command: {:.1} ms, {} (goal: ≤ 200 ms)", slowest.0, slowest.1);
}

/// What Heroku's CLI asks for when it reads.
fn calls(one: &Value, production: &Value) -> Vec<(Method, String, Option<Value>)> {
    let (id, name) = (text(production, "id"), text(production, "name"));
    let hobby = text(one, "name");
    let platform = [
        "/account",
        "/account/keys",
        "/users/~/apps",
        "/apps",
        "/apps/many-0",
        "/apps/many-0/config-vars",
        "/apps/many-0/releases",
        "/apps/many-0/formation",
        "/apps/many-0/dynos",
        "/apps/many-0/collaborators",
        "/addon-services",
        "/addon-services/heroku-postgresql",
        "/addon-services/heroku-postgresql/plans",
        "/addons",
        "/addon-attachments",
        "/apps/many-0/addons",
        "/apps/many-0/addon-attachments",
        "/client/v11/apps/many-0/transfers",
    ];
    let mut all: Vec<_> =
        platform.iter().map(|path| (Method::GET, path.to_string(), None)).collect();
    let of_addon = ["", "/addon-attachments"].map(|rest| format!("/addons/{name}{rest}"));
    let of_database = ["", "/wait_status", "/links", "/transfer-schedules", "/metrics"]
        .map(|rest| format!("/client/v11/databases/{id}{rest}"));
    let v0 = ["/credentials", "/credentials/default", "/config"]
        .map(|rest| format!("/postgres/v0/databases/{id}{rest}"));
    let maintenance =
        ["", "/history/", "/window"].map(|rest| format!("/data/maintenances/v1/{id}{rest}"));
    let others = [format!("/client/v11/databases/{hobby}")];
    let gets = of_addon.into_iter().chain(of_database).chain(v0).chain(maintenance).chain(others);
    all.extend(gets.map(|path| (Method::GET, path, None)));
    let resolve = json!({ "app": "many-0", "addon_attachment": "DATABASE_URL" });
    all.push((Method::POST, "/actions/addon-attachments/resolve".to_owned(), Some(resolve)));
    let resolve = json!({ "app": null, "addon": name });
    all.push((Method::POST, "/actions/addons/resolve".to_owned(), Some(resolve)));
    all
}

/// Our commands that only read.
fn commands(production: &str) -> Vec<String> {
    let of_app = [
        "apps:info",
        "config",
        "releases",
        "addons",
        "ps",
        "access",
        "pg:info",
        "pg:backups",
        "pg:backups:schedules",
        "pg:operations",
        "pg:wait",
        "maintenance",
    ];
    let of_database =
        ["pg:info", "pg:credentials", "pg:settings", "pg:links", "pg:maintenance", "pg:diagnose"];
    let whole = ["apps", "addons --all", "addons:plans heroku-postgresql", "auth:whoami", "keys"];
    let of_app = of_app.iter().map(|command| format!("{command} -a many-0"));
    let of_database = of_database.iter().map(|command| format!("{command} {production} -a many-0"));
    whole.iter().map(ToString::to_string).chain(of_app).chain(of_database).collect()
}

fn milliseconds(mut work: impl FnMut()) -> f64 {
    work();
    let all: Vec<_> = (0..ROUNDS).map(|_| 1000.0 * time(&mut work)).collect();
    median(&all)
}
