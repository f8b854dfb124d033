//! Turns, medians and tables.

use std::path::Path;
use std::time::{Duration, Instant};

use howdah_cluster::postmaster;

/// What a turn took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) wall: Duration,
    /// Of all processors.
    pub(crate) cpu: Duration,
}

/// Whose processor time is that of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Account<'a> {
    /// This process, the programs that it has run to their end, and the server of a data directory.
    Ours(&'a Path),
    /// The whole machine: of programs that leave others behind which work on.
    Machine,
}

/// Measures something that may wait.
pub(crate) async fn turn<T>(
    account: Account<'_>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Turn, T)> {
    let (begun, before) = (Instant::now(), account.read()?);
    let done = work.await?;
    Ok((Turn { wall: begun.elapsed(), cpu: account.read()?.saturating_sub(before) }, done))
}

impl Account<'_> {
    fn read(self) -> anyhow::Result<Duration> {
        let ticks = match self {
            Self::Machine => {
                let stat = std::fs::read_to_string("/proc/stat")?;
                let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
                let fields: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
                // All but idle, waiting for a disk, and guests, which are in the others already.
                [0, 1, 2, 5, 6].iter().filter_map(|at| fields.get(*at)).sum()
            }
            Self::Ours(data) => {
                let server = postmaster::processes(data).into_iter();
                let of_server: u64 =
                    server.map(|pid| ticks_of(&pid.as_raw_nonzero().to_string())).sum();
                of_server + ticks_of("self")
            }
        };
        Ok(Duration::from_millis(ticks * 10))
    }
}

/// What a process and those of its children that have ended have used, in ticks of 10 ms.
fn ticks_of(process: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let behind_name = stat.rsplit(") ").next().unwrap_or_default();
    let fields = behind_name.split_whitespace().skip(11).take(4);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// The one in the middle; NaN of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// A number as it stands in a table; a dash where there is none.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{value:.decimals$}") } else { "-".to_owned() }
}

/// The turns of several, round by round.
#[derive(Debug)]
pub(crate) struct Rounds {
    title: &'static str,
    names: Vec<String>,
    turns: Vec<Vec<Option<Turn>>>,
    stored: Vec<u64>,
}

impl Rounds {
    pub(crate) fn new(title: &'static str, names: Vec<String>) -> Self {
        let turns = vec![Vec::new(); names.len()];
        let stored = vec![0; names.len()];
        Self { title, names, turns, stored }
    }

    /// Notes a turn, and what it left in bytes.
    pub(crate) fn add(&mut self, who: usize, turn: Option<Turn>, stored: u64) {
        self.turns[who].push(turn);
        self.stored[who] = stored;
    }

    /// Prints the table. Ratios of time are of the first one to each, within a round: below 1 the
    /// first one is faster.
    pub(crate) fn print(&self, bytes: u64) {
        const MB: f64 = 1e6;
        println!("\n### {}\n", self.title);
        head(&["", "s", "MB/s", "CPU s/GB", "stored MB", "time, ours / this", "CPU, ours / this"]);
        for (who, name) in self.names.iter().enumerate() {
            let of = |value: fn(&Turn) -> f64| median(self.turns[who].iter().flatten().map(value));
            let (wall, cpu) =
                (of(|turn| turn.wall.as_secs_f64()), of(|turn| turn.cpu.as_secs_f64()));
            line(&[
                name.clone(),
                number(wall, 2),
                number(bytes as f64 / MB / wall, 0),
                number(cpu / (bytes as f64 / 1e9), 2),
                number(self.stored[who] as f64 / MB, 0),
                number(self.ratio(who, |turn| turn.wall.as_secs_f64()), 2),
                number(self.ratio(who, |turn| turn.cpu.as_secs_f64()), 2),
            ]);
        }
    }

    fn ratio(&self, to: usize, value: fn(&Turn) -> f64) -> f64 {
        let pairs = self.turns[0].iter().zip(&self.turns[to]);
        median(
            pairs
                .filter_map(|(ours, theirs)| Some(value(ours.as_ref()?) / value(theirs.as_ref()?))),
        )
    }
}

/// The order in which several have their turn in a round.
pub(crate) fn order(contestants: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..contestants).map(move |turn| (turn + round) % contestants)
}

/// Prints a line of a table.
pub(crate) fn line(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// Prints the head of a table.
pub(crate) fn head(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
    println!("|{}", "---|".repeat(cells.len()));
}
