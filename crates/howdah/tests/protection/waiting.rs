//! Waiting for what takes long, by a person at a terminal.

use super::*;

#[test]
fn g9_a_person_sees_one_line_turn_with_per_cents_that_grow() {
    let demo = platform();
    let url = demo.config_var("DATABASE_URL", "demo");
    // Text that does not compress: what is copied takes a moment.
    let fill = "create table t as select string_agg(md5(random()::text), '') from \
                generate_series(1, 200000) i, generate_series(1, 12) j group by i % 800";
    ask(&demo, &url, fill);
    protected(&demo, "DATABASE");
    demo.say("addons:create heroku-postgresql --fork DATABASE --as COPY -a demo").ok();
    let line = "$HOWDAH_TEST_BINARY pg:wait COPY -a demo --wait-interval 1";
    let env = [("HOWDAH_TEST_BINARY", BINARY), ("TERM", "xterm"), ("COLUMNS", "120")];
    let seen = demo.program("script", &["-qec", line, "/dev/null"], &env).ok();
    let drawn: Vec<&str> = seen.split("\r\u{1b}[K").collect();
    let begin = "Waiting for database COPY_URL... ";
    assert!(drawn.len() > 2 && drawn.iter().all(|line| line.starts_with(begin)), "{drawn:?}");
    assert_eq!(
        drawn.last().map(|line| line.trim_end()),
        Some("Waiting for database COPY_URL... available")
    );
    let per_cent = |line: &str| -> Option<u64> {
        let (_, rest) = line.split_once(" preparing (")?;
        rest.split_once('%')?.0.parse().ok()
    };
    // A fast machine may be done before the second look.
    let grown: Vec<u64> = drawn.iter().filter_map(|line| per_cent(line)).collect();
    assert!(grown.is_sorted(), "{grown:?}");
    assert!(drawn.iter().any(|line| line.contains(" preparing")), "{drawn:?}");
}
