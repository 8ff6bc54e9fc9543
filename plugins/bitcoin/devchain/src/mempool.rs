//! Transactions that wait for a block.

use crate::block_rules::is_final;
use crate::chain::Chain;
use crate::coins::{Coin, check_inputs, check_transaction};
use crate::reject::TxReject;
use bitcoin::{Block, OutPoint, Transaction, Txid};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The lowest fee that is relayed, in satoshi per virtual byte.
const MIN_RELAY_FEE: u64 = 1;
/// Weight that a template leaves for header and coinbase; Core reserves 8000 by default.
const RESERVED_WEIGHT: u64 = 8_000;

/// A waiting transaction.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) tx: Transaction,
    pub(crate) fee: u64,
    pub(crate) sigops: usize,
}

/// The mempool.
#[derive(Debug, Default)]
pub(crate) struct Mempool {
    /// By order of arrival.
    order: BTreeMap<u64, Txid>,
    waiting: HashMap<Txid, (u64, Waiting)>,
    spent: HashMap<OutPoint, Txid>,
    arrivals: u64,
    /// Counts every change; part of the longpoll id.
    changes: u64,
}

impl Mempool {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Grows with every change.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn get(&self, txid: &Txid) -> Option<&Waiting> {
        self.waiting.get(txid).map(|(_, waiting)| waiting)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Txid, &Waiting)> {
        self.order.values().filter_map(|txid| self.get(txid).map(|waiting| (*txid, waiting)))
    }

    pub(crate) fn spender(&self, at: &OutPoint) -> Option<Txid> {
        self.spent.get(at).copied()
    }

    /// An output as a new transaction would find it: of the chain or of a waiting transaction, unspent by both.
    pub(crate) fn coin(&self, chain: &Chain, at: &OutPoint) -> Option<Coin> {
        if self.spent.contains_key(at) {
            return None;
        }
        if let Some(coin) = chain.coins.0.get(at) {
            return Some(coin.clone());
        }
        let output = self.get(&at.txid)?.tx.output.get(usize::try_from(at.vout).ok()?)?.clone();
        Some(Coin { output, height: chain.height().saturating_add(1), coinbase: false })
    }

    /// Checks a transaction as `sendrawtransaction` does and returns what it pays.
    pub(crate) fn check(&self, chain: &Chain, tx: &Transaction) -> Result<u64, TxReject> {
        let txid = tx.compute_txid();
        check_transaction(tx).map_err(TxReject::invalid)?;
        if tx.is_coinbase() {
            return Err(TxReject::invalid("coinbase"));
        }
        if self.waiting.contains_key(&txid) {
            return Err(TxReject::InMempool);
        }
        if chain.is_unspent(txid) {
            return Err(TxReject::InChain);
        }
        let height = chain.height().saturating_add(1);
        if !is_final(tx, height, chain.median_time(&chain.tip())) {
            return Err(TxReject::invalid("non-final"));
        }
        // Core of today replaces by fee; this chain does not, and says what Core says without the rule.
        if tx.input.iter().any(|input| self.spent.contains_key(&input.previous_output)) {
            return Err(TxReject::invalid("txn-mempool-conflict"));
        }
        let dust = |output: &bitcoin::TxOut| {
            !output.script_pubkey.is_op_return() && output.value < output.script_pubkey.minimal_non_dust()
        };
        if tx.output.iter().any(dust) {
            return Err(TxReject::invalid("dust"));
        }
        let found = check_inputs(tx, height, chain.params(), &chain.secp, |at| self.coin(chain, at));
        let fee = match found {
            Ok(spending) => spending.fee,
            Err(reason) if reason == "bad-txns-inputs-missingorspent" => return Err(TxReject::MissingInputs),
            Err(reason) => return Err(TxReject::Invalid(reason)),
        };
        let needed = (tx.vsize() as u64).saturating_mul(MIN_RELAY_FEE);
        if fee < needed {
            return Err(TxReject::Invalid(format!("min relay fee not met, {fee} < {needed}")));
        }
        Ok(fee)
    }

