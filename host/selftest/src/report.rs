//! The table.

use crate::lab::Failure;
use crate::{Code, Figure};
use millpond_statistics::{Estimate, Expectation, Verdict};
use millpond_types::Digest;
use serde::Serialize;
use std::fmt;

/// As many σ off, something is seen to be another figure.
const SEEN: f64 = 4.0;
/// The formula's twins.
const UP: f64 = 1.01;
const DOWN: f64 = 0.99;

/// A figure with what was found of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What was to be found.
    #[serde(flatten)]
    pub figure: Figure,
    /// What was found, with its error.
    pub measured: Estimate,
    /// How far it is off, as a part of the expected value.
    pub relative_error: f64,
    /// How it was judged.
    pub judged: Judged,
    /// The scheme's or the world's twin.
    pub wrong: TwinLine,
}

/// A figure, and the formulas that must not hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// By the formula.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How many σ the formula of 1 % more is off. It must not hold.
    pub one_percent_more: f64,
    /// The same of 1 % less.
    pub one_percent_less: f64,
    /// Whether the figure holds and both twins of the formula do not.
    pub holds: bool,
}

/// What the twin gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TwinLine {
    /// Its figure.
    pub measured: Estimate,
    /// How many σ it is off.
    pub z: f64,
    /// Whether that was seen.
    pub seen: bool,
}

/// How long a run took. No part of what is compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seconds {
    /// The rows that came of it.
    pub rows: String,
    /// The run itself.
    pub seconds: f64,
    /// Its twin.
    pub twin: f64,
}

/// All lines of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The rows.
    pub lines: Vec<Line>,
    /// Of seed and rows: equal for equal seeds, on any machine and by any number of threads.
    pub digest: Digest,
    /// What it took.
    pub seconds: Vec<Seconds>,
}

impl Line {
    pub(crate) fn new(figure: Figure, measured: Estimate, twin: Estimate) -> Self {
        let expected = Expectation { value: figure.expected, sigma: figure.planned };
        let verdict = expected.judge(&measured);
        let off = |factor: f64| measured.z(expected.times(factor).value);
        let (more, less) = (off(UP), off(DOWN));
        let seen = |z: f64| z.abs() > SEEN;
        let z = twin.z(figure.expected);
        Self {
            relative_error: measured.value / figure.expected - 1.0,
            judged: Judged {
                verdict,
                one_percent_more: more,
                one_percent_less: less,
                holds: verdict.holds() && seen(more) && seen(less),
            },
            wrong: TwinLine { measured: twin, z, seen: seen(z) },
            figure,
            measured,
        }
    }

    /// Whether the row does what it should: the figure holds, and nothing that is wrong does.
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.judged.holds && self.wrong.seen
    }

    /// What is wrong with the row, in words; none where it passes.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let row = self.figure.row;
        if !self.judged.verdict.holds() {
            let why = match self.judged.verdict {
                Verdict::Holds { .. } => "holds".to_owned(),
                Verdict::Deviates { z } => format!("is {z:.2} sigma off"),
                Verdict::Underpowered { relative } => {
                    format!("has an error of 1/{:.0} of it, too wide to tell 1 %", 1.0 / relative)
                }
                Verdict::Unplanned { ratio } => {
                    format!("has {ratio:.2} of the planned error: samples are not what they are taken for")
                }
            };
            let (measured, expected) = (self.measured.value, self.figure.expected);
            return Some(format!("row {row}: {measured:.7e} for {expected:.7e} {why}"));
        }
        if !self.judged.holds {
            return Some(format!("row {row}: a formula that is 1 % off holds as well"));
        }
        (!self.wrong.seen).then(|| {
            format!("row {row}: its twin ({}) is {:.2} sigma off and holds", self.figure.twin, self.wrong.z)
        })
    }
}

impl Report {
    pub(crate) fn new(seed: u64, lines: Vec<Line>, seconds: Vec<Seconds>) -> Result<Self, Failure> {
        let bytes = serde_json::to_vec(&(seed, &lines)).map_err(|error| Failure::Json(error.to_string()))?;
        Ok(Self { seed, lines, digest: Digest::of(&bytes), seconds })
    }

