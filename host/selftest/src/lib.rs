//! The selftest of the laboratory: figures of the literature on payout schemes, each measured over the code that pays and
//! held to its formula.
//!
//! A row is one figure. Its expected value is computed here from the formula that stands beside it, its measured one comes
//! from the bundled scheme itself, run natively ([`Code::Production`]), or where no scheme has a part in it from the world
//! alone ([`Code::World`]). The rule is that of [`millpond_statistics::Expectation`]: a figure holds within 4 σ, with so many
//! samples that 1 % of it are 8 σ; a σ that is wider, or not the one that was planned, fails.
//!
//! What never fails proves nothing. So each row is judged twice more: the formula 1 % up and 1 % down must not hold, and the
//! row's twin, a scheme or a world that is wrong in one thing and runs on the same random numbers, must not hold either.
//!
//! The same seed gives the same bytes, on any machine and by any number of threads: work is cut in parts of a fixed number, each
//! with streams of its own, and their sums are merged in order. Times are measured, and are no part of what is compared.

mod formulas;
mod lab;
mod report;
mod rows;

pub use lab::Failure;
pub use report::{Judged, Line, Report, Seconds, TwinLine};

use lab::Lab;
use rows::Experiment;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Instant;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "code", content = "name")]
pub enum Code {
    /// The bundled scheme of this name: the sources of the component that pools run.
    Production(&'static str),
    /// No scheme: the random numbers themselves.
    World,
}

/// A figure that is to be found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Its name on the command line; `7-unpaid` belongs to 7.
    pub row: &'static str,
    /// What it is.
    pub what: &'static str,
    /// What is measured.
    #[serde(flatten)]
    pub code: Code,
    /// The formula of the expected value, in words.
    pub formula: &'static str,
    /// The expected value.
    pub expected: f64,
    /// As it was published, rounded there. `None` where it was not.
    pub published: Option<f64>,
    /// Samples that are taken.
    pub samples: u64,
    /// The standard error that these give.
    pub planned: f64,
    /// What is wrong in the twin.
    pub twin: &'static str,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Equal seeds give equal bytes.
    pub seed: u64,
    /// Rows by name; all where there are none.
    pub rows: Vec<String>,
    /// Threads; as many as there are processors where there is none.
    pub threads: Option<usize>,
}

/// The seed of a table that anybody takes again.
pub const SEED: u64 = 1;

impl Default for Options {
    fn default() -> Self {
        Self { seed: SEED, rows: Vec::new(), threads: None }
    }
}

/// All rows, in the table's order.
#[must_use]
pub fn rows() -> Vec<Figure> {
    rows::all().iter().flat_map(|experiment| experiment.figures()).collect()
}

/// Runs rows with their twins. `progress` hears what comes next, how many runs are done, and how many there are.
///
/// # Errors
/// A row that is none, threads that the machine does not give, or a scheme that gave an error or did not conserve an income.
pub fn run(options: &Options, mut progress: impl FnMut(&str, usize, usize)) -> Result<Report, Failure> {
    let chosen = chosen(&options.rows)?;
    let threads = options.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Failure::Threads { threads, message: error.to_string() })?;
    let lab = Lab::new(options.seed);
    let (mut lines, mut seconds) = (Vec::new(), Vec::new());
    let runs = chosen.len().saturating_mul(2);
    for (at, (experiment, wanted)) in chosen.iter().enumerate() {
        let figures = experiment.figures();
        let names: Vec<_> = figures.iter().map(|figure| figure.row).collect();
        let name = names.join(", ");
        let mut timed = |twin: bool| {
            let (what, done) = if twin { ("the twin of ", at * 2 + 1) } else { ("", at * 2) };
            progress(&format!("{what}row {name}"), done, runs);
            let start = Instant::now();
            let estimates = pool.install(|| experiment.run(&lab, twin))?;
            Ok::<_, Failure>((estimates, start.elapsed().as_secs_f64()))
        };
        let (measured, own) = timed(false)?;
        let (twins, other) = timed(true)?;
        if measured.len() != figures.len() || twins.len() != figures.len() {
            return Err(Failure::Figures { row: name });
        }
        let all = figures.into_iter().zip(measured).zip(twins);
        let kept = all.filter(|((figure, _), _)| wanted.contains(figure.row));
        lines.extend(kept.map(|((figure, measured), twin)| Line::new(figure, measured, twin)));
        seconds.push(Seconds { rows: name, seconds: own, twin: other });
    }
    Report::new(options.seed, lines, seconds)
}

/// The experiments that have a wanted row, with the rows that are wanted of each.
#[expect(clippy::type_complexity, reason = "two lines below it is taken apart")]
fn chosen(wanted: &[String]) -> Result<Vec<(Box<dyn Experiment>, BTreeSet<&'static str>)>, Failure> {
    let all = rows::all();
    let means = |name: &str, row: &str| {
        row == name || row.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
    };
    let rows: Vec<&'static str> =
        all.iter().flat_map(|experiment| experiment.figures()).map(|figure| figure.row).collect();
    for name in wanted {
        if !rows.iter().any(|row| means(name, row)) {
            return Err(Failure::NoRow { name: name.clone(), rows: rows.join(", ") });
        }
    }
    let of = |experiment: Box<dyn Experiment>| {
        let figures = experiment.figures();
        let names = figures.iter().map(|figure| figure.row);
        let names: BTreeSet<_> =
            names.filter(|row| wanted.is_empty() || wanted.iter().any(|name| means(name, row))).collect();
        (experiment, names)
    };
    Ok(all.into_iter().map(of).filter(|(_, rows)| !rows.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_and_by_number() {
        let of = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let rows =
                chosen(&names).map(|all| all.into_iter().flat_map(|(_, rows)| rows).collect::<Vec<_>>());
            rows.map_err(|error| error.to_string())
        };
        assert_eq!(of(&["7"]).unwrap(), ["7", "7-maturity", "7-unpaid"]);
        assert_eq!(of(&["7-unpaid", "1"]).unwrap(), ["1", "7-unpaid"]);
        assert_eq!(of(&[]).unwrap().len(), rows().len());
        assert!(of(&["7", "71"]).unwrap_err().contains("no row \"71\""));
    }

    #[test]
    fn every_row_has_a_name_of_its_own_and_enough_samples() {
        let all = rows();
        let names: BTreeSet<_> = all.iter().map(|figure| figure.row).collect();
        assert_eq!(names.len(), all.len());
        for figure in &all {
            assert!(figure.expected.is_finite() && figure.planned > 0.0, "{figure:?}");
            // A 4th of a percent more or less, for what is rounded up.
            assert!(figure.planned <= figure.expected.abs() / 798.0, "{figure:?}");
            // What was published is rounded to four digits or more, and an exact figure of a finite number of shares beside it.
            if let Some(published) = figure.published {
                assert!((published / figure.expected - 1.0).abs() < 0.035, "{figure:?}");
            }
        }
    }
}
