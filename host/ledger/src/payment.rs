//! What the ledger records of a payment. The rules of its states stand in the settlement crate; the ledger holds the
//! ones that money depends on: reserved once, settled or released once, never more than was reserved.

use crate::book::{Change, Judgement, PaymentState, PaymentStatus, What, add, credit, debit, said, subtract};
use crate::entry::hex_bytes;
use crate::{Account, Book, Entry, LedgerError, Owner, Reader};
use millpond_types::{Amount, UnixMillis};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A payment's number: 1, 2, 3, … in the order of reservation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentId(pub u64);

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A transaction's name as its node writes it; opaque here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TxId(pub String);

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A coin that a transaction spends, as its node names it ("txid:index"); opaque here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputId(pub String);

impl fmt::Display for InputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One owner's part of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRow {
    /// Whose balance it is taken from.
    pub owner: Owner,
    /// Where it goes, as the wallet writes it.
    pub address: String,
    /// What is reserved of the balance.
    pub amount: Amount,
}

/// What became of one row. `sent + charged` never exceeds what was reserved; the rest goes back to the balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledRow {
    /// What the transaction pays to the address.
    pub sent: Amount,
    /// The row's part of the network fee.
    pub charged: Amount,
}

/// A signed transaction, stored before it is first broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The bytes; the only ones that may ever be broadcast for this payment.
    #[serde(with = "hex_bytes")]
    pub bytes: Vec<u8>,
    /// Its name.
    pub txid: TxId,
    /// What it spends.
    pub inputs: Vec<InputId>,
    /// Its network fee.
    pub fee: Amount,
    /// What it does for each row, in the rows' order.
    pub rows: Vec<SettledRow>,
}

/// A step of a payment that moves no money in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// The transaction is signed and stored with this very record.
    Built(Built),
    /// The bytes (or, for a wallet that can only send, the call) go out after this record is durable.
    Submitting {
        /// When, for the look-up in the wallet's history.
        at: UnixMillis,
        /// What marks the call in the wallet's history, for a wallet that can only send.
        marker: Option<String>,
    },
    /// The node or wallet has it under this name. `fee` and `rows` for a wallet that can only send.
    Sent {
        /// Its name.
        txid: TxId,
    },
    /// The outcome of the call is not known: nothing is tried again before the history was read.
    Unknown {
        /// What happened.
        why: String,
    },
}

const NOT_AS_SETTLED: &str = "it is undone with other amounts than it was settled with";
const MAX_ROWS: usize = 100_000;

pub(crate) fn judge(book: &Book, entry: &Entry, at: UnixMillis) -> Result<Judgement, LedgerError> {
    match entry {
        Entry::PaymentReserved { payment, rows } => reserved(book, *payment, rows, at),
        Entry::PaymentProgress { payment, step } => progress(book, *payment, step, at),
        Entry::PaymentSettled { payment, txid, fee, rows, lost } => {
            settled(book, *payment, txid, Outcome { fee: *fee, rows, lost: *lost }, at)
        }
        Entry::PaymentReleased { payment, why } => released(book, *payment, why, at),
        Entry::PaymentUndone { payment, txid, fee, rows, lost, why } => {
            undone(book, *payment, txid, Outcome { fee: *fee, rows, lost: *lost }, why, at)
        }
        _ => Err(LedgerError::Allocation("not an entry about a payment")),
    }
}

