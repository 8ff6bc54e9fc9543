//! Fee policies: within the amounts, the same for everybody whatever his name, and cheap with all miners at once.

use crate::rng::Rng;
use crate::scheme::ladder;
use crate::{Options, Report, schema};
use millpond_contracts::Settings;
use millpond_contracts::payout::{FeePolicy, Income};
use millpond_types::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// What is held of the columns.
const COLUMNS_ARE: &str = "it names at most 8 columns that a pool has, the same every time";
/// Most columns by the contract.
const COLUMNS: usize = 8;
/// What a pool has of itself.
const OWN: [&str; 4] = ["work", "hashrate", "workers", "reserve"];
/// What an operator's list is called, with the list's name behind it.
const LIST: &str = "list:";

struct Subject<'a> {
    policy: &'a dyn FeePolicy,
    settings: &'a Settings,
    columns: usize,
    options: Options,
    constants: &'a [u64],
}

/// Rows of one call: amount and attributes by miner.
type Rows = BTreeMap<u64, (u64, Vec<u64>)>;

/// Fee and rebate by miner.
type Taken = BTreeMap<u64, (u64, u64)>;

/// Puts a number into what surrounds an income.
type Put = fn(&mut Income, u64);

/// Where something may begin.
const CONTEXTS: [(&str, Put); 3] = [
    ("as number", |income, number| income.seq = number),
    ("at time", |income, number| income.time_ms = number),
    ("at height", |income, number| income.coord = number),
];

/// Holds a fee policy under these settings to its contract.
#[must_use]
pub fn test(policy: &dyn FeePolicy, settings: &Settings, options: Options) -> Report {
    test_with(policy, settings, options, &[])
}

/// The same; these numbers, such as the [`crate::constants`] of the component, are tried as heights, times, numbers and
/// amounts too.
#[must_use]
pub fn test_with(policy: &dyn FeePolicy, settings: &Settings, options: Options, constants: &[u64]) -> Report {
    let mut report = Report::new(policy.digest(), options);
    report.add("schema", "the schema describes an object of settings", schema::check(policy.schema()));
    let names = match policy.describe(settings) {
        Ok(done) => done.value,
        Err(error) => {
            report.add("columns", COLUMNS_ARE, Err(error.to_string()));
            return report;
        }
    };
    report.add("columns", COLUMNS_ARE, columns(policy, settings, &names));
    let subject = Subject { policy, settings, columns: names.len(), options, constants };
    report.add("within", "rebate <= fee <= amount, one row each", subject.cases("within", |_, _, _| Ok(())));
    report.add(
        "deterministic",
        "equal arguments give equal fees",
        subject.cases("deterministic", |rows, fees, _| match subject.ask(rows)? {
            again if &again == fees => Ok(()),
            again => Err(format!("{fees:?} and then {again:?}")),
        }),
    );
    report.add("permutation", "renaming miners changes no fee by more than a unit", subject.permutation());
    report.add(
        "alone",
        "a miner's fee does not depend on a stranger without amounts beside him",
        subject.cases("alone", |rows, fees, _| {
            let mut beside = rows.clone();
            beside.insert(u64::MAX, (1, vec![0; subject.columns]));
            let other = subject.ask_of(&beside, whole(rows))?;
            let differs = fees.iter().find(|(miner, fee)| other.get(miner) != Some(fee));
            differs.map_or(Ok(()), |(miner, fee)| {
                Err(format!("miner {miner}: (fee, rebate) {fee:?}, beside another {:?}", other.get(miner)))
            })
        }),
    );
    report.add("apart", "a miner pays by himself what he pays among others, within a unit", subject.apart());
    report.add(
        "alike",
        "who has another's amount and columns pays what that one pays, within a unit",
        subject.alike(),
    );
    report.add("finder-swap", "who found the block changes no fee", subject.finder_swap());
    report.add("drift", "another key, number, time or height changes no fee", subject.drift());
    report.add("even", "a unit more of an amount changes its fee by two units at most", subject.even());
    report.add("bounded", "fuel and memory stay within the limits with all miners at once", subject.large());
    report
}

