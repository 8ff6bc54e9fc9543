//! What a scheme that was followed by another still owes of an income.
//!
//! It is called as if nobody had followed it, and all that was done behind the boundary is one miner's, "others": so what the
//! real ones get is what they are owed for their work of before, by the scheme's own rule and whatever that is. What others
//! get, and what it would carry, is for the scheme that followed.
//!
//! The call is one like any other: others have a pseudonym, are renamed and split in the second run, and the contract knows
//! nothing of them.

use crate::allocate::{Called, call};
use crate::{
    Attributes, AuditRecord, BoundFee, BoundScheme, IncomeFacts, PayoutError, SchemeState, WindowSums, fees,
};
use millpond_contracts::payout::{Income, Span, Terms};
use millpond_ledger::Owner;
use millpond_types::{Amount, MinerId};

/// What is owed of one income.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Credits to miners and fee recipients.
    pub parts: Vec<(Owner, Amount)>,
    /// What is left of the income.
    pub rest: Amount,
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
    let Called { income, checked, mut audit, .. } = call(scheme, facts, Amount::ZERO, windows, &state)?;
    let rows: Vec<_> = checked.rows.into_iter().filter(|row| row.0 != others).collect();
    // Checked: no more than the income.
    let given = rows.iter().fold(0_u64, |sum, row| sum.saturating_add(row.1));
    let of = fees::Of::Income { finder: facts.finder.filter(|miner| *miner != others) };
    let income = Income { gross: given, subsidy: None, ..income };
    let taken = fees::take(fees, &income, &of, rows, attributes, &mut audit)?;
    let mut parts = taken.parts;
    parts.extend(taken.net.into_iter().map(|(miner, amount)| (Owner::Miner(miner), Amount(amount))));
    Ok(Owed { parts, rest: Amount(facts.amount.0.saturating_sub(given)), audit })
}
