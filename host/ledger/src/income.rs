//! Entries about incomes and accrued shares.
//!
//! ```text
//!            allocated          matured
//! (unknown) ----------> immature ------> matured --- reversed ---> lost after maturity (operator's loss)
//!                         |  ^                                        | reinstated -> matured
//!                 reversed|  | drop, restore, keep-reserve: allocated again; keep: reinstated
//!                         v  |
//!                       reversed
//! ```

use crate::book::{Change, IncomeState, IncomeStatus, Judgement, What, add, credit, debit, said, subtract};
use crate::totals::Counters;
use crate::{
    Account, Allocation, Book, Entry, IncomeAllocated, IncomeKey, LedgerError, Owner, Posting, Reversal,
};
use millpond_types::Amount;

pub(crate) fn judge(book: &Book, entry: &Entry) -> Result<Judgement, LedgerError> {
    match entry {
        Entry::IncomeAllocated(income) => allocated(book, income),
        Entry::Matured { key } => matured(book, key),
        Entry::Reversed { key, how, proof } => reversed(book, key, *how, proof),
        Entry::Reinstated { key } => reinstated(book, key),
        Entry::Accrued { first, last, parts, .. } => accrued(book, first.0, last.0, parts),
        _ => Err(LedgerError::Allocation("not an entry about an income")),
    }
}

fn allocated(book: &Book, income: &IncomeAllocated) -> Result<Judgement, LedgerError> {
    income.check()?;
    let mut counters = book.counters.clone();
    let mut postings = vec![
        debit(Account::ImmatureIncome, income.amount.0),
        debit(Account::Payable(Owner::Carry), income.carry_in.0),
        debit(Account::Payable(Owner::Reserve), income.reserve_in.0),
    ];
    if let Some(known) = book.income(&income.key) {
        match known.status {
            // Taken back and forgotten: it may be divided anew when the chain has it after all.
            IncomeStatus::Reversed(Reversal::Drop | Reversal::Restore) => {}
            // What the operator made good is his again, as far as the reserve still holds it.
            IncomeStatus::Reversed(Reversal::KeepReserve) => {
                let held = book.payable(&Owner::Reserve).checked_sub(income.reserve_in).unwrap_or_default();
                let back = parts(known)?.of(&Owner::Reserve).min(held).0;
                counters.loss = subtract(counters.loss, back)?;
                counters.carried = subtract(counters.carried, back)?;
                postings.push(debit(Account::Payable(Owner::Reserve), back));
                postings.push(credit(Account::OperatorLoss, back));
            }
            _ => {
                let same = known.amount == income.amount
                    && known.carry_in == income.carry_in
                    && known.reserve_in == income.reserve_in
                    && known.direct == income.direct
                    && known.root == income.root.hash;
                return if same {
                    Ok(Judgement::Already)
                } else {
                    Err(LedgerError::IncomeDiffers(income.key.clone()))
                };
            }
        }
    }
    postings.extend(income.parts.shares().iter().map(|p| credit(Account::Immature(p.0.clone()), p.1.0)));
    let state = IncomeState {
        amount: income.amount,
        carry_in: income.carry_in,
        reserve_in: income.reserve_in,
        direct: income.direct,
        status: IncomeStatus::Immature,
        root: income.root.hash,
        seq: 0,
        number: book.number_of(&income.key),
        end: income.end,
        credited_early: false,
        parts: Some(income.parts.clone()),
    };
    fits(book, postings, counters, &income.key, state)
}

fn matured(book: &Book, key: &IncomeKey) -> Result<Judgement, LedgerError> {
    let known = known(book, key)?;
    match known.status {
        IncomeStatus::Matured => return Ok(Judgement::Already),
        IncomeStatus::Immature => {}
        status => {
            return Err(LedgerError::IncomeState { key: key.clone(), is: status.name(), wanted: "matured" });
        }
    }
    let mut counters = book.counters.clone();
    counters.income = add(counters.income, known.amount.0)?;
    let mut postings = vec![credit(Account::ImmatureIncome, known.amount.0)];
    if known.credited_early {
        counters.advanced = subtract(counters.advanced, known.amount.0)?;
        postings.push(debit(Account::Wallet, known.amount.0));
    } else {
        let parts = parts(known)?;
        count_credit(&mut counters, parts, [known.carry_in, known.reserve_in])?;
        if known.direct {
            postings.extend(parts.shares().iter().map(|p| debit(Account::Immature(p.0.clone()), p.1.0)));
            count_paid(&mut counters, parts, 1)?;
        } else {
            postings.push(debit(Account::Wallet, known.amount.0));
            postings.extend(ripen(parts));
        }
    }
    let state = IncomeState { status: IncomeStatus::Matured, parts: settled_parts(known), ..known.clone() };
    fits(book, postings, counters, key, state)
}

