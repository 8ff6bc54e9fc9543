//! A scheme or a policy together with the operator's settings: loaded once, its terms checked once.

use crate::audit::digest_of;
use crate::{PayoutError, Rule};
use millpond_contracts::Settings;
use millpond_contracts::payout::{FeePolicy, Measure, PayoutScheme, Reversal, Span, Terms, Version, Window};
use millpond_ledger::FeeName;
use millpond_types::{Digest, ShareSeq};
use std::fmt;
use std::sync::Arc;

/// Windows that one scheme may ask for, by the contract.
pub const MAX_WINDOWS: usize = 8;
/// Cells per miner, by the contract.
pub const MAX_CELLS: u8 = 8;
/// Rows that one accrue call may take, by the contract.
pub const MAX_BATCH: u32 = 65_536;
/// Columns that one fee policy may ask for, by the contract.
pub const MAX_COLUMNS: usize = 8;

/// Claim of a scheme that its state holds less than one unit of money for each miner (what rounding left over), so
/// that another scheme may start without it.
const SMALL_CHANGE: &str = "small-change";

/// A payout scheme in force.
#[derive(Clone)]
pub struct BoundScheme {
    pub(crate) name: String,
    pub(crate) plugin: Arc<dyn PayoutScheme>,
    pub(crate) settings: Settings,
    pub(crate) config: Digest,
    pub(crate) terms: Terms,
    pub(crate) since: ShareSeq,
}

impl fmt::Debug for BoundScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundScheme")
            .field("name", &self.name)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

impl BoundScheme {
    /// Asks the scheme for its terms under these settings and checks them.
    ///
    /// # Errors
    /// When the scheme refuses the settings, or declares what the contract does not allow.
    pub fn new(name: &str, plugin: Arc<dyn PayoutScheme>, settings: Settings) -> Result<Self, PayoutError> {
        let name = version_name(name, plugin.digest());
        let terms = plugin
            .describe(&settings)
            .map_err(|source| PayoutError::Call { plugin: name.clone(), source })?
            .value;
        let broken = |detail: String| {
            let (plugin, function) = (name.clone(), "describe");
            Err(PayoutError::Broken { plugin, function, rule: Rule::Terms, detail })
        };
        if terms.windows.len() > MAX_WINDOWS {
            return broken(format!("{} windows, at most {MAX_WINDOWS}", terms.windows.len()));
        }
        if terms.cells > MAX_CELLS {
            return broken(format!("{} cells per miner, at most {MAX_CELLS}", terms.cells));
        }
        if terms.batch > MAX_BATCH {
            return broken(format!("batches of {} rows, at most {MAX_BATCH}", terms.batch));
        }
        if terms.batch > 0 && !plugin.accrues() {
            return broken("it wants batches of shares but exports no accrual".to_owned());
        }
        if terms.state_format.len() > 256 || terms.claims.len() > 64 {
            return broken("a state format of more than 256 bytes, or more than 64 claims".to_owned());
        }
        if let Some(detail) = beyond(&terms) {
            return broken(detail);
        }
        let config = digest_of(&settings)?;
        Ok(Self { name, plugin, settings, config, terms, since: ShareSeq(0) })
    }

    /// The same scheme, in force for what comes after this share.
    #[must_use]
    pub fn in_force_after(mut self, since: ShareSeq) -> Self {
        self.since = since;
        self
    }

    /// Whether what its state holds may be dropped when another scheme follows: less than a unit for each miner.
    #[must_use]
    pub fn owes_less_than_a_unit(&self) -> bool {
        self.claims(SMALL_CHANGE)
    }

    /// Whether the state is put back to before a lost income together with what shares changed in it since, and those
    /// shares are given again. Schemes of contract 0.1 are not asked again, since ledgers say what became of them.
    #[must_use]
    pub fn takes_again(&self) -> bool {
        self.restores_what_shares_change() && self.plugin.version() != Version::V0_1
    }

    /// The window of what no income has paid, of a scheme that pays a share once. The host keeps the list of that beside the
    /// scheme's state.
    #[must_use]
    pub fn pays_once(&self) -> Option<&Window> {
        self.terms.windows.iter().find(|window| matches!(window.span, Span::Unpaid(_)))
    }

    /// Whether what it gives of an income depends on the incomes before: they are divided in the order of their shares, and
    /// again when an earlier one is lost.
    #[must_use]
    pub fn keeps_order(&self) -> bool {
        self.takes_again() || self.pays_once().is_some()
    }

    /// Whether it would need that and is of a contract without it: what shares change between two incomes is gone when
    /// the first one is lost.
    #[must_use]
    pub fn forgets_shares(&self) -> bool {
        self.restores_what_shares_change() && self.plugin.version() == Version::V0_1
    }

    fn restores_what_shares_change(&self) -> bool {
        self.terms.batch > 0 && self.terms.reversal == Reversal::Restore
    }

    /// Its name and the start of its digest.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it declares: which windows to compute, and what becomes of a lost income.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The component's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.plugin.digest()
    }

    /// The version of the contract that it keeps.
    #[must_use]
    pub fn version(&self) -> Version {
        self.plugin.version()
    }

    pub(crate) fn claims(&self, claim: &str) -> bool {
        self.terms.claims.iter().any(|own| own == claim)
    }

    pub(crate) fn broken(
        &self,
        function: &'static str,
        rule: Rule,
        detail: impl Into<String>,
    ) -> PayoutError {
        PayoutError::Broken { plugin: self.name.clone(), function, rule, detail: detail.into() }
    }
}