fn reserved(
    book: &Book,
    id: PaymentId,
    rows: &[PaymentRow],
    at: UnixMillis,
) -> Result<Judgement, LedgerError> {
    if let Some(known) = book.payment(id) {
        return if known.rows == rows { Ok(Judgement::Already) } else { Err(LedgerError::PaymentNumber(id)) };
    }
    if id != book.next_payment() {
        return Err(LedgerError::PaymentNumber(id));
    }
    let refuse = |why| Err(LedgerError::PaymentRows { payment: id, why });
    if rows.is_empty() || rows.len() > MAX_ROWS {
        return refuse("a payment has 1 to 100000 rows");
    }
    if !rows.iter().zip(rows.iter().skip(1)).all(|(a, b)| a.owner < b.owner) {
        return refuse("owners are not strictly ascending: duplicates are merged before");
    }
    if !rows.iter().all(|row| matches!(row.owner, Owner::Miner(_) | Owner::Fee(_))) {
        return refuse("only miners and fee recipients are paid");
    }
    if rows.iter().any(|row| row.amount == Amount::ZERO || row.address.is_empty() || row.address.len() > 1024)
    {
        return refuse("a row has an amount above zero and an address of 1 to 1024 bytes");
    }
    let total = Amount::sum(rows.iter().map(|row| row.amount)).ok_or(LedgerError::Overflow("a payment"))?;
    let mut postings = vec![credit(Account::InFlight, total.0)];
    postings.extend(rows.iter().map(|row| debit(Account::Payable(row.owner.clone()), row.amount.0)));
    let state = PaymentState {
        id,
        rows: rows.to_vec(),
        status: PaymentStatus::Reserved,
        reserved_at: at,
        changed_at: at,
        built: None,
        submitted_at: None,
        attempts: 0,
        marker: None,
        txid: None,
        fee: Amount::ZERO,
        sent: Amount::ZERO,
    };
    let counters = book.counters.clone();
    Ok(Judgement::Fits(Change { postings, counters, what: What::Payment(Box::new(state)) }))
}

fn open(book: &Book, id: PaymentId, wanted: &'static str) -> Result<PaymentState, LedgerError> {
    let state = book.payment(id).ok_or(LedgerError::UnknownPayment(id))?;
    if state.status.is_open() { Ok(state.clone()) } else { Err(refused(state, wanted)) }
}

fn refused(state: &PaymentState, wanted: &'static str) -> LedgerError {
    LedgerError::PaymentState { payment: state.id, is: state.status.name(), wanted }
}

fn progress(book: &Book, id: PaymentId, step: &Progress, at: UnixMillis) -> Result<Judgement, LedgerError> {
    use PaymentStatus::{Built as IsBuilt, Reserved, Sent, Submitting, Unknown};
    let mut state = open(book, id, "continued")?;
    match step {
        Progress::Built(built) => {
            if state.status != Reserved {
                return Err(refused(&state, "built: one payment has one transaction"));
            }
            check_rows(&state, built.fee, &built.rows)?;
            if built.bytes.is_empty() || built.inputs.is_empty() {
                let why = "a stored transaction has bytes and inputs";
                return Err(LedgerError::PaymentRows { payment: id, why });
            }
            state.txid = Some(built.txid.clone());
            state.built = Some(built.clone());
            state.status = IsBuilt;
        }
        Progress::Submitting { at, marker } => {
            let again = state.built.is_some();
            // Stored bytes may go out again and again; a call that makes a transaction goes out once.
            let allowed = match state.status {
                Reserved => !again && marker.is_some(),
                IsBuilt | Submitting | Sent | Unknown(_) => again && marker.is_none(),
                _ => false,
            };
            if !allowed {
                return Err(refused(&state, "submitted"));
            }
            state.submitted_at = state.submitted_at.or(Some(*at));
            state.attempts = state.attempts.saturating_add(1);
            if marker.is_some() {
                state.marker.clone_from(marker);
            }
            state.status = Submitting;
        }
        Progress::Sent { txid } => {
            if !matches!(state.status, Submitting | Unknown(_)) {
                return Err(refused(&state, "sent"));
            }
            same_txid(&state, txid)?;
            state.txid = Some(txid.clone());
            state.status = Sent;
        }
        Progress::Unknown { why } => {
            said("payment-progress unknown", &[why])?;
            if !matches!(state.status, Submitting | Sent | Unknown(_)) {
                return Err(refused(&state, "unknown"));
            }
            state.status = Unknown(why.clone());
        }
    }
    state.changed_at = at;
    let counters = book.counters.clone();
    Ok(Judgement::Fits(Change { postings: Vec::new(), counters, what: What::Payment(Box::new(state)) }))
}

/// What a confirmed transaction cost.
struct Outcome<'a> {
    fee: Amount,
    rows: &'a [SettledRow],
    lost: Amount,
}

