//! The `howdah` executable: the platform's roles wired together, and the command line.

mod archive;
mod archive_commands;
mod detach;
mod doctor;
mod down;
mod first_account;
mod gateway_role;
mod heroku_env;
mod hold;
mod home;
mod https;
mod limited;
mod listening;
mod notify;
mod output;
mod own;
mod settings;
mod sorting;
mod system;
mod up;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    // First of all: PostgreSQL runs this for every file of WAL.
    if let Some(code) = howdah_agent::wal_client(&arguments) {
        return code;
    }
    if let Some(code) = howdah_runner::keeper(&arguments) {
        return code;
    }
    match own::Own::parse(&arguments) {
        Some(Ok(command)) => command.run(),
        Some(Err(usage)) => {
            eprintln!("{usage}");
            ExitCode::from(2)
        }
        None => howdah_cli::main(arguments, own::WORDS),
    }
}
