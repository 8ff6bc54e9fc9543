//! What a scenario came to: figures with their errors, and tables of them.

use crate::SimulateError;
use crate::plugins::Loaded;
use crate::run::Replication;
use crate::scenario::{Mode, Scenario, StrategyChoice};
use millpond_report::{Column, Drawn, Head, Name, Page, Part, Section, Table, Value, bars, payout_paths};
use millpond_statistics::{Control, Estimate, Moments, Pairs};
use millpond_types::Digest;
use serde::Serialize;
use std::fmt;

/// Replications whose batches are told one by one.
const PATHS: usize = 10;

/// What a run gives.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What made it.
    pub head: Head,
    /// The scenario's title.
    pub title: String,
    /// Expected blocks of a batch: T.
    pub batch: u64,
    /// By scheme and class.
    pub classes: Vec<ClassFigures>,
    /// By scheme.
    pub schemes: Vec<SchemeFigures>,
    /// Of each scheme to the first.
    pub differences: Vec<Difference>,
    /// By replication, batch, scheme and class, of the first replications.
    pub paths: Vec<Path>,
}

/// What a scheme paid a class. Before fees.
#[derive(Clone, Debug, Serialize)]
pub struct ClassFigures {
    /// The scheme.
    pub scheme: String,
    /// The class.
    pub class: String,
    /// How many they are.
    pub miners: u64,
    /// What one of them is paid in a batch, in the mean.
    pub pay: Estimate,
    /// The standard deviation of that.
    pub deviation: f64,
    /// CV² · T of one of them, where batches are of a fixed time.
    pub spread: Option<Estimate>,
    /// What the class was paid by what its work in the pool was worth.
    pub per_value: Estimate,
    /// The same of all its work, that elsewhere at its worth.
    pub gain: Estimate,
    /// Its part of all that anybody earned.
    pub part: Estimate,
}

/// What a scheme did.
#[derive(Clone, Debug, Serialize)]
pub struct SchemeFigures {
    /// The scheme.
    pub scheme: String,
    /// Incomes that were divided.
    pub incomes: u64,
    /// Those of them that the chain lost.
    pub lost: u64,
    /// Work between a share and its pay, in blocks' work: half of what the first window holds; 0 for who credits shares.
    pub maturity: Option<f64>,
    /// Part of the shares that left the first window without having been paid.
    pub unpaid: Option<f64>,
    /// The operator's profit in a batch.
    pub operator: Estimate,
    /// The variance of that.
    pub operator_variance: Estimate,
    /// Part of the replications in which he had less than nothing at some time.
    pub ruin: Estimate,
    /// The least he had in any of them, his reserve counted.
    pub least: f64,
    /// Whether in each of them what was earned is what was paid, carried and put aside, to the unit.
    pub conserved: bool,
    /// Replications that were held against the production path.
    pub production: u64,
    /// Whether native code and component gave the same bytes, where both ran.
    pub same_as_component: Option<bool>,
    /// Of all that its calls gave, over all replications, where it was asked for.
    pub digest: Option<Digest>,
}

/// What a scheme pays a class more than the first scheme does, on the same luck.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The scheme.
    pub scheme: String,
    /// The first one.
    pub against: String,
    /// The class.
    pub class: String,
    /// By what the class's work is worth.
    pub difference: Estimate,
}

/// One batch of one replication.
#[derive(Clone, Debug, Serialize)]
pub struct Path {
    /// Which replication, from 0.
    pub replication: u64,
    /// Which of its batches, from 0.
    pub batch: u64,
    /// The scheme.
    pub scheme: String,
    /// The class.
    pub class: String,
    /// Both in one.
    pub who: String,
    /// The pool's blocks in it.
    pub blocks: u64,
    /// What the class was paid.
    pub paid: f64,
    /// The same since the measures began.
    pub so_far: f64,
    /// What its work in the pool was worth.
    pub worth: f64,
    /// What it earned elsewhere.
    pub elsewhere: f64,
}

