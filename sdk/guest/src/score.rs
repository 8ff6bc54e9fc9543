//! The double geometric method in integers, and with it the geometric one: a share adds to its miner's score, every
//! score decays with every share, and a block pays each score its part.
//!
//! After Rosenfeld (2011). With u the part of a block that this share is, B what a block of its job would earn and
//! `a = (1 - c)(1 - o) / c`: a share adds u·B to its miner's score T, then every T is divided by 1 + a·u. A block, after
//! its own share, pays `T · a · (1 - f)`, then every T is multiplied by o. The mean pay of a share before f is
//! (1 - c)·u·B exactly, whatever shares and difficulties come before and after it: no limit of small u is used.
//!
//! What is kept is S = T·s, where s is the [`Scale`] that grows by 1 + a·u with each share and by 1/o with each block. A
//! share so changes the row of its miner alone, and a block no row.

use crate::fixed::{Scale, mul_div128, mul_shift, value};
use crate::payout_0_2::{Allocation, Batch, Income, State};
use std::collections::BTreeMap;

/// Cells of a miner: the score's low and high half, in 2^-24 units times s, and the epoch of s when it was written.
pub const CELLS: u8 = 3;
/// How memo and cells are laid out.
pub const FORMAT: &str = "score-1";

const WIDTH: usize = CELLS as usize;
/// Bits of fraction of a score.
const FRACTION: u32 = 24;
const BASIS: u64 = 10_000;
const MILLION: u64 = 1_000_000;

/// The parameters of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// a, as a fraction.
    num: u64,
    den: u64,
    /// o, in ten-thousandths.
    keep: u64,
    /// 1 - f, in millionths.
    net: u64,
}

/// A miner's score, and the epoch that it is of.
type Score = (u128, u64);

impl Rule {
    /// By c (1 to 9999) and o (0 to 9999) in ten-thousandths, and f in millionths. `Err` when a is below 1/20, where scores
    /// of a pool would not fit, or above 1000, where only the finder of a block would be paid.
    pub fn new(c: u64, o: u64, f: i64) -> Result<Self, String> {
        let (rest, lost) = (BASIS.checked_sub(c), BASIS.checked_sub(o));
        let num = rest.zip(lost).and_then(|(rest, lost)| rest.checked_mul(lost));
        let num = num.ok_or("c and o are at most 10000 ten-thousandths")?;
        let den = c.saturating_mul(BASIS);
        if num.saturating_mul(20) < den || num > den.saturating_mul(1000) {
            return Err(format!(
                "(1 - c)(1 - o)/c is to be from 1/20 to 1000, with c = {c} and o = {o} ten-thousandths it is {num}/{den}"
            ));
        }
        let net = i64::try_from(MILLION).ok().and_then(|whole| whole.checked_sub(f));
        let net = net.and_then(|net| u64::try_from(net).ok()).filter(|net| *net <= 2 * MILLION);
        Ok(Self { num, den, keep: o, net: net.ok_or("f is from -1000000 to 1000000 millionths")? })
    }

    /// Adds a batch of shares, one a row, to the scores.
    pub fn accrue(self, batch: &Batch, state: &State) -> Result<Allocation, String> {
        let mut scale = scale(state)?;
        let mut scores = BTreeMap::<u64, Score>::new();
        for row in batch.rows() {
            // The host has no share of more work than a block's; one of a million blocks' would fit.
            let wide = || format!("a score does not fit: work {} of {}", row.work, row.network);
            let worth = value(row.work, row.reward, row.network, FRACTION).ok_or_else(wide)?;
            let units = value(row.work, 1, row.network, 64).ok_or_else(wide)?;
            let (before, epoch) = match scores.get(&row.miner) {
                Some(score) => *score,
                None => score(state.of(row.miner, WIDTH)),
            };
            let added = mul_shift(worth, scale.mantissa(), 64).ok_or_else(wide)?;
            let sum = scale.aged(before, epoch).checked_add(added).ok_or_else(wide)?;
            scores.insert(row.miner, (sum, scale.epoch()));
            let decay = mul_div128(units, self.num.into(), self.den.into()).ok_or_else(wide)?;
            scale.grow(decay).ok_or_else(wide)?;
        }
        let mut kept = State { memo: scale.to_bytes(), ..State::unchanged() };
        for (miner, (score, epoch)) in scores {
            kept.push(miner, &[score as u64, (score >> 64) as u64, epoch]);
        }
        Allocation::credits([], kept)
    }

    /// Pays a block. What it brings beyond the scores' parts is the operator's; what it lacks comes out of the reserve. Where
    /// that does not reach, all parts are cut alike. What earlier incomes left over is left over again.
    pub fn allocate(self, income: &Income, state: &State) -> Result<Allocation, String> {
        let mut scale = scale(state)?;
        let mut due = Vec::with_capacity(state.miner.len());
        let mut sum = 0_u128;
        for (miner, cells) in state.rows(WIDTH) {
            let (score, epoch) = score(Some(cells));
            let part = self.part(scale, scale.aged(score, epoch)).ok_or("a part does not fit 128 bits")?;
            sum = sum.checked_add(part).ok_or("the parts do not fit 128 bits")?;
            due.push((miner, part));
        }
        // Amounts and what they are paid from fit 64 bits together.
        let funds = u128::from(income.paid.saturating_add(income.reserve));
        let pay = |part: u128| if sum > funds { mul_div128(part, funds, sum) } else { Some(part) };
        let mut pairs = Vec::with_capacity(due.len());
        for (miner, part) in due {
            let amount = pay(part).and_then(|amount| u64::try_from(amount).ok());
            pairs.push((miner, amount.ok_or("a part does not fit 64 bits")?));
        }
        let (given, paid) = Allocation::of(pairs)?;
        let after = match self.keep {
            0 => scale.forget(),
            keep => scale.times(BASIS, keep),
        };
        after.ok_or("too many blocks for one state")?;
        let mut kept = State { memo: scale.to_bytes(), ..State::unchanged() };
        // Rows that can never be worth anything again. Not of an income of nothing, which asks what is owed.
        if income.paid > 0 {
            for (miner, cells) in state.rows(WIDTH) {
                let (score, epoch) = score(Some(cells));
                if scale.aged(score, epoch) == 0 {
                    kept.push(miner, &[0; WIDTH]);
                }
            }
        }
        Ok(Allocation {
            carry: income.carried,
            operator: income.paid.saturating_sub(paid),
            from_reserve: paid.saturating_sub(income.paid),
            state: kept,
            ..given
        })
    }

    /// A score's part of a block, in units.
    fn part(self, scale: Scale, score: u128) -> Option<u128> {
        let normal = scale.divide(score)?;
        let (above, below) = (self.num.checked_mul(self.net)?, self.den.checked_mul(MILLION)?);
        Some(mul_div128(normal, above.into(), below.into())? >> FRACTION)
    }
}

fn scale(state: &State) -> Result<Scale, String> {
    Scale::from_bytes(&state.memo).ok_or_else(|| "the memo is of another scheme".to_owned())
}

fn score(cells: Option<&[u64]>) -> Score {
    match cells {
        Some([low, high, epoch]) => (u128::from(*high) << 64 | u128::from(*low), *epoch),
        _ => (0, 0),
    }
}
