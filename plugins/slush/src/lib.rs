//! Slush's score method: a share counts e^(t/C) by the time t that it came at, and a block is divided over the scores of its
//! round. What is an hour old counts next to nothing, so that all ages of a round but the first minutes are alike. A share of
//! those is still worth more: the method makes hopping a lesser gain and not none.
//!
//! All scores are multiples of one number that grows with time, [`Scale`], two to the power that the memo holds with the newest
//! time of a share: the power is a sum over time, so that it comes out the same wherever shares are cut into batches, and goes on
//! from where it was when C is changed. Three cells a miner: his score's low and high half, 2^-64 units times the scale, and the
//! scale's epoch.

use millpond_sdk::cumulative;
use millpond_sdk::fixed::{Scale, mul_shift};
use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Income, Scheme, Settings, State, Terms, Totals, claims, number,
};
use std::collections::BTreeMap;

/// The scheme.
pub struct Slush;

const WIDTH: usize = 3;
const FRACTION: u32 = 64;
/// 1/ln 2, Q64: scores grow by powers of e, scales by powers of 2.
const LOG_2_E: u128 = 0x1_7154_7652_b82f_e177;
const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "seconds": {
      "type": "integer", "minimum": 60, "maximum": 86400, "default": 300,
      "description": "C: in so many seconds a share's score falls to 1/e of that of a new one."
    }
  },
  "additionalProperties": false
}"#;

/// By how much the scale's power grows in a millisecond, Q64.
fn growth(settings: &Settings) -> Result<u128, String> {
    let seconds =
        u128::try_from(number(settings, "seconds", 300)).ok().filter(|value| (60..=86400).contains(value));
    let millis = seconds.and_then(|seconds| seconds.checked_mul(1000));
    millis.and_then(|millis| LOG_2_E.checked_div(millis)).ok_or("seconds is from 60 to 86400".to_owned())
}

/// What time has come to.
#[derive(Clone, Copy, Default)]
struct Clock {
    /// The scale's power of two, Q64.
    power: u128,
    /// Of the newest share so far.
    newest_ms: u64,
}

impl Clock {
    fn read(memo: &[u8]) -> Result<Self, String> {
        if memo.is_empty() {
            return Ok(Self::default());
        }
        let read = || {
            let (power, newest) = memo.split_first_chunk::<16>()?;
            let newest_ms = u64::from_le_bytes(newest.try_into().ok()?);
            Some(Self { power: u128::from_le_bytes(*power), newest_ms })
        };
        read().ok_or_else(|| "the memo is of another scheme".to_owned())
    }

    fn write(self) -> Vec<u8> {
        [&self.power.to_le_bytes()[..], &self.newest_ms.to_le_bytes()].concat()
    }

    /// A share of this time came; whether time has passed. One that steps back counts as the newest: shares are not quite in
    /// the order of their clocks.
    fn share(&mut self, time_ms: u64, growth: u128) -> Result<bool, String> {
        let Some(past) = time_ms.checked_sub(self.newest_ms).filter(|past| *past > 0) else {
            return Ok(false);
        };
        let power = u128::from(past).checked_mul(growth).and_then(|more| self.power.checked_add(more));
        self.power = power.ok_or("too long a time for one state")?;
        self.newest_ms = time_ms;
        Ok(true)
    }
}

/// A miner's score, as it is by this scale.
fn score(cells: Option<&[u64]>, scale: Scale) -> u128 {
    match cells {
        Some([low, high, epoch]) => scale.aged(u128::from(*high) << 64 | u128::from(*low), *epoch),
        _ => 0,
    }
}

impl Scheme for Slush {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        growth(&settings)?;
        let claimed = [
            claims::PERMUTATION,
            claims::SPLIT,
            claims::SCALE,
            claims::MONOTONE,
            claims::SHARE_ONCE,
            claims::NO_DEFICIT,
            claims::BY_TIME,
        ];
        Ok(Terms::of_cells(WIDTH as u8, "slush-1", &claimed))
    }

    fn allocate(_: Settings, income: Income, _: Vec<Totals>, state: State) -> Result<Allocation, String> {
        let mut clock = Clock::read(&state.memo)?;
        let scale = Scale::exp2(clock.power);
        let gross = income.gross()?;
        let scores: Vec<u128> = state.rows(WIDTH).map(|(_, cells)| score(Some(cells), scale)).collect();
        let amounts = cumulative(gross, scores.iter().copied())?;
        let (given, paid) = Allocation::of(state.miner.iter().copied().zip(amounts))?;
        let mut kept = State::unchanged();
        // What pays nobody ends no round.
        if paid > 0 {
            clock.power = Scale::forgotten(clock.power).ok_or("too many blocks for one state")?;
            kept.memo = clock.write();
            state.miner.iter().for_each(|miner| kept.push(*miner, &[0; WIDTH]));
        }
        Ok(Allocation { carry: gross.saturating_sub(paid), state: kept, ..given })
    }
}

impl Accrual for Slush {
    fn accrue(settings: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        let growth = growth(&settings)?;
        let mut clock = Clock::read(&state.memo)?;
        let mut scale = Scale::exp2(clock.power);
        // Each as it is by the epoch that stands beside it.
        let mut scores = BTreeMap::<u64, (u128, u64)>::new();
        for row in batch.rows() {
            if clock.share(row.time_ms, growth)? {
                scale = Scale::exp2(clock.power);
            }
            let before = match scores.get(&row.miner) {
                Some((score, epoch)) => scale.aged(*score, *epoch),
                None => score(state.of(row.miner, WIDTH), scale),
            };
            let sum = mul_shift(row.units(FRACTION)?, scale.mantissa(), 64)
                .and_then(|added| before.checked_add(added))
                .ok_or("a score does not fit 128 bits")?;
            scores.insert(row.miner, (sum, scale.epoch()));
        }
        let mut kept = State { memo: clock.write(), ..State::unchanged() };
        for (miner, (score, epoch)) in scores {
            // All cells are 0 where there is no score.
            let epoch = if score > 0 { epoch } else { 0 };
            kept.push(miner, &[score as u64, (score >> 64) as u64, epoch]);
        }
        Allocation::credits([], kept)
    }
}
millpond_sdk::export_scheme_0_2!(Slush);
millpond_sdk::export_accrual_0_2!(Slush);
