//! SLICE, PPLNS with job declaration (Demand, 2024): an income's subsidy is shared by the work of the newest shares, its fees by
//! what each share's job had in fees beside those of its slice, which are the shares that were found when about as much
//! could be had.

use millpond_sdk::cumulative;
use millpond_sdk::fixed::mul_div128;
use millpond_sdk::payout_0_2::{
    Allocation, Edge, Grain, Income, Measure, Reversal, Scheme, Settings, Span, State, Terms, Totals, Window,
    claims, number,
};

/// The scheme.
pub struct Slice;

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "window": {
      "type": "integer", "minimum": 100, "maximum": 64000, "default": 8000,
      "description": "The window in thousandths of the network's work per block."
    },
    "delta": {
      "type": "integer", "minimum": 0, "maximum": 1000000000000, "default": 0,
      "description": "A slice ends where a job's fees are so many of the smallest units above those of its first share; 0: with the block height alone."
    }
  },
  "additionalProperties": false
}"#;

/// Bits of fraction of a share's part: it is rounded once, when it is paid.
const FRACTION: u32 = 60;

impl Scheme for Slice {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        let within = |name, or, bounds: std::ops::RangeInclusive<u64>| {
            let value =
                u64::try_from(number(&settings, name, or)).ok().filter(|value| bounds.contains(value));
            value.ok_or_else(|| format!("{name} is from {} to {}", bounds.start(), bounds.end()))
        };
        let (length, delta) =
            (within("window", 8000, 100..=64_000)?, within("delta", 0, 0..=1_000_000_000_000)?);
        let window = |span, measure| Window { span, measure, edge: Edge::Split };
        let claimed =
            [claims::PERMUTATION, claims::SPLIT, claims::SCALE, claims::MONOTONE, claims::NO_DEFICIT];
        Ok(Terms {
            windows: vec![
                window(Span::Work(length), Measure::Work),
                window(Span::Slices((length, delta)), Measure::FeeValue),
            ],
            cells: 0,
            batch: 0,
            grain: Grain::Share,
            reversal: Reversal::Drop,
            reserve: false,
            operator_most: 0,
            needs_subsidy: true,
            claims: claimed.map(str::to_owned).to_vec(),
            state_format: String::new(),
        })
    }

    /// What earlier incomes left over goes with the subsidy.
    fn allocate(_: Settings, income: Income, windows: Vec<Totals>, _: State) -> Result<Allocation, String> {
        let [work, fees] = windows.as_slice() else {
            return Err("two windows were declared, and others given".to_owned());
        };
        let subsidy = income.subsidy.ok_or("the income's subsidy is not known")?;
        let by_fees = income.paid.checked_sub(subsidy).ok_or("the subsidy is above the income")?;
        let beyond = "an income that does not fit 64 bits";
        let by_work = subsidy.checked_add(income.carried).ok_or(beyond)?;
        let gross = income.paid.checked_add(income.carried).ok_or(beyond)?;
        let (by_work, parts_of_work) = parts(work, by_work)?;
        let (by_fees, parts_of_fees) = parts(fees, by_fees)?;
        let parts = both(parts_of_work, parts_of_fees);
        // Together they are at most the gross.
        let shared = by_work.checked_add(by_fees).ok_or(beyond)?;
        let amounts = cumulative(shared, parts.iter().map(|(_, part)| *part))?;
        let (given, paid) = Allocation::of(parts.iter().map(|(miner, _)| *miner).zip(amounts))?;
        Ok(Allocation { carry: gross.saturating_sub(paid), ..given })
    }
}

/// Each miner's part of an amount, with 60 bits of fraction, and what is shared: nothing of it where nobody is in the window.
fn parts(window: &Totals, amount: u64) -> Result<(u64, Vec<(u64, u128)>), String> {
    let all = window.rows().try_fold(0_u128, |sum, (_, row)| sum.checked_add(row));
    let all = all.ok_or("the sum of a window does not fit 128 bits")?;
    if all == 0 {
        return Ok((0, Vec::new()));
    }
    let wide = u128::from(amount) << FRACTION;
    // A row is at most the sum, so that the quotient fits.
    let part = |row: u128| mul_div128(wide, row, all).unwrap_or(0);
    Ok((amount, window.rows().map(|(miner, row)| (miner, part(row))).collect()))
}

/// The parts of both, ascending by miner.
fn both(one: Vec<(u64, u128)>, two: Vec<(u64, u128)>) -> Vec<(u64, u128)> {
    // Two runs that ascend: the stable sort merges them.
    let mut parts = one;
    parts.extend(two);
    parts.sort_by_key(|(miner, _)| *miner);
    parts.dedup_by(|next, sum| {
        let same = next.0 == sum.0;
        if same {
            sum.1 += next.1; // of two numbers below 2^124
        }
        same
    });
    parts
}
millpond_sdk::export_scheme_0_2!(Slice);
