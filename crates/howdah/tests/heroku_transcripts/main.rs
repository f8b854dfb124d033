//! Every command of Heroku's official CLI that is for us, against a live platform (A9, D33). What it
//! prints is kept in `snapshots/`, without what differs from run to run.

mod commands;
mod plain;
mod stories;

use std::collections::BTreeSet;

use howdah_testkit::heroku::{self, Heroku};
use stories::Story;

/// Plays a story and compares what was printed.
fn play(story: &Story) {
    let heroku = Heroku::start(env!("CARGO_BIN_EXE_howdah"), story.settings);
    let mut said = String::new();
    for (keep, line) in story.lines.iter().map(|line| commands::kept(line)) {
        let words = commands::words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = heroku.words(&words);
        said += &format!("$ heroku {line}\n");
        said += &plain::text(&ran.stdout, keep);
        said += &plain::text(&ran.stderr, usize::MAX)
            .lines()
            .map(|l| format!("! {l}\n"))
            .collect::<String>();
        if ran.code != 0 {
            said += &format!("exit {}\n", ran.code);
        }
        said += "\n";
    }
    insta::assert_snapshot!(story.name, said);
}

#[test]
fn apps_and_what_belongs_to_them() {
    play(&stories::APPS);
}

#[test]
fn addons_and_databases() {
    play(&stories::DATABASES);
}

#[test]
fn looking_into_a_database() {
    play(&stories::EXTRAS);
}

#[test]
fn backups_and_copies() {
    play(&stories::BACKUPS);
}

#[test]
fn credentials_and_attachments() {
    play(&stories::CREDENTIALS);
}

#[test]
fn settings_links_diagnosis_and_maintenance() {
    play(&stories::UPKEEP);
}

/// No command that is for us is left out (D33): one that a newer CLI brings fails here, until it is
/// in a story or among those that are not ours, with the reason.
#[test]
fn d33_no_command_of_the_official_cli_is_left_out() {
    let all: BTreeSet<String> =
        heroku::commands().into_iter().filter(|c| commands::is_of_interest(c)).collect();
    let mut known: BTreeSet<String> =
        commands::NOT_OURS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let others = commands::ELSEWHERE.iter().map(|(name, _)| (*name).to_owned());
    known.extend(others);
    for line in stories::ALL.iter().flat_map(|story| story.lines) {
        let command = commands::words(commands::kept(line).1).swap_remove(0);
        known.insert(commands::full_name(&command).to_owned());
    }
    let missing: Vec<_> = all.difference(&known).collect();
    assert!(missing.is_empty(), "in no story: {missing:?}");
    let gone: Vec<_> = known.difference(&all).filter(|c| commands::is_of_interest(c)).collect();
    assert!(gone.is_empty(), "the CLI has no such commands: {gone:?}");
}
