//! What pg_dump and pg_restore say on standard error.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Lines that are kept; of what is longer the beginning is of use.
const MOST_LINES: usize = 4096;
/// The line with which pg_restore ends that went on after errors.
const WENT_ON: &str = "errors ignored on restore";

/// All that a program said.
#[derive(Debug, Default)]
pub(super) struct Said {
    lines: Vec<String>,
    went_on: bool,
}

impl Said {
    /// Reads it to its end.
    pub(super) async fn read(from: impl AsyncRead + Unpin) -> Self {
        let mut lines = BufReader::new(from).split(b'\n');
        let mut said = Self::default();
        while let Ok(Some(line)) = lines.next_segment().await {
            said.add(String::from_utf8_lossy(&line).into_owned());
        }
        said
    }

    fn add(&mut self, line: String) {
        self.went_on |= line.contains(WENT_ON);
        if self.lines.len() < MOST_LINES {
            self.lines.push(line);
        }
    }

    /// Whether pg_restore came to its end, with errors.
    pub(super) fn went_on(&self) -> bool {
        self.went_on
    }

    /// Whether a pg_dump failed because nobody took what it wrote, which may have killed it without
    /// a word.
    pub(super) fn is_about_its_reader(&self) -> bool {
        self.lines.is_empty() || self.lines.iter().any(|line| line.contains("Broken pipe"))
    }

    /// The errors of pg_restore that matter, each with what it was about.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut about = "";
        for line in &self.lines {
            if let Some(entry) = line.strip_prefix("pg_restore: from TOC entry ") {
                about = entry.trim();
            } else if let Some(error) = line.strip_prefix("pg_restore: error: ") {
                let error = error.strip_prefix("could not execute query: ").unwrap_or(error);
                if !is_harmless(error) {
                    let about = about.split_once("; ").map_or(about, |(_, about)| about);
                    let about = about.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
                    let about = if about.is_empty() { String::new() } else { format!("{about}: ") };
                    problems.push(format!("{about}{error}"));
                }
            }
        }
        problems
    }

    /// The first lines, for people.
    pub(super) fn told(&self, most: usize) -> String {
        let lines = self.lines.iter().filter(|line| !line.trim().is_empty());
        lines.take(most).cloned().collect::<Vec<_>>().join("\n")
    }
}

/// What every new pg_restore says to an older server, and what a new database has already.
fn is_harmless(error: &str) -> bool {
    error.contains("unrecognized configuration parameter \"transaction_timeout\"")
        || error.contains("schema \"public\" already exists")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        let mut said = Said::default();
        text.lines().for_each(|line| said.add(line.to_owned()));
        said
    }

    #[test]
    fn errors_that_do_no_harm_are_told_from_those_that_do() {
        let harmless = said(
            "pg_restore: while INITIALIZING:\n\
             pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\n\
             Command was: SET transaction_timeout = 0;\n\
             pg_restore: warning: errors ignored on restore: 1\n",
        );
        assert!(harmless.went_on() && harmless.problems().is_empty());
        let real = said(
            "pg_restore: while PROCESSING TOC:\n\
             pg_restore: from TOC entry 215; 1259 16385 TABLE places dev\n\
             pg_restore: error: could not execute query: ERROR:  type \"geometry\" does not exist\n\
             Command was: CREATE TABLE\n",
        );
        assert_eq!(real.problems(), ["TABLE places dev: ERROR:  type \"geometry\" does not exist"]);
        assert!(!real.went_on());
    }
}
