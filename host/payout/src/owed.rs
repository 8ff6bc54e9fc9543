//! What a scheme that was followed by another still owes of an income.
//!
//! It is called as if nobody had followed it, and all that was done behind the boundary is one miner's, "others": so what the
//! real ones get is what they are owed for their work of before, by the scheme's own rule and whatever that is. What others
//! get, and what it would carry, is for the scheme that followed.
//!
//! The call is one like any other: others have a pseudonym, are renamed and split in the second run, and the contract knows
//! nothing of them.
//!
//! A scheme that owes by its cells is given the shares behind the boundary too, before it is asked about an income, as those of
//! others. To one that does not say that splitting a miner's work changes nothing, everybody's later work is another miner's,
//! his own: all of it together would be a miner as there is none.

use crate::accrue::credit;
use crate::allocate::{Called, call};
use crate::check::Checked;
use crate::state::StateChange;
use crate::{
    AccruedShare, Attributes, AuditRecord, BoundFee, BoundScheme, IncomeFacts, PayoutError, Rule,
    SchemeState, WindowSums, fees,
};
use millpond_contracts::payout::{Income, Reversal, Span, Terms};
use millpond_ledger::Owner;
use millpond_types::{Amount, MinerId, ShareSeq};
use std::collections::BTreeMap;

/// From here on numbers of miners are those of work behind a boundary: the pool's own ascend from 1.
const LATER: u64 = 1 << 63;
/// An income that reaches for whatever is owed.
const PLENTY: Amount = Amount(1 << 61);

/// Claims of a scheme that an income pays what is owed as far as it reaches.
const PAYS_WHAT_IS_OWED: [&str; 2] = ["owed", "equalised"];

/// What is owed of one income.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Credits to miners and fee recipients.
    pub parts: Vec<(Owner, Amount)>,
    /// What of the carry account was divided along with the income.
    pub carry_in: Amount,
    /// What is left of both.
    pub rest: Amount,
    /// What of the reserve is in the parts.
    pub from_reserve: Amount,
    /// What is changed in its state: `None` for one that owes by its windows.
    pub change: Option<StateChange>,
    /// One record per call, in order; for the journal, before an entry with these parts is appended.
    pub audit: Vec<AuditRecord>,
}

/// Whether a scheme of these terms owes for shares by its windows alone, and beyond the next block, so that [`owed`] can tell
/// what: no state, no reserve, nothing of the operator's.
#[must_use]
pub fn owes_by_windows(terms: &Terms) -> bool {
    let reaches_on = |span: Span| match span {
        Span::Shares(_)
        | Span::Work(_)
        | Span::Millis(_)
        | Span::Coord(_)
        | Span::Slices(..)
        | Span::Shifts(..) => true,
        Span::Round | Span::StandingRound | Span::Finder | Span::State | Span::Unpaid(_) => false,
    };
    is_stateless(terms) && terms.windows.iter().any(|window| reaches_on(window.span))
}

/// Whether a scheme of these terms has settled all that it owes with each block.
#[must_use]
pub fn owes_nothing_behind_a_block(terms: &Terms) -> bool {
    let ends_at_a_block = |span: Span| matches!(span, Span::Round | Span::Finder | Span::State);
    is_stateless(terms) && terms.windows.iter().all(|window| ends_at_a_block(window.span))
}

fn is_stateless(terms: &Terms) -> bool {
    terms.cells == 0
        && terms.state_format.is_empty()
        && terms.batch == 0
        && !terms.reserve
        && terms.operator_most == 0
}

/// Whether a scheme owes by what it keeps of miners, so that [`owed`] can tell what: state that incomes change in their order,
/// and shares too, and nothing that it counts by windows or credits at once.
#[must_use]
pub fn owes_in_cells(scheme: &BoundScheme) -> bool {
    let terms = &scheme.terms;
    terms.cells > 0
        && terms.reversal == Reversal::Restore
        && scheme.takes_again()
        && !scheme.owes_less_than_a_unit()
        && terms.windows.iter().all(|window| window.span == Span::State)
}

/// Whether a number is that of a miner of the pool's, and not of work behind a boundary.
#[must_use]
pub const fn is_of_before(miner: MinerId) -> bool {
    miner.0 < LATER
}