    /// Whether every row passes.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.lines.iter().all(Line::passes)
    }

    /// What is wrong, a sentence for each row that does not pass.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.lines.iter().filter_map(Line::complaint).collect()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Production(name) => write!(f, "{name}"),
            Self::World => f.write_str("world"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| row | figure | code | published | expected | measured | error | n | sigma, by plan | z | z at +1 %, -1 % | twin, its z | |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for line in &self.lines {
            let figure = &line.figure;
            let published = figure.published.map_or("-".to_owned(), figure_of);
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {:+.3} % | {} | {} of {} | {} | {}, {} | {}: {} | {} |",
                figure.row,
                figure.what,
                figure.code,
                published,
                figure_of(figure.expected),
                figure_of(line.measured.value),
                100.0 * line.relative_error,
                line.measured.samples,
                short(line.measured.sigma),
                short(figure.planned),
                off(line.measured.z(figure.expected)),
                off(line.judged.one_percent_more),
                off(line.judged.one_percent_less),
                figure.twin,
                off(line.wrong.z),
                if line.passes() { "pass" } else { "FAIL" },
            )?;
        }
        let passing = self.lines.iter().filter(|line| line.passes()).count();
        let (own, twins) =
            self.seconds.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.seconds, sum.1 + row.twin));
        writeln!(
            f,
            "\n{passing} of {} rows pass with their twins. Seed {}, digest {}. {own:.1} s, twins {twins:.1} s.",
            self.lines.len(),
            self.seed,
            self.digest.short(),
        )
    }
}

/// Seven digits.
fn figure_of(value: f64) -> String {
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) {
        format!("{value:.7}")
    } else {
        format!("{value:.6e}")
    }
}

fn short(value: f64) -> String {
    format!("{value:.2e}")
}

/// So many σ. Of figures without a sampling error what is off is off by millions, and its number says nothing.
fn off(z: f64) -> String {
    if z.abs() < 1000.0 { format!("{z:+.1}") } else { "far".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(measured: f64, sigma: f64, twin: f64) -> Line {
        let figure = Figure {
            row: "9",
            what: "a figure",
            code: Code::World,
            formula: "8",
            expected: 8.0,
            published: Some(8.0),
            samples: 100,
            planned: 0.01,
            twin: "all wrong",
        };
        let of = |value| Estimate { value, sigma, samples: 100 };
        Line::new(figure, of(measured), of(twin))
    }

    #[test]
    fn a_row_passes_where_it_holds_and_its_twins_do_not() {
        let good = line(8.01, 0.01, 8.2);
        assert!(good.passes() && good.complaint().is_none());
        for (bad, says) in [
            (line(8.05, 0.01, 8.2), "5.00 sigma off"),
            (line(8.0, 0.02, 9.0), "too wide"),
            (line(8.0, 0.005, 9.0), "not what they are taken for"),
            (line(8.01, 0.01, 8.03), "its twin (all wrong)"),
            // As exact as it should be, and half way to 1 % more.
            (line(8.039, 0.0105, 8.2), "1 % off holds"),
        ] {
            let complaint = bad.complaint().unwrap();
            assert!(!bad.passes() && complaint.contains(says), "{complaint}");
        }
    }

    #[test]
    fn times_are_no_part_of_the_digest_and_everything_else_is() {
        let of = |seed, measured, seconds| {
            let time = Seconds { rows: "9".to_owned(), seconds, twin: 0.0 };
            Report::new(seed, vec![line(measured, 0.01, 8.2)], vec![time]).unwrap().digest
        };
        assert_eq!(of(1, 8.0, 1.0), of(1, 8.0, 2.0));
        assert_ne!(of(1, 8.0, 1.0), of(2, 8.0, 1.0));
        assert_ne!(of(1, 8.0, 1.0), of(1, f64::from_bits(8.0_f64.to_bits() + 1), 1.0));
    }

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let report = Report::new(1, vec![line(8.0, 0.01, 8.2), line(9.0, 0.01, 8.2)], Vec::new()).unwrap();
        let text = report.to_string();
        assert!(text.contains("| 9 | a figure | world | 8.0000000 | 8.0000000 | 8.0000000 |"), "{text}");
        assert!(text.contains("1 of 2 rows pass") && text.contains("FAIL"), "{text}");
        assert_eq!(report.complaints().len(), 1);
    }
}