/// What is measured of a class, batch by batch.
#[derive(Clone, Copy)]
struct Sample {
    paid: f64,
    worth: f64,
    elsewhere: f64,
    /// What all classes were paid and earned elsewhere.
    all: f64,
    /// Blocks' earnings above what is to be expected.
    luck: f64,
    mean: f64,
    square: f64,
}

pub(crate) fn outcome(
    scenario: &Scenario,
    loaded: &[Loaded],
    replications: &[Replication],
) -> Result<Outcome, SimulateError> {
    let head = Head {
        config: scenario.digest()?,
        seed: scenario.seed,
        replications: scenario.replications.get(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schemes: loaded.iter().map(|scheme| scheme.head.clone()).collect(),
        stream: "millpond stream 1".to_owned(),
    };
    let mut outcome = Outcome {
        head,
        title: scenario.title.clone(),
        batch: scenario.batch.get(),
        classes: Vec::new(),
        schemes: Vec::new(),
        differences: Vec::new(),
        paths: Vec::new(),
    };
    for (scheme, loaded) in loaded.iter().enumerate() {
        outcome.schemes.push(of_scheme(scenario, scheme, &loaded.name, replications));
        for (class, section) in scenario.miners.iter().enumerate() {
            let samples = samples(scenario, scheme, class, replications);
            outcome.classes.push(ClassFigures {
                scheme: loaded.name.clone(),
                class: section.name.clone(),
                miners: section.count.get().into(),
                ..of_class(scenario, class, &samples)
            });
            if scheme > 0 {
                let first = self::samples(scenario, 0, class, replications);
                let worth = mean(&samples, |sample| sample.worth + sample.elsewhere);
                let moments: Moments =
                    samples.iter().zip(&first).map(|(own, first)| own.paid - first.paid).collect();
                outcome.differences.push(Difference {
                    scheme: loaded.name.clone(),
                    against: outcome.schemes.first().map(|first| first.scheme.clone()).unwrap_or_default(),
                    class: section.name.clone(),
                    difference: moments.mean().times(1.0 / worth),
                });
            }
        }
    }
    outcome.paths = paths(scenario, loaded, replications);
    Ok(outcome)
}

fn mean(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    samples.iter().map(of).sum::<f64>() / samples.len() as f64
}

fn samples(scenario: &Scenario, scheme: usize, class: usize, replications: &[Replication]) -> Vec<Sample> {
    // Who keeps blocks back has no part in what luck would have given.
    let reports = |class: &crate::Miners| !matches!(class.strategy, StrategyChoice::Withholder);
    let mut all = Vec::new();
    for batch in replications.iter().flat_map(|replication| &replication.batches) {
        let paid = batch.paid.get(scheme).map_or(&[][..], Vec::as_slice);
        let own = paid.get(class).copied().unwrap_or_default();
        let (worth, elsewhere) = batch.work.value.get(class).copied().unwrap_or_default();
        let earned = paid.iter().map(|class| class.paid).sum::<f64>();
        let outside = batch.work.value.iter().map(|value| value.1).sum::<f64>();
        let due: f64 = batch
            .work
            .value
            .iter()
            .zip(&scenario.miners)
            .map(|(value, class)| if reports(class) { value.0 } else { 0.0 })
            .sum();
        all.push(Sample {
            paid: own.paid,
            worth,
            elsewhere,
            all: earned + outside,
            luck: batch.work.found - due,
            mean: own.mean,
            square: own.square,
        });
    }
    all
}

/// The mean of what is paid above its worth, with the luck of blocks taken out of it where its mean is known.
fn above(scenario: &Scenario, samples: &[Sample]) -> Estimate {
    let plain: Moments = samples.iter().map(|sample| sample.paid - sample.worth).collect();
    let holds = scenario.miners.iter().any(|class| matches!(class.strategy, StrategyChoice::Delayer));
    // Two slopes are estimated: of few samples they are not worth it.
    if holds || samples.len() < 32 {
        return plain.mean();
    }
    let mut control = Control::new([0.0]);
    for sample in samples {
        control.push(sample.paid - sample.worth, [sample.luck]);
    }
    let controlled = control.mean();
    if controlled.sigma.is_finite() { controlled } else { plain.mean() }
}

fn of_class(scenario: &Scenario, class: usize, samples: &[Sample]) -> ClassFigures {
    let count = scenario.miners.get(class).map_or(1.0, |section| f64::from(section.count.get()));
    let above = above(scenario, samples);
    let worth = mean(samples, |sample| sample.worth);
    let with_elsewhere = mean(samples, |sample| sample.worth + sample.elsewhere);
    let pay: Moments = samples.iter().map(|sample| sample.paid / count).collect();
    let pay = pay.mean();
    let mut part = Pairs::default();
    samples.iter().for_each(|sample| part.push(sample.paid + sample.elsewhere, sample.all));
    let squared = squared_cv(samples);
    let steady = scenario.mode == Mode::Shares;
    ClassFigures {
        scheme: String::new(),
        class: String::new(),
        miners: 0,
        deviation: squared.value.max(0.0).sqrt() * pay.value,
        spread: steady.then(|| squared.times(scenario.batch.get() as f64)),
        per_value: above.times(1.0 / worth).plus(1.0),
        gain: above.times(1.0 / with_elsewhere).plus(1.0),
        part: part.ratio(),
        pay,
    }
}

/// The squared coefficient of variation of one miner's pay in a batch, E[x²]/E[x]² - 1. Miners of one batch share its luck:
/// its samples are batches, and its error is by the delta method.
fn squared_cv(samples: &[Sample]) -> Estimate {
    let (first, second) = (mean(samples, |sample| sample.mean), mean(samples, |sample| sample.square));
    let linear: Moments = samples
        .iter()
        .map(|sample| sample.square / (first * first) - 2.0 * second * sample.mean / (first * first * first))
        .collect();
    let spread = linear.mean();
    Estimate { value: second / (first * first) - 1.0, sigma: spread.sigma, samples: spread.samples }
}

fn of_scheme(scenario: &Scenario, at: usize, name: &str, replications: &[Replication]) -> SchemeFigures {
    const MILLIONTH: f64 = 1e-6;
    let ends: Vec<_> = replications.iter().filter_map(|replication| replication.ends.get(at)).collect();
    let mut profit = Moments::default();
    for replication in replications {
        let mut before = replication.operator.get(at).copied().unwrap_or(0);
        for batch in &replication.batches {
            let now = batch.operator.get(at).copied().unwrap_or(before);
            profit.push(now.saturating_sub(before) as f64 * MILLIONTH);
            before = now;
        }
    }
    let reserve = scenario.scheme.get(at).map_or(0, |section| section.reserve) as f64;
    let least = |end: &crate::run::SchemeEnd| end.books.least as f64 * MILLIONTH + reserve;
    let ruined: Moments = ends.iter().map(|end| if least(end) < 0.0 { 1.0 } else { 0.0 }).collect();
    let (ages, counted) = ends
        .iter()
        .fold((0.0, 0_u64), |(sum, count), end| (sum + end.ages.sum, count.saturating_add(end.ages.count)));
    let windows = ends.first().is_some_and(|end| end.missed.is_some());
    let rows: f64 = ends.iter().map(|end| end.rows as f64).sum();
    let missed: f64 = ends.iter().map(|end| end.missed.unwrap_or(0) as f64).sum();
    let count = |of: &dyn Fn(&crate::run::SchemeEnd) -> u64| {
        ends.iter().fold(0_u64, |sum, end| sum.saturating_add(of(end)))
    };
    let digests: Vec<u8> = ends.iter().filter_map(|end| end.digest).flat_map(|digest| digest.0).collect();
    let twins = ends.iter().any(|end| end.twin.is_some());
    SchemeFigures {
        scheme: name.to_owned(),
        incomes: count(&|end| end.books.incomes),
        lost: count(&|end| end.books.lost),
        maturity: if counted > 0 { Some(ages / counted as f64) } else { (!windows).then_some(0.0) },
        unpaid: windows.then(|| missed / rows),
        operator: profit.mean(),
        operator_variance: profit.variance(),
        ruin: ruined.mean(),
        least: ends.iter().map(|end| least(end)).fold(f64::INFINITY, f64::min),
        conserved: ends.iter().all(|end| end.books.conserved()),
        production: replications.iter().filter(|replication| replication.production).count() as u64,
        same_as_component: twins.then(|| ends.iter().all(|end| end.digest == end.twin)),
        digest: (!digests.is_empty()).then(|| Digest::of(&digests)),
    }
}

fn paths(scenario: &Scenario, loaded: &[Loaded], replications: &[Replication]) -> Vec<Path> {
    let mut paths = Vec::new();
    for (replication, played) in (0_u64..).zip(replications.iter().take(PATHS)) {
        let mut sums = vec![0.0; loaded.len().saturating_mul(scenario.miners.len())];
        for (number, batch) in (0_u64..).zip(&played.batches) {
            let mut sums = sums.iter_mut();
            for (scheme, paid) in loaded.iter().zip(&batch.paid) {
                for ((class, paid), value) in scenario.miners.iter().zip(paid).zip(&batch.work.value) {
                    let Some(so_far) = sums.next() else { continue };
                    *so_far += paid.paid;
                    paths.push(Path {
                        replication,
                        batch: number,
                        scheme: scheme.name.clone(),
                        class: class.name.clone(),
                        who: format!("{}, {}", scheme.name, class.name),
                        so_far: *so_far,
                        blocks: batch.work.blocks,
                        paid: paid.paid,
                        worth: value.0,
                        elsewhere: value.1,
                    });
                }
            }
        }
    }
    paths
}

/// A column of what each row has, by its name, unit and meaning.
fn column<R, V: Value>(rows: &[R], name: &str, unit: &str, says: &str, of: impl Fn(&R) -> V) -> Column {
    Column::new(Name::fitted(name), unit, says, rows.iter().map(of).collect())
}

fn maybe<R, V: Value>(
    rows: &[R],
    name: &str,
    unit: &str,
    says: &str,
    of: impl Fn(&R) -> Option<V>,
) -> Column {
    Column::optional(Name::fitted(name), unit, says, rows.iter().map(of).collect())
}

impl Outcome {
    /// The figures of a scheme and a class.
    #[must_use]
    pub fn class(&self, scheme: &str, class: &str) -> Option<&ClassFigures> {
        self.classes.iter().find(|row| row.scheme == scheme && row.class == class)
    }

    /// The figures of a scheme.
    #[must_use]
    pub fn scheme(&self, scheme: &str) -> Option<&SchemeFigures> {
        self.schemes.iter().find(|row| row.scheme == scheme)
    }

    /// Whether every check of the run held: conservation in each replication, and the component's bytes where it ran.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.schemes.iter().all(|scheme| scheme.conserved && scheme.same_as_component != Some(false))
    }

    /// All figures as tables.
    ///
    /// # Errors
    /// When a table is none.
    pub fn tables(&self) -> Result<Vec<Table>, SimulateError> {
        Ok(vec![self.class_table()?, self.scheme_table()?, self.difference_table()?, self.path_table()?])
    }

    /// A page of these tables and of what is drawn of them.
    ///
    /// # Errors
    /// When a chart has no such column.
    pub fn page<'a>(&self, tables: &'a [Table]) -> Result<Page<'a>, SimulateError> {
        let of = |name: &str| tables.iter().find(|table| table.name().as_str() == name);
        let mut sections = Vec::new();
        if let Some(table) = of("classes") {
            let drawn =
                Drawn { table, series: "scheme", x: "class", y: "per_value", between: None, path: None };
            let says = "What each class was paid by what its work in the pool was worth: 1 is fair, and who hops gains what \
                        others lose.";
            let chart = bars("Pay by worth", says, &drawn)?;
            let parts = vec![Part::Chart(chart), Part::Table(table)];
            sections.push(Section { title: "Miners".to_owned(), parts });
        }
        for (name, title) in [("schemes", "Schemes"), ("differences", "Differences on the same luck")] {
            if let Some(table) = of(name).filter(|table| table.rows() > 0) {
                sections.push(Section { title: title.to_owned(), parts: vec![Part::Table(table)] });
            }
        }
        if let Some(table) = of("paths") {
            let path = Some("replication");
            let drawn = Drawn { table, series: "who", x: "batch", y: "so_far", between: None, path };
            let parts = vec![Part::Chart(payout_paths(&drawn)?)];
            sections.push(Section { title: "Paths".to_owned(), parts });
        }
        let lead = format!(
            "{} replications from seed {}; a batch is {} expected blocks. Pay is before a `fee`, and after fee policies.",
            self.head.replications, self.head.seed, self.batch
        );
        Ok(Page { title: self.title.clone(), lead, sections })
    }

    fn class_table(&self) -> Result<Table, SimulateError> {
        let rows = &self.classes;
        let sigma = "Its standard error.";
        let columns = vec![
            column(rows, "scheme", "", "The scheme.", |row| row.scheme.clone()),
            column(rows, "class", "", "The class of miners.", |row| row.class.clone()),
            column(rows, "miners", "", "How many they are.", |row| row.miners),
            column(rows, "pay", "units", "Pay of one miner in a batch.", |row| row.pay.value),
            column(rows, "pay_sigma", "units", sigma, |row| row.pay.sigma),
            column(rows, "pay_deviation", "units", "Standard deviation of that pay.", |row| row.deviation),
            maybe(rows, "spread", "", "CV² · T of that pay.", |row| row.spread.map(|spread| spread.value)),
            maybe(rows, "spread_sigma", "", sigma, |row| row.spread.map(|spread| spread.sigma)),
            column(rows, "per_value", "", "Pay by the worth of the work in the pool.", |row| {
                row.per_value.value
            }),
            column(rows, "per_value_sigma", "", sigma, |row| row.per_value.sigma),
            column(rows, "gain", "", "Earnings by the worth of all work.", |row| row.gain.value),
            column(rows, "gain_sigma", "", sigma, |row| row.gain.sigma),
            column(rows, "part", "", "Part of what everybody earned.", |row| row.part.value),
            column(rows, "part_sigma", "", sigma, |row| row.part.sigma),
        ];
        Ok(Table::new(Name::fitted("classes"), "A class of miners under a scheme.", columns)?)
    }

    fn scheme_table(&self) -> Result<Table, SimulateError> {
        let rows = &self.schemes;
        let sigma = "Its standard error.";
        let columns = vec![
            column(rows, "scheme", "", "The scheme.", |row| row.scheme.clone()),
            column(rows, "incomes", "blocks", "Incomes that were divided.", |row| row.incomes),
            column(rows, "lost", "blocks", "Those that the chain lost.", |row| row.lost),
            maybe(rows, "maturity", "blocks", "Work between a share and its pay.", |row| row.maturity),
            maybe(rows, "unpaid", "", "Part of the shares that nothing paid.", |row| row.unpaid),
            column(rows, "operator", "units", "Profit in a batch.", |row| row.operator.value),
            column(rows, "operator_sigma", "units", sigma, |row| row.operator.sigma),
            column(rows, "operator_variance", "", "Variance of that.", |row| row.operator_variance.value),
            column(rows, "ruin", "", "Part of the replications that ran out of reserve.", |row| {
                row.ruin.value
            }),
            column(rows, "ruin_sigma", "", sigma, |row| row.ruin.sigma),
            column(rows, "least", "units", "The least the operator had.", |row| row.least),
            column(rows, "conserved", "", "1 where nothing was made or lost.", |row| {
                u64::from(row.conserved)
            }),
            column(rows, "production", "", "Replications on the production path.", |row| row.production),
        ];
        Ok(Table::new(Name::fitted("schemes"), "A scheme.", columns)?)
    }

    fn difference_table(&self) -> Result<Table, SimulateError> {
        let rows = &self.differences;
        let columns = vec![
            column(rows, "scheme", "", "The scheme.", |row| row.scheme.clone()),
            column(rows, "against", "", "The scheme it is held against.", |row| row.against.clone()),
            column(rows, "class", "", "The class of miners.", |row| row.class.clone()),
            column(rows, "difference", "", "Pay above the other's, by worth.", |row| row.difference.value),
            column(rows, "difference_sigma", "", "Its standard error.", |row| row.difference.sigma),
        ];
        Ok(Table::new(Name::fitted("differences"), "A class under two schemes on the same luck.", columns)?)
    }

    fn path_table(&self) -> Result<Table, SimulateError> {
        let rows = &self.paths;
        let columns = vec![
            column(rows, "replication", "", "Which replication, from 0.", |row| row.replication),
            column(rows, "batch", "", "Which batch, from 0.", |row| row.batch),
            column(rows, "scheme", "", "The scheme.", |row| row.scheme.clone()),
            column(rows, "class", "", "The class of miners.", |row| row.class.clone()),
            column(rows, "who", "", "Both in one.", |row| row.who.clone()),
            column(rows, "blocks", "blocks", "The pool's blocks in it.", |row| row.blocks),
            column(rows, "paid", "units", "What the class was paid.", |row| row.paid),
            column(rows, "so_far", "units", "The same since the measures began.", |row| row.so_far),
            column(rows, "worth", "units", "What its work in the pool was worth.", |row| row.worth),
            column(rows, "elsewhere", "units", "What it earned elsewhere.", |row| row.elsewhere),
        ];
        Ok(Table::new(Name::fitted("paths"), "A batch of the first replications.", columns)?)
    }
}