fn columns(policy: &dyn FeePolicy, settings: &Settings, names: &[String]) -> Result<String, String> {
    let again = policy.describe(settings).map_err(|error| error.to_string())?.value;
    if again != names {
        return Err(format!("`describe` says {names:?} and then {again:?}"));
    }
    if names.len() > COLUMNS {
        return Err(format!("{} columns, at most {COLUMNS}", names.len()));
    }
    let mut lists = Vec::new();
    for name in names.iter().map(String::as_str).filter(|name| !OWN.contains(name)) {
        match name.strip_prefix(LIST) {
            Some(list) if !list.is_empty() => lists.push(list),
            _ => {
                return Err(format!(
                    "a pool has no column {name:?}: it has {}, and {LIST}NAME of the operator's lists",
                    OWN.join(", ")
                ));
            }
        }
    }
    Ok(match (names.len(), lists.is_empty()) {
        (0, _) => "it asks for none".to_owned(),
        (_, true) => names.join(", "),
        (_, false) => format!("{}; the operator must give the lists {}", names.join(", "), lists.join(", ")),
    })
}

/// An income that these amounts are of, and a unit for a stranger: what he gets takes nothing from them.
fn whole(rows: &Rows) -> u64 {
    rows.values().fold(1_u64, |sum, row| sum.saturating_add(row.0))
}

/// An income like any other, found by the first.
fn income(rows: &Rows, gross: u64) -> Income {
    Income {
        // As a pool has it that has run for a while: what is told apart by all of these at once is told apart here.
        key: Digest::of(&gross.to_le_bytes()).0.to_vec(),
        gross,
        seq: 1_234_567,
        time_ms: 1_800_000_000_000,
        coord: 940_321,
        finder: rows.keys().next().copied(),
        ..Income::default()
    }
}

/// What a miner is charged.
fn net(fee: Option<&(u64, u64)>) -> u64 {
    fee.map_or(0, |(fee, rebate)| fee.saturating_sub(*rebate))
}

