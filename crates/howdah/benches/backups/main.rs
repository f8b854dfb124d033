//! Logical backups end to end through the platform, beside `pg_dump` and `pg_restore` by hand on the
//! same database; and how long the platform's lists and every other read take when it has much.
//! `script/bench backups` runs it; docs/benchmarks.md holds what it said.

mod bed;
mod copies;
mod reads;

use std::time::Duration;

/// How much is measured: `GIGABYTES`, `ROUNDS`, `MINUTES` and `DATABASES` in the environment.
struct Measure {
    /// Size of the database that is copied, with its indexes.
    gigabytes: f64,
    /// The most rounds; there is always one.
    rounds: usize,
    /// When no further round of copies is begun.
    patience: Duration,
    /// Databases of the platform whose reads are measured.
    databases: usize,
}

fn main() {
    // `cargo nextest` and `cargo test` build benches too and ask for their list.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let sections: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|one| !one.starts_with("--")).collect();
    if let Some(unknown) = sections.iter().find(|one| !["copies", "list", "reads"].contains(*one)) {
        eprintln!("there is no section `{unknown}`: copies, list, reads");
        std::process::exit(2);
    }
    let wants = |section: &str| sections.is_empty() || sections.contains(&section);
    let measure = Measure {
        gigabytes: number("GIGABYTES").unwrap_or(1.0),
        rounds: number("ROUNDS").unwrap_or(3.0) as usize,
        patience: Duration::from_secs_f64(60.0 * number("MINUTES").unwrap_or(5.0)),
        databases: number("DATABASES").unwrap_or(500.0) as usize,
    };
    if wants("copies") {
        copies::run(&measure);
    }
    if wants("list") {
        reads::list();
    }
    if wants("reads") {
        reads::every(&measure);
    }
}

fn number(name: &str) -> Option<f64> {
    let text = std::env::var(name).ok()?;
    let Ok(number) = text.parse() else {
        eprintln!("{name} is `{text}`; it takes a number");
        std::process::exit(2);
    };
    Some(number)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
