//! Payout schemes: who gets which part of an income.

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
        path: "../../wit/payout-0.1",
        world: "payout-scheme",
        pub_export_macro: true,
        export_macro_name: "export_payout_scheme",
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
        path: "../../wit/payout-0.1",
        world: "accrual-only",
        pub_export_macro: true,
        export_macro_name: "export_payout_accrual",
        with: { "millpond:payout/types@0.1.0": crate::payout::bindings::millpond::payout::types },
    });
}

pub use accrual_bindings::exports::millpond::payout::accrual::Guest as Accrual;
pub use bindings::exports::millpond::payout::scheme::Guest as Scheme;
pub use bindings::millpond::payout::types::{
    Allocation, Batch, Edge, Income, Measure, Reversal, Setting, Span, State, Terms, Totals, Window,
};

/// The plugin's section of the configuration: dotted keys, sorted, checked against `schema`.
pub type Settings = Vec<(String, Setting)>;

/// Names for `Terms::claims`: the properties the conformance kit and the host test a scheme by.
pub mod claims {
    /// Renaming or reordering miners changes no amount by more than one unit.
    pub const PERMUTATION: &str = "permutation";
    /// A miner who splits into parts earns the same, within one unit per part.
    pub const SPLIT: &str = "split";
    /// Multiplying all work by a constant changes no amount by more than one unit.
    pub const SCALE: &str = "scale";
    /// More work never earns less.
    pub const MONOTONE: &str = "monotone";
    /// A share is paid at most once.
    pub const SHARE_ONCE: &str = "share-once";
    /// Leaving and joining by the round's age earns nothing.
    pub const HOPPING_NEUTRAL: &str = "hopping-neutral";
    /// The state holds less than one unit of money for each miner: another scheme may take over without it.
    pub const SMALL_CHANGE: &str = "small-change";
    /// A declaration: an income pays what was owed before it, as far as it reaches, and everybody alike. So an amount is no
    /// part of the income.
    pub const OWED: &str = "owed";
    /// A declaration: what a share weighs depends on when it was submitted.
    pub const BY_TIME: &str = "by-time";
    /// A declaration: pay depends on heights, times, numbers or the size of an income.
    pub const BY_CONTEXT: &str = "by-context";
    /// A declaration: who was there before earns otherwise.
    pub const BY_HISTORY: &str = "by-history";
}

/// A scheme that splits each income over one window in proportion to work. Name the window; the rest follows.
///
/// ```
/// use millpond_sdk::payout::{Edge, Measure, Span, Split, Window};
///
/// struct LastMillionShares;
/// impl Split for LastMillionShares {
///     const WINDOW: Window = Window { span: Span::Shares(1_000_000), measure: Measure::Work, edge: Edge::Whole };
/// }
/// millpond_sdk::export_scheme!(LastMillionShares);
/// ```
pub trait Split {
    /// The window when no setting says otherwise.
    const WINDOW: Window;

    /// What happens to this income's allocation when the block is lost.
    const REVERSAL: Reversal = Reversal::Drop;

    /// JSON Schema of the plugin's configuration section.
    fn schema() -> String {
        crate::NO_SETTINGS.to_owned()
    }

    /// The window under these settings.
    fn window(settings: &Settings) -> Result<Window, String> {
        let _ = settings;
        Ok(Self::WINDOW)
    }

    /// Properties that hold besides those of every proportional split (permutation, split, scale, monotone).
    fn claims() -> Vec<&'static str> {
        Vec::new()
    }
}

impl<T: Split> Scheme for T {
    fn schema() -> String {
        T::schema()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        let mut claimed = vec![claims::PERMUTATION, claims::SPLIT, claims::SCALE, claims::MONOTONE];
        claimed.extend(T::claims());
        Ok(Terms {
            windows: vec![T::window(&settings)?],
            cells: 0,
            batch: 0,
            reversal: T::REVERSAL,
            reserve: false,
            claims: claimed.into_iter().map(str::to_owned).collect(),
            state_format: String::new(),
        })
    }

    fn allocate(_: Settings, income: Income, windows: Vec<Totals>, _: State) -> Result<Allocation, String> {
        let window = windows.first().ok_or("no window was given, one was declared")?;
        Allocation::split(income.gross, window)
    }
}

impl Totals {
    /// (miner, work) in the order of the columns: ascending miners.
    pub fn rows(&self) -> impl Iterator<Item = (u64, u128)> + Clone + '_ {
        let work =
            self.low.iter().zip(&self.high).map(|(low, high)| u128::from(*high) << 64 | u128::from(*low));
        self.miner.iter().copied().zip(work)
    }

    /// The work of one miner, zero if he has none in this window.
    pub fn of(&self, miner: u64) -> u128 {
        let at = self.miner.binary_search(&miner).ok();
        at.and_then(|at| self.rows().nth(at)).map_or(0, |(_, work)| work)
    }

    /// All work in the window. `Err` when it does not fit 128 bits, which the host rules out.
    pub fn sum(&self) -> Result<u128, String> {
        self.rows()
            .try_fold(0u128, |sum, (_, work)| sum.checked_add(work))
            .ok_or_else(|| "the window's work does not fit 128 bits".to_owned())
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

    /// Adds or replaces a miner's row; rows must be pushed in ascending order of miners.
    pub fn push(&mut self, miner: u64, cells: &[u64]) {
        self.miner.push(miner);
        self.cells.extend_from_slice(cells);
    }
}