impl Subject<'_> {
    /// (fee, rebate) by miner, after the rules.
    fn ask(&self, rows: &Rows) -> Result<Taken, String> {
        self.ask_of(rows, whole(rows))
    }

    /// The same of an income of this size.
    fn ask_of(&self, rows: &Rows, gross: u64) -> Result<Taken, String> {
        self.ask_in(rows, &income(rows, gross))
    }

    fn ask_in(&self, rows: &Rows, income: &Income) -> Result<Taken, String> {
        let miner: Vec<u64> = rows.keys().copied().collect();
        let amount: Vec<u64> = rows.values().map(|row| row.0).collect();
        let attributes: Vec<Vec<u64>> = (0..self.columns)
            .map(|column| rows.values().map(|row| row.1.get(column).copied().unwrap_or(0)).collect())
            .collect();
        let done = self.policy.fees(self.settings, income, &miner, &amount, &attributes);
        let given = done.map_err(|error| error.to_string())?.value;
        if (given.fee.len(), given.rebate.len()) != (miner.len(), miner.len()) {
            return Err(format!(
                "{} fees, {} rebates for {} miners",
                given.fee.len(),
                given.rebate.len(),
                miner.len()
            ));
        }
        let mut fees = BTreeMap::new();
        for (((miner, amount), fee), rebate) in miner.iter().zip(&amount).zip(&given.fee).zip(&given.rebate) {
            if fee > amount || rebate > fee {
                return Err(format!("miner {miner}: a fee of {fee} and a rebate of {rebate} on {amount}"));
            }
            fees.insert(*miner, (*fee, *rebate));
        }
        Ok(fees)
    }

    fn cases(
        &self,
        name: &str,
        held: impl Fn(&Rows, &Taken, &mut Rng) -> Result<(), String>,
    ) -> Result<String, String> {
        let mut rng = Rng::new(self.options.seed, name);
        for n in 0..self.options.cases {
            let rows = self.rows(&mut rng, n);
            let shown =
                || rows.iter().take(8).map(|(m, row)| format!("{m}: {row:?}")).collect::<Vec<_>>().join(", ");
            let fees = self.ask(&rows).map_err(|why| format!("{why}; miners {{{}}}", shown()))?;
            held(&rows, &fees, &mut rng).map_err(|why| format!("{why}; miners {{{}}}", shown()))?;
        }
        Ok(format!("{} cases", self.options.cases))
    }

    /// Tiny cases first, then amounts and attributes of every length up to the largest.
    fn rows(&self, rng: &mut Rng, n: u32) -> Rows {
        let bits = if n < 20 { 8 } else { 64 };
        let value = |rng: &mut Rng| match rng.below(12) {
            0 => u64::MAX >> (64 - bits),
            _ => rng.magnitude(bits) as u64,
        };
        // Amounts of one allocation sum to an income, which fits 64 bits.
        let mut left = u64::MAX;
        let mut rows = Rows::new();
        for miner in 1..=rng.below(u64::from(n / 4 + 2)) {
            let amount = value(rng).max(1).min(left);
            left -= amount;
            if amount > 0 {
                rows.insert(miner, (amount, (0..self.columns).map(|_| value(rng)).collect()));
            }
        }
        rows
    }

    fn permutation(&self) -> Result<String, String> {
        self.cases("permutation", |rows, fees, rng| {
            let mut names: Vec<u64> = (1..=rows.len() as u64).map(|name| name * 3).collect();
            rng.shuffle(&mut names);
            let name: BTreeMap<u64, u64> = rows.keys().copied().zip(names).collect();
            let renamed: Rows =
                rows.iter().filter_map(|(miner, row)| Some((*name.get(miner)?, row.clone()))).collect();
            let other = self.ask(&renamed)?;
            for (miner, new) in &name {
                let (before, after) = (net(fees.get(miner)), net(other.get(new)));
                if before.abs_diff(after) > 1 {
                    return Err(format!("miner {miner} is charged {before}, as miner {new} {after}"));
                }
            }
            Ok(())
        })
    }

    fn apart(&self) -> Result<String, String> {
        self.cases("apart", |rows, fees, _| {
            let among = income(rows, whole(rows));
            for (miner, row) in rows.iter().take(8) {
                let by_himself = self.ask_in(&Rows::from([(*miner, row.clone())]), &among)?;
                let (alone, beside) = (net(by_himself.get(miner)), net(fees.get(miner)));
                if alone.abs_diff(beside) > 1 {
                    return Err(format!(
                        "miner {miner} is charged {alone} by himself, and {beside} among others"
                    ));
                }
            }
            Ok(())
        })
    }

    fn alike(&self) -> Result<String, String> {
        self.cases("alike", |rows, _, rng| {
            // Everybody has a half, so that somebody like him has room for the other.
            let halves: Rows = rows.iter().map(|(miner, row)| (*miner, (row.0 / 2, row.1.clone()))).collect();
            for (miner, row) in halves.iter().filter(|row| row.1.0 > 0) {
                let twin = u64::MAX - rng.below(1 << 20);
                let mut both: Rows = halves.clone();
                both.retain(|_, row| row.0 > 0);
                both.insert(twin, row.clone());
                let fees = self.ask(&both)?;
                let (one, two) = (net(fees.get(miner)), net(fees.get(&twin)));
                if one.abs_diff(two) > 1 {
                    return Err(format!(
                        "miner {miner} is charged {one} of {}, and another like him {two}",
                        row.0
                    ));
                }
            }
            Ok(())
        })
    }

    /// Of a few cases, each of these incomes: nothing changes.
    fn in_contexts(
        &self,
        name: &str,
        contexts: impl Fn(&Rows, &Income, &mut Rng) -> Vec<(String, Income)>,
    ) -> Result<String, String> {
        let mut rng = Rng::new(self.options.seed, name);
        let mut asked = 0_u64;
        for n in [3, 12, 30, 60] {
            let rows = self.rows(&mut rng, n);
            let usual = income(&rows, whole(&rows));
            let fees = self.ask_in(&rows, &usual)?;
            for (what, other) in contexts(&rows, &usual, &mut rng) {
                let changed = self.ask_in(&rows, &other)?;
                if let Some((miner, fee)) = fees.iter().find(|(miner, fee)| changed.get(miner) != Some(fee)) {
                    return Err(format!(
                        "miner {miner}: (fee, rebate) {fee:?}, {what} {:?}",
                        changed.get(miner)
                    ));
                }
                asked = asked.saturating_add(1);
            }
        }
        Ok(format!("{asked} incomes"))
    }

    fn finder_swap(&self) -> Result<String, String> {
        self.in_contexts("finder-swap", |rows, usual, _| {
            let finders = rows.keys().copied().map(Some).chain([None]);
            let of =
                |finder| (format!("with the block found by {finder:?}"), Income { finder, ..usual.clone() });
            finders.map(of).collect()
        })
    }

    /// Numbers at which something may begin.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        let beside = |at: &u64| [at.saturating_sub(1), *at, at.saturating_add(1)];
        ladder().into_iter().chain(self.constants.iter().flat_map(beside))
    }

    fn drift(&self) -> Result<String, String> {
        self.in_contexts("drift", |_, usual, rng| {
            let mut all = Vec::new();
            for number in self.numbers() {
                for (what, put) in CONTEXTS {
                    let mut other = usual.clone();
                    put(&mut other, number);
                    all.push((format!("{what} {number}"), other));
                }
            }
            for _ in 0..64 {
                let key: Vec<u8> = (0..32).map(|_| rng.below(256) as u8).collect();
                all.push(("with another key".to_owned(), Income { key: key.clone(), ..usual.clone() }));
                let mut drawn = || rng.magnitude(42) as u64;
                let (seq, time_ms, coord) = (drawn(), drawn(), drawn());
                let what = format!("with another key as number {seq} at time {time_ms} and height {coord}");
                all.push((what, Income { key, seq, time_ms, coord, ..usual.clone() }));
            }
            all
        })
    }

    fn even(&self) -> Result<String, String> {
        let mut rng = Rng::new(self.options.seed, "even");
        let random: Vec<u64> = (0..self.options.cases).map(|_| rng.magnitude(63) as u64).collect();
        let amounts: BTreeSet<u64> =
            self.numbers().chain(random).filter(|amount| (2..u64::MAX - 3).contains(amount)).collect();
        for amount in &amounts {
            let columns: Vec<u64> = (0..self.columns).map(|_| rng.magnitude(64) as u64).collect();
            let of = |amount: u64| -> Result<u64, String> {
                let rows = Rows::from([(1, (amount, columns.clone()))]);
                Ok(net(self.ask_of(&rows, u64::MAX)?.get(&1)))
            };
            for (less, more) in [(amount.saturating_sub(1), *amount), (*amount, amount.saturating_add(1))] {
                let (one, two) = (of(less)?, of(more)?);
                if one.abs_diff(two) > 2 {
                    return Err(format!("of {less} {one} is taken, and of {more} {two}"));
                }
            }
        }
        Ok(format!("{} amounts", amounts.len()))
    }

    fn large(&self) -> Result<String, String> {
        let miners = u64::from(self.options.miners.max(1));
        let rows: Rows =
            (1..=miners).map(|miner| (miner, (miner % 7919 + 1, vec![miner % 997; self.columns]))).collect();
        self.ask(&rows).map_err(|why| format!("with {miners} miners: {why}"))?;
        Ok(format!("{miners} miners"))
    }
}