fn reversed(book: &Book, key: &IncomeKey, how: Reversal, proof: &str) -> Result<Judgement, LedgerError> {
    said("reversed", &[proof])?;
    let known = known(book, key)?;
    let amount = known.amount.0;
    let mut counters = book.counters.clone();
    let mut postings = Vec::new();
    let status = match known.status {
        IncomeStatus::Reversed(_) | IncomeStatus::LostAfterMaturity => return Ok(Judgement::Already),
        IncomeStatus::Immature if known.credited_early => {
            postings = vec![credit(Account::ImmatureIncome, amount), debit(Account::OperatorLoss, amount)];
            counters.advanced = subtract(counters.advanced, amount)?;
            counters.loss = add(counters.loss, amount)?;
            IncomeStatus::Reversed(Reversal::Keep)
        }
        IncomeStatus::Immature => {
            postings.push(credit(Account::ImmatureIncome, amount));
            let parts = parts(known)?;
            if how == Reversal::Keep {
                postings.push(debit(Account::OperatorLoss, amount));
                postings.extend(ripen(parts));
                count_credit(&mut counters, parts, [known.carry_in, known.reserve_in])?;
                counters.loss = add(counters.loss, amount)?;
            } else {
                postings.push(credit(Account::Payable(Owner::Carry), known.carry_in.0));
                postings.push(credit(Account::Payable(Owner::Reserve), known.reserve_in.0));
                if how == Reversal::KeepReserve {
                    let kept = parts.of(&Owner::Reserve).0;
                    postings.push(debit(Account::OperatorLoss, kept));
                    postings.push(credit(Account::Payable(Owner::Reserve), kept));
                    counters.loss = add(counters.loss, kept)?;
                    counters.carried = add(counters.carried, kept)?;
                }
                postings.extend(parts.shares().iter().map(|p| debit(Account::Immature(p.0.clone()), p.1.0)));
            }
            IncomeStatus::Reversed(how)
        }
        IncomeStatus::Matured => {
            if known.direct {
                // The chain paid the owners and took it back: the pool never owed it.
                counters.income = subtract(counters.income, amount)?;
                let parts = parts(known)?;
                uncount_credit(&mut counters, parts)?;
                count_paid(&mut counters, parts, -1)?;
            } else {
                postings = vec![credit(Account::Wallet, amount), debit(Account::OperatorLoss, amount)];
                counters.income = subtract(counters.income, amount)?;
                counters.loss = add(counters.loss, amount)?;
            }
            IncomeStatus::LostAfterMaturity
        }
    };
    fits(book, postings, counters, key, IncomeState { status, ..known.clone() })
}

fn reinstated(book: &Book, key: &IncomeKey) -> Result<Judgement, LedgerError> {
    let known = known(book, key)?;
    let amount = known.amount.0;
    let mut counters = book.counters.clone();
    let (postings, state) = match known.status {
        IncomeStatus::Reversed(Reversal::Keep) => {
            counters.loss = subtract(counters.loss, amount)?;
            counters.advanced = add(counters.advanced, amount)?;
            let postings =
                vec![credit(Account::OperatorLoss, amount), debit(Account::ImmatureIncome, amount)];
            (postings, IncomeState { status: IncomeStatus::Immature, credited_early: true, ..known.clone() })
        }
        IncomeStatus::LostAfterMaturity => {
            counters.income = add(counters.income, amount)?;
            let postings = if known.direct {
                let parts = parts(known)?;
                count_credit(&mut counters, parts, [Amount::ZERO; 2])?;
                count_paid(&mut counters, parts, 1)?;
                Vec::new()
            } else {
                counters.loss = subtract(counters.loss, amount)?;
                vec![credit(Account::OperatorLoss, amount), debit(Account::Wallet, amount)]
            };
            (postings, IncomeState { status: IncomeStatus::Matured, ..known.clone() })
        }
        status => {
            let (is, wanted) = (status.name(), "reinstated (an income reversed by drop is allocated again)");
            return Err(LedgerError::IncomeState { key: key.clone(), is, wanted });
        }
    };
    fits(book, postings, counters, key, state)
}

