//! What a program printed, without what differs from run to run.

/// Its first lines. Numbers become `0`, ids, logins and addresses a word, runs of blanks one.
pub(crate) fn text(printed: &str, keep: usize) -> String {
    let lines = printed.lines().map(line).filter(|line| !is_progress(line));
    lines.take(keep).map(|line| line + "\n").collect()
}

/// Lines that come as often as somebody looks.
fn is_progress(line: &str) -> bool {
    line.contains("pending... (") || line.contains("... 0 kB") || line.contains("running...")
}

fn line(line: &str) -> String {
    let line = line.replace('─', "-");
    let mut plain = String::new();
    let mut word = String::new();
    for c in line.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || "-_:/@.".contains(c) {
            word.push(c);
            continue;
        }
        plain += &self::word(&word);
        word.clear();
        if !(c == ' ' && plain.ends_with(' ')) {
            plain.push(c);
        }
    }
    // How long ago something was, is said in seconds or minutes.
    plain.replace("0m ago", "0s ago").trim_end().to_owned()
}

fn word(word: &str) -> String {
    if word.contains("postgres://") {
        return "<url>".to_owned();
    }
    if word.starts_with("http") && word.contains("/backups/") {
        return "<signed-url>".to_owned();
    }
    if word.len() > 2 && word.chars().all(|c| c == '-') {
        return "--".to_owned();
    }
    if is_of_calendar(word) {
        return "<day>".to_owned();
    }
    if let Some((before, _)) = word.split_once("HEROKU_POSTGRESQL_") {
        return format!("{before}HEROKU_POSTGRESQL_<colour>");
    }
    let mut plain = String::new();
    for part in split(word) {
        match part {
            id if is_uuid(id) => plain += "<id>",
            secret if is_random(secret) => plain += "<random>",
            other => plain += &numbers(other),
        }
    }
    plain
}

/// Names of days and months, short or long.
fn is_of_calendar(word: &str) -> bool {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    DAYS.contains(&word) || MONTHS.contains(&word) || word.ends_with("days") && word.len() > 6
}

/// The parts of a word and what stands between them, in turn; a UUID is one part.
fn split(word: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        if rest.len() >= 36 && rest.is_char_boundary(36) && is_uuid(&rest[..36]) {
            parts.push(&rest[..36]);
            rest = &rest[36..];
            continue;
        }
        let is_inner = |c: char| c.is_ascii_alphanumeric();
        let first = rest.chars().next().is_some_and(is_inner);
        let end = rest.find(|c| is_inner(c) != first).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = &rest[end..];
    }
    parts
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// Names of roles and databases, passwords, tokens: long, with letters and digits mixed.
fn is_random(text: &str) -> bool {
    text.len() >= 12
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().any(|b| b.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn numbers(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if plain.ends_with('0') => {}
            '0'..='9' => plain.push('0'),
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn what_differs_is_left_out_and_the_rest_stays() {
    assert_eq!(
        text("Completed 2026-11-20 15:04:05 +0000   12.3kB  b001\n", 9),
        "Completed 0-0-0 0:0:0 +0 0.0kB b0\n"
    );
    assert_eq!(line("DATABASE_URL: postgres://u1:p2@h:5432/d3"), "DATABASE_URL: <url>");
    assert_eq!(
        line("id 01a1f986-c056-72f9-aa58-d2fb826bd912, uwl2m4n1l5vszzvc"),
        "id <id>, <random>"
    );
    assert_eq!(line("───  ─────────"), "-- --");
    assert_eq!(
        line("Promoting pg-one-1 to DATABASE_URL on demo"),
        "Promoting pg-one-0 to DATABASE_URL on demo"
    );
}
