//! Which command a line means: colons or spaces, old names or new, and what was probably meant.

use crate::command::Command;
use crate::commands::{self, later};

/// Words and help lines of commands that the executable carries out itself.
pub(crate) type OwnWords<'a> = &'a [(&'static str, &'static str)];

/// What a line asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// One of our commands.
    Command(&'static Command),
    /// A command that is known and not there yet, by its name.
    Later(&'static str),
    /// A command of the executable itself, by its name.
    Own(&'static str),
}

/// A line, split into the command and the rest.
#[derive(Debug)]
pub(crate) struct Line {
    /// What was found, or what was typed in its place.
    pub(crate) found: Result<Found, String>,
    /// Everything else, in order.
    pub(crate) rest: Vec<String>,
}

/// Options that may stand before the command and that take a value.
const LEADING_WITH_VALUE: &[&str] = &["-a", "--app", "-r", "--remote", "--color"];

/// Splits a line. `None` when it has no command at all.
pub(crate) fn split(words: &[String], own: OwnWords<'_>) -> Option<Line> {
    let start = first_word(words)?;
    let mut path = normal(&words[start]);
    let mut best = look_up(&path, own).map(|found| (found, start));
    for (place, word) in words.iter().enumerate().skip(start + 1) {
        if word.starts_with('-') {
            break;
        }
        path = format!("{path}:{}", normal(word));
        if let Some(found) = look_up(&path, own) {
            best = Some((found, place));
        } else if !is_beginning(&path) {
            break;
        }
    }
    let without = |last: usize| [&words[..start], &words[last + 1..]].concat();
    Some(match best {
        Some((found, last)) => Line { found: Ok(found), rest: without(last) },
        None => Line { found: Err(words[start].clone()), rest: without(start) },
    })
}

fn first_word(words: &[String]) -> Option<usize> {
    let mut place = 0;
    while let Some(word) = words.get(place) {
        if LEADING_WITH_VALUE.contains(&word.as_str()) {
            place += 2;
        } else if word.starts_with('-') {
            place += 1;
        } else {
            return Some(place);
        }
    }
    None
}

/// `pg:cache_hit` and `pg:cache-hit` are the same, as are `pg:` and `pg`.
fn normal(word: &str) -> String {
    word.trim_end_matches(':').replace('_', "-")
}

fn look_up(path: &str, own: OwnWords<'_>) -> Option<Found> {
    let command = commands::all().find(|command| command.names().any(|name| name == path));
    command
        .map(Found::Command)
        .or_else(|| own.iter().find(|(name, _)| *name == path).map(|(name, _)| Found::Own(name)))
        .or_else(|| later::find(path).map(Found::Later))
}

fn is_beginning(path: &str) -> bool {
    let goes_on = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with(':'));
    commands::all().any(|command| command.names().any(goes_on)) || later::names().any(goes_on)
}

/// The names of commands within two typing errors of what was typed, nearest first.
pub(crate) fn suggestions(typed: &str, own: OwnWords<'_>) -> Vec<&'static str> {
    let typed = normal(typed);
    let mut near: Vec<(usize, &'static str)> = commands::all()
        .flat_map(Command::names)
        .chain(own.iter().map(|(name, _)| *name))
        .map(|name| (distance(&typed, name), name))
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len())
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions
/// and exchanges of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut least =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + same);
            let exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if exchanged {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: OwnWords<'static> = &[("up", "Run the platform"), ("doctor", "Check")];

    fn split_line(line: &str) -> (String, Vec<String>) {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let line = split(&words, OWN).expect("has a command");
        let name = match line.found {
            Ok(Found::Command(command)) => command.name.to_owned(),
            Ok(Found::Later(name)) => format!("later {name}"),
            Ok(Found::Own(name)) => format!("own {name}"),
            Err(typed) => format!("unknown {typed}"),
        };
        (name, line.rest)
    }

    #[test]
    fn a19_colons_spaces_and_old_names_mean_the_same_command() {
        for (line, name, rest) in [
            ("pg:info gold", "pg:info", "gold"),
            ("pg info gold", "pg:info", "gold"),
            ("pg gold", "pg:info", "gold"),
            ("pg", "pg:info", ""),
            ("pg credentials url gold", "pg:credentials:url", "gold"),
            ("pg:credentials url", "pg:credentials:url", ""),
            ("pg credentials gold", "pg:credentials", "gold"),
            ("addons:add x", "addons:create", "x"),
            ("addons remove x", "addons:destroy", "x"),
            ("create demo", "apps:create", "demo"),
            ("psql", "pg:psql", ""),
            ("-a demo pg:info", "pg:info", "-a demo"),
            ("--trace -a demo pg info x", "pg:info", "--trace -a demo x"),
            ("pg -- info", "pg:info", "-- info"),
            ("pg:backups:capture", "pg:backups:capture", ""),
            ("pg backups capture x", "pg:backups:capture", "x"),
            ("pg upgrade run", "later pg:upgrade:run", ""),
            ("pgbackups:capture", "pgbackups:capture", ""),
            ("up --detach", "own up", "--detach"),
            ("nope x", "unknown nope", "x"),
        ] {
            let (found, given) = split_line(line);
            assert_eq!((found.as_str(), given.join(" ").as_str()), (name, rest), "{line}");
        }
        assert!(split(&["-a".to_owned(), "demo".to_owned()], OWN).is_none());
    }

    #[test]
    fn what_was_probably_meant_is_within_two_typing_errors() {
        assert_eq!(suggestions("pg:inof", OWN)[0], "pg:info");
        assert_eq!(suggestions("dcotor", OWN), ["doctor"]);
        assert!(suggestions("addons:crate", OWN).contains(&"addons:create"));
        assert!(suggestions("xyzzyplugh", OWN).is_empty());
    }

    #[test]
    fn distances_count_exchanged_neighbours_once() {
        assert_eq!(distance("info", "inof"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
