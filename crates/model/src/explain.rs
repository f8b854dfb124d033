//! The state tables as people read them: for `howdah explain` and for `docs/states.md`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::machine::{Kind, Machine, Undo};
use crate::operation::{
    capture::Capture, change_plan::ChangePlan, destroy::Destroy, promote::Promote,
    provision::Provision, reset::Reset, restore::Restore, rotate::Rotate, unfollow::Unfollow,
};
use crate::{database::Database, participant::Participant};

/// One line of a table, with everything as text.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// The state's name.
    pub state: String,
    /// What it means.
    pub means: &'static str,
    /// What is looked at.
    pub looks_at: &'static str,
    /// Where it can go.
    pub goes_to: Vec<String>,
    /// Its deadline and where it leads.
    pub deadline: Option<String>,
    /// Its undo.
    pub undo: String,
}

/// The table of a machine.
#[must_use]
pub fn lines(kind: Kind) -> Vec<Line> {
    match kind {
        Kind::Participant => of::<Participant>(),
        Kind::Database => of::<Database>(),
        Kind::Provision => of::<Provision>(),
        Kind::Reset => of::<Reset>(),
        Kind::Promote => of::<Promote>(),
        Kind::Unfollow => of::<Unfollow>(),
        Kind::ChangePlan => of::<ChangePlan>(),
        Kind::Capture => of::<Capture>(),
        Kind::Restore => of::<Restore>(),
        Kind::Rotate => of::<Rotate>(),
        Kind::Destroy => of::<Destroy>(),
    }
}

fn of<M: Machine>() -> Vec<Line> {
    M::TABLE
        .iter()
        .map(|row| Line {
            state: row.state.to_string(),
            means: row.means,
            looks_at: row.looks_at,
            goes_to: row.goes_to.iter().map(ToString::to_string).collect(),
            deadline: row.deadline.map(|(after, then)| format!("{} then {then}", span(after))),
            undo: match row.undo {
                Undo::Nothing => "nothing to undo".to_owned(),
                Undo::Through(state) => format!("through {state}"),
                Undo::Impossible(why) => format!("no: {why}"),
            },
        })
        .collect()
}

fn span(duration: Duration) -> String {
    match duration.as_secs() {
        secs if secs % 3600 == 0 => format!("{} h", secs / 3600),
        secs if secs % 60 == 0 => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}

/// The table of a machine as text for a terminal.
#[must_use]
pub fn text(kind: Kind) -> String {
    let mut out = format!("=== {kind}\n");
    for line in lines(kind) {
        let _ = writeln!(out, "\n{}: {}", line.state, line.means);
        let _ = writeln!(out, "  looks at  {}", line.looks_at);
        let goes_to =
            if line.goes_to.is_empty() { "the end".to_owned() } else { line.goes_to.join(", ") };
        let _ = writeln!(out, "  goes to   {goes_to}");
        if let Some(deadline) = line.deadline {
            let _ = writeln!(out, "  deadline  {deadline}");
        }
        let _ = writeln!(out, "  undo      {}", line.undo);
    }
    out
}

/// All tables as Markdown with diagrams: the content of `docs/states.md`.
#[must_use]
pub fn markdown() -> String {
    use strum::IntoEnumIterator;
    let mut out = String::from(
        "# State machines\n\nGenerated from `crates/model` by `cargo xtask docs`; a test keeps it true.\n",
    );
    for kind in Kind::iter() {
        let _ = write!(out, "\n## {kind}\n\n```mermaid\nstateDiagram-v2\n");
        let lines = lines(kind);
        let _ = writeln!(out, "  [*] --> {}", lines[0].state);
        for line in &lines {
            for to in &line.goes_to {
                let _ = writeln!(out, "  {} --> {to}", line.state);
            }
            if line.goes_to.is_empty() {
                let _ = writeln!(out, "  {} --> [*]", line.state);
            }
        }
        let _ = write!(
            out,
            "```\n\n| state | means | looks at | goes to | deadline | undo |\n|---|---|---|---|---|---|\n"
        );
        for line in lines {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} |",
                line.state,
                line.means,
                line.looks_at,
                line.goes_to.join(", "),
                line.deadline.unwrap_or_default(),
                line.undo
            );
        }
    }
    out
}