/// Whose a miner's work behind a boundary is for the scheme that was followed.
#[must_use]
pub fn later(scheme: &BoundScheme, miner: MinerId) -> MinerId {
    if scheme.claims("split") { MinerId(u64::MAX) } else { MinerId(miner.0 | LATER) }
}

/// The state of a scheme that was followed, as shares behind the boundary change it.
#[derive(Clone, Debug)]
pub struct Followed<'a> {
    scheme: &'a BoundScheme,
    state: SchemeState,
    rows: BTreeMap<MinerId, Vec<u64>>,
    memo: Option<String>,
    given: Option<ShareSeq>,
    forgets: bool,
    audit: Vec<AuditRecord>,
}

impl<'a> Followed<'a> {
    /// As it stands.
    #[must_use]
    pub fn new(scheme: &'a BoundScheme, state: &SchemeState) -> Self {
        let state = state.cells_alone();
        Self {
            scheme,
            state,
            rows: BTreeMap::new(),
            memo: None,
            given: None,
            forgets: false,
            audit: Vec::new(),
        }
    }

    /// Gives it shares behind the boundary, at most as many as its terms say.
    ///
    /// # Errors
    /// As [`crate::accrue`].
    pub fn give(&mut self, mut shares: Vec<AccruedShare>) -> Result<(), PayoutError> {
        let Some(last) = shares.last().map(|share| share.seq) else { return Ok(()) };
        shares.iter_mut().for_each(|share| share.miner = later(self.scheme, share.miner));
        let credit = credit(self.scheme, &shares, &self.state)?;
        if !credit.checked.rows.is_empty() {
            let detail = "it credits shares of another scheme's";
            return Err(self.scheme.broken("accrue", Rule::Terms, detail));
        }
        self.audit.extend(credit.audit);
        self.given = Some(last);
        self.change(credit.change)
    }

    fn change(&mut self, change: StateChange) -> Result<(), PayoutError> {
        self.state.apply(&change.to_bytes(), None)?;
        self.memo = change.memo.or_else(|| self.memo.take());
        self.rows.extend(change.rows);
        Ok(())
    }

    /// What it changed in all.
    fn changed(self) -> (StateChange, Vec<AuditRecord>) {
        let Self { scheme, rows, memo, given, forgets, audit, .. } = self;
        let (format, width, since) = (scheme.terms.state_format.clone(), scheme.terms.cells, scheme.since);
        let rows = rows.into_iter().collect();
        (StateChange { format, width, since, memo, rows, given, forgets, ..StateChange::default() }, audit)
    }

    /// What it owes of an income, and of what is carried to it, to the miners of before, less its fees. Of what it gives the operator or the reserve, or takes
    /// out of the reserve, their part is to the whole as what they get is to what all get. Where an income of any size would
    /// pay none of them a unit, they are forgotten.
    ///
    /// # Errors
    /// As [`crate::allocate`].
    pub fn owed(
        mut self,
        fees: &[BoundFee],
        (facts, carry_in): (&IncomeFacts, Amount),
        attributes: &dyn Attributes,
    ) -> Result<Owed, PayoutError> {
        let windows = self.windows();
        let Called { income, checked, change, audit } =
            call(self.scheme, facts, carry_in, &windows, &self.state)?;
        self.audit.extend(audit);
        self.change(change)?;
        self.forget(facts);
        let scheme = self.scheme;
        let (change, audit) = self.changed();
        let part = Part { scheme, fees, facts, carry_in, income, checked, audit };
        let owed = part.of(attributes, is_of_before)?;
        Ok(Owed { change: Some(change), ..owed })
    }

    /// Those that it declares are of its state alone.
    fn windows(&self) -> Vec<WindowSums> {
        self.scheme.terms.windows.iter().map(|_| WindowSums::default()).collect()
    }

