//! Payout schemes: every property of the contract, and those that the scheme claims.
//!
//! Three kinds of tests: one allocation and its variations ([`single`]), whole histories through the pool's own code
//! ([`crate::history`]), and the miner who comes and goes ([`hopping`]). Batches of shares are in [`accrual`].

mod accrual;
mod bounds;
mod hopping;
mod single;

use crate::{Options, Report, Status, history, schema};
use millpond_contracts::Settings;
use millpond_contracts::payout::{Allocation, PayoutScheme, Terms};
use millpond_payout::BoundScheme;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use single::columns;

/// Holds a scheme under these settings to its contract and to its claims.
#[must_use]
pub fn test(name: &str, scheme: &Arc<dyn PayoutScheme>, settings: &Settings, options: Options) -> Report {
    let mut report = Report::new(scheme.digest(), options.seed);
    report.add("schema", "the schema describes an object of settings", schema::check(scheme.schema()));
    let bound = match BoundScheme::new(name, scheme.clone(), settings.clone()) {
        Ok(bound) => bound,
        Err(error) => {
            report.add("terms", "the terms are within the contract", Err(error.to_string()));
            return report;
        }
    };
    let under = Subject { scheme: scheme.as_ref(), settings, terms: bound.terms().clone(), options };
    report.add("terms", "the terms are within the contract and the same every time", under.same_terms());

    report.add(
        "conserved",
        "amounts and rest are the income, known miners only, in order, over random histories",
        history::conserved(&bound, options),
    );
    report.add(
        "no-work-no-pay",
        "a miner without work in any window gets nothing",
        single::no_work_no_pay(&under),
    );
    report.add(
        "deterministic",
        "equal arguments give equal results and equal fuel",
        single::deterministic(&under),
    );
    report.add(
        "restored",
        "a history with its state stored and read back gives the entries of a straight run",
        history::restored(&bound, options),
    );
    report.add(
        "permutation",
        "renaming and reordering miners changes no amount by more than a unit",
        single::permutation(&under),
    );
    let orphan = "an income that is lost leaves no trace in later ones";
    match history::orphan(&bound, options) {
        Ok(held) => report.add("orphan", orphan, held),
        Err(why) => report.note("orphan", orphan, Status::NotRun(why)),
    }
    report.add(
        "edges",
        "the smallest and the largest integers neither trap nor lose a unit",
        bounds::edges(&under),
    );
    report.add(
        "bounded",
        "fuel and memory stay within the limits with all miners at once",
        bounds::large(&under),
    );

    under.claimed(
        &mut report,
        "scale",
        "all work times a constant changes no amount by more than a unit",
        || single::scale(&under),
    );
    under.claimed(&mut report, "monotone", "more work never earns less", || single::monotone(&under));
    under.claimed(
        &mut report,
        "split",
        "a miner in several parts earns the same, within a unit per part",
        || single::split(&under),
    );
    under.claimed(
        &mut report,
        "share-once",
        "a share that an income paid earns nothing from later ones",
        || single::share_once(&under),
    );
    under.claimed(
        &mut report,
        "hopping-neutral",
        "coming and going by the round's age, or before a retarget, earns no more than staying",
        || hopping::neutral(&under),
    );
    under.claimed(
        &mut report,
        "small-change",
        "forgetting the state at any time costs no miner more than a unit",
        || accrual::small_change(&under),
    );
    for unknown in under.terms.claims.iter().filter(|claim| !CLAIMS.contains(&claim.as_str())) {
        let why = Err(format!("{unknown:?} is no property; there are {}", CLAIMS.join(", ")));
        report.add("claims", "every claim is a property that is known", why);
    }
    if under.terms.batch > 0 {
        accrual::test(&under, &bound, &mut report);
    }
    report
}

/// Names that `terms.claims` may hold.
const CLAIMS: [&str; 8] = [
    "permutation",
    "split",
    "scale",
    "monotone",
    "share-once",
    "hopping-neutral",
    "small-change",
    // Checked natively on every call.
    "no-deficit",
];

/// A scheme under test.
struct Subject<'a> {
    scheme: &'a dyn PayoutScheme,
    settings: &'a Settings,
    terms: Terms,
    options: Options,
}

impl Subject<'_> {
    /// Properties of batches are claimed by the name of the whole: `accrual-split` by `split`.
    fn claims(&self, property: &str) -> bool {
        let name = property.strip_prefix("accrual-").unwrap_or(property);
        self.terms.claims.iter().any(|claim| claim == name)
    }

    fn claimed(
        &self,
        report: &mut Report,
        property: &'static str,
        says: &'static str,
        held: impl FnOnce() -> Result<String, String>,
    ) {
        if self.claims(property) {
            report.add(property, says, held());
        } else {
            report.note(property, says, Status::NotClaimed);
        }
    }

    fn same_terms(&self) -> Result<String, String> {
        let again = self.scheme.describe(self.settings).map_err(|error| error.to_string())?.value;
        if again != self.terms {
            return Err(format!("`describe` says {:?} and then {again:?}", self.terms));
        }
        let claims =
            if self.terms.claims.is_empty() { "nothing".to_owned() } else { self.terms.claims.join(", ") };
        Ok(format!("{} windows, {} cells, claims {claims}", self.terms.windows.len(), self.terms.cells))
    }
}

/// Amounts by miner, after the rules of form: columns, order, amounts above zero, conserved.
pub(crate) fn by_miner(given: &Allocation, gross: u64) -> Result<BTreeMap<u64, u64>, String> {
    if given.miner.len() != given.amount.len() {
        return Err(format!("{} miners and {} amounts", given.miner.len(), given.amount.len()));
    }
    if !given.miner.is_sorted_by(|a, b| a < b) {
        return Err(format!("miners are not strictly ascending: {:?}", given.miner));
    }
    if let Some((miner, _)) = given.miner.iter().zip(&given.amount).find(|(_, amount)| **amount == 0) {
        return Err(format!("miner {miner} is named and gets 0"));
    }
    let pooled = [given.rest, given.operator, given.to_reserve];
    let sum = given.amount.iter().chain(&pooled).map(|amount| u128::from(*amount)).sum::<u128>();
    if sum != u128::from(gross) + u128::from(given.from_reserve) {
        return Err(format!("amounts and rest are {sum}, the income is {gross}"));
    }
    Ok(given.miner.iter().copied().zip(given.amount.iter().copied()).collect())
}