fn settled(
    book: &Book,
    id: PaymentId,
    txid: &TxId,
    Outcome { fee, rows, lost }: Outcome<'_>,
    at: UnixMillis,
) -> Result<Judgement, LedgerError> {
    if let Some(known) = book.payment(id)
        && known.status == PaymentStatus::Settled
    {
        let same = known.txid.as_ref() == Some(txid) && known.fee == fee;
        return if same {
            Ok(Judgement::Already)
        } else {
            Err(refused(known, "settled by another transaction"))
        };
    }
    let mut state = open(book, id, "settled")?;
    if matches!(state.status, PaymentStatus::Reserved | PaymentStatus::Built) {
        return Err(refused(&state, "settled: it was never submitted"));
    }
    same_txid(&state, txid)?;
    check_rows(&state, fee, rows)?;
    if let Some(built) = &state.built
        && (built.fee != fee || built.rows != rows || lost != Amount::ZERO)
    {
        let why = "it is settled with other amounts than its stored transaction has";
        return Err(LedgerError::PaymentRows { payment: id, why });
    }
    let overflow = || LedgerError::Overflow("a settled payment");
    let sent = Amount::sum(rows.iter().map(|row| row.sent)).ok_or_else(overflow)?;
    let charged = Amount::sum(rows.iter().map(|row| row.charged)).ok_or_else(overflow)?;
    let borne = fee.checked_sub(charged).ok_or_else(overflow)?;
    let out = sent.checked_add(fee).and_then(|sum| sum.checked_add(lost)).ok_or_else(overflow)?;
    let mut counters = book.counters.clone();
    let mut postings = vec![
        debit(Account::InFlight, state.reserved().0),
        credit(Account::Wallet, out.0),
        debit(Account::NetworkFees, borne.0),
        debit(Account::OperatorLoss, lost.0),
    ];
    for (row, done) in state.rows.iter().zip(rows) {
        let used = done.sent.checked_add(done.charged).ok_or_else(overflow)?;
        let back = row.amount.checked_sub(used).ok_or_else(overflow)?;
        postings.push(credit(Account::Payable(row.owner.clone()), back.0));
        let (paid, charge) = if matches!(row.owner, Owner::Miner(_)) {
            (&mut counters.paid, &mut counters.charged_miners)
        } else {
            (&mut counters.paid_fees, &mut counters.charged_fees)
        };
        *paid = add(*paid, done.sent.0)?;
        *charge = add(*charge, done.charged.0)?;
    }
    counters.network_fees = add(counters.network_fees, borne.0)?;
    state.status = PaymentStatus::Settled;
    state.changed_at = at;
    state.txid = Some(txid.clone());
    state.fee = fee;
    state.sent = sent;
    state.built = None;
    Ok(Judgement::Fits(Change { postings, counters, what: What::Payment(Box::new(state)) }))
}

fn released(book: &Book, id: PaymentId, why: &str, at: UnixMillis) -> Result<Judgement, LedgerError> {
    said("payment-released", &[why])?;
    if matches!(book.payment(id).map(|known| &known.status), Some(PaymentStatus::Released(_))) {
        return Ok(Judgement::Already);
    }
    let mut state = open(book, id, "released")?;
    let mut postings = vec![debit(Account::InFlight, state.reserved().0)];
    postings.extend(state.rows.iter().map(|row| credit(Account::Payable(row.owner.clone()), row.amount.0)));
    state.status = PaymentStatus::Released(why.to_owned());
    state.changed_at = at;
    state.built = None;
    let counters = book.counters.clone();
    Ok(Judgement::Fits(Change { postings, counters, what: What::Payment(Box::new(state)) }))
}

