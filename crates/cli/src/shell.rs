//! Words as a POSIX shell reads them.

/// A word in the form in which a shell reads it back unchanged; quoted only where it must be.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,/:=@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b11_words_survive_a_real_shell() {
        for text in ["", "a b", "it's", "$HOME `x` \"y\"", "a\nb", "postgres://u:p@h:1/d", "é*?"] {
            let script = format!("printf %s {}", word(text));
            let out = std::process::Command::new("sh").args(["-c", &script]).output();
            assert_eq!(out.map(|out| out.stdout).ok().as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(word("postgres://u:p@h:1/d"), "postgres://u:p@h:1/d");
    }
}
