//! Settled payments, for a day after: a reorganisation may take their block out of the chain again.
//!
//! The ledger's entry stays as it is, since what may confirm again is the same transaction: its bytes are sent again, and
//! nothing is paid anew. What cannot be mended so is the operator's to see.
//!
//! However many payments a day has, a look asks for a bounded number of them: the newest, which a reorganisation takes out
//! first, those that are known to be out, and some of the others in turn. Where one more is out, all are looked for at once.

use crate::{Edge, Lookup, Report, Settlement, SettlementError, Step, WalletError};
use millpond_ledger::{Built, Entry, InputId, PaymentId, PaymentState, PaymentStatus, Progress};
use millpond_types::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};

/// Settled payments are looked at for this long.
const WATCHED_MS: u64 = 86_400_000;
/// Payments are reserved in the order of their numbers: who was reserved so long ago and settled within a day is not
/// looked for.
const OPEN_MS: u64 = 8 * WATCHED_MS;
/// So many are looked at each time: the newest.
const NEWEST: usize = 64;
/// And so many of the others, in turn: a look comes every half minute, so that 5,000 are gone through within an hour.
pub(crate) const IN_TURN: usize = 64;
/// More of them before new payments are made, which could spend the coins of one that is out.
pub(crate) const IN_TURN_BEFORE_PAYING: usize = 1_000;
/// Of a payment that its wallet does not know the node is asked for so many outputs at a look.
const OUTPUTS: usize = 16;

/// What looks remember. Losing it costs questions to the node and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The last that was looked at in turn.
    turn: Option<PaymentId>,
    /// Payments that were out at the last look.
    out: BTreeSet<PaymentId>,
    /// What is known of those that the wallet does not have in a block.
    doubts: BTreeMap<PaymentId, Doubt>,
}

/// What is known of a payment that its wallet does not have in a block.
#[derive(Clone, Debug, Default)]
struct Doubt {
    /// An output that the chain had when it was asked last.
    there: Option<usize>,
    /// The output to ask for next.
    next: usize,
    /// The chain had none of the outputs when each was asked.
    none: bool,
    /// The transaction that was stored for it, once it was looked for: the log keeps it, balances do not.
    stored: Option<Option<Built>>,
}

impl Watch {
    /// Whom to look at now, and who is left for another time. `all` are newest first.
    fn share_out(&mut self, all: &[PaymentId], in_turn: usize) -> (Vec<PaymentId>, Vec<PaymentId>) {
        let watched: BTreeSet<PaymentId> = all.iter().copied().collect();
        self.doubts.retain(|id, _| watched.contains(id));
        self.out.retain(|id| watched.contains(id));
        let (newest, older) = all.split_at(all.len().min(NEWEST));
        let (out, mut quiet): (Vec<_>, Vec<_>) = older.iter().copied().partition(|id| self.out.contains(id));
        let below = |turn: PaymentId| quiet.iter().position(|id| *id < turn);
        let at = self.turn.and_then(below).unwrap_or(0);
        quiet.rotate_left(at);
        let left = quiet.split_off(quiet.len().min(in_turn));
        self.turn = quiet.last().copied().or(self.turn);
        ([newest, &out, &quiet].concat(), left)
    }
}

/// What node and wallet say of a settled payment.
enum Standing {
    /// It is in a block.
    There,
    /// They do not say.
    Untold,
    /// It is in none, as far as outputs were asked for: all of them, or some.
    Out { all_asked: bool },
}

/// What a look found.
#[derive(Debug, Default)]
struct Looked {
    /// Coins of a payment look free to the wallet: a new payment could spend them, and then it is lost to its owners.
    loose: bool,
    /// One is out that was not at the look before.
    more: bool,
}

/// What became of a settled payment that is in no block any more.
struct Removed {
    note: String,
    loose: bool,
}

impl Settlement {
    /// Whether there is a settled payment that is still looked at.
    #[must_use]
    pub fn watches(&self, now: UnixMillis) -> bool {
        !self.watched(now).is_empty()
    }

    /// Newest first.
    fn watched(&self, now: UnixMillis) -> Vec<PaymentId> {
        let recent = |state: &&PaymentState| {
            state.status == PaymentStatus::Settled && now.since(state.changed_at) < WATCHED_MS
        };
        let young = |state: &&PaymentState| now.since(state.reserved_at) < OPEN_MS;
        let mut ids: Vec<PaymentId> = {
            let book = self.ledger.book();
            book.payments().rev().take_while(young).filter(recent).map(|state| state.id).collect()
        };
        let vouched = self.vouched.lock();
        ids.retain(|id| !vouched.contains(id));
        ids
    }