impl Allocation {
    /// Splits `gross` over a window in proportion to work by cumulative floor: exact to the unit, each miner within
    /// one unit of his exact share. Everything stays as `rest` when the window holds no work.
    pub fn split(gross: u64, window: &Totals) -> Result<Self, String> {
        let amounts = crate::cumulative(gross, window.rows().map(|(_, work)| work))?;
        Self::of(gross, window.miner.iter().copied().zip(amounts))
    }

    /// The allocation of these (miner, amount) pairs, in ascending order of miners; zero amounts are left out and
    /// what is not given becomes `rest`. `Err` when the pairs give more than `gross` or are out of order.
    pub fn of(gross: u64, pairs: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, String> {
        let (mut miner, mut amount, mut rest) = (Vec::new(), Vec::new(), gross);
        for (who, what) in pairs.into_iter().filter(|(_, what)| *what > 0) {
            if miner.last().is_some_and(|last| *last >= who) {
                return Err(format!("miner {who} is out of order"));
            }
            rest =
                rest.checked_sub(what).ok_or_else(|| format!("more than the income of {gross} was given"))?;
            miner.push(who);
            amount.push(what);
        }
        Ok(Self { miner, amount, rest, state: State::unchanged() })
    }

    /// The same allocation with this state to keep.
    pub fn with_state(mut self, state: State) -> Self {
        self.state = state;
        self
    }
}

/// Exports a type that implements [`Split`] or [`Scheme`] as the component's payout scheme.
#[macro_export]
macro_rules! export_scheme {
    ($ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::payout::bindings::export_payout_scheme!($ty with_types_in $crate::payout::bindings);
    };
}

/// Exports a type that implements [`Accrual`], beside [`export_scheme!`].
#[macro_export]
macro_rules! export_accrual {
    ($ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::payout::accrual_bindings::export_payout_accrual!(
            $ty with_types_in $crate::payout::accrual_bindings
        );
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Round;
    impl Split for Round {
        const WINDOW: Window = Window { span: Span::Round, measure: Measure::Work, edge: Edge::Whole };
    }

    fn income(gross: u64) -> Income {
        Income { key: vec![1], gross, seq: 9, time_ms: 0, coord: 5, finder: Some(1) }
    }

    fn totals(rows: &[(u64, u128)]) -> Totals {
        Totals {
            miner: rows.iter().map(|row| row.0).collect(),
            low: rows.iter().map(|row| row.1 as u64).collect(),
            high: rows.iter().map(|row| (row.1 >> 64) as u64).collect(),
        }
    }

    #[test]
    fn a_split_scheme_declares_one_window_and_conserves_the_income() {
        assert_eq!(Round::describe(Vec::new()).unwrap().windows, [Round::WINDOW]);
        let window = totals(&[(1, 1 << 100), (4, 0), (9, 2 << 100)]);
        let given = Round::allocate(Vec::new(), income(100), vec![window], State::unchanged()).unwrap();
        assert_eq!((given.miner, given.amount, given.rest), (vec![1, 9], vec![33, 67], 0));
    }

    #[test]
    fn an_empty_window_leaves_everything_as_rest() {
        let given = Round::allocate(Vec::new(), income(100), vec![totals(&[])], State::unchanged()).unwrap();
        assert_eq!((given.amount.len(), given.rest), (0, 100));
        assert!(Round::allocate(Vec::new(), income(100), vec![], State::unchanged()).is_err());
    }

    #[test]
    fn more_than_the_income_cannot_be_given() {
        assert!(Allocation::of(10, [(1, 6), (2, 5)]).unwrap_err().contains("more than"));
        assert!(Allocation::of(10, [(2, 1), (1, 1)]).unwrap_err().contains("order"));
    }

    #[test]
    fn totals_and_state_are_found_by_miner() {
        let window = totals(&[(3, u128::MAX / 4), (8, 5)]);
        assert_eq!((window.of(3), window.of(8), window.of(4)), (u128::MAX / 4, 5, 0));
        let mut state = State::unchanged();
        state.push(2, &[1, 2]);
        state.push(7, &[3, 4]);
        assert_eq!((state.of(7, 2), state.of(3, 2)), (Some([3, 4].as_slice()), None));
        assert_eq!(state.rows(2).count(), 2);
    }
}