/// The settlement's postings with the other sign, but that everything returns to its balance: what was reserved and not
/// used came back when it was settled.
fn undone(
    book: &Book,
    id: PaymentId,
    txid: &TxId,
    Outcome { fee, rows, lost }: Outcome<'_>,
    why: &str,
    at: UnixMillis,
) -> Result<Judgement, LedgerError> {
    said("payment-undone", &[why])?;
    let mut state = book.payment(id).ok_or(LedgerError::UnknownPayment(id))?.clone();
    match state.status {
        PaymentStatus::Undone(_) => return Ok(Judgement::Already),
        PaymentStatus::Settled => {}
        _ => return Err(refused(&state, "undone: it is not settled")),
    }
    let overflow = || LedgerError::Overflow("an undone payment");
    same_txid(&state, txid)?;
    check_rows(&state, fee, rows)?;
    let sent = Amount::sum(rows.iter().map(|row| row.sent)).ok_or_else(overflow)?;
    if (sent, fee) != (state.sent, state.fee) {
        return Err(LedgerError::PaymentRows { payment: id, why: NOT_AS_SETTLED });
    }
    let charged = Amount::sum(rows.iter().map(|row| row.charged)).ok_or_else(overflow)?;
    let borne = fee.checked_sub(charged).ok_or_else(overflow)?;
    let out = sent.checked_add(fee).and_then(|sum| sum.checked_add(lost)).ok_or_else(overflow)?;
    let mut counters = book.counters.clone();
    let mut postings = vec![
        debit(Account::Wallet, out.0),
        credit(Account::NetworkFees, borne.0),
        credit(Account::OperatorLoss, lost.0),
    ];
    for (row, done) in state.rows.iter().zip(rows) {
        let back = done.sent.checked_add(done.charged).ok_or_else(overflow)?;
        postings.push(credit(Account::Payable(row.owner.clone()), back.0));
        let (paid, charge) = if matches!(row.owner, Owner::Miner(_)) {
            (&mut counters.paid, &mut counters.charged_miners)
        } else {
            (&mut counters.paid_fees, &mut counters.charged_fees)
        };
        *paid = subtract(*paid, done.sent.0)?;
        *charge = subtract(*charge, done.charged.0)?;
    }
    counters.network_fees = subtract(counters.network_fees, borne.0)?;
    state.status = PaymentStatus::Undone(why.to_owned());
    state.changed_at = at;
    (state.fee, state.sent) = (Amount::ZERO, Amount::ZERO);
    Ok(Judgement::Fits(Change { postings, counters, what: What::Payment(Box::new(state)) }))
}

/// What the book cannot see of an entry that undoes a payment, since it keeps no rows of what is closed: that it says what
/// the settlement said.
pub(crate) fn undoes_as_settled(reader: &Reader, entry: &Entry) -> Result<(), LedgerError> {
    let Entry::PaymentUndone { payment, txid, fee, rows, lost, .. } = entry else { return Ok(()) };
    let (payment, txid, fee, rows, lost) = (*payment, txid.clone(), *fee, rows.clone(), *lost);
    let settled = Entry::PaymentSettled { payment, txid, fee, rows, lost };
    if reader.settlement(payment)? == Some(settled) {
        Ok(())
    } else {
        Err(LedgerError::PaymentRows { payment, why: NOT_AS_SETTLED })
    }
}

fn same_txid(state: &PaymentState, txid: &TxId) -> Result<(), LedgerError> {
    match &state.txid {
        Some(known) if known != txid => {
            Err(LedgerError::PaymentRows { payment: state.id, why: "it has another transaction already" })
        }
        _ => Ok(()),
    }
}

/// No row gets more than was reserved for it, and the rows bear at most the fee.
fn check_rows(state: &PaymentState, fee: Amount, rows: &[SettledRow]) -> Result<(), LedgerError> {
    let refuse = |why| Err(LedgerError::PaymentRows { payment: state.id, why });
    if rows.len() != state.rows.len() {
        return refuse("the transaction has another number of rows than was reserved");
    }
    for (reserved, done) in state.rows.iter().zip(rows) {
        match done.sent.checked_add(done.charged) {
            Some(used) if used <= reserved.amount => {}
            _ => return refuse("a row uses more than was reserved for it"),
        }
    }
    match Amount::sum(rows.iter().map(|row| row.charged)) {
        Some(charged) if charged <= fee => Ok(()),
        _ => refuse("the rows bear more than the network fee"),
    }
}
