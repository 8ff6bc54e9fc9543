//! The node's wallet: what is ours, what is locked, and payments.

use crate::chain::Chain;
use crate::keys::Keys;
use crate::mempool::Mempool;
use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use std::collections::{HashMap, HashSet};

/// Satoshi per 1000 virtual bytes where nothing was set.
const DEFAULT_FEE_RATE: u64 = 10_000;

/// A transaction that pays or spends what is ours.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) tx: Transaction,
    pub(crate) time: u32,
    pub(crate) comment: String,
}

/// An unspent output of ours.
#[derive(Clone, Debug)]
pub(crate) struct OwnCoin {
    pub(crate) at: OutPoint,
    pub(crate) output: TxOut,
    /// 0 while its transaction waits.
    pub(crate) confirmations: i64,
    /// A coinbase that the wallet does not spend yet. Core's wallet waits one block longer than consensus.
    pub(crate) immature: bool,
    /// Whether it may be spent although it waits: change of ours.
    pub(crate) trusted: bool,
}

/// What a wallet could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WalletError {
    #[error("Insufficient funds")]
    Insufficient,
    #[error("Unknown input")]
    UnknownInput,
    #[error("The transaction amount is too small to pay the fee")]
    TooSmall,
}

/// A payment that is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) outputs: Vec<TxOut>,
    pub(crate) inputs: Vec<OutPoint>,
    /// Whether coins are added to `inputs`.
    pub(crate) add_inputs: bool,
    /// Satoshi per 1000 virtual bytes; the wallet's own rate where there is none.
    pub(crate) fee_rate: Option<u64>,
    pub(crate) change: Option<ScriptBuf>,
    pub(crate) change_position: Option<usize>,
    /// Outputs whose receivers bear the fee, in equal parts.
    pub(crate) subtract_from: Vec<usize>,
    pub(crate) lock_time: u32,
    pub(crate) min_confirmations: i64,
}

/// A payment that is not signed yet.
pub(crate) struct Funded {
    pub(crate) tx: Transaction,
    pub(crate) fee: u64,
    pub(crate) change_position: Option<usize>,
}

pub(crate) struct Wallet {
    pub(crate) keys: Keys,
    order: Vec<Txid>,
    records: HashMap<Txid, Record>,
    pub(crate) locked: HashSet<OutPoint>,
    pub(crate) fee_rate: Option<u64>,
}

impl Wallet {
    pub(crate) fn new(keys: Keys) -> Self {
        Self { keys, order: Vec::new(), records: HashMap::new(), locked: HashSet::new(), fee_rate: None }
    }

    /// Remembers a transaction that pays or spends what is ours.
    pub(crate) fn see(&mut self, tx: &Transaction, time: u32) {
        let txid = tx.compute_txid();
        if self.records.contains_key(&txid) {
            return;
        }
        let pays = tx.output.iter().any(|output| self.keys.owns(&output.script_pubkey));
        if pays || tx.input.iter().any(|input| self.own_output(&input.previous_output).is_some()) {
            self.order.push(txid);
            self.records.insert(txid, Record { tx: tx.clone(), time, comment: String::new() });
        }
    }

    pub(crate) fn set_comment(&mut self, txid: &Txid, comment: &str) {
        if let Some(record) = self.records.get_mut(txid) {
            record.comment = comment.to_owned();
        }
    }

    pub(crate) fn record(&self, txid: &Txid) -> Option<&Record> {
        self.records.get(txid)
    }

    /// All records, oldest first.
    pub(crate) fn records(&self) -> impl Iterator<Item = (&Txid, &Record)> {
        self.order.iter().filter_map(|txid| self.records.get(txid).map(|record| (txid, record)))
    }

    /// The output at a place, when it is ours.
    pub(crate) fn own_output(&self, at: &OutPoint) -> Option<&TxOut> {
        let output = self.records.get(&at.txid)?.tx.output.get(usize::try_from(at.vout).ok()?)?;
        self.keys.owns(&output.script_pubkey).then_some(output)
    }

    /// What a transaction took from us, in satoshi.
    pub(crate) fn debit(&self, tx: &Transaction) -> u64 {
        let own = tx.input.iter().filter_map(|input| self.own_output(&input.previous_output));
        own.fold(0, |sum, output| sum.saturating_add(output.value.to_sat()))
    }

    /// All unspent outputs of ours, oldest first, locked ones included.
    pub(crate) fn coins(&self, chain: &Chain, mempool: &Mempool) -> Vec<OwnCoin> {
        let mut coins = Vec::new();
        for (txid, record) in self.records() {
            let confirmations = match chain.transaction(txid) {
                Some((known, _)) => chain.confirmations(&known.block.block_hash()),
                None if mempool.get(txid).is_some() => 0,
                None => continue,
            };
            let maturity = i64::from(chain.params().maturity);
            for (vout, output) in (0_u32..).zip(&record.tx.output) {
                let at = OutPoint { txid: *txid, vout };
                if self.keys.owns(&output.script_pubkey) && mempool.coin(chain, &at).is_some() {
                    coins.push(OwnCoin {
                        at,
                        output: output.clone(),
                        confirmations,
                        immature: record.tx.is_coinbase() && confirmations <= maturity,
                        trusted: confirmations > 0 || self.debit(&record.tx) > 0,
                    });
                }
            }
        }
        coins
    }

