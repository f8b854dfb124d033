//! Following a transfer to its end: what is done now, how far it is, and how it came out.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::session::Session;
use crate::step::Step;
use crate::transfer::{self, Log, LogLine, Status, Transfer};
use crate::wait::{self, Patience};

/// How many of the last lines of a log are shown when a transfer has failed.
const LAST_LINES: usize = 5;

/// A transfer that is followed.
pub(crate) struct Following<'f> {
    pub(crate) session: &'f Session,
    pub(crate) given: &'f Given,
    /// The app whose transfer it is: the one that owns the database.
    pub(crate) app: &'f str,
    /// What people call it: `backup`, `restore`, `copy`.
    pub(crate) noun: &'static str,
}

impl Following<'_> {
    /// Follows it to its end in one step, which says that this is being done. One that does not
    /// succeed is a failure.
    pub(crate) async fn to_the_end(
        &self,
        transfer: &Transfer,
        doing: &str,
    ) -> Result<Transfer, Failure> {
        let step = self.session.step(doing);
        let ended = self.until(transfer, &step, |_| false).await?;
        self.told(ended, step)
    }

    /// The same in two steps (E5, E19): the second begins when `passed` says so.
    pub(crate) async fn in_two_steps(
        &self,
        transfer: &Transfer,
        doing: [&str; 2],
        passed: impl Fn(&Transfer) -> bool,
    ) -> Result<Transfer, Failure> {
        let step = self.session.step(doing[0]);
        let now = self.until(transfer, &step, passed).await?;
        if matches!(now.status(), Status::Failed | Status::Canceled) {
            return self.told(now, step);
        }
        step.done();
        let step = self.session.step(doing[1]);
        let ended = self.until(&now, &step, |_| false).await?;
        self.told(ended, step)
    }

    async fn until(
        &self,
        transfer: &Transfer,
        step: &Step<'_>,
        passed: impl Fn(&Transfer) -> bool,
    ) -> Result<Transfer, Failure> {
        let id = transfer.id();
        let verbose = self.given.has("verbose");
        let advice = Hint::WatchTransfer.fill(&[("ID", &id), ("APP", self.app)]);
        let patience = Patience::of(self.given, advice)?;
        let what = format!("The {} {id}", self.noun);
        let seen = std::cell::RefCell::new(Vec::new());
        let log = if verbose { Log::With } else { Log::Without };
        let ended = wait::until(self.session, &patience, step, &what, || async {
            let now = transfer::one(self.session, self.app, &transfer.uuid, log).await?;
            if verbose {
                show_new(step, now.logs.as_deref().unwrap_or_default(), &mut seen.borrow_mut());
            }
            if now.finished_at.is_some() || passed(&now) {
                return Ok(Some(now));
            }
            step.progress(&now.progress());
            Ok(None)
        });
        let ended = ended.await.inspect_err(|failure| step.given_up(failure))?;
        if ended.finished_at.is_none() || verbose {
            return Ok(ended);
        }
        transfer::one(self.session, self.app, &transfer.uuid, Log::With).await
    }

    /// Says how it came out.
    fn told(&self, ended: Transfer, step: Step<'_>) -> Result<Transfer, Failure> {
        let (id, noun) = (ended.id(), self.noun);
        let lines = ended.logs.as_deref().unwrap_or_default();
        match ended.status() {
            Status::Completed => {
                step.done();
                for line in lines.iter().filter(|line| line.level == "warning") {
                    self.session.say(&format!(" !    WARNING: {}", line.message));
                }
                Ok(ended)
            }
            Status::Canceled => {
                step.ended("canceled");
                let message = format!("The {noun} {id} was canceled.");
                Err(Failure::new(Exit::Failed, "canceled", message))
            }
            Status::Failed | Status::Running | Status::Pending => {
                step.ended("failed");
                let mut message = format!("An error occurred and your {noun} did not finish.");
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].iter();
                let mut last: Vec<_> = last.map(|line| line.message.as_str()).collect();
                // The log may have more of it, or nothing.
                let error = ended.error.as_deref().unwrap_or_default();
                if !error.is_empty() && !last.iter().any(|line| line.contains(error)) {
                    last.push(error);
                }
                for line in last {
                    message.push_str(&format!("\n{line}"));
                }
                let advice = Hint::ShowTransfer.fill(&[("ID", &id), ("APP", self.app)]);
                Err(Failure::new(Exit::Failed, "transfer-failed", message).advise(advice))
            }
        }
    }
}

/// Prints the lines of a log that were not printed yet.
fn show_new(step: &Step<'_>, lines: &[LogLine], seen: &mut Vec<LogLine>) {
    for line in lines {
        if !seen.contains(line) {
            step.note(&format!("{} {}", line.created_at, line.message));
            seen.push(line.clone());
        }
    }
}
