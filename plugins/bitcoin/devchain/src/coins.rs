//! Unspent outputs, and what a block or a transaction does to them.

use crate::options::Params;
use crate::reject::Reject;
use crate::script;
use bitcoin::key::Secp256k1;
use bitcoin::secp256k1::VerifyOnly;
use bitcoin::{Block, OutPoint, Transaction, TxOut};
use std::collections::{HashMap, HashSet};

/// All money there can be, in satoshi.
pub(crate) const MAX_MONEY: u64 = 21_000_000 * 100_000_000;
/// The most signature operations in a block, weighted (BIP 141).
const MAX_SIGOPS: usize = 80_000;

/// An unspent output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coin {
    pub(crate) output: TxOut,
    pub(crate) height: u32,
    pub(crate) coinbase: bool,
}

impl Coin {
    /// Whether it may be spent in a block of this height.
    pub(crate) fn is_mature_at(&self, height: u32, maturity: u32) -> bool {
        !self.coinbase || height.saturating_sub(self.height) >= maturity
    }
}

/// The unspent outputs of the active chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coins(pub(crate) HashMap<OutPoint, Coin>);

/// What a block did, so that it can be undone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Undo {
    spent: Vec<(OutPoint, Coin)>,
    created: Vec<OutPoint>,
}

/// What a block would do.
pub(crate) struct Effect {
    pub(crate) undo: Undo,
    created: HashMap<OutPoint, Coin>,
}

/// What a transaction spends and leaves to the miner.
pub(crate) struct Spending {
    pub(crate) fee: u64,
    pub(crate) spent: Vec<Coin>,
}

/// Checks the inputs of a transaction (not a coinbase) against unspent outputs; `height` is that of the block that it
/// would be in.
pub(crate) fn check_inputs(
    tx: &Transaction,
    height: u32,
    params: Params,
    secp: &Secp256k1<VerifyOnly>,
    coin: impl Fn(&OutPoint) -> Option<Coin>,
) -> Result<Spending, String> {
    let mut spent = Vec::with_capacity(tx.input.len());
    let mut value_in = 0_u64;
    for input in &tx.input {
        let coin = coin(&input.previous_output).ok_or("bad-txns-inputs-missingorspent")?;
        if !coin.is_mature_at(height, params.maturity) {
            return Err("bad-txns-premature-spend-of-coinbase".into());
        }
        value_in =
            value_in.checked_add(coin.output.value.to_sat()).ok_or("bad-txns-inputvalues-outofrange")?;
        spent.push(coin);
    }
    let value_out = tx.output.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()));
    let fee = value_in.checked_sub(value_out).ok_or("bad-txns-in-belowout")?;
    let outputs: Vec<TxOut> = spent.iter().map(|coin| coin.output.clone()).collect();
    script::verify(tx, &outputs, secp)
        .map_err(|why| format!("mandatory-script-verify-flag-failed ({why})"))?;
    Ok(Spending { fee, spent })
}

/// The rules that a transaction must keep whatever it spends (Core's CheckTransaction).
pub(crate) fn check_transaction(tx: &Transaction) -> Result<(), &'static str> {
    if tx.input.is_empty() {
        return Err("bad-txns-vin-empty");
    }
    if tx.output.is_empty() {
        return Err("bad-txns-vout-empty");
    }
    if tx.base_size() * 4 > 4_000_000 {
        return Err("bad-txns-oversize");
    }
    let mut total = 0_u64;
    for output in &tx.output {
        if output.value.to_sat() > MAX_MONEY {
            return Err("bad-txns-vout-toolarge");
        }
        total = total.saturating_add(output.value.to_sat());
        if total > MAX_MONEY {
            return Err("bad-txns-txouttotal-toolarge");
        }
    }
    let mut seen = HashSet::new();
    if !tx.input.iter().all(|input| seen.insert(input.previous_output)) {
        return Err("bad-txns-inputs-duplicate");
    }
    if tx.is_coinbase() {
        let length = tx.input.first().map_or(0, |input| input.script_sig.len());
        return if (2..=100).contains(&length) { Ok(()) } else { Err("bad-cb-length") };
    }
    if tx.input.iter().any(|input| input.previous_output.is_null()) {
        return Err("bad-txns-prevout-null");
    }
    Ok(())
}

impl Coins {
    /// What a block would do on top of these outputs, or the rule that it breaks (Core's ConnectBlock).
    pub(crate) fn effect(
        &self,
        block: &Block,
        height: u32,
        params: Params,
        secp: &Secp256k1<VerifyOnly>,
    ) -> Result<Effect, Reject> {
        let mut created: HashMap<OutPoint, Coin> = HashMap::new();
        let mut spent: HashSet<OutPoint> = HashSet::new();
        let mut undo = Undo::default();
        let (mut fees, mut sigops) = (0_u64, 0_usize);
        for tx in &block.txdata {
            let txid = tx.compute_txid();
            let coinbase = tx.is_coinbase();
            if !coinbase {
                let find = |at: &OutPoint| {
                    if spent.contains(at) {
                        None
                    } else {
                        created.get(at).or_else(|| self.0.get(at)).cloned()
                    }
                };
                let spending = check_inputs(tx, height, params, secp, find).map_err(Reject::Invalid)?;
                fees = fees
                    .checked_add(spending.fee)
                    .ok_or(Reject::invalid("bad-txns-accumulated-fee-outofrange"))?;
                sigops += tx.total_sigop_cost(|at| {
                    let mut pairs = tx.input.iter().zip(&spending.spent);
                    pairs.find(|(input, _)| input.previous_output == *at).map(|(_, coin)| coin.output.clone())
                });
                for (input, coin) in tx.input.iter().zip(spending.spent) {
                    spent.insert(input.previous_output);
                    if created.remove(&input.previous_output).is_none() {
                        undo.spent.push((input.previous_output, coin));
                    }
                }
            } else {
                sigops += tx.total_sigop_cost(|_| None);
            }
            if sigops > MAX_SIGOPS {
                return Err(Reject::invalid("bad-blk-sigops"));
            }
            for (vout, output) in (0_u32..).zip(&tx.output) {
                let at = OutPoint { txid, vout };
                if self.0.contains_key(&at) {
                    return Err(Reject::invalid("bad-txns-BIP30"));
                }
                if !output.script_pubkey.is_op_return() {
                    created.insert(at, Coin { output: output.clone(), height, coinbase });
                }
            }
        }
        let reward = block.txdata.first().map_or(0, |tx| {
            tx.output.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
        });
        if reward > params.subsidy(height).saturating_add(fees) {
            return Err(Reject::invalid("bad-cb-amount"));
        }
        undo.created = created.keys().copied().collect();
        Ok(Effect { undo, created })
    }

    /// Carries an effect out.
    pub(crate) fn apply(&mut self, effect: Effect) -> Undo {
        for (at, _) in &effect.undo.spent {
            self.0.remove(at);
        }
        self.0.extend(effect.created);
        effect.undo
    }

    /// Takes a block's effect back.
    pub(crate) fn revert(&mut self, undo: Undo) {
        for at in undo.created {
            self.0.remove(&at);
        }
        self.0.extend(undo.spent);
    }
}
