//! Fee policies: within the amounts, the same for everybody whatever his name, and cheap with all miners at once.

use crate::rng::Rng;
use crate::{Options, Report, schema};
use millpond_contracts::Settings;
use millpond_contracts::payout::{FeePolicy, Income};
use std::collections::BTreeMap;

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
}

/// Rows of one call: amount and attributes by miner.
type Rows = BTreeMap<u64, (u64, Vec<u64>)>;

/// Holds a fee policy under these settings to its contract.
#[must_use]
pub fn test(policy: &dyn FeePolicy, settings: &Settings, options: Options) -> Report {
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
    let subject = Subject { policy, settings, columns: names.len(), options };
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

impl Subject<'_> {
    /// (fee, rebate) by miner, after the rules.
    fn ask(&self, rows: &Rows) -> Result<BTreeMap<u64, (u64, u64)>, String> {
        self.ask_of(rows, whole(rows))
    }

    /// The same of an income of this size.
    fn ask_of(&self, rows: &Rows, gross: u64) -> Result<BTreeMap<u64, (u64, u64)>, String> {
        let miner: Vec<u64> = rows.keys().copied().collect();
        let amount: Vec<u64> = rows.values().map(|row| row.0).collect();
        let attributes: Vec<Vec<u64>> = (0..self.columns)
            .map(|column| rows.values().map(|row| row.1.get(column).copied().unwrap_or(0)).collect())
            .collect();
        let income = Income {
            key: vec![0x22; 32],
            gross,
            seq: 77,
            time_ms: 1_700_000_000_000,
            coord: 9,
            finder: miner.first().copied(),
            ..Income::default()
        };
        let done = self.policy.fees(self.settings, &income, &miner, &amount, &attributes);
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
        held: impl Fn(&Rows, &BTreeMap<u64, (u64, u64)>, &mut Rng) -> Result<(), String>,
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
            let net = |fee: Option<&(u64, u64)>| fee.map_or(0, |(fee, rebate)| fee.saturating_sub(*rebate));
            for (miner, new) in &name {
                let (before, after) = (net(fees.get(miner)), net(other.get(new)));
                if before.abs_diff(after) > 1 {
                    return Err(format!("miner {miner} is charged {before}, as miner {new} {after}"));
                }
            }
            Ok(())
        })
    }

    fn large(&self) -> Result<String, String> {
        let miners = u64::from(self.options.miners.max(1));
        let rows: Rows =
            (1..=miners).map(|miner| (miner, (miner % 7919 + 1, vec![miner % 997; self.columns]))).collect();
        self.ask(&rows).map_err(|why| format!("with {miners} miners: {why}"))?;
        Ok(format!("{miners} miners"))
    }
}
