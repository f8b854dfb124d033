//! Transfers: backups, restores and copies of databases, as the API tells of them.

use howdah_model::size::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// A transfer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) uuid: String,
    /// Its number: one sequence over all transfers of an app.
    pub(crate) num: u64,
    #[serde(default)]
    pub(crate) from_name: Option<String>,
    #[serde(default)]
    pub(crate) from_type: String,
    #[serde(default)]
    pub(crate) to_name: Option<String>,
    #[serde(default)]
    pub(crate) to_type: String,
    /// Names what a backup has made to whoever restores it.
    #[serde(default, skip_serializing)]
    pub(crate) to_url: Option<String>,
    pub(crate) created_at: String,
    #[serde(default)]
    pub(crate) started_at: Option<String>,
    #[serde(default)]
    pub(crate) finished_at: Option<String>,
    #[serde(default)]
    pub(crate) canceled_at: Option<String>,
    #[serde(default)]
    pub(crate) succeeded: Option<bool>,
    #[serde(default)]
    pub(crate) processed_bytes: u64,
    #[serde(default)]
    pub(crate) source_bytes: u64,
    /// Bytes of what is done now, where that is known.
    #[serde(default)]
    pub(crate) total_bytes: Option<u64>,
    /// What is done now.
    #[serde(default)]
    pub(crate) step: Option<String>,
    #[serde(default)]
    pub(crate) warnings: u64,
    #[serde(default)]
    pub(crate) schedule: Option<Value>,
    /// Why it failed.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// Only there when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) logs: Option<Vec<LogLine>>,
}

/// A line of a transfer's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLine {
    pub(crate) created_at: String,
    #[serde(default)]
    pub(crate) level: String,
    pub(crate) message: String,
}

/// What a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Backup,
    Restore,
    Copy,
}

/// How a transfer fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Pending,
    Running,
    Completed,
    Canceled,
    Failed,
}

/// A transfer as `--json` prints it: with its name and its status in one word.
#[derive(Serialize)]
pub(crate) struct Shown<'t> {
    id: String,
    kind: Kind,
    status: Status,
    #[serde(flatten)]
    transfer: &'t Transfer,
}

impl Transfer {
    pub(crate) fn kind(&self) -> Kind {
        match (self.from_type.as_str(), self.to_type.as_str()) {
            ("pg_dump", "pg_restore") => Kind::Copy,
            (_, "pg_restore") => Kind::Restore,
            _ => Kind::Backup,
        }
    }

    /// Its name: a letter and at least three digits (E8).
    pub(crate) fn id(&self) -> String {
        let letter = match self.kind() {
            Kind::Backup if self.schedule.as_ref().is_some_and(|schedule| !schedule.is_null()) => {
                'a'
            }
            Kind::Backup => 'b',
            Kind::Restore => 'r',
            Kind::Copy => 'c',
        };
        format!("{letter}{:03}", self.num)
    }

    pub(crate) fn status(&self) -> Status {
        if self.succeeded == Some(true) {
            Status::Completed
        } else if self.canceled_at.is_some() {
            Status::Canceled
        } else if self.finished_at.is_some() {
            Status::Failed
        } else if self.started_at.is_some() {
            Status::Running
        } else {
            Status::Pending
        }
    }

    /// The status in words; `when` writes a moment.
    pub(crate) fn told(&self, when: impl Fn(&str) -> String) -> String {
        let ended = self.finished_at.as_deref().or(self.canceled_at.as_deref());
        let at = ended.map_or_else(String::new, |ended| format!(" {}", when(ended)));
        match self.status() {
            Status::Completed if self.warnings > 0 => {
                format!("Finished with {}", counted(self.warnings, "warning"))
            }
            Status::Completed => format!("Completed{at}"),
            Status::Canceled => format!("Canceled{at}"),
            Status::Failed => format!("Failed{at}"),
            Status::Running => format!("Running (processed {})", Bytes(self.processed_bytes)),
            Status::Pending => "Pending".to_owned(),
        }
    }

    /// How far it is, for people: `fetching 42% (1.2 MB of 2.8 MB)`, `dumping 1.2 MB`, `pending`.
    pub(crate) fn progress(&self) -> String {
        if self.started_at.is_none() {
            return "pending".to_owned();
        }
        let step = self.step.as_deref().filter(|step| !step.is_empty());
        let step = step.map_or_else(String::new, |step| format!("{step} "));
        let done = Bytes(self.processed_bytes);
        match self.total_bytes.filter(|total| *total >= self.processed_bytes.max(1)) {
            Some(total) => {
                let per_cent = self.processed_bytes.saturating_mul(100) / total;
                format!("{step}{per_cent}% ({done} of {})", Bytes(total))
            }
            None => format!("{step}{done}"),
        }
    }

