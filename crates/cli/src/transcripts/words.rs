use insta::assert_snapshot;
use strum::IntoEnumIterator as _;

use super::*;
use crate::commands;
use crate::given::{Given, Instead};
use crate::grammar::{self, Found};
use crate::help::COLUMNS;
use crate::hint::Hint;

fn offline(line: &str) -> String {
    call(line, "", Environment::of(&[], PathBuf::from("/")))
}

/// Whether a line is one that we understand.
fn parses(line: &str) -> Result<(), String> {
    let words: Vec<_> =
        words(line).into_iter().filter_map(|word| word.into_string().ok()).collect();
    let found = grammar::split(&words[1..], OWN).ok_or("has no command")?;
    if words[1] == "help" {
        return Ok(());
    }
    match found.found {
        Ok(Found::Command(command)) => match Given::parse(command, found.rest) {
            Ok(_) => Ok(()),
            Err(Instead::Help(_)) => Err("asks for help".into()),
            Err(Instead::Wrong(failure)) => Err(failure.message),
        },
        Ok(Found::Own(_)) => Ok(()),
        Ok(Found::Later(name)) => Err(format!("{name} is not offered")),
        Err(typed) => Err(format!("unknown: {typed}")),
    }
}

#[test]
fn a16_the_help_of_every_command_works_offline_within_80_columns() {
    for command in commands::all() {
        for line in [format!("{} --help", command.name), format!("help {}", command.name)] {
            let text = offline(&line);
            assert!(text.ends_with("exit 0") && text.contains(command.does), "{text}");
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(widest <= COLUMNS, "{widest} columns:\n{text}");
        }
        assert!(!command.examples.is_empty(), "{} has no example", command.name);
        let spaced = offline(&format!("{} -h", command.name.replace(':', " ")));
        let colons = offline(&format!("{} -h", command.name));
        assert_eq!(
            spaced.lines().skip(1).collect::<Vec<_>>(),
            colons.lines().skip(1).collect::<Vec<_>>()
        );
    }
    for page in [
        "help",
        "help commands",
        "help exit-codes",
        "help environment",
        "help json",
        "--help",
        "-h",
    ] {
        let text = offline(page);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(text.ends_with("exit 0") && widest <= COLUMNS, "{widest} columns:\n{text}");
    }
}

#[test]
fn every_hint_and_every_example_is_a_command_that_we_understand() {
    for hint in Hint::iter() {
        let names = [("COMMAND", "pg:info"), ("ATTACHMENT", "DATABASE"), ("PATH", "key.pub")];
        let command = hint.fill(&names).command;
        assert_eq!(parses(&command), Ok(()), "{command}");
    }
    for example in commands::all().flat_map(|command| command.examples) {
        let line = example.split(" | ").last().expect("not empty");
        let line = line.split([' ']).take_while(|word| !matches!(*word, "<" | ">"));
        let line = line.collect::<Vec<_>>().join(" ");
        assert_eq!(parses(&line), Ok(()), "{line}");
    }
}

