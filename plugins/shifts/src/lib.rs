//! PPLNS by shifts: shares are gathered into shifts, each some minutes long or until a block of the pool, and a block is divided
//! over the units of the last shifts, the running one included. What a share weighs is decided by the shift it is in: nothing is
//! divided at the window's edge.
//!
//! Seven cells a miner: the number of the newest shift that he worked in, and his units in it and in the five before it, 2^-56 units
//! each: with more of them all rows of a large pool could not come back in one call. The memo holds the number of the running shift, when the period of the clock that its newest share was in began, and whether a
//! share is in it: nothing here reads a clock but those of shares.

use millpond_sdk::cumulative;
use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Income, Scheme, Settings, State, Terms, Totals, claims, number,
};
use std::collections::BTreeMap;

/// The scheme.
pub struct Shifts;

/// Shifts that a row of cells holds.
const HELD: usize = 6;
const WIDTH: usize = HELD + 1;
const FRACTION: u32 = 56;
const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "shifts": {
      "type": "integer", "minimum": 1, "maximum": 6, "default": 6,
      "description": "Shifts that a block is divided over, the running one included."
    },
    "minutes": {
      "type": "integer", "minimum": 1, "maximum": 1440, "default": 50,
      "description": "Minutes after which a shift ends, where no block ends it before."
    }
  },
  "additionalProperties": false
}"#;

struct Rule {
    shifts: u64,
    millis: u64,
}

impl Rule {
    fn of(settings: &Settings) -> Result<Self, String> {
        let within = |name: &str, or: i64, most: u64| {
            let value =
                u64::try_from(number(settings, name, or)).ok().filter(|value| (1..=most).contains(value));
            value.ok_or_else(|| format!("{name} is from 1 to {most}"))
        };
        let minutes = within("minutes", 50, 1440)?;
        Ok(Self { shifts: within("shifts", 6, HELD as u64)?, millis: minutes.saturating_mul(60_000) })
    }
}

/// The running shift.
#[derive(Clone, Copy, Default)]
struct Clock {
    shift: u64,
    /// In milliseconds, and not which period it is: their length is a setting, which may change under a state.
    began: u64,
    /// Whether a share is in it: an empty shift is none.
    open: bool,
}

impl Clock {
    fn read(memo: &[u8]) -> Result<Self, String> {
        if memo.is_empty() {
            return Ok(Self::default());
        }
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
        let read = || {
            let (shift, rest) = memo.split_at_checked(8)?;
            let (began, open) = rest.split_at_checked(8)?;
            Some(Self { shift: number(shift)?, began: number(began)?, open: *open == [1] })
        };
        read().ok_or_else(|| "the memo is of another scheme".to_owned())
    }

    fn write(self) -> Vec<u8> {
        [&self.shift.to_le_bytes()[..], &self.began.to_le_bytes(), &[u8::from(self.open)]].concat()
    }

    /// The running shift is over, if there is one.
    fn end(&mut self) -> Result<(), String> {
        if self.open {
            (self.shift, self.open) =
                (self.shift.checked_add(1).ok_or("too many shifts for one state")?, false);
        }
        Ok(())
    }

    /// A share of this time. A time that steps back is of the running shift.
    fn share(&mut self, time_ms: u64, rule: &Rule) -> Result<(), String> {
        let length = rule.millis.max(1);
        let began = (time_ms / length).saturating_mul(length);
        if began > self.began {
            self.end()?;
            self.began = began;
        }
        self.open = true;
        Ok(())
    }
}

/// A miner's units: of the shift `newest` and, one place on, of the one before.
#[derive(Clone, Copy, Default)]
struct Worked {
    newest: u64,
    units: [u64; HELD],
}

impl Worked {
    fn read(cells: Option<&[u64]>) -> Self {
        let read = || {
            let (newest, units) = cells?.split_first()?;
            Some(Self { newest: *newest, units: units.try_into().ok()? })
        };
        read().unwrap_or_default()
    }

    /// As cells; all are 0 where nothing is held.
    fn write(self) -> [u64; WIDTH] {
        let mut cells = [0; WIDTH];
        if self.units != [0; HELD] {
            let (newest, units) = cells.split_at_mut(1);
            newest.copy_from_slice(&[self.newest]);
            units.copy_from_slice(&self.units);
        }
        cells
    }

    /// With places of this shift and those before it.
    fn at(self, shift: u64) -> Self {
        let past = usize::try_from(shift.saturating_sub(self.newest)).unwrap_or(HELD).min(HELD);
        let mut units = self.units;
        units.rotate_right(past);
        units.iter_mut().take(past).for_each(|units| *units = 0);
        Self { newest: shift, units }
    }
}

impl Scheme for Shifts {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        Rule::of(&settings)?;
        let claimed = [
            claims::PERMUTATION,
            claims::SPLIT,
            claims::SCALE,
            claims::MONOTONE,
            claims::NO_DEFICIT,
            claims::BY_TIME,
        ];
        Ok(Terms::of_cells(WIDTH as u8, "shifts-1", &claimed))
    }

    fn allocate(s: Settings, income: Income, _: Vec<Totals>, state: State) -> Result<Allocation, String> {
        let rule = Rule::of(&s)?;
        let mut clock = Clock::read(&state.memo)?;
        let gross = income.gross()?;
        let counted = usize::try_from(rule.shifts).unwrap_or(HELD);
        let sums: Vec<u128> = state
            .rows(WIDTH)
            .map(|(_, cells)| Worked::read(Some(cells)).at(clock.shift))
            .map(|worked| worked.units.iter().take(counted).copied().map(u128::from).sum())
            .collect();
        let amounts = cumulative(gross, sums.iter().copied())?;
        let (given, paid) = Allocation::of(state.miner.iter().copied().zip(amounts))?;
        // An income of nothing asks what is owed, and changes nothing.
        if income.paid == 0 {
            return Ok(Allocation { carry: gross.saturating_sub(paid), ..given });
        }
        // Rows that can never count again: of those that were paid none yet.
        let mut kept = State::unchanged();
        for (miner, cells) in state.rows(WIDTH) {
            if Worked::read(Some(cells)).at(clock.shift).units == [0; HELD] {
                kept.push(miner, &[0; WIDTH]);
            }
        }
        clock.end()?;
        kept.memo = clock.write();
        Ok(Allocation { carry: gross.saturating_sub(paid), state: kept, ..given })
    }
}

impl Accrual for Shifts {
    fn accrue(settings: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        let rule = Rule::of(&settings)?;
        let mut clock = Clock::read(&state.memo)?;
        let mut rows = BTreeMap::<u64, Worked>::new();
        for row in batch.rows() {
            clock.share(row.time_ms, &rule)?;
            let worked = rows.entry(row.miner).or_insert_with(|| Worked::read(state.of(row.miner, WIDTH)));
            *worked = worked.at(clock.shift);
            let units = u64::try_from(row.units(FRACTION)?).unwrap_or(u64::MAX);
            if let Some(sum) = worked.units.first_mut() {
                // A shift ends with each block: 255 blocks' work of one miner are never in one.
                *sum = sum.saturating_add(units);
            }
        }
        let mut kept = State { memo: clock.write(), ..State::unchanged() };
        rows.into_iter().for_each(|(miner, worked)| kept.push(miner, &worked.write()));
        Allocation::credits([], kept)
    }
}
millpond_sdk::export_scheme_0_2!(Shifts);
millpond_sdk::export_accrual_0_2!(Shifts);