    /// It with its name, for `--json`.
    pub(crate) fn shown(&self) -> Shown<'_> {
        Shown { id: self.id(), kind: self.kind(), status: self.status(), transfer: self }
    }
}

/// `1 warning`, `2 warnings`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The number in a name such as `b001`; `None` for what is no name of a transfer.
pub(crate) fn number(id: &str) -> Option<u64> {
    let digits = id.strip_prefix(['a', 'b', 'c', 'r'])?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

/// All transfers of an app, newest first.
pub(crate) async fn all(session: &Session, app: &str) -> Result<Vec<Transfer>, Failure> {
    let mut all: Vec<Transfer> = session.get(&["client", "v11", "apps", app, "transfers"]).await?;
    all.sort_by(|a, b| (&b.created_at, b.num).cmp(&(&a.created_at, a.num)));
    Ok(all)
}

/// One transfer, by its uuid or number, with its log if that is wanted.
pub(crate) async fn one(
    session: &Session,
    app: &str,
    id: &str,
    log: Log,
) -> Result<Transfer, Failure> {
    let path = ["client", "v11", "apps", app, "transfers", id];
    match log {
        Log::Without => session.get(&path).await,
        Log::With => session.get_where(&path, &[("verbose", "true")]).await,
    }
}

/// Whether the log of a transfer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Without,
    With,
}

/// The transfer of this name, with its log. A name whose letter does not fit its number is nobody's.
pub(crate) async fn named(session: &Session, app: &str, id: &str) -> Result<Transfer, Failure> {
    let missing = || {
        let message = format!("Backup {id} not found for {app}");
        Failure::not_found(message).advise(crate::hint::Hint::ListBackups.fill(&[("APP", app)]))
    };
    let number = number(id).ok_or_else(|| {
        Failure::usage(format!("Invalid Backup: {id}\nIt is a letter and a number, such as b001"))
    })?;
    let found = one(session, app, &number.to_string(), Log::With).await;
    let found = found.map_err(|failure| match failure.exit {
        // Of one that was deleted, the platform may know more.
        Exit::NotFound if !failure.message.contains("already") => missing(),
        _ => failure,
    })?;
    if number == found.num && found.id().starts_with(&id[..1]) { Ok(found) } else { Err(missing()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(from: &str, to: &str) -> Transfer {
        Transfer { num: 7, from_type: from.into(), to_type: to.into(), ..Transfer::default() }
    }

    #[test]
    fn e8_the_letter_tells_what_a_transfer_is() {
        let scheduled = Transfer {
            schedule: Some(serde_json::json!({ "uuid": "s-1" })),
            ..transfer("pg_dump", "gof3r")
        };
        let ids = [
            transfer("pg_dump", "gof3r").id(),
            scheduled.id(),
            transfer("gof3r", "pg_restore").id(),
            transfer("htcat", "pg_restore").id(),
            transfer("pg_dump", "pg_restore").id(),
            Transfer { num: 1234, ..transfer("pg_dump", "gof3r") }.id(),
        ];
        assert_eq!(ids, ["b007", "a007", "r007", "r007", "c007", "b1234"]);
        let numbers = ["b001", "a1234", "r7", "x001", "b", "b1x", "001", "b-1", "é1"].map(number);
        assert_eq!(numbers, [Some(1), Some(1234), Some(7), None, None, None, None, None, None]);
    }

    #[test]
    fn how_far_it_is_has_per_cents_only_where_the_whole_is_known() {
        let mut one = transfer("gof3r", "pg_restore");
        assert_eq!(one.progress(), "pending");
        one.started_at = Some("2026-01-02T03:04:05Z".into());
        one.processed_bytes = 2048;
        assert_eq!(one.progress(), "2.0 kB");
        one.step = Some("fetching".into());
        one.total_bytes = Some(8192);
        assert_eq!(one.progress(), "fetching 25% (2.0 kB of 8.0 kB)");
        one.total_bytes = Some(100);
        assert_eq!(one.progress(), "fetching 2.0 kB", "an estimate that was wrong says nothing");
    }
}