    /// Takes a transaction in.
    pub(crate) fn accept(&mut self, chain: &Chain, tx: Transaction) -> Result<Txid, TxReject> {
        let fee = self.check(chain, &tx)?;
        let txid = tx.compute_txid();
        let sigops = tx.total_sigop_cost(|at| self.coin(chain, at).map(|coin| coin.output));
        for input in &tx.input {
            self.spent.insert(input.previous_output, txid);
        }
        self.arrivals = self.arrivals.saturating_add(1);
        self.changes = self.changes.saturating_add(1);
        self.order.insert(self.arrivals, txid);
        self.waiting.insert(txid, (self.arrivals, Waiting { tx, fee, sigops }));
        Ok(txid)
    }

    fn remove(&mut self, txid: &Txid) {
        let Some((place, waiting)) = self.waiting.remove(txid) else { return };
        self.changes = self.changes.saturating_add(1);
        self.order.remove(&place);
        for input in &waiting.tx.input {
            self.spent.remove(&input.previous_output);
        }
    }

    /// Removes a transaction and all that spend it.
    fn remove_with_descendants(&mut self, txid: Txid) {
        let mut doomed = vec![txid];
        while let Some(txid) = doomed.pop() {
            if let Some((_, waiting)) = self.waiting.get(&txid) {
                let outputs = u32::try_from(waiting.tx.output.len()).unwrap_or(u32::MAX);
                doomed.extend((0..outputs).filter_map(|vout| self.spender(&OutPoint { txid, vout })));
            }
            self.remove(&txid);
        }
    }

    /// Drops what a block has, and what it makes impossible.
    pub(crate) fn block_connected(&mut self, block: &Block) {
        for tx in &block.txdata {
            self.remove(&tx.compute_txid());
            for input in &tx.input {
                if let Some(conflict) = self.spender(&input.previous_output) {
                    self.remove_with_descendants(conflict);
                }
            }
        }
    }

    /// Takes back the transactions of blocks that a reorganisation left behind, and drops what no longer fits. Called
    /// once the new chain is active.
    pub(crate) fn reorganised(&mut self, chain: &Chain, returned: Vec<Transaction>) {
        let waiting: Vec<Transaction> = self.iter().map(|(_, waiting)| waiting.tx.clone()).collect();
        let changes = self.changes.saturating_add(1);
        *self = Self { changes, arrivals: self.arrivals, ..Self::default() };
        for tx in returned.into_iter().chain(waiting) {
            if let Err(reason) = self.accept(chain, tx) {
                tracing::debug!(%reason, "a transaction left the mempool in a reorganisation");
            }
        }
    }

    /// Transactions for a template: best fee rate first, parents before children, within the weight limit.
    pub(crate) fn select(&self) -> Vec<(Txid, &Waiting)> {
        let mut candidates: Vec<(Txid, &Waiting)> = self.iter().collect();
        let rate = |waiting: &Waiting| waiting.fee.saturating_mul(1000) / waiting.tx.weight().to_wu().max(1);
        candidates.sort_by_key(|(_, waiting)| std::cmp::Reverse(rate(waiting)));
        let mut chosen: Vec<(Txid, &Waiting)> = Vec::new();
        let mut inside: HashSet<Txid> = HashSet::new();
        let mut weight = RESERVED_WEIGHT;
        loop {
            let before = chosen.len();
            candidates.retain(|(txid, waiting)| {
                let ready = waiting.tx.input.iter().all(|input| {
                    let parent = input.previous_output.txid;
                    inside.contains(&parent) || !self.waiting.contains_key(&parent)
                });
                let with = weight.saturating_add(waiting.tx.weight().to_wu());
                if ready && with <= crate::block_rules::MAX_WEIGHT {
                    weight = with;
                    inside.insert(*txid);
                    chosen.push((*txid, *waiting));
                    return false;
                }
                true
            });
            if chosen.len() == before {
                return chosen;
            }
        }
    }
}