#[test]
fn no_two_commands_share_a_name_and_none_that_is_there_is_called_missing() {
    let mut names: Vec<_> = commands::all().flat_map(|command| command.names()).collect();
    names.extend(commands::later::names());
    names.extend(OWN.iter().map(|(name, _)| *name));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// The commands below `pg` of Heroku's CLI 11.10, with some of their other spellings.
const HEROKUS: &str = "
backups backups:cancel backups:capture backups:delete backups:download backups:info
backups:restore backups:schedule backups:schedules backups:unschedule backups:url bloat
blocking cache-hit cache_hit calls connection-pooling:attach copy credentials
credentials:create credentials:destroy credentials:repair-default credentials:rotate
credentials:url diagnose extensions fdwsql index-size index-usage info kill killall
links links:create links:destroy locks long-running-queries mandelbrot outliers promote
ps psql pull push records-rank reset seq-scans settings settings:auto-explain
settings:auto-explain:log-analyze settings:log-connections settings:log-lock-waits
settings:log-min-duration-statement settings:log-min-error-statement
settings:log-statement settings:track-functions stats-reset table-indexes-size table-size
total-index-size total-table-size unfollow unused-indexes upgrade:cancel upgrade:dryrun
upgrade:prepare upgrade:run upgrade:wait user-connections vacuum_stats wait
";

#[test]
fn d33_a19_every_pg_command_of_herokus_cli_is_known() {
    for name in HEROKUS.split_whitespace() {
        let words = [format!("pg:{name}")];
        let line = grammar::split(&words, OWN).expect("has a command");
        assert!(line.found.is_ok(), "pg:{name}");
    }
}

#[test]
fn what_is_not_offered_and_what_is_unknown_are_told_apart() {
    assert_snapshot!(offline("dataclips -a demo"), @r"
    $ howdah dataclips -a demo
    2>  !    dataclips is not offered yet
    2>  !    hint: what is offered: `howdah help pg`
    exit 1
    ");
    assert_snapshot!(offline("clips --help"), @r"
    $ howdah clips --help
    clips is not offered yet
    exit 0
    ");
    assert_snapshot!(offline("pg:inof"), @r"
    $ howdah pg:inof
    2>  !    `pg:inof` is not a howdah command
    2>  !    Perhaps you meant `pg:info`
    2>  !    hint: all commands: `howdah help`
    exit 2
    ");
    assert_snapshot!(offline("pg:inof --json"), @r#"
    $ howdah pg:inof --json
    {
      "error": {
        "code": "unknown-command",
        "hint": "howdah help",
        "message": "`pg:inof` is not a howdah command\nPerhaps you meant `pg:info`",
        "request_id": null,
        "retryable": false
      },
      "schema": "howdah.v1/error"
    }
    exit 2
    "#);
    assert_snapshot!(offline("pg:info --nope -a demo"), @r"
    $ howdah pg:info --nope -a demo
    2>  !    unexpected argument '--nope' found
    2>  !    usage: howdah pg:info [DATABASE] [options]
    2>  !    hint: how it is used: `howdah help pg:info`
    exit 2
    ");
    assert_snapshot!(offline("apps:rename"), @r"
    $ howdah apps:rename
    2>  !    apps:rename needs NEW
    2>  !    usage: howdah apps:rename NEW [options]
    2>  !    hint: how it is used: `howdah help apps:rename`
    exit 2
    ");
    assert_snapshot!(offline("-a demo"), @r"
    $ howdah -a demo
    2>  !    there is no command
    2>  !    hint: all commands: `howdah help`
    exit 2
    ");
    assert_snapshot!(offline("version"), @r"
    $ howdah version
    howdah 0.1.0
    exit 0
    ");
}

#[test]
fn help_pages_are_on_one_screen() {
    assert_snapshot!(offline("help"), @r"
    $ howdah help
    Howdah: managed PostgreSQL on machines of your own

    Usage: howdah COMMAND [options]

    Start here
      up      Run the whole platform
      doctor  Check this machine

      Apps       apps  config  releases  rollback  maintenance  ps  run  logs
                 runner  local  access  git
      Databases  addons  pg  pgbackups
      Account    login  logout  whoami  auth  signup  keys
      Operate    incidents  api

      howdah help COMMAND        what a command does, and what is below it
      howdah help commands       every command
      howdah help environment    the variables that are read
      howdah help exit-codes     what the numbers mean
    exit 0
    ");
    assert_snapshot!(offline("help pg:reset"), @r"
    $ howdah help pg:reset
    Delete everything in a database

    Usage: howdah pg:reset [DATABASE] [options]

      DATABASE  which one; it must be said

    Options:
      -a, --app APP           the app [default: HOWDAH_APP, then the Git remote]
      -r, --remote NAME       the Git remote that names the app
      -e, --extensions NAMES  extensions to make again, with commas
      -c, --confirm APP       name of the app, to go ahead without being asked

    Global: --json[=FIELDS], --no-input, --trace, --color WHEN, -h --help

    The URL stays the same.

    Examples:
      howdah pg:reset DATABASE_URL -a demo --confirm demo
    exit 0
    ");
    // What is below a topic is listed with what it does, broken into lines where it is long.
    let listed = offline("help pg").split_whitespace().collect::<Vec<_>>().join(" ");
    for command in commands::all().filter(|command| command.topic() == "pg").skip(1) {
        let line = format!("{} {}", command.name, command.does);
        assert!(listed.contains(&line), "{line}: {listed}");
    }
}

#[test]
fn the_confirmation_is_put_where_the_command_still_means_the_same() {
    let words: Vec<_> = ["addons:destroy", "it's", "--", "x"].map(str::to_owned).into();
    let line = grammar::split(&words, OWN).expect("has a command");
    let Ok(Found::Command(command)) = line.found else { panic!("is a command") };
    let given = Given::parse(command, line.rest).expect("fits");
    let again = given.again_with("--confirm", "demo").command;
    assert_eq!(again, r"howdah addons:destroy 'it'\''s' --confirm demo -- x");
}
