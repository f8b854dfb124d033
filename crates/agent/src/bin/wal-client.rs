//! The client of `archive_command` and `restore_command` as a program of its own, for tests: in a
//! platform the `howdah` executable does this.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    howdah_agent::wal_client(&arguments).unwrap_or(ExitCode::from(2))
}
