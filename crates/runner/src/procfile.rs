//! A Procfile (B15): `type: command`, one each line.

use howdah_model::name::ProcessType;

/// A line that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProcfile {
    /// It has not the form.
    #[error("line {0} of the Procfile is not `type: command`")]
    Line(usize),
    /// A type is there twice.
    #[error("the Procfile names the type {0} twice")]
    Twice(ProcessType),
    /// Nothing is in it.
    #[error("the Procfile names no process: a line is `type: command`, such as `web: bin/server`")]
    Empty,
}

/// The types of a Procfile with their commands, in its order.
///
/// # Errors
/// When it has a line that is neither empty, a comment, nor `type: command`.
pub fn parse(text: &str) -> Result<Vec<(ProcessType, String)>, BadProcfile> {
    let mut types: Vec<(ProcessType, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = BadProcfile::Line(index + 1);
        let (kind, command) = line.split_once(':').ok_or_else(|| bad.clone())?;
        let kind: ProcessType = kind.trim().parse().map_err(|_| bad.clone())?;
        let command = command.trim();
        if command.is_empty() {
            return Err(bad);
        }
        if types.iter().any(|(known, _)| *known == kind) {
            return Err(BadProcfile::Twice(kind));
        }
        types.push((kind, command.to_owned()));
    }
    if types.is_empty() { Err(BadProcfile::Empty) } else { Ok(types) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b15_a_procfile_names_types_and_commands() {
        let parsed = parse("web: bin/web -p $PORT\n\n# jobs\n worker:rake a:b \nclock: x\r\n");
        let parsed: Vec<_> = parsed.expect("a Procfile").into_iter().collect();
        let shown: Vec<_> =
            parsed.iter().map(|(kind, command)| format!("{kind}|{command}")).collect();
        assert_eq!(shown, ["web|bin/web -p $PORT", "worker|rake a:b", "clock|x"]);
    }

    #[test]
    fn what_is_no_procfile_is_told_with_its_line() {
        assert_eq!(parse("web: x\nnonsense"), Err(BadProcfile::Line(2)));
        assert_eq!(parse("web:"), Err(BadProcfile::Line(1)));
        assert_eq!(parse("we b: x"), Err(BadProcfile::Line(1)));
        assert_eq!(
            parse("web: x\nweb: y"),
            Err(BadProcfile::Twice("web".parse().expect("a type")))
        );
        assert_eq!(parse("# nothing\n"), Err(BadProcfile::Empty));
    }
}
