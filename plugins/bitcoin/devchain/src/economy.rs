//! Somebody who uses the chain: transactions that fill the mempool, so that templates carry some.

use crate::chain::Chain;
use crate::keys::{Account, Keys};
use crate::mempool::Mempool;
use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use std::collections::{HashSet, VecDeque};

/// Coins that are kept; with more, two are joined into one.
const MANY: usize = 2_000;
/// Below this a coin is not split, in satoshi.
const SMALL: u64 = 100_000;

pub(crate) struct Economy {
    keys: Keys,
    wanted: u32,
    /// Outputs of ours that may be unspent, oldest first.
    coins: VecDeque<OutPoint>,
    seen: HashSet<Txid>,
    random: u64,
}

impl Economy {
    pub(crate) fn new(seed: u64, wanted: u32) -> Self {
        let keys = Keys::new(seed, Account::Economy);
        Self {
            keys,
            wanted,
            coins: VecDeque::new(),
            seen: HashSet::new(),
            random: seed ^ 0x6d69_6c6c_706f_6e64,
        }
    }

    pub(crate) fn wanted(&self) -> u32 {
        self.wanted
    }

    pub(crate) fn next_script(&mut self) -> ScriptBuf {
        self.keys.next()
    }

    /// Remembers outputs that are ours.
    pub(crate) fn see(&mut self, tx: &Transaction) {
        let txid = tx.compute_txid();
        if !tx.output.iter().any(|output| self.keys.owns(&output.script_pubkey)) || !self.seen.insert(txid) {
            return;
        }
        let outputs = (0_u32..).zip(&tx.output).filter(|(_, output)| self.keys.owns(&output.script_pubkey));
        self.coins.extend(outputs.map(|(vout, _)| OutPoint { txid, vout }));
    }

    /// A payment of ours to ourselves; none while no coin is mature.
    pub(crate) fn next_transaction(&mut self, chain: &Chain, mempool: &Mempool) -> Option<Transaction> {
        let joins = self.coins.len() > MANY;
        let mut spent: Vec<(OutPoint, TxOut)> = Vec::new();
        for _ in 0..self.coins.len() {
            let at = self.coins.pop_front()?;
            let Some(coin) = mempool.coin(chain, &at) else {
                // A coin that a reorganisation took may come back with its transaction.
                if chain.transaction(&at.txid).is_none() && mempool.get(&at.txid).is_none() {
                    self.seen.remove(&at.txid);
                }
                continue;
            };
            if !coin.is_mature_at(chain.height().saturating_add(1), chain.params().maturity) {
                self.coins.push_back(at);
                continue;
            }
            spent.push((at, coin.output));
            if spent.len() > usize::from(joins) {
                break;
            }
        }
        let value = spent.iter().fold(0_u64, |sum, (_, output)| sum.saturating_add(output.value.to_sat()));
        // Between 2 and 12 satoshi per virtual byte of about 140.
        let fee = 300 + self.random() % 1_400;
        let rest = value.checked_sub(fee).filter(|rest| *rest >= 1_000)?;
        let mut values = vec![rest];
        if rest > SMALL && !joins {
            let part = rest / 4 + self.random() % (rest / 2);
            values = vec![part, rest - part];
        }
        let output = values
            .into_iter()
            .map(|value| TxOut { value: Amount::from_sat(value), script_pubkey: self.keys.next() })
            .collect();
        let input = spent.iter().map(|(at, _)| TxIn {
            previous_output: *at,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        });
        let mut tx =
            Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: input.collect(), output };
        let outputs: Vec<Option<TxOut>> = spent.into_iter().map(|(_, output)| Some(output)).collect();
        self.keys.sign(&mut tx, &outputs);
        self.see(&tx);
        Some(tx)
    }

    /// Vigna's splitmix64: enough for made-up payments.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
