//! What went wrong, as people and scripts are told: one place for the form of every error.

use crate::exit::Exit;
use crate::hint::Advice;

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// A stable name in kebab case, for scripts.
    pub(crate) code: String,
    /// One or two lines: which thing, what happened, what to do. Empty when it was told already.
    pub(crate) message: String,
    pub(crate) advice: Option<Box<Advice>>,
    /// The id under which the platform's log knows the request.
    pub(crate) request_id: Option<String>,
}

impl Failure {
    /// A failure with its exit code, its name for scripts and its words.
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { exit, code, message, advice: None, request_id: None }
    }

    /// Wrong usage of a command.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Something that is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, "not-found", message)
    }

    /// A program that ran for us has told what is wrong; only its exit code is left to pass on.
    pub(crate) fn told(exit: Exit) -> Self {
        Self::new(exit, "told", "")
    }

    pub(crate) fn advise(mut self, advice: Advice) -> Self {
        self.advice = Some(Box::new(advice));
        self
    }

    /// The text for people: every line starts as Heroku's problem lines do.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for line in self.message.lines() {
            text.push_str(&format!(" !    {line}\n"));
        }
        if let Some(advice) = &self.advice {
            text.push_str(&format!(" !    hint: {} `{}`\n", advice.lead, advice.command));
        }
        text
    }

    /// The text for scripts.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "schema": "howdah.v1/error",
            "error": {
                "code": self.code,
                "message": self.message,
                "hint": self.advice.as_ref().map(|advice| &advice.command),
                "retryable": matches!(self.exit, Exit::Unreachable | Exit::TimedOut | Exit::Limit),
                "request_id": self.request_id,
            }
        })
    }
}
