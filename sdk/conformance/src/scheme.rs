//! Payout schemes: every property of the contract, and those that the scheme claims.
//!
//! [`PROPERTIES`] is the table of all of them. Most are held over generated histories through the pool's own code
//! ([`whole`]), or on the calls that such a history comes to ([`calls`]); others ask for the ends of the integers and for
//! all miners at once ([`bounds`]), for one income and its variations ([`single`]), or for the miner who comes and goes
//! ([`hopping`]). What keeps a scheme from playing favourites while every unit is conserved is in [`cheats`].

mod bounds;
mod calls;
mod cheats;
mod hopping;
mod single;
mod whole;

pub(crate) use cheats::ladder;

use crate::history::{Found, History, ROWS, Scales, histories, run, search};
use crate::recorder::{Heard, Recorder};
use crate::report::Counterexample;
use crate::{Options, Report, Status, schema};
use millpond_contracts::Settings;
use millpond_contracts::payout::{Allocation, PayoutScheme, Terms};
use millpond_payout::BoundScheme;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// When a property is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Whatever the scheme says.
    Always,
    /// Where the scheme claims it by name.
    Claimed,
    /// Unless the scheme declares by this claim that it means to do otherwise.
    Unless(&'static str),
}

/// Declares that an income pays what is owed as far as it reaches, so that amounts are not in proportion to it: `drift` holds
/// such a scheme to that instead.
const OWED: &str = "owed";
/// Claims that an income pays what is owed, those first of whose earnings the least part is paid: amounts are in proportion
/// neither to it nor to what is owed, and `drift` asks only that they rise with it.
const EQUALISED: &str = "equalised";
/// Declares that shares weigh by their times: `drift` tries no other times of shares then.
const BY_TIME: &str = "by-time";