    /// Looks whether settled payments are still in the chain. True when one is not, and its coins look free to the
    /// wallet.
    pub(crate) fn look_back(
        &self,
        now: UnixMillis,
        in_turn: usize,
        report: &mut Report,
    ) -> Result<bool, SettlementError> {
        let all = self.watched(now);
        let (mut now_looked_at, mut left) = self.watch.lock().share_out(&all, in_turn);
        let mut loose = false;
        while !now_looked_at.is_empty() {
            let looked = self.look_at(&now_looked_at, now, report)?;
            loose |= looked.loose;
            // A reorganisation: whoever else it took out is found now.
            now_looked_at = if looked.more { std::mem::take(&mut left) } else { Vec::new() };
        }
        Ok(loose)
    }

    fn look_at(
        &self,
        ids: &[PaymentId],
        now: UnixMillis,
        report: &mut Report,
    ) -> Result<Looked, SettlementError> {
        let mut looked = Looked::default();
        let mut out = Vec::new();
        for id in ids {
            let Some(state) = self.ledger.payment(*id) else { continue };
            match self.standing(&state) {
                Standing::There => {
                    self.watch.lock().out.remove(id);
                }
                // A wallet that does not answer proves nothing: what was out is out still.
                Standing::Untold => looked.loose |= self.watch.lock().out.contains(id),
                Standing::Out { all_asked } => out.push((state, all_asked)),
            }
        }
        self.read_stored(out.iter().map(|(state, _)| state.id).collect())?;
        for (state, all_asked) in out {
            let Some(removed) = self.removed(&state, all_asked, now)? else {
                self.watch.lock().out.remove(&state.id);
                continue;
            };
            looked.loose |= removed.loose;
            looked.more |= self.watch.lock().out.insert(state.id);
            report.removed.push(Step {
                payment: state.id,
                state: state.status.name(),
                note: removed.note,
                again: false,
            });
        }
        Ok(looked)
    }

    fn standing(&self, state: &PaymentState) -> Standing {
        let Some(txid) = &state.txid else { return Standing::Untold };
        match self.wallet.lookup(txid, &[]) {
            Ok(Lookup::Confirmed(_)) => {
                self.noted.lock().remove(&state.id);
                self.watch.lock().doubts.remove(&state.id);
                return Standing::There;
            }
            Err(_) => return Standing::Untold,
            Ok(_) => {}
        }
        // Nor does one that never heard of it, as another wallet than the one that paid: the node's word counts.
        match self.has_an_output(state) {
            Ok(Some(true)) => Standing::There,
            Ok(Some(false)) => Standing::Out { all_asked: true },
            Ok(None) => Standing::Out { all_asked: false },
            Err(_) => Standing::Untold,
        }
    }

    /// Whether the node's chain has a coin that the payment made: then it is in a block, whatever the wallet knows. `None`
    /// while there are outputs that it was not asked for yet. What it had is asked for first the next time, so that a
    /// payment that is there costs one question.
    fn has_an_output(&self, state: &PaymentState) -> Result<Option<bool>, WalletError> {
        let Some(txid) = &state.txid else { return Ok(None) };
        let has = |index: usize| self.wallet.has_coin(&InputId(format!("{txid}:{index}")));
        let known = self.watch.lock().doubts.get(&state.id).cloned().unwrap_or_default();
        if let Some(index) = known.there
            && has(index)?
        {
            return Ok(Some(true));
        }
        // One output a row at most, and change.
        let count = state.rows.len().saturating_add(1);
        let end = known.next.saturating_add(OUTPUTS).min(count);
        let mut there = None;
        for index in known.next..end {
            if has(index)? {
                there = Some(index);
                break;
            }
        }
        let mut watch = self.watch.lock();
        let doubt = watch.doubts.entry(state.id).or_default();
        doubt.there = there;
        doubt.none = there.is_none() && (known.none || end == count);
        doubt.next = there.unwrap_or(if end == count { 0 } else { end });
        Ok(if there.is_some() { Some(true) } else { doubt.none.then_some(false) })
    }

