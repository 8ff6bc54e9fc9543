//! Payout schemes by the second version of the contract: subsidy and fees apart, a part for the operator, a draw on his
//! reserve. A scheme that needs none of these is written against [`crate::payout`], which any host serves.

/// The generated bindings; use the re-exports.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used
)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/payout-0.2",
        // Worlds of other names, since the generator names a macro of the whole crate by the world.
        inline: "package millpond:second; world second-scheme { export millpond:payout/scheme@0.2.0; }",
        world: "millpond:second/second-scheme",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_payout_scheme_0_2",
        additional_derives: [PartialEq],
    });
}

/// The generated bindings of the optional interface; use the re-exports.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used
)]
#[doc(hidden)]
pub mod accrual_bindings {
    wit_bindgen::generate!({
        path: "../../wit/payout-0.2",
        inline: "package millpond:second; world second-accrual { export millpond:payout/accrual@0.2.0; }",
        world: "millpond:second/second-accrual",
        pub_export_macro: true,
        export_macro_name: "export_payout_accrual_0_2",
        with: { "millpond:payout/types@0.2.0": crate::payout_0_2::bindings::millpond::payout::types },
    });
}

pub use accrual_bindings::exports::millpond::payout::accrual::Guest as Accrual;
pub use bindings::exports::millpond::payout::scheme::Guest as Scheme;
pub use bindings::millpond::payout::types::{
    Allocation, Batch, Edge, Grain, Income, Measure, Reversal, Setting, Span, State, Terms, Totals, Window,
};

/// The plugin's section of the configuration: dotted keys, sorted, checked against `schema`.
pub type Settings = Vec<(String, Setting)>;

/// Names for `Terms::claims`: those of 0.1, and two more.
pub mod claims {
    pub use crate::payout::claims::*;

    /// Nothing is ever drawn from the reserve.
    pub const NO_DEFICIT: &str = "no-deficit";
    /// Keeping a solution back earns nothing.
    pub const DELAY_PROOF: &str = "delay-proof";
    /// An income pays what was owed before it, as far as it reaches, and those first of whose earnings the least part is paid.
    pub const EQUALISED: &str = "equalised";
}

/// A number of the settings; `or` when it is not there.
pub fn number(settings: &Settings, name: &str, or: i64) -> i64 {
    settings
        .iter()
        .find_map(|(key, setting)| match setting {
            Setting::Int(number) if key == name => Some(*number),
            _ => None,
        })
        .unwrap_or(or)
}

/// A word of the settings; `or` when it is not there.
pub fn word<'a>(settings: &'a Settings, name: &str, or: &'a str) -> &'a str {
    settings
        .iter()
        .find_map(|(key, setting)| match setting {
            Setting::Text(text) if key == name => Some(text.as_str()),
            _ => None,
        })
        .unwrap_or(or)
}

/// One row of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub miner: u64,
    /// Work units.
    pub work: u128,
    /// The network's work per block.
    pub network: u128,
    /// When it was submitted.
    pub time_ms: u64,
    /// Height or score.
    pub coord: u64,
    /// What a block would have earned.
    pub reward: u64,
    /// The subsidy in it.
    pub subsidy: u64,
}

impl Row {
    /// Its work over the network's, with so many bits of fraction, up to 64; `Err` for a network without work.
    pub fn units(&self, frac: u32) -> Result<u128, String> {
        let units = crate::fixed::value(self.work, 1, self.network, frac);
        units.ok_or_else(|| format!("work {} of {} has no units in 64 bits", self.work, self.network))
    }
}

impl Batch {
    /// The rows, in the journal's order.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let wide = |low: &u64, high: &u64| u128::from(*high) << 64 | u128::from(*low);
        let work = self.work_low.iter().zip(&self.work_high).map(move |(low, high)| wide(low, high));
        let network = self.network_low.iter().zip(&self.network_high).map(move |(low, high)| wide(low, high));
        let place = self.time_ms.iter().zip(&self.coord);
        let money = self.reward.iter().zip(&self.subsidy);
        self.miner.iter().zip(work).zip(network).zip(place.zip(money)).map(
            |(((miner, work), network), ((time_ms, coord), (reward, subsidy)))| Row {
                miner: *miner,
                work,
                network,
                time_ms: *time_ms,
                coord: *coord,
                reward: *reward,
                subsidy: *subsidy,
            },
        )
    }
}