/// How a property is tested.
#[derive(Clone, Copy)]
enum Test {
    /// Over so many histories: one in `every` of the cases.
    Histories { every: u32, scales: Scales, held: fn(&Subject<'_>, &History) -> Result<(), String> },
    /// By itself; `Err(Broken::NotRun)` says why it does not apply.
    Own(fn(&Subject<'_>) -> Result<String, Broken>),
}

/// One property.
struct Property {
    id: &'static str,
    says: &'static str,
    when: When,
    test: Test,
    /// What of a cheat it sees, where that has a size.
    detects: Option<&'static str>,
}

/// Why a property did not pass.
enum Broken {
    By(String),
    At(Box<Found>),
    NotRun(String),
}

impl From<String> for Broken {
    fn from(why: String) -> Self {
        Self::By(why)
    }
}

impl From<Box<Found>> for Broken {
    fn from(found: Box<Found>) -> Self {
        Self::At(found)
    }
}

const fn always(id: &'static str, says: &'static str, test: Test) -> Property {
    Property { id, says, when: When::Always, test, detects: None }
}

const fn claimed(id: &'static str, says: &'static str, test: Test) -> Property {
    Property { id, says, when: When::Claimed, test, detects: None }
}

const fn over(every: u32, scales: Scales, held: fn(&Subject<'_>, &History) -> Result<(), String>) -> Test {
    Test::Histories { every, scales, held }
}

/// All properties in the order of a report.
const PROPERTIES: [Property; 26] = [
    always(
        "logs",
        "the histories are long enough to see the far edge of every declared window",
        Test::Own(whole::logs),
    ),
    always(
        "conserved",
        "what is given, carried and reserved is what came in, of each income and over whole histories",
        over(1, Scales::All, whole::conserved),
    ),
    always(
        "no-work-no-pay",
        "a miner without work in any window and without cells gets nothing",
        Test::Own(calls::no_work_no_pay),
    ),
    always(
        "deterministic",
        "a history run three times gives equal entries, states and fuel",
        over(4, Scales::All, whole::deterministic),
    ),
    always(
        "restored",
        "restarts behind every step change no entry and no state",
        over(4, Scales::Common, whole::restored),
    ),
    always(
        "duplicate",
        "an income or a share that is reported twice counts once",
        over(4, Scales::Common, whole::duplicate),
    ),
    always(
        "empty",
        "an income with empty windows and without cells goes to nobody",
        over(4, Scales::Common, whole::empty),
    ),
    always(
        "permutation",
        "renaming and reordering miners changes no amount by more than a unit, and the memo not at all",
        Test::Own(calls::permutation),
    ),
    always(
        "batches",
        "cutting shares into batches, wherever, changes neither a credit nor the state",
        over(4, Scales::Common, whole::batches),
    ),
    always(
        "orphan",
        "incomes that are lost, in whatever order, leave what the declared reversal says",
        over(8, Scales::Common, whole::orphan),
    ),
    always(
        "edges",
        "the smallest and the largest integers neither trap nor lose a unit",
        Test::Own(bounds::edges),
    ),
    always(
        "bounded",
        "fuel and memory stay within the limits with all miners at once",
        Test::Own(bounds::large),
    ),
    always(
        "same-as-alone",
        "two miners of equal work and equal cells get the same, within a unit",
        Test::Own(cheats::same_as_alone),
    ),
    Property {
        id: "finder-swap",
        says: "who found the block changes nobody's pay, where the finder is no window",
        when: When::Unless("finder-bonus"),
        test: Test::Own(cheats::finder_swap),
        detects: Some("1 unit"),
    },
    Property {
        id: "drift",
        says: "the same work is paid the same at other heights, times and numbers, and in proportion to the income, or to \
               what is owed where it declares that; where it claims to equalise, they rise with it",
        when: When::Unless("by-context"),
        test: Test::Own(cheats::drift),
        detects: Some("1 unit by context, 3 units by the income's size"),
    },
    Property {
        id: "newcomer",
        says: "a miner who begins anew earns with equal work what he would have earned",
        when: When::Unless("by-history"),
        test: over(2, Scales::Common, cheats::newcomer),
        detects: Some("2 units an income"),
    },
    Property {
        id: "skim",
        says: "over many incomes nobody gains more than half a unit each by rounding",
        when: When::Always,
        test: Test::Own(cheats::skim),
        detects: Some("0.6 units an income"),
    },
    claimed(
        "scale",
        "all work and the network's times a constant change no amount by more than a unit",
        Test::Own(calls::scale),
    ),
    claimed("monotone", "more work never earns less", Test::Own(calls::monotone)),
    claimed(
        "split",
        "a miner in several parts earns the same, within a unit per part",
        Test::Own(calls::split),
    ),
    claimed(
        "share-once",
        "a share that is paid earns nothing from later incomes",
        over(2, Scales::Common, whole::share_once),
    ),
    claimed(
        "hopping-neutral",
        "coming and going by the round's age, a retarget or the pool's hashrate earns no more than staying",
        Test::Own(hopping::neutral),
    ),
    claimed(
        "amplified",
        "leaving before the reward is halved earns no more than staying",
        Test::Own(hopping::halving),
    ),
    claimed(
        EQUALISED,
        "an income pays what shares are owed, and nobody who is paid is better paid than another who is owed",
        over(2, Scales::Common, whole::equalised),
    ),
    claimed(
        "small-change",
        "forgetting the state at any time costs no miner more than a unit",
        over(2, Scales::Common, whole::small_change),
    ),
    claimed(
        "no-deficit",
        "no income and no share is paid from the operator's reserve",
        over(2, Scales::Common, whole::no_deficit),
    ),
];

/// Names that `terms.claims` may hold: claims to be tested, and declarations of what would else be a cheat.
fn names() -> impl Iterator<Item = &'static str> {
    let tested = PROPERTIES.iter().filter_map(|property| match property.when {
        When::Claimed => Some(property.id),
        When::Unless(name) => Some(name),
        // Claimed in 0.1, tested of every scheme.
        When::Always => (property.id == "permutation").then_some(property.id),
    });
    tested.chain([OWED, BY_TIME])
}

/// Holds a scheme under these settings to its contract and to its claims.
#[must_use]
pub fn test(name: &str, scheme: &Arc<dyn PayoutScheme>, settings: &Settings, options: Options) -> Report {
    test_with(name, scheme, settings, options, &[])
}

/// The same; these numbers, such as the [`crate::constants`] of the component, are tried as heights, times, numbers and
/// amounts of incomes.
#[must_use]
pub fn test_with(
    name: &str,
    scheme: &Arc<dyn PayoutScheme>,
    settings: &Settings,
    options: Options,
    constants: &[u64],
) -> Report {
    let mut report = Report::new(scheme.digest(), options);
    report.settings.clone_from(settings);
    report.add("schema", "the schema describes an object of settings", schema::check(scheme.schema()));
    let subject = match Subject::new(name, scheme, settings, options) {
        Ok(subject) => Subject { constants: constants.to_vec(), ..subject },
        Err(why) => {
            report.add("terms", "the terms are within the contract", Err(why));
            return report;
        }
    };
    report.terms = Some(subject.terms.clone());
    report.add("terms", "the terms are within the contract and the same every time", subject.same_terms());
    let unknown = subject.terms.claims.iter().find(|claim| !names().any(|name| name == claim.as_str()));
    if let Some(unknown) = unknown {
        let known: Vec<&str> = names().collect();
        let why = Err(format!("{unknown:?} is no property; there are {}", known.join(", ")));
        report.add("claims", "every claim is a property that is known", why);
    }
    for property in &PROPERTIES {
        let Property { id, says, when, detects, .. } = property;
        let claims = |name: &str| subject.claims(name);
        match when {
            When::Claimed if !claims(id) => report.note(id, says, Status::NotClaimed),
            When::Unless(name) if claims(name) => {
                let why = format!("it declares {name}: that it means to");
                report.note(id, says, Status::NotRun(why));
            }
            _ => {
                let held = subject.hold(property);
                let applies = !matches!(held, Err(Broken::NotRun(_)));
                match held {
                    Ok(how) => report.add(id, says, Ok(how)),
                    Err(Broken::By(why)) => report.add(id, says, Err(why)),
                    Err(Broken::NotRun(why)) => report.note(id, says, Status::NotRun(why)),
                    Err(Broken::At(found)) => {
                        let Found { history, why } = *found;
                        report.add(id, says, Err(format!("{why}\n{history}")));
                        report.counterexamples.push(Counterexample {
                            property: (*id).to_owned(),
                            seed: options.seed,
                            why,
                            history,
                        });
                    }
                }
                if let (Some(detects), true) = (detects, applies) {
                    report.detects(id, detects);
                }
            }
        }
    }
    report.inputs = subject.inputs.into_inner().finalize().to_hex().to_string();
    report.given = subject.given.into_inner().finalize().to_hex().to_string();
    report
}

/// Holds a scheme to one history: every property of contract and claims that is held over histories or on the calls of
/// one. With the seed of the report that it is from, since the seed chooses names and miners in the calls.
///
/// # Errors
/// When the scheme refuses the settings.
pub fn test_history(
    name: &str,
    scheme: &Arc<dyn PayoutScheme>,
    settings: &Settings,
    options: Options,
    history: &History,
) -> Result<Report, String> {
    let subject = Subject::new(name, scheme, settings, options)?;
    let mut report = Report::new(scheme.digest(), options);
    report.settings.clone_from(settings);
    for Property { id, says, when, test, .. } in &PROPERTIES {
        let Test::Histories { held, .. } = test else { continue };
        if *when == When::Claimed && !subject.claims(id) {
            report.note(id, says, Status::NotClaimed);
            continue;
        }
        report.add(id, says, held(&subject, history).map(|()| "this history".to_owned()));
    }
    for (id, says, held) in calls::ON_CALLS {
        let when = PROPERTIES.iter().find(|property| property.id == id).map(|property| property.when);
        if when == Some(When::Claimed) && !subject.claims(id) {
            continue;
        }
        report.add(
            id,
            says,
            subject.on_calls(history, held).map(|()| "the calls of this history".to_owned()),
        );
    }
    Ok(report)
}

/// A scheme under test.
struct Subject<'a> {
    scheme: &'a dyn PayoutScheme,
    settings: &'a Settings,
    recorder: Arc<Recorder>,
    bound: BoundScheme,
    terms: Terms,
    options: Options,
    constants: Vec<u64>,
    /// All histories that were generated.
    inputs: RefCell<blake3::Hasher>,
    /// What every miner got in the histories of `conserved`.
    given: RefCell<blake3::Hasher>,
}

impl<'a> Subject<'a> {
    fn new(
        name: &str,
        scheme: &'a Arc<dyn PayoutScheme>,
        settings: &'a Settings,
        options: Options,
    ) -> Result<Self, String> {
        let recorder = Arc::new(Recorder::new(scheme.clone()));
        let plugin: Arc<dyn PayoutScheme> = recorder.clone();
        let bound = BoundScheme::new(name, plugin, settings.clone()).map_err(|error| error.to_string())?;
        Ok(Self {
            scheme: scheme.as_ref(),
            settings,
            recorder,
            terms: bound.terms().clone(),
            bound,
            options,
            constants: Vec::new(),
            inputs: RefCell::default(),
            given: RefCell::default(),
        })
    }

    fn claims(&self, property: &str) -> bool {
        self.terms.claims.iter().any(|claim| claim == property)
    }

    fn hold(&self, property: &Property) -> Result<String, Broken> {
        match property.test {
            Test::Own(held) => held(self),
            Test::Histories { every, scales, held } => {
                if property.id == "batches" && self.terms.batch == 0 {
                    return Err(Broken::NotRun("it takes no batches of shares".to_owned()));
                }
                if property.id == "newcomer" && !self.keeps() {
                    return Err(Broken::NotRun(
                        "it keeps nothing by which a miner could be known".to_owned(),
                    ));
                }
                let cases = self.over(property.id, every, scales, &|history| held(self, history))?;
                Ok(format!("{cases} histories"))
            }
        }
    }

    /// Whether anything is kept of miners from one call to the next.
    fn keeps(&self) -> bool {
        self.terms.cells > 0 || !self.terms.state_format.is_empty()
    }

    /// Tries histories; gives how many.
    fn over(
        &self,
        name: &str,
        every: u32,
        scales: Scales,
        held: &dyn Fn(&History) -> Result<(), String>,
    ) -> Result<u32, Box<Found>> {
        let strategy = histories(&self.terms, scales);
        let cases = self.options.cases.div_ceil(every.max(1)).max(1);
        let done = search((self.options.seed, name), cases, &strategy, &self.inputs, held);
        self.recorder.take();
        done
    }

    /// Runs a history and gives what the scheme was asked in it.
    fn heard(&self, history: &History, how: &crate::history::How) -> Result<Heard, String> {
        self.recorder.take();
        run(&self.bound, history, how)?;
        Ok(self.recorder.take())
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

/// What the table of properties says, for certificates: a kit that tests otherwise has another one.
pub(crate) fn table() -> String {
    let line = |property: &Property| {
        let Property { id, says, when, detects, .. } = property;
        format!("{id}\t{when:?}\t{says}\t{}\n", detects.unwrap_or_default())
    };
    PROPERTIES.iter().map(line).collect::<String>() + &format!("rows {ROWS}\n")
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

/// Nobody is paid who was not handed in.
pub(crate) fn known(paid: &BTreeMap<u64, u64>, handed: impl Fn(u64) -> bool) -> Result<(), String> {
    match paid.keys().find(|miner| !handed(**miner)) {
        Some(miner) => Err(format!("miner {miner} is paid, who was not handed in")),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use millpond_contracts::payout::{Batch, Edge, Income, Measure, Span, State, Totals, Window};
    use millpond_contracts::{Done, Outcome};
    use millpond_types::Digest;

    /// Splits each round evenly; the odd units are the rest.
    struct Even;

    impl PayoutScheme for Even {
        fn digest(&self) -> Digest {
            Digest([1; 32])
        }
        fn schema(&self) -> Outcome<String> {
            done(r#"{"type":"object"}"#.to_owned())
        }
        fn describe(&self, _: &Settings) -> Outcome<Terms> {
            done(Terms {
                windows: vec![Window { span: Span::Round, measure: Measure::Work, edge: Edge::Whole }],
                ..Terms::default()
            })
        }
        fn allocate(
            &self,
            _: &Settings,
            income: &Income,
            windows: &[Totals],
            _: &State,
        ) -> Outcome<Allocation> {
            let miner = windows[0].miner.clone();
            let each = income.gross.checked_div(miner.len() as u64).unwrap_or(0);
            let rest = income.gross - each * miner.len() as u64;
            if each == 0 {
                return done(Allocation { rest, ..Allocation::default() });
            }
            done(Allocation { amount: vec![each; miner.len()], miner, rest, ..Allocation::default() })
        }
        fn accrues(&self) -> bool {
            false
        }
        fn accrue(&self, _: &Settings, _: &Batch, _: &State) -> Outcome<Allocation> {
            unreachable!()
        }
    }

    fn done<T>(value: T) -> Outcome<T> {
        Ok(Done { value, fuel_limit: 1000, fuel_used: 10 })
    }

    pub(crate) fn even() -> BoundScheme {
        BoundScheme::new("even", Arc::new(Even), Settings::new()).unwrap()
    }

    #[test]
    fn the_table_names_each_property_once() {
        let ids: std::collections::BTreeSet<_> = PROPERTIES.iter().map(|property| property.id).collect();
        assert_eq!(ids.len(), PROPERTIES.len());
        for (id, _, _) in calls::ON_CALLS {
            assert!(ids.contains(id), "{id}");
        }
    }
}
