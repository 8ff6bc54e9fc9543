//! Equalised shared maximum pay-per-share: every share is owed its expected value, and a block that does not reach for all that
//! is owed goes to those first of whose earnings the least part is paid, up to one level that as many as it reaches for come to.
//! So all wait for the same part of what they earned. While that part falls, who takes another name begins anew at nothing and is
//! paid sooner: the method is not proof against several names.
//!
//! Three cells a miner: what he has earned since all was paid the last time, in whole units and in 2^-64 units, and what of it
//! he was paid.

use millpond_sdk::credit::Pay;
use millpond_sdk::fixed::mul_div128;
use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Income, Scheme, Settings, State, Terms, Totals, claims,
};
use std::collections::BTreeMap;

/// The scheme.
pub struct Esmpps;

const WIDTH: usize = 3;

/// A miner's account since all was paid.
#[derive(Clone, Copy)]
struct Account {
    miner: u64,
    earned: u64,
    /// In 2^-64 units.
    fraction: u64,
    paid: u64,
}

impl Account {
    fn read((miner, cells): (u64, &[u64])) -> Self {
        match cells {
            [earned, fraction, paid] => Self { miner, earned: *earned, fraction: *fraction, paid: *paid },
            _ => Self { miner, earned: 0, fraction: 0, paid: 0 },
        }
    }

    const fn owed(self) -> u64 {
        self.earned.saturating_sub(self.paid)
    }
}

/// A level: so much paid of so much earned.
#[derive(Clone, Copy)]
struct Level {
    paid: u128,
    earned: u128,
}

impl Level {
    /// To which these funds, less than what is owed, lift all that are below it. It is found from above: who is beyond the level
    /// of all would have to give something back, so he is left out, which lowers it, until nobody is. Exact, and the same in every
    /// order. Each time the funds that are short, or what those have earned who are left, become half at most (Newton's steps
    /// along a bent line that falls), so that it is soon over.
    fn of(mut below: Vec<Account>, funds: u64) -> Option<Self> {
        loop {
            let level = Self::over(&below, funds)?;
            let count = below.len();
            below.retain(|account| level.of_earned(account.earned) >= Some(account.paid));
            if below.len() == count {
                return Some(level);
            }
        }
    }

    fn over(accounts: &[Account], funds: u64) -> Option<Self> {
        let mut level = Self { paid: funds.into(), earned: 0 };
        for account in accounts {
            level.paid = level.paid.checked_add(account.paid.into())?;
            level.earned = level.earned.checked_add(account.earned.into())?;
        }
        Some(level)
    }

    /// What he is paid in all who has earned so much, rounded down.
    fn of_earned(self, earned: u64) -> Option<u64> {
        mul_div128(earned.into(), self.paid, self.earned).and_then(|paid| u64::try_from(paid).ok())
    }
}

impl Scheme for Esmpps {
    fn schema() -> String {
        Pay::SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        let claimed = [
            claims::PERMUTATION,
            claims::SCALE,
            claims::MONOTONE,
            claims::NO_DEFICIT,
            claims::EQUALISED,
            claims::BY_HISTORY,
        ];
        let needs_subsidy = Pay::of(&settings)?.needs_subsidy();
        Ok(Terms { needs_subsidy, ..Terms::of_cells(WIDTH as u8, "equalised-1", &claimed) })
    }

    fn allocate(_: Settings, income: Income, _: Vec<Totals>, state: State) -> Result<Allocation, String> {
        let gross = income.gross()?;
        let accounts: Vec<Account> = state.rows(WIDTH).map(Account::read).collect();
        let owed: u128 = accounts.iter().map(|account| u128::from(account.owed())).sum();
        let mut kept = State::unchanged();
        let mut pairs = Vec::with_capacity(accounts.len());
        if owed <= u128::from(gross) {
            // All are at one level, and it is forgotten who was below it.
            for account in accounts.into_iter().filter(|account| account.earned > 0) {
                kept.push(account.miner, &[0, account.fraction, 0]);
                pairs.push((account.miner, account.owed()));
            }
        } else {
            let level = Level::of(accounts.clone(), gross).ok_or("what is owed does not fit 128 bits")?;
            for account in accounts {
                let paid = level.of_earned(account.earned).ok_or("a part does not fit 64 bits")?;
                if paid > account.paid {
                    kept.push(account.miner, &[account.earned, account.fraction, paid]);
                    pairs.push((account.miner, paid.saturating_sub(account.paid)));
                }
            }
        }
        let (given, paid) = Allocation::of(pairs)?;
        Ok(Allocation { carry: gross.saturating_sub(paid), state: kept, ..given })
    }
}

impl Accrual for Esmpps {
    fn accrue(settings: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        let pay = Pay::of(&settings)?;
        let mut accounts = BTreeMap::<u64, Account>::new();
        for row in batch.rows() {
            let account = accounts.entry(row.miner).or_insert_with(|| {
                Account::read((row.miner, state.of(row.miner, WIDTH).unwrap_or_default()))
            });
            let before = u128::from(account.earned) << 64 | u128::from(account.fraction);
            let earned = before.checked_add(pay.owed(&row)?);
            let earned = earned.ok_or("what a miner has earned does not fit 64 bits")?;
            (account.earned, account.fraction) = ((earned >> 64) as u64, earned as u64);
        }
        let mut kept = State::unchanged();
        accounts
            .values()
            .for_each(|account| kept.push(account.miner, &[account.earned, account.fraction, account.paid]));
        Allocation::credits([], kept)
    }
}
millpond_sdk::export_scheme_0_2!(Esmpps);
millpond_sdk::export_accrual_0_2!(Esmpps);