    fn forget(&mut self, facts: &IncomeFacts) {
        let mut claims = PAYS_WHAT_IS_OWED.into_iter();
        if !claims.any(|claim| self.scheme.claims(claim)) || !self.state.has(is_of_before) {
            return;
        }
        let subsidy = self.scheme.terms.needs_subsidy.then_some(PLENTY);
        let facts =
            IncomeFacts { amount: PLENTY, subsidy, reserve: Amount::ZERO, finder: None, ..facts.clone() };
        let windows = self.windows();
        // Who cannot say it owes still: the income itself was divided.
        let Ok(Called { checked, audit, .. }) =
            call(self.scheme, &facts, Amount::ZERO, &windows, &self.state)
        else {
            return;
        };
        let named =
            |audit: AuditRecord| AuditRecord { function: format!("{}-left", audit.function), ..audit };
        self.audit.extend(audit.into_iter().map(named));
        if checked.rows.iter().any(|row| is_of_before(row.0)) {
            return;
        }
        self.rows.retain(|miner, _| !is_of_before(*miner));
        self.forgets = true;
    }
}

/// What a scheme owes of an income to the miners in its windows but to `others`, less its fees. Fee policies are shown what
/// is owed as an income of its own.
///
/// # Errors
/// As [`crate::allocate`].
pub fn owed(
    scheme: &BoundScheme,
    fees: &[BoundFee],
    facts: &IncomeFacts,
    windows: &[WindowSums],
    others: MinerId,
    attributes: &dyn Attributes,
) -> Result<Owed, PayoutError> {
    let state = SchemeState::new(&scheme.terms);
    let Called { income, checked, audit, .. } = call(scheme, facts, Amount::ZERO, windows, &state)?;
    let carry_in = Amount::ZERO;
    Part { scheme, fees, facts, carry_in, income, checked, audit }.of(attributes, |miner| miner != others)
}

/// An answer, of which the part of those of before is taken.
struct Part<'a> {
    scheme: &'a BoundScheme,
    fees: &'a [BoundFee],
    facts: &'a IncomeFacts,
    carry_in: Amount,
    income: Income,
    checked: Checked,
    audit: Vec<AuditRecord>,
}

impl Part<'_> {
    fn of(self, attributes: &dyn Attributes, is_own: impl Fn(MinerId) -> bool) -> Result<Owed, PayoutError> {
        let Self { scheme, fees, facts, carry_in, income, checked, mut audit } = self;
        let sum =
            |rows: &[(MinerId, u64)]| rows.iter().fold(0_u128, |sum, row| sum.saturating_add(row.1.into()));
        let all = sum(&checked.rows);
        let rows: Vec<_> = checked.rows.into_iter().filter(|row| is_own(row.0)).collect();
        // Checked: no more than the income and the reserve.
        let given = u64::try_from(sum(&rows)).unwrap_or(u64::MAX);
        // Rounded up where it is drawn, so that what others get covers what is left to draw for them.
        let part = |of: u64, round_up: bool| {
            let whole = u128::from(of).saturating_mul(given.into());
            let part = if round_up { whole.checked_next_multiple_of(all) } else { Some(whole) };
            let part = part.and_then(|part| part.checked_div(all)).unwrap_or(0);
            u64::try_from(part).unwrap_or(of)
        };
        let (operator, to_reserve) = (part(checked.operator, false), part(checked.to_reserve, false));
        let from_reserve = part(checked.from_reserve, true);
        let of = fees::Of::Income { finder: facts.finder.filter(|miner| is_own(*miner)) };
        let income = Income { gross: given, subsidy: None, ..income };
        let taken = fees::take(fees, &income, &of, rows, attributes, &mut audit)?;
        let mut parts = taken.parts;
        parts.extend(taken.net.into_iter().map(|(miner, amount)| (Owner::Miner(miner), Amount(amount))));
        parts.extend(fees::operator(scheme, fees, operator)?);
        if to_reserve > 0 {
            parts.push((Owner::Reserve, Amount(to_reserve)));
        }
        let paid = u128::from(given) + u128::from(operator) + u128::from(to_reserve);
        let have = u128::from(facts.amount.0) + u128::from(carry_in.0) + u128::from(from_reserve);
        let rest = have.checked_sub(paid).and_then(|rest| u64::try_from(rest).ok()).ok_or_else(|| {
            PayoutError::Input(format!(
                "scheme {} owes {paid} of an income of {} with {from_reserve} of the reserve",
                scheme.name, facts.amount
            ))
        })?;
        let from_reserve = Amount(from_reserve);
        Ok(Owed { parts, carry_in, rest: Amount(rest), from_reserve, change: None, audit })
    }
}
