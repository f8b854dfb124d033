//! The commands that PostgreSQL hands to a shell for files of WAL.

use std::path::Path;

use crate::settings::{BadSetting, Settings};

/// How long what was written may wait for its segment to be full.
const ARCHIVE_TIMEOUT: &str = "60s";

/// The settings by which a server gives its WAL away: `PROGRAM wal-archive SOCKET %f %p`. They hold
/// for standbys as well, which only archive once they are promoted.
///
/// # Errors
/// [`BadSetting::Value`] when a path is no text.
pub fn archive_settings(program: &Path, socket: &Path) -> Result<Settings, BadSetting> {
    let command = command("archive_command", program, "wal-archive", socket)?;
    let all = [
        ("archive_mode", "on".to_owned()),
        ("archive_timeout", ARCHIVE_TIMEOUT.to_owned()),
        ("archive_command", command),
    ];
    Ok(all.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The `restore_command` of a server: `PROGRAM wal-restore SOCKET %f %p`.
///
/// # Errors
/// As of [`archive_settings`].
pub fn restore(program: &Path, socket: &Path) -> Result<String, BadSetting> {
    command("restore_command", program, "wal-restore", socket)
}

fn command(setting: &str, program: &Path, verb: &str, socket: &Path) -> Result<String, BadSetting> {
    let text = |path: &Path| {
        let text = path.to_str().filter(|text| !text.contains(['\n', '\r', '\0']));
        text.map(argument).ok_or_else(|| BadSetting::Value(setting.to_owned()))
    };
    // `exec`: the shell does not stay between PostgreSQL and the program, whose end by a signal is
    // then seen as one. PostgreSQL's own names of files need no quoting.
    Ok(format!("exec {} {verb} {} %f \"%p\"", text(program)?, text(socket)?))
}

/// A text as one word for the shell, after PostgreSQL has replaced what begins with `%`.
#[must_use]
pub fn argument(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_and_postgresql_would_read_is_quoted() {
        let command = restore(Path::new("/opt/it's 100% /howdah"), Path::new("/s/a.sock"));
        let right = r#"exec '/opt/it'\''s 100%% /howdah' wal-restore '/s/a.sock' %f "%p""#;
        assert_eq!(command.as_deref(), Ok(right));
        let bad = archive_settings(Path::new("/a\nb"), Path::new("/s"));
        assert_eq!(bad, Err(BadSetting::Value("archive_command".to_owned())));
    }
}