/// Whether the journal sums such a window: by any measure where shares are in it or not, by what it is long by where it is as
/// long as their work, or what is unpaid by what it is worth.
fn is_computed(window: &Window) -> bool {
    match window.span {
        Span::Round | Span::Finder | Span::Shares(_) | Span::Millis(_) | Span::Coord(_) | Span::State => true,
        Span::Work(_) => matches!(window.measure, Measure::Work | Measure::Units),
        Span::Slices(..) => matches!(window.measure, Measure::Work | Measure::FeeValue),
        Span::Unpaid(_) => matches!(window.measure, Measure::Value | Measure::SubsidyValue),
        Span::StandingRound | Span::Shifts(..) => false,
    }
}

/// What terms of 0.2 ask for and this host does not do, or what contradicts itself in them.
fn beyond(terms: &Terms) -> Option<String> {
    if let Some(window) = terms.windows.iter().find(|window| !is_computed(window)) {
        return Some(format!(
            "a window {:?} by {:?}, which this host does not compute",
            window.span, window.measure
        ));
    }
    let apart = |window: &&Window| matches!(window.measure, Measure::SubsidyValue | Measure::FeeValue);
    if let Some(window) = terms.windows.iter().find(apart).filter(|_| !terms.needs_subsidy) {
        return Some(format!("a window by {:?} without needs-subsidy", window.measure));
    }
    let unpaid = |window: &&Window| matches!(window.span, Span::Unpaid(_));
    match terms.windows.iter().filter(unpaid).count() {
        0 => {}
        1 if terms.reversal != Reversal::Restore => {
            return Some(
                "a window of what is unpaid, which a lost income puts back, without reversal restore"
                    .to_owned(),
            );
        }
        1 if terms.batch > 0 => {
            return Some("a window of what is unpaid, and batches of shares as well".to_owned());
        }
        1 => {}
        more => return Some(format!("{more} windows of what is unpaid, which there is one list of")),
    }
    if terms.operator_most > 1_000_000 {
        return Some(format!("{} millionths for the operator, at most 1000000", terms.operator_most));
    }
    (terms.reversal == Reversal::KeepReserve && !terms.reserve)
        .then(|| "the reserve keeps its part of a lost income, and there is no reserve".to_owned())
}

/// Who receives fees, and his part of the sum of all weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// His name in the ledger.
    pub name: FeeName,
    /// His weight.
    pub weight: u32,
}

/// A fee policy in force, with its recipients.
#[derive(Clone)]
pub struct BoundFee {
    pub(crate) name: String,
    pub(crate) plugin: Arc<dyn FeePolicy>,
    pub(crate) settings: Settings,
    pub(crate) config: Digest,
    pub(crate) columns: Vec<String>,
    /// Nobody: what it takes goes to the reserve.
    pub(crate) recipients: Vec<Recipient>,
    /// Fees of credits are taken in parts of a unit.
    pub(crate) fractions: bool,
}

impl fmt::Debug for BoundFee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundFee")
            .field("name", &self.name)
            .field("to", &self.recipients)
            .finish_non_exhaustive()
    }
}

impl BoundFee {
    /// Asks the policy for its columns under these settings.
    ///
    /// # Errors
    /// When the policy refuses the settings or wants more than [`MAX_COLUMNS`] columns, or nobody would receive the
    /// fee.
    pub fn new(
        name: &str,
        plugin: Arc<dyn FeePolicy>,
        settings: Settings,
        mut recipients: Vec<Recipient>,
    ) -> Result<Self, PayoutError> {
        recipients.retain(|recipient| recipient.weight > 0);
        recipients.sort_by(|a, b| a.name.cmp(&b.name));
        if recipients.is_empty() {
            return Err(PayoutError::Input(
                "a fee policy needs a recipient with a weight above 0 (section [fee.recipient])".to_owned(),
            ));
        }
        Self::of(name, plugin, settings, recipients)
    }

    /// A policy whose fees go to the reserve that the scheme pays from.
    ///
    /// # Errors
    /// As [`BoundFee::new`].
    pub fn to_reserve(
        name: &str,
        plugin: Arc<dyn FeePolicy>,
        settings: Settings,
    ) -> Result<Self, PayoutError> {
        Self::of(name, plugin, settings, Vec::new())
    }

    fn of(
        name: &str,
        plugin: Arc<dyn FeePolicy>,
        settings: Settings,
        recipients: Vec<Recipient>,
    ) -> Result<Self, PayoutError> {
        let name = version_name(name, plugin.digest());
        let columns = plugin
            .describe(&settings)
            .map_err(|source| PayoutError::Call { plugin: name.clone(), source })?
            .value;
        if columns.len() > MAX_COLUMNS {
            let detail = format!("{} columns, at most {MAX_COLUMNS}", columns.len());
            return Err(PayoutError::Broken {
                plugin: name,
                function: "describe",
                rule: Rule::Terms,
                detail,
            });
        }
        let config = digest_of(&settings)?;
        Ok(Self { name, plugin, settings, config, columns, recipients, fractions: false })
    }

    /// The same policy, of whose fees of credits by share no part of a unit is forgotten. Without it each batch's is rounded down,
    /// as those of older journals were.
    #[must_use]
    pub fn with_fractions(self) -> Self {
        Self { fractions: true, ..self }
    }

    /// Its name and the start of its digest.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether what it takes goes to the reserve.
    #[must_use]
    pub fn is_to_reserve(&self) -> bool {
        self.recipients.is_empty()
    }

    /// The columns it wants, by name.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The component's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.plugin.digest()
    }
}

fn version_name(name: &str, digest: Digest) -> String {
    format!("{name} ({})", digest.short())
}
