//! Medians and tables.

use std::time::Duration;

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

pub(crate) fn micros(value: Duration) -> f64 {
    value.as_secs_f64() * 1e6
}

pub(crate) fn millis(value: Duration) -> f64 {
    value.as_secs_f64() * 1e3
}

/// A number as it stands in a table; a dash where there is none.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{value:.decimals$}") } else { "-".to_owned() }
}

/// What each of several did in each round; missing where it failed.
#[derive(Debug)]
pub(crate) struct Rounds<T> {
    of: Vec<Vec<Option<T>>>,
}

impl<T: Copy> Rounds<T> {
    pub(crate) fn new(contestants: usize) -> Self {
        Self { of: vec![Vec::new(); contestants] }
    }

    pub(crate) fn add(&mut self, contestant: usize, result: Option<T>) {
        self.of[contestant].push(result);
    }

    pub(crate) fn median(&self, contestant: usize, value: impl Fn(&T) -> f64) -> f64 {
        median(self.of[contestant].iter().flatten().map(value))
    }

    /// The median of the ratios to another, each within one round.
    pub(crate) fn ratio(
        &self,
        contestant: usize,
        other: Option<usize>,
        value: impl Fn(&T) -> f64,
    ) -> f64 {
        let Some(other) = other else { return f64::NAN };
        let pairs = self.of[contestant].iter().zip(&self.of[other]);
        median(pairs.filter_map(|(one, other)| Some(value(one.as_ref()?) / value(other.as_ref()?))))
    }

    /// The same with a difference.
    pub(crate) fn difference(
        &self,
        contestant: usize,
        other: Option<usize>,
        value: impl Fn(&T) -> f64,
    ) -> f64 {
        let Some(other) = other else { return f64::NAN };
        let pairs = self.of[contestant].iter().zip(&self.of[other]);
        median(pairs.filter_map(|(one, other)| Some(value(one.as_ref()?) - value(other.as_ref()?))))
    }
}

/// The order in which several have their turn in a round.
pub(crate) fn turns(contestants: usize, round: usize) -> impl Iterator<Item = usize> {
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
