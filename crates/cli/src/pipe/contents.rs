//! What a dump holds, as `pg_restore -l` lists it, and what of it the target cannot take.

use std::collections::BTreeSet;

/// What the target of a copy can take.
#[derive(Clone, Debug, Default)]
pub(crate) struct Takes {
    /// Extensions that can be made there, or are there.
    pub(crate) extensions: BTreeSet<String>,
    /// Whether who restores may do everything.
    pub(crate) superuser: bool,
}

/// A list of contents, ready for `pg_restore -L`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) list: String,
    /// What is left out and is missed, for people.
    pub(super) left_out: Vec<String>,
}

impl Contents {
    /// Keeps what the target can take.
    pub(super) fn of(listed: &str, takes: &Takes) -> Self {
        let mut contents = Self { list: String::new(), left_out: Vec::new() };
        for line in listed.lines() {
            match judge(line, takes) {
                Judgement::Keep => {
                    contents.list.push_str(line);
                    contents.list.push('\n');
                }
                Judgement::Drop => {}
                Judgement::Miss(what) => contents.left_out.push(what),
            }
        }
        contents
    }
}

enum Judgement {
    Keep,
    /// It is not missed.
    Drop,
    /// It is missed: what it is.
    Miss(String),
}

/// A line is `ID; CATALOGUE OID KIND SCHEMA NAME OWNER`; comments begin with `;`.
fn judge(line: &str, takes: &Takes) -> Judgement {
    let Some((_, entry)) = line.split_once("; ").filter(|_| !line.starts_with(';')) else {
        return Judgement::Keep;
    };
    let mut words = entry.splitn(3, ' ');
    let entry = words.nth(2).unwrap_or_default();
    if takes.superuser {
        return Judgement::Keep;
    }
    // Only who owns an extension may comment on it, and it has its comment.
    if entry.starts_with("COMMENT - EXTENSION ") {
        return Judgement::Drop;
    }
    if let Some(name) = entry.strip_prefix("EXTENSION - ") {
        let name = name.trim();
        if takes.extensions.contains(name) {
            return Judgement::Keep;
        }
        return Judgement::Miss(format!("extension {name}: it is not offered there"));
    }
    if let Some(name) = entry.strip_prefix("EVENT TRIGGER - ") {
        let name = name.split(' ').next().unwrap_or(name);
        return Judgement::Miss(format!("event trigger {name}: only superusers make them"));
    }
    if entry.starts_with("COMMENT - EVENT TRIGGER ") {
        return Judgement::Drop;
    }
    Judgement::Keep
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = ";
; Archive created at 2026-01-02 03:04:05 UTC
2; 3079 16384 EXTENSION - hstore 
3465; 0 0 COMMENT - EXTENSION hstore 
3; 3079 16390 EXTENSION - postgis 
215; 1259 16385 TABLE public EXTENSION - x dev
3466; 0 0 COMMENT public TABLE x dev
3300; 3466 16400 EVENT TRIGGER - on_ddl dev
";

    #[test]
    fn what_a_tenant_cannot_make_is_left_out_and_told_when_it_is_missed() {
        let takes = Takes { extensions: ["hstore".to_owned()].into(), superuser: false };
        let contents = Contents::of(LISTED, &takes);
        let kept: Vec<_> = contents.list.lines().filter(|line| !line.starts_with(';')).collect();
        assert_eq!(
            kept,
            [
                "2; 3079 16384 EXTENSION - hstore ",
                "215; 1259 16385 TABLE public EXTENSION - x dev",
                "3466; 0 0 COMMENT public TABLE x dev",
            ]
        );
        let missed = contents.left_out.join("\n");
        assert_eq!(
            missed,
            "extension postgis: it is not offered there\n\
             event trigger on_ddl: only superusers make them"
        );
        let superuser = Takes { superuser: true, ..Takes::default() };
        let contents = Contents::of(LISTED, &superuser);
        assert!(contents.left_out.is_empty() && contents.list == LISTED);
    }
}
