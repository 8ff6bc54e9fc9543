//! The steps in which a transaction is made and goes out.

use crate::run::Went;
use crate::signed::change_of;
use crate::{
    Edge, Lookup, Mismatch, Output, Seen, Settlement, SettlementError, Signed, WalletError, Wanted, charge,
};
use millpond_ledger::{
    Built, Entry, InputId, PaymentId, PaymentState, PaymentStatus, Progress, SettledRow, TxId,
};
use millpond_types::{Amount, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};

/// How far the wallet's clock may be behind ours.
pub(crate) const CLOCK_MS: u64 = 86_400_000;
/// What a wallet's history has of a payment.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    One(Seen),
    /// Which of them is the payment nobody here can tell: its call was executed more than once, or others look like it.
    Several(Vec<TxId>),
}

impl Found {
    fn of(mut seen: Vec<Seen>) -> Self {
        match (seen.pop(), seen.is_empty()) {
            (None, _) => Self::Nothing,
            (Some(one), true) => Self::One(one),
            (Some(last), false) => {
                Self::Several(seen.into_iter().chain([last]).map(|seen| seen.txid).collect())
            }
        }
    }
}

/// What is said of several transactions that could be one payment.
fn several(all: &[TxId]) -> String {
    let named: Vec<&str> = all.iter().take(2).map(|txid| txid.0.as_str()).collect();
    let more = if all.len() > named.len() { ", ..." } else { "" };
    format!("{} transactions are this payment: {}{more}; resolve it with one", all.len(), named.join(", "))
}

/// What is said of a sender's transaction that is not the payment.
pub(crate) const PAYS_OTHERWISE: &str = "carries this payment and pays other addresses or amounts; look into the wallet, then resolve it as it was made";