    /// Chooses coins and change for a payment. Nothing is locked or signed.
    pub(crate) fn fund(
        &mut self,
        chain: &Chain,
        mempool: &Mempool,
        wanted: Wanted,
    ) -> Result<Funded, WalletError> {
        let rate = wanted.fee_rate.or(self.fee_rate).unwrap_or(DEFAULT_FEE_RATE).max(1_000);
        let mut inputs: Vec<(OutPoint, u64)> = Vec::new();
        for at in &wanted.inputs {
            let coin = mempool.coin(chain, at).ok_or(WalletError::UnknownInput)?;
            inputs.push((*at, coin.output.value.to_sat()));
        }
        let mut candidates: Vec<OwnCoin> = self.coins(chain, mempool);
        candidates.retain(|coin| {
            let old_enough = coin.confirmations >= wanted.min_confirmations || coin.confirmations == 0;
            !coin.immature
                && coin.trusted
                && old_enough
                && !self.locked.contains(&coin.at)
                && !wanted.inputs.contains(&coin.at)
        });
        // Confirmed and large ones first; among equals the oldest, so that the choice follows from the seed.
        candidates.sort_by_key(|coin| (coin.confirmations == 0, std::cmp::Reverse(coin.output.value)));
        let change = wanted.change.clone().unwrap_or_else(|| self.keys.next());
        let paid = wanted.outputs.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()));
        let subtract = !wanted.subtract_from.is_empty();
        let mut candidates = candidates.into_iter();
        loop {
            let have = inputs.iter().fold(0_u64, |sum, (_, value)| sum.saturating_add(*value));
            let fee_with =
                |outputs: &[TxOut]| vsize(inputs.len(), outputs).saturating_mul(rate).div_ceil(1_000);
            let change_output =
                |value| TxOut { value: Amount::from_sat(value), script_pubkey: change.clone() };
            let mut with_change = wanted.outputs.clone();
            with_change.push(change_output(0));
            let (fee, fee_with_change) = (fee_with(&wanted.outputs), fee_with(&with_change));
            let needed = if subtract { paid } else { paid.saturating_add(fee) };
            if have < needed || inputs.is_empty() {
                match candidates.next() {
                    Some(coin) if wanted.add_inputs => inputs.push((coin.at, coin.output.value.to_sat())),
                    _ => return Err(WalletError::Insufficient),
                }
                continue;
            }
            let left = have - paid;
            let left_with_change = if subtract { Some(left) } else { left.checked_sub(fee_with_change) };
            let dust = change.minimal_non_dust().to_sat();
            let mut outputs = wanted.outputs.clone();
            let (fee, change_value) = match left_with_change {
                Some(value) if value >= dust => (fee_with_change, Some(value)),
                _ => (if subtract { fee.saturating_add(left) } else { left }, None),
            };
            if subtract {
                bear_fee(
                    &mut outputs,
                    &wanted.subtract_from,
                    fee - if change_value.is_none() { left } else { 0 },
                )?;
            }
            let change_position = change_value.map(|value| {
                let place = wanted.change_position.unwrap_or(outputs.len()).min(outputs.len());
                outputs.insert(place, change_output(value));
                place
            });
            let input = inputs.iter().map(|(at, _)| TxIn {
                previous_output: *at,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            });
            let tx = Transaction {
                version: Version::TWO,
                lock_time: LockTime::from_consensus(wanted.lock_time),
                input: input.collect(),
                output: outputs,
            };
            return Ok(Funded { tx, fee, change_position });
        }
    }

    /// Signs what is ours; says whether everything is signed now.
    pub(crate) fn sign(&self, chain: &Chain, mempool: &Mempool, tx: &mut Transaction) -> Vec<usize> {
        let spent: Vec<Option<TxOut>> = tx
            .input
            .iter()
            .map(|input| {
                let at = &input.previous_output;
                let known = self.own_output(at).cloned();
                known.or_else(|| chain.coins.0.get(at).map(|coin| coin.output.clone())).or_else(|| {
                    let waiting = mempool.get(&at.txid)?;
                    waiting.tx.output.get(usize::try_from(at.vout).ok()?).cloned()
                })
            })
            .collect();
        self.keys.sign(tx, &spent)
    }
}

/// Virtual bytes of a transaction that spends P2WPKH: 42 weight units for the frame, 272 per input with a signature
/// of 72 bytes, four times the bytes of each output.
fn vsize(inputs: usize, outputs: &[TxOut]) -> u64 {
    let outputs: usize = outputs.iter().map(TxOut::size).sum();
    (42 + 272 * inputs as u64 + 4 * outputs as u64).div_ceil(4)
}

fn bear_fee(outputs: &mut [TxOut], bearers: &[usize], fee: u64) -> Result<(), WalletError> {
    let count = bearers.len() as u64;
    for (place, bearer) in bearers.iter().enumerate() {
        // The first bears what does not divide.
        let part = fee / count.max(1) + if place == 0 { fee % count.max(1) } else { 0 };
        let output = outputs.get_mut(*bearer).ok_or(WalletError::TooSmall)?;
        let left = output.value.to_sat().checked_sub(part).ok_or(WalletError::TooSmall)?;
        if left < output.script_pubkey.minimal_non_dust().to_sat() {
            return Err(WalletError::TooSmall);
        }
        output.value = Amount::from_sat(left);
    }
    Ok(())
}
