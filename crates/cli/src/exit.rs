//! Exit codes: one meaning each, documented in `howdah help exit-codes`.

/// How a command ended, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter)]
#[repr(u8)]
pub(crate) enum Exit {
    Success = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Forbidden = 4,
    Unconfirmed = 5,
    Conflict = 6,
    TimedOut = 7,
    Unreachable = 8,
    Limit = 9,
    Red = 10,
    Yellow = 11,
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// What it means, for people.
    pub(crate) fn means(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "the operation failed on the server",
            Self::Usage => "wrong usage, or an unknown command",
            Self::NotFound => "not found",
            Self::Forbidden => "not logged in, or not allowed",
            Self::Unconfirmed => "confirmation missing or refused",
            Self::Conflict => "conflict: busy, or not in the state that this needs",
            Self::TimedOut => "timed out waiting; the operation continues",
            Self::Unreachable => "the platform cannot be reached",
            Self::Limit => "a limit was reached: rate, quota or capacity",
            Self::Red => "`howdah doctor` found something that must be mended",
            Self::Yellow => "`howdah doctor` found warnings only",
            Self::Interrupted => "interrupted; what was started on the server continues",
        }
    }

    /// The exit code for an answer of the API that is an error.
    pub(crate) fn of_status(status: u16, id: &str) -> Self {
        match (status, id) {
            (_, "confirmation_required") => Self::Unconfirmed,
            (401 | 403, _) => Self::Forbidden,
            (404 | 410, _) => Self::NotFound,
            (409 | 412 | 423, _) | (_, "conflict") => Self::Conflict,
            (429 | 507, _) => Self::Limit,
            (504, _) => Self::TimedOut,
            (502 | 503, _) => Self::Unreachable,
            _ => Self::Failed,
        }
    }
}