/// A figure and its error, as a terminal shows it.
fn shown(estimate: &Estimate) -> String {
    format!("{:.6} ± {:.6}", estimate.value, estimate.sigma)
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        writeln!(f, "| scheme | class | paid by worth | gain with elsewhere | part of all | CV²·T |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.classes {
            let spread = row.spread.as_ref().map_or_else(|| "-".to_owned(), shown);
            let (value, gain, part) = (shown(&row.per_value), shown(&row.gain), shown(&row.part));
            writeln!(f, "| {} | {} | {value} | {gain} | {part} | {spread} |", row.scheme, row.class)?;
        }
        writeln!(
            f,
            "\n| scheme | incomes | lost | maturity | unpaid | operator a batch | ruin | conserved |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for row in &self.schemes {
            let maybe =
                |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.6}"));
            let (maturity, unpaid) = (maybe(row.maturity), maybe(row.unpaid));
            let (operator, ruin) = (shown(&row.operator), shown(&row.ruin));
            let conserved = if row.conserved { "yes" } else { "NO" };
            writeln!(
                f,
                "| {} | {} | {} | {maturity} | {unpaid} | {operator} | {ruin} | {conserved} |",
                row.scheme, row.incomes, row.lost
            )?;
            if row.same_as_component == Some(false) {
                writeln!(f, "\n{}: native code and component DIFFER\n", row.scheme)?;
            }
        }
        if !self.differences.is_empty() {
            writeln!(f, "\n| scheme | against | class | paid more, by worth |\n|---|---|---|---|")?;
            for row in &self.differences {
                writeln!(
                    f,
                    "| {} | {} | {} | {} |",
                    row.scheme,
                    row.against,
                    row.class,
                    shown(&row.difference)
                )?;
            }
        }
        Ok(())
    }
}