impl Income {
    /// What comes in with what earlier incomes left over.
    pub fn gross(&self) -> Result<u64, String> {
        self.paid.checked_add(self.carried).ok_or_else(|| "the income does not fit 64 bits".to_owned())
    }
}

impl Terms {
    /// Of a scheme that keeps what it needs of every share in cells, divides incomes by them and nothing else, and whose lost
    /// incomes never were.
    pub fn of_cells(cells: u8, state_format: &str, claims: &[&str]) -> Self {
        Self {
            windows: Vec::new(),
            cells,
            batch: 10_000,
            grain: Grain::Share,
            reversal: Reversal::Restore,
            reserve: false,
            operator_most: 0,
            needs_subsidy: false,
            claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
            state_format: state_format.to_owned(),
        }
    }
}

impl Totals {
    /// (miner, sum) in the order of the columns: ascending miners.
    pub fn rows(&self) -> impl Iterator<Item = (u64, u128)> + Clone + '_ {
        let sums =
            self.low.iter().zip(&self.high).map(|(low, high)| u128::from(*high) << 64 | u128::from(*low));
        self.miner.iter().copied().zip(sums)
    }
}

impl State {
    /// No memo and no cells: in an allocation it means that nothing changed.
    pub fn unchanged() -> Self {
        Self { memo: Vec::new(), miner: Vec::new(), cells: Vec::new() }
    }

    /// The cells of one miner, `width` = `Terms::cells`; `None` if he has none yet (all zero).
    pub fn of(&self, miner: u64, width: usize) -> Option<&[u64]> {
        let at = self.miner.binary_search(&miner).ok()?;
        self.cells.get(at.checked_mul(width)?..at.checked_add(1)?.checked_mul(width)?)
    }

    /// (miner, his cells) in ascending order; `width` = `Terms::cells`, at least 1.
    pub fn rows(&self, width: usize) -> impl Iterator<Item = (u64, &[u64])> + '_ {
        self.miner.iter().copied().zip(self.cells.chunks_exact(width.max(1)))
    }

    /// Adds a miner's row; rows must be pushed in ascending order of miners.
    pub fn push(&mut self, miner: u64, cells: &[u64]) {
        self.miner.push(miner);
        self.cells.extend_from_slice(cells);
    }
}

impl Allocation {
    /// These (miner, amount) pairs, in ascending order of miners and without the zeros, and nothing else; with their sum.
    /// `Err` when it does not fit 64 bits.
    pub fn of(pairs: impl IntoIterator<Item = (u64, u64)>) -> Result<(Self, u64), String> {
        let (mut miner, mut amount, mut sum) = (Vec::new(), Vec::new(), 0_u64);
        for (who, what) in pairs.into_iter().filter(|(_, what)| *what > 0) {
            sum = sum.checked_add(what).ok_or("the amounts do not fit 64 bits")?;
            miner.push(who);
            amount.push(what);
        }
        let state = State::unchanged();
        Ok((Self { miner, amount, carry: 0, operator: 0, to_reserve: 0, from_reserve: 0, state }, sum))
    }

    /// The credits of a batch, which come out of the reserve, with this state to keep.
    pub fn credits(pairs: impl IntoIterator<Item = (u64, u64)>, state: State) -> Result<Self, String> {
        let (given, from_reserve) = Self::of(pairs)?;
        Ok(Self { from_reserve, state, ..given })
    }
}

/// Exports a type that implements [`Scheme`] as the component's payout scheme of 0.2.
#[macro_export]
macro_rules! export_scheme_0_2 {
    ($ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::payout_0_2::bindings::export_payout_scheme_0_2!(
            $ty with_types_in $crate::payout_0_2::bindings
        );
    };
}

/// Exports a type that implements [`Accrual`] of 0.2, beside [`export_scheme_0_2!`].
#[macro_export]
macro_rules! export_accrual_0_2 {
    ($ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::payout_0_2::accrual_bindings::export_payout_accrual_0_2!(
            $ty with_types_in $crate::payout_0_2::accrual_bindings
        );
    };
}
