//! Sizes and times as people read them.

use std::fmt;
use std::time::Duration;

/// A number of bytes. Prints as PostgreSQL and Heroku do: `6.4 MB`, powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1024 {
            return write!(f, "{} bytes", self.0);
        }
        #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
        let mut size = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while size >= 1000.0 && unit + 1 < UNITS.len() {
            size /= 1024.0;
            unit += 1;
        }
        if size >= 100.0 {
            write!(f, "{size:.0} {}", UNITS[unit])
        } else {
            write!(f, "{size:.1} {}", UNITS[unit])
        }
    }
}

/// A time that something took. Prints with two or three digits: `0.25 ms`, `12 ms`, `1.3 s`, `4 min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let millis = seconds * 1000.0;
        match millis {
            ..0.995 => write!(f, "{millis:.2} ms"),
            ..9.95 => write!(f, "{millis:.1} ms"),
            ..999.5 => write!(f, "{millis:.0} ms"),
            ..9_950.0 => write!(f, "{seconds:.1} s"),
            ..119_500.0 => write!(f, "{seconds:.0} s"),
            _ => write!(f, "{:.0} min", seconds / 60.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m23_times_are_in_human_units() {
        let shown = |micros| Span(Duration::from_micros(micros)).to_string();
        assert_eq!(shown(0), "0.00 ms");
        assert_eq!(shown(250), "0.25 ms");
        assert_eq!(shown(996), "1.0 ms");
        assert_eq!(shown(12_400), "12 ms");
        assert_eq!(shown(999_600), "1.0 s");
        assert_eq!(shown(30_000_000), "30 s");
        assert_eq!(shown(240_000_000), "4 min");
    }

    #[test]
    fn m23_sizes_are_in_human_units() {
        let shown = |bytes| Bytes(bytes).to_string();
        assert_eq!(shown(0), "0 bytes");
        assert_eq!(shown(6_710_886), "6.4 MB");
        assert_eq!(shown(44_851), "43.8 kB");
        assert_eq!(shown(1_073_741_824), "1.0 GB");
        assert_eq!(shown(1_047_000), "1.0 MB");
    }
}