impl Settlement {
    /// Builds, checks and stores the transaction of a reserved payment. Nothing goes out.
    pub(crate) fn build(&self, state: &PaymentState, now: UnixMillis) -> Result<Went, SettlementError> {
        let reserved = self.reserved_inputs();
        let own = match self.own_rows(state) {
            Ok(own) => own,
            Err(error) => return Ok(error.to_string().into()),
        };
        let made = self.sign(state, &own, &reserved);
        let (signed, fee, rows) = match made {
            Ok(Some(made)) => made,
            Ok(None) => {
                // Each bears his part of the fee: fewer together would bear more.
                let why = "the network fee would eat up a row; it waits for more";
                return self.give_up(state, why, now).map(Went::from);
            }
            // Building has no effect outside the wallet: without an answer it is tried again.
            Err(SettlementError::Wallet(error @ WalletError::Refused { .. })) => {
                return self.refused(state, &error.to_string(), now);
            }
            Err(SettlementError::Wallet(error)) => return Ok(error.to_string().into()),
            Err(error @ SettlementError::Transaction { .. }) => {
                self.give_up(state, &error.to_string(), now)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        self.edge(Edge::Signed, state.id)?;
        let Signed { bytes, txid, spends, .. } = signed;
        let inputs = spends.into_iter().map(|spent| spent.coin).collect();
        let step = Progress::Built(Built { bytes, txid: txid.clone(), inputs, fee, rows });
        self.append(now, Entry::PaymentProgress { payment: state.id, step })?;
        self.edge(Edge::Stored, state.id)?;
        Ok(format!("built as {txid}").into())
    }

    /// The transaction, its network fee, and what it does for each row.
    fn sign(
        &self,
        state: &PaymentState,
        own: &BTreeSet<String>,
        reserved: &BTreeSet<InputId>,
    ) -> Result<Option<(Signed, Amount, Vec<SettledRow>)>, SettlementError> {
        // The fee is known when a transaction of this form exists; the first one is only looked at.
        let whole: Vec<SettledRow> =
            state.rows.iter().map(|row| SettledRow { sent: row.amount, charged: Amount::ZERO }).collect();
        let outputs = outputs(state, &whole, own)?;
        let signed = self.wallet.build(&outputs, self.policy.fee_rate, reserved)?;
        let fee = self.verify(state.id, &outputs, &signed, reserved)?;
        if self.policy.charge == crate::Charge::Pool {
            return Ok(Some((signed, fee, whole)));
        }
        let Some(rows) = self.charged(state, own, fee)? else { return Ok(None) };
        let outputs = crate::sending::outputs(state, &rows, own)?;
        let signed = self.wallet.build(&outputs, self.policy.fee_rate, reserved)?;
        let fee = self.verify(state.id, &outputs, &signed, reserved)?;
        // The second fee may be another one. Higher: the pool bears the difference. Lower: owners keep theirs.
        let rows = match self.charged(state, own, fee)? {
            Some(least) => rows
                .iter()
                .zip(&least)
                .map(|(row, least)| SettledRow { sent: row.sent, charged: row.charged.min(least.charged) })
                .collect(),
            None => rows,
        };
        Ok(Some((signed, fee, rows)))
    }

    /// Each row's part of a fee; rows without an output bear none.
    fn charged(
        &self,
        state: &PaymentState,
        own: &BTreeSet<String>,
        fee: Amount,
    ) -> Result<Option<Vec<SettledRow>>, SettlementError> {
        let outside = |row: &&millpond_ledger::PaymentRow| !own.contains(&row.address);
        let amounts: Vec<Amount> = state.rows.iter().filter(outside).map(|row| row.amount).collect();
        let Some(charged) = charge(&amounts, fee, self.policy.charge)? else { return Ok(None) };
        let mut charged = charged.into_iter();
        let rows = state.rows.iter().map(|row| {
            let free = SettledRow { sent: row.amount, charged: Amount::ZERO };
            if own.contains(&row.address) { free } else { charged.next().unwrap_or(free) }
        });
        Ok(Some(rows.collect()))
    }

    /// The network fee of a transaction that is the one asked for, to the output, and spends nothing that is reserved.
    fn verify(
        &self,
        payment: PaymentId,
        asked: &[Output],
        signed: &Signed,
        reserved: &BTreeSet<InputId>,
    ) -> Result<Amount, SettlementError> {
        let refuse = |why: Mismatch| SettlementError::Transaction { payment, why: Box::new(why) };
        if let Some(spent) = signed.spends.iter().find(|spent| reserved.contains(&spent.coin)) {
            return Err(refuse(Mismatch::Reserved(spent.coin.clone())));
        }
        let change = change_of(signed, asked, self.check.as_ref()).map_err(refuse)?;
        if let Some(change) = change
            && self.wallet.owns(std::slice::from_ref(&change.address))? != [true]
        {
            return Err(refuse(Mismatch::NotOurs(change.clone())));
        }
        let total =
            Amount::sum(asked.iter().map(|output| output.amount)).ok_or_else(|| refuse(Mismatch::Sum))?;
        let max_fee = if self.policy.max_fee == Amount::ZERO { total } else { self.policy.max_fee };
        let change = change.map(|change| change.address.as_str());
        self.check.check(signed, Wanted { outputs: asked, change, max_fee }).map_err(refuse)
    }

    /// Announces and sends the stored bytes. The same bytes may go out any number of times.
    pub(crate) fn submit(&self, state: &PaymentState, now: UnixMillis) -> Result<Went, SettlementError> {
        let Some(built) = &state.built else {
            return Ok("it has no stored transaction to send".to_owned().into());
        };
        let step = Progress::Submitting { at: now, marker: None };
        self.append(now, Entry::PaymentProgress { payment: state.id, step })?;
        self.edge(Edge::Announced, state.id)?;
        let outcome = self.wallet.broadcast(&built.bytes, &built.txid);
        self.edge(Edge::Called, state.id)?;
        let state = PaymentState { status: PaymentStatus::Submitting, ..state.clone() };
        match outcome {
            Ok(()) => {
                self.sent(&state, &built.txid, now)?;
                Ok(format!("sent as {}", built.txid).into())
            }
            // Never sent before and refused now: these bytes exist nowhere but here. Unless the ledger is older than what
            // was done by it: then the wallet knows them, or what took their place.
            Err(error @ WalletError::Refused { .. }) if state.attempts == 0 => {
                match self.wallet.lookup(&built.txid, &built.inputs) {
                    Ok(Lookup::NotFound) => self.refused(&state, &error.to_string(), now),
                    _ => {
                        self.unknown(&state, &error.to_string(), now)?;
                        Ok(error.to_string().into())
                    }
                }
            }
            Err(error @ WalletError::NotSent { .. }) => Ok(error.to_string().into()),
            Err(error) => {
                self.unknown(&state, &error.to_string(), now)?;
                Ok(error.to_string().into())
            }
        }
    }

    /// Announces and makes the one call of a wallet that can only send.
    pub(crate) fn send_many(&self, state: &PaymentState, now: UnixMillis) -> Result<Went, SettlementError> {
        let own = match self.own_rows(state) {
            Ok(own) => own,
            Err(error) => return Ok(error.to_string().into()),
        };
        let outputs = outputs(state, &sender_rows(state), &own)?;
        let marker = marker(state);
        let step = Progress::Submitting { at: now, marker: Some(marker.clone()) };
        self.append(now, Entry::PaymentProgress { payment: state.id, step })?;
        self.edge(Edge::Announced, state.id)?;
        let outcome = self.wallet.send_many(&outputs, &marker, self.policy.fee_rate);
        self.edge(Edge::Called, state.id)?;
        let state = PaymentState { status: PaymentStatus::Submitting, ..state.clone() };
        match outcome {
            Ok(txid) => {
                self.sent(&state, &txid, now)?;
                Ok(format!("sent as {txid}").into())
            }
            Err(error @ WalletError::Refused { .. }) => {
                // A wallet that stored a transaction and then failed to relay it says no as well.
                let state = PaymentState { marker: Some(marker), ..state };
                let why = match self.seen(&state) {
                    Ok(Found::One(seen)) => format!("{error}; and its history has it as {}", seen.txid),
                    Ok(Found::Several(all)) => several(&all),
                    Ok(Found::Nothing) | Err(_) => return self.refused(&state, &error.to_string(), now),
                };
                self.unknown(&state, &why, now)?;
                Ok(why.into())
            }
            Err(error @ WalletError::NotSent { .. }) => {
                self.give_up(&state, &error.to_string(), now).map(Went::from)
            }
            Err(error) => {
                self.unknown(&state, &error.to_string(), now)?;
                Ok(error.to_string().into())
            }
        }
    }

    /// Looks for a call of unknown outcome in the wallet's history. Never sends.
    pub(crate) fn find(&self, state: &PaymentState, now: UnixMillis) -> Result<String, SettlementError> {
        let found = self.seen(state).and_then(|found| match found {
            Found::One(seen) => Ok((self.pays(state, &seen.outputs)?, Found::One(seen))),
            other => Ok((false, other)),
        });
        let why = match found {
            Ok((true, Found::One(seen))) => {
                self.sent(state, &seen.txid, now)?;
                return Ok(format!("found in the wallet's history as {}", seen.txid));
            }
            Ok((_, Found::One(seen))) => format!("{} {PAYS_OTHERWISE}", seen.txid),
            Ok((_, Found::Several(all))) => several(&all),
            Ok((_, Found::Nothing)) => {
                "the wallet's history does not have it; resolve or release it by hand".to_owned()
            }
            Err(error) => return Ok(error.to_string()),
        };
        self.unknown(state, &why, now)?;
        Ok(why)
    }

    /// The payment in the wallet's history: by its marker, else by exactly its outputs.
    pub(crate) fn seen(&self, state: &PaymentState) -> Result<Found, SettlementError> {
        let since = state.submitted_at.unwrap_or(state.reserved_at).0.saturating_sub(CLOCK_MS);
        let mut history = self.wallet.history(UnixMillis(since))?;
        history.retain(|seen| !self.claimed(&seen.txid, state.id));
        let is_marked = |seen: &Seen| seen.marker.is_some() && seen.marker == state.marker;
        let (mut marked, others): (Vec<_>, Vec<_>) = history.into_iter().partition(is_marked);
        if marked.len() > 1 {
            // One that another has taken the place of pays nobody: a wallet that raises a fee copies what the call said.
            let stands =
                |seen: &Seen| !matches!(self.wallet.lookup(&seen.txid, &[]), Ok(Lookup::Conflicted(_)));
            let standing: Vec<_> = marked.iter().filter(|seen| stands(seen)).cloned().collect();
            marked = if standing.is_empty() { marked } else { standing };
        }
        if !marked.is_empty() {
            return Ok(Found::of(marked));
        }
        // A transaction with another payment's marker is not this one, whatever it pays.
        let mut fitting = Vec::new();
        for seen in others {
            let foreign = seen.marker.as_deref().is_some_and(|marker| marker.starts_with("millpond "));
            if !foreign && self.pays(state, &seen.outputs)? {
                fitting.push(seen);
            }
        }
        Ok(Found::of(fitting))
    }

    /// Whether what a transaction pays is exactly a payment's outputs.
    pub(crate) fn pays(&self, state: &PaymentState, made: &[Output]) -> Result<bool, SettlementError> {
        let own = self.own_rows(state)?;
        let asked = outputs(state, &sender_rows(state), &own)?;
        let made: Vec<&Output> = made.iter().filter(|output| !own.contains(&output.address)).collect();
        if made.len() != asked.len() {
            return Ok(false);
        }
        // As addresses mean, not as they are written: a wallet may show another form of one.
        let mut left: Vec<&Output> = asked.iter().collect();
        Ok(made.into_iter().all(|made| {
            let is = |asked: &&Output| {
                asked.amount == made.amount && self.check.same(&asked.address, &made.address)
            };
            left.iter().position(is).map(|at| left.swap_remove(at)).is_some()
        }))
    }

    /// Whether another payment has this transaction.
    pub(crate) fn claimed(&self, txid: &TxId, but: PaymentId) -> bool {
        self.ledger.book().payments().any(|payment| payment.id != but && payment.txid.as_ref() == Some(txid))
    }

    /// Fee and rows of a payment that a sender made, when its transaction is what was asked for; `None` when it is not.
    /// It sends what it was told, so the pool bears the fee.
    pub(crate) fn sender_outcome(
        &self,
        state: &PaymentState,
        txid: &TxId,
    ) -> Result<Option<(Amount, Vec<SettledRow>)>, SettlementError> {
        let paid = self.wallet.paid(txid)?;
        Ok(self.pays(state, &paid.outputs)?.then(|| (paid.fee, sender_rows(state))))
    }

    fn own_rows(&self, state: &PaymentState) -> Result<BTreeSet<String>, WalletError> {
        self.own_of(state.rows.iter().map(|row| row.address.clone()).collect())
    }

    /// Gives up what was refused as it is: other rows, or less, may pass.
    fn refused(&self, state: &PaymentState, why: &str, now: UnixMillis) -> Result<Went, SettlementError> {
        Ok(Went { note: self.give_up(state, why, now)?, refused: true })
    }

    fn give_up(&self, state: &PaymentState, why: &str, now: UnixMillis) -> Result<String, SettlementError> {
        let why: String = why.chars().take(250).collect();
        self.append(now, Entry::PaymentReleased { payment: state.id, why: why.clone() })?;
        self.edge(Edge::Released, state.id)?;
        Ok(why)
    }
}

/// What marks a payment's call in the history of a wallet that can only send: the same for each attempt, after a restore too.
pub(crate) fn marker(state: &PaymentState) -> String {
    format!("millpond {} {}", state.id, state.reserved_at.0)
}

fn sender_rows(state: &PaymentState) -> Vec<SettledRow> {
    state.rows.iter().map(|row| SettledRow { sent: row.amount, charged: Amount::ZERO }).collect()
}

/// One output per address, ascending; the wallet's own addresses need none.
fn outputs(
    state: &PaymentState,
    rows: &[SettledRow],
    own: &BTreeSet<String>,
) -> Result<Vec<Output>, SettlementError> {
    let mut by_address = BTreeMap::<&str, Amount>::new();
    for (row, done) in state.rows.iter().zip(rows).filter(|(row, _)| !own.contains(&row.address)) {
        let sum = by_address.entry(&row.address).or_default();
        *sum = sum.checked_add(done.sent).ok_or(SettlementError::Overflow("an output"))?;
    }
    Ok(by_address
        .into_iter()
        .map(|(address, amount)| Output { address: address.to_owned(), amount })
        .collect())
}