    fn removed(
        &self,
        state: &PaymentState,
        all_asked: bool,
        now: UnixMillis,
    ) -> Result<Option<Removed>, SettlementError> {
        let Some(txid) = &state.txid else { return Ok(None) };
        let built = self.watch.lock().doubts.get(&state.id).and_then(|doubt| doubt.stored.clone()).flatten();
        let inputs = built.as_ref().map(|built| built.inputs.clone()).unwrap_or_default();
        // A node that does not answer proves nothing: then they count as free.
        let free = || inputs.iter().any(|coin| self.wallet.has_coin(coin).unwrap_or(true));
        let says = |what: &str, loose: bool| {
            let note = format!("{txid} was settled and is in no block any more: {what}");
            Ok(Some(Removed { note, loose }))
        };
        let Ok(found) = self.wallet.lookup(txid, &inputs) else {
            return says("and the wallet answers no more", true);
        };
        match (found, built) {
            (Lookup::Confirmed(_), _) => Ok(None),
            (Lookup::Waiting, _) => says("it waits for one again", false),
            // Its coins are spent in the chain: by itself, as long as the node was not asked for all that it made.
            (Lookup::NotFound, Some(_)) if !all_asked && !free() => Ok(None),
            (Lookup::Conflicted(_), _) if !all_asked => Ok(None),
            (Lookup::NotFound, Some(built)) => match self.send_again(state.id, &built)? {
                Ok(()) if self.noted.lock().insert(state.id) => {
                    let (by, action) = ("settlement".to_owned(), "settled payment sent again".to_owned());
                    let detail = format!("payment {}, the same bytes: {txid}", state.id);
                    self.append(now, Entry::Noted { by, action, detail })?;
                    says("the same bytes were sent again", false)
                }
                Ok(()) => says("the same bytes were sent again", false),
                Err(error) => says(&format!("its bytes cannot be sent again: {error}"), free()),
            },
            (Lookup::NotFound, None) if !all_asked => says(
                "the wallet does not know it; the node is asked for its outputs, some at each look, and nothing new is \
                     paid before",
                true,
            ),
            (Lookup::NotFound, None) => says(
                "the wallet does not have it; have it sent again, or say that it stands (payments resolve with its \
                     name): nothing new is paid before",
                true,
            ),
            (Lookup::Conflicted(count), _) => {
                let what = format!(
                    "another transaction spends its coins, with {count} confirmations; find out who was paid by whom"
                );
                says(&what, false)
            }
        }
    }

    /// Sends the stored bytes of a settled payment once more.
    fn send_again(&self, id: PaymentId, built: &Built) -> Result<Result<(), WalletError>, SettlementError> {
        self.edge(Edge::Again, id)?;
        let outcome = self.wallet.broadcast(&built.bytes, &built.txid);
        self.edge(Edge::AgainCalled, id)?;
        Ok(outcome)
    }

    /// Whether the chain has none of the coins that a payment made, each asked for.
    pub(crate) fn has_no_output(&self, state: &PaymentState) -> Result<bool, WalletError> {
        let Some(txid) = &state.txid else { return Ok(false) };
        for index in 0..=state.rows.len() {
            if self.wallet.has_coin(&InputId(format!("{txid}:{index}")))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What was stored for a payment, from the log: balances do not keep it once it is settled.
    pub(crate) fn stored(&self, id: PaymentId) -> Result<Option<Built>, SettlementError> {
        self.read_stored(BTreeSet::from([id]))?;
        Ok(self.watch.lock().doubts.get(&id).and_then(|doubt| doubt.stored.clone()).flatten())
    }

    /// Reads the transactions that were stored for payments, of those that were not looked for before: all of them in
    /// one go, from the newest record back to where the oldest of them begins.
    fn read_stored(&self, mut ids: BTreeSet<PaymentId>) -> Result<(), SettlementError> {
        {
            let watch = self.watch.lock();
            ids.retain(|id| watch.doubts.get(id).is_none_or(|doubt| doubt.stored.is_none()));
        }
        let Some(oldest) = ids.first().copied() else { return Ok(()) };
        let mut stored = BTreeMap::new();
        self.ledger.reader().for_each_record_back(&mut |record| {
            if let Entry::PaymentProgress { payment, step: Progress::Built(built) } = &record.entry
                && ids.contains(payment)
            {
                stored.insert(*payment, built.clone());
            }
            let begins =
                matches!(&record.entry, Entry::PaymentReserved { payment, .. } if *payment == oldest);
            Ok(!begins && stored.len() < ids.len())
        })?;
        let mut watch = self.watch.lock();
        for id in ids {
            watch.doubts.entry(id).or_default().stored = Some(stored.remove(&id));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_those_that_are_out_are_looked_at_each_time_and_all_others_in_turn() {
        let all: Vec<PaymentId> = (1..=1_000).rev().map(PaymentId).collect();
        let mut watch = Watch { out: BTreeSet::from([PaymentId(7), PaymentId(2_000)]), ..Watch::default() };
        let mut seen = BTreeSet::new();
        for _ in 0..15 {
            let (now, left) = watch.share_out(&all, IN_TURN);
            assert!(now.len() <= NEWEST + IN_TURN + 1);
            assert!(all[..NEWEST].iter().chain(&[PaymentId(7)]).all(|id| now.contains(id)));
            assert_eq!(now.iter().chain(&left).copied().collect::<BTreeSet<_>>().len(), all.len());
            seen.extend(now);
        }
        assert_eq!(seen.len(), all.len(), "after 935 / 64 looks");
        assert!(!watch.out.contains(&PaymentId(2_000)), "it is not watched any more");
    }
}