fn accrued(book: &Book, first: u64, last: u64, parts: &Allocation) -> Result<Judgement, LedgerError> {
    if last <= book.accrued_to {
        return Ok(Judgement::Already);
    }
    if first <= book.accrued_to || first > last {
        return Err(LedgerError::AccruedTwice { first, last, done: book.accrued_to });
    }
    if parts.shares().iter().any(|part| matches!(part.0, Owner::Carry | Owner::Reserve)) {
        return Err(LedgerError::Allocation("accrued shares are credited to miners and fee recipients only"));
    }
    let mut counters = book.counters.clone();
    count_credit(&mut counters, parts, [Amount::ZERO, parts.total()])?;
    let mut postings = vec![debit(Account::Payable(Owner::Reserve), parts.total().0)];
    postings.extend(parts.shares().iter().map(|p| credit(Account::Payable(p.0.clone()), p.1.0)));
    Ok(Judgement::Fits(Change { postings, counters, what: What::AccruedTo(last) }))
}

fn known<'a>(book: &'a Book, key: &IncomeKey) -> Result<&'a IncomeState, LedgerError> {
    book.income(key).ok_or_else(|| LedgerError::UnknownIncome(key.clone()))
}

fn parts(income: &IncomeState) -> Result<&Allocation, LedgerError> {
    income.parts.as_ref().ok_or(LedgerError::Allocation("the parts of a final income are no longer held"))
}

/// A pooled income's parts are in the balances once it matured; a direct one's are needed to undo it.
fn settled_parts(income: &IncomeState) -> Option<Allocation> {
    if income.direct { income.parts.clone() } else { None }
}

/// Immature to payable.
fn ripen(parts: &Allocation) -> impl Iterator<Item = Posting> + '_ {
    parts.shares().iter().flat_map(|part| {
        [
            debit(Account::Immature(part.0.clone()), part.1.0),
            credit(Account::Payable(part.0.clone()), part.1.0),
        ]
    })
}

/// Counts parts as credited; `from_pooled` units came out of the carry and the reserve.
fn count_credit(
    counters: &mut Counters,
    parts: &Allocation,
    from_pooled: [Amount; 2],
) -> Result<(), LedgerError> {
    for part in parts.shares() {
        let sum = match part.0 {
            Owner::Miner(_) => &mut counters.credited,
            Owner::Fee(_) => &mut counters.fees,
            Owner::Carry | Owner::Reserve => &mut counters.carried,
        };
        *sum = add(*sum, part.1.0)?;
    }
    for pooled in from_pooled {
        counters.carried = subtract(counters.carried, pooled.0)?;
    }
    Ok(())
}

fn uncount_credit(counters: &mut Counters, parts: &Allocation) -> Result<(), LedgerError> {
    for part in parts.shares() {
        let sum = match part.0 {
            Owner::Miner(_) => &mut counters.credited,
            Owner::Fee(_) => &mut counters.fees,
            Owner::Carry | Owner::Reserve => &mut counters.carried,
        };
        *sum = subtract(*sum, part.1.0)?;
    }
    Ok(())
}

/// Counts parts that the chain paid (`sign` 1) or took back (-1).
fn count_paid(counters: &mut Counters, parts: &Allocation, sign: i128) -> Result<(), LedgerError> {
    for part in parts.shares() {
        let sum = match part.0 {
            Owner::Miner(_) => &mut counters.paid,
            _ => &mut counters.paid_fees,
        };
        let signed = i128::from(part.1.0).checked_mul(sign).ok_or(LedgerError::Overflow("a total"))?;
        *sum = sum.checked_add(signed).ok_or(LedgerError::Overflow("a total"))?;
    }
    Ok(())
}

fn fits(
    book: &Book,
    postings: Vec<Posting>,
    counters: Counters,
    key: &IncomeKey,
    mut state: IncomeState,
) -> Result<Judgement, LedgerError> {
    // A new division gets its record's number when it is applied; later steps keep it.
    if let Some(known) = book.income(key) {
        state.seq = known.seq;
    }
    Ok(Judgement::Fits(Change { postings, counters, what: What::Income(key.clone(), state) }))
}
