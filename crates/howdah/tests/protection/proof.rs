//! What is archived, and proof that it can be restored.

use super::*;

#[test]
fn m10_m13_protection_is_on_from_the_start_and_a_drill_proves_it() {
    let demo = platform();
    let url = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &url, "create table t as select generate_series(1, 10000) a");
    assert_eq!(row(&demo, "DATABASE", "Continuous Protection").as_deref(), Some("On"));
    let state = || protection(&demo, "DATABASE");
    protected(&demo, "DATABASE");
    wait_until("all is archived", || state()["protected"]["lag_bytes"] == 0);
    let before = state()["protected"]["backup"]["id"].clone();
    let shown = demo.say("pg:protection DATABASE --backup -a demo").ok();
    has(&shown, "Continuous Protection:  On");
    assert_ne!(state()["protected"]["backup"]["id"], before, "another one was taken");

    // PostgreSQL knows it too: else it would keep its WAL for ever.
    let archived = || ask(&demo, &url, "select archived_count > 0 from pg_stat_archiver");
    wait_until("PostgreSQL knows that WAL is archived", || archived() == "t");
    assert_eq!(ask(&demo, &url, "select failed_count from pg_stat_archiver"), "0");

    let drill = demo.say("pg:drill DATABASE --wait -a demo");
    has(&drill.stderr, "Restoring DATABASE_URL aside... done, ");
    has(&drill.stderr, ", lost ");
    assert_eq!(drill.code, 0, "{drill:?}");
    has(&row(&demo, "DATABASE", "Proven Restore").expect("a row"), "lost ");
    let calm = demo.say("incidents --all -a demo");
    assert_eq!((calm.code, calm.stdout.as_str()), (0, ""), "{calm:?}");
}
