//! A `.env` file: `NAME=value`, one each line, as foreman reads it.

/// The variables of a file, in its order. Lines that are none are left out.
#[must_use]
pub fn parse(text: &str) -> Vec<(String, String)> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty()
        && !name.starts_with(|char: char| char.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| (name.to_owned(), self::value(value.trim())))
}

fn value(text: &str) -> String {
    let quoted = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(plain) = quoted('\'') {
        return plain.to_owned();
    }
    if let Some(rest) = quoted('"') {
        let mut value = String::new();
        let mut chars = rest.chars();
        while let Some(char) = chars.next() {
            match char {
                '\\' => match chars.next() {
                    Some('n') => value.push('\n'),
                    Some(other) => value.push(other),
                    None => value.push('\\'),
                },
                other => value.push(other),
            }
        }
        return value;
    }
    text.split(" #").next().unwrap_or(text).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_plain_or_in_quotes() {
        let text = "A=1\n# B=2\nexport C = three four # why\nD='a # \\n'\nE=\"x\\ny\\\"z\"\n1F=x\nnone\nG=";
        let read: Vec<_> = parse(text);
        let read: Vec<_> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected =
            [("A", "1"), ("C", "three four"), ("D", "a # \\n"), ("E", "x\ny\"z"), ("G", "")];
        assert_eq!(read, expected);
    }
}
