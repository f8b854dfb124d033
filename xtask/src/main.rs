//! Chores of the project: `cargo xtask docs` writes the generated pages, `cargo xtask tidy` checks
//! the conventions that no other tool knows.

mod docs;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let chore = std::env::args().nth(1).unwrap_or_default();
    let done = match chore.as_str() {
        "docs" => docs::write(&root()),
        "tidy" => tidy::check(&root()),
        _ => {
            eprintln!(
                "cargo xtask docs   writes docs/states.md and docs/commands.md from the code"
            );
            eprintln!("cargo xtask tidy   checks the project's conventions");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout, from where cargo built this.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
