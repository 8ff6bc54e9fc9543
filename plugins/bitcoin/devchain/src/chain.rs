//! The blocks: which are known, which are active, and what a reorganisation does.

use crate::block_rules::{self, Context};
use crate::coins::{Coins, Undo};
use crate::options::{Clock, Params};
use crate::reject::Reject;
use bitcoin::constants::genesis_block;
use bitcoin::key::Secp256k1;
use bitcoin::secp256k1::VerifyOnly;
use bitcoin::{Block, BlockHash, Network, OutPoint, Transaction, Txid, Work};
use std::collections::HashMap;

/// A known block.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) block: Block,
    pub(crate) height: u32,
    /// Of the chain that ends here.
    pub(crate) work: Work,
    pub(crate) invalid: bool,
}

/// What accepting a block did to the active chain.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Blocks that are no longer active, highest first.
    pub(crate) disconnected: Vec<Block>,
    /// Blocks that are active now, lowest first.
    pub(crate) connected: Vec<(u32, Block)>,
}

/// All blocks and the unspent outputs of the active ones.
pub(crate) struct Chain {
    params: Params,
    clock: Clock,
    known: HashMap<BlockHash, Known>,
    /// By height.
    active: Vec<BlockHash>,
    /// Of active blocks.
    undo: HashMap<BlockHash, Undo>,
    pub(crate) coins: Coins,
    /// Transactions of active blocks.
    index: HashMap<Txid, BlockHash>,
    pub(crate) secp: Secp256k1<VerifyOnly>,
}

impl Chain {
    /// A chain of regtest's genesis alone, whose coinbase cannot be spent.
    pub(crate) fn new(params: Params, clock: Clock) -> Self {
        let block = genesis_block(Network::Regtest);
        let hash = block.block_hash();
        let work = block.header.target().to_work();
        let index = block.txdata.iter().map(|tx| (tx.compute_txid(), hash)).collect();
        Self {
            params,
            clock,
            known: HashMap::from([(hash, Known { block, height: 0, work, invalid: false })]),
            active: vec![hash],
            undo: HashMap::new(),
            coins: Coins::default(),
            index,
            secp: Secp256k1::verification_only(),
        }
    }

    pub(crate) fn params(&self) -> Params {
        self.params
    }

    pub(crate) fn height(&self) -> u32 {
        u32::try_from(self.active.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    pub(crate) fn tip(&self) -> BlockHash {
        self.active.last().copied().unwrap_or_else(|| genesis_block(Network::Regtest).block_hash())
    }

    pub(crate) fn at(&self, height: u32) -> Option<BlockHash> {
        self.active.get(usize::try_from(height).ok()?).copied()
    }

    pub(crate) fn get(&self, hash: &BlockHash) -> Option<&Known> {
        self.known.get(hash)
    }

    /// The active block with this transaction, and the transaction.
    pub(crate) fn transaction(&self, txid: &Txid) -> Option<(&Known, &Transaction)> {
        let known = self.known.get(self.index.get(txid)?)?;
        let tx = known.block.txdata.iter().find(|tx| tx.compute_txid() == *txid)?;
        Some((known, tx))
    }

    /// Confirmations as nodes count them: 1 for the tip, -1 for what is not on the active chain.
    pub(crate) fn confirmations(&self, hash: &BlockHash) -> i64 {
        match self.known.get(hash) {
            Some(known) if self.at(known.height) == Some(*hash) => {
                i64::from(self.height()) - i64::from(known.height) + 1
            }
            _ => -1,
        }
    }

    pub(crate) fn is_unspent(&self, txid: Txid) -> bool {
        self.index.get(&txid).and_then(|hash| self.known.get(hash)).is_some_and(|known| {
            let outputs = known
                .block
                .txdata
                .iter()
                .find(|tx| tx.compute_txid() == txid)
                .map_or(0, |tx| tx.output.len());
            (0_u32..).take(outputs).any(|vout| self.coins.0.contains_key(&OutPoint { txid, vout }))
        })
    }

    pub(crate) fn now(&self) -> u32 {
        self.clock.now(self.height())
    }

    /// The median of the times of a block and its ten ancestors (BIP 113).
    pub(crate) fn median_time(&self, hash: &BlockHash) -> u32 {
        let mut times = Vec::with_capacity(11);
        let mut at = *hash;
        while times.len() < 11 {
            let Some(known) = self.known.get(&at) else { break };
            times.push(known.block.header.time);
            at = known.block.header.prev_blockhash;
        }
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or(0)
    }

    fn context(&self, parent: &Known, hash: &BlockHash) -> Context {
        let height = parent.height.saturating_add(1);
        Context {
            height,
            bits: self.params.bits_at(height),
            median_time: self.median_time(hash),
            now: self.now(),
        }
    }

    /// Checks a block as `getblocktemplate` does in its proposal mode: everything but the work.
    pub(crate) fn check_proposal(&self, block: &Block) -> Result<(), Reject> {
        let hash = block.block_hash();
        if let Some(known) = self.known.get(&hash) {
            return Err(if known.invalid { Reject::DuplicateInvalid } else { Reject::Duplicate });
        }
        if block.header.prev_blockhash != self.tip() {
            return Err(Reject::NotBestParent);
        }
        let tip = self.tip();
        let Some(parent) = self.known.get(&tip) else { return Err(Reject::NotBestParent) };
        let context = self.context(parent, &tip);
        block_rules::check_header(&block.header, &context)?;
        block_rules::check_block(block, false)?;
        block_rules::check_in_context(block, &context)?;
        self.coins.effect(block, context.height, self.params, &self.secp).map(|_| ())
    }

    /// Takes a block in. `Ok` says how the active chain moved; a valid block beside it is [`Reject::Inconclusive`].
    pub(crate) fn accept(&mut self, block: Block) -> Result<Moved, Reject> {
        let hash = block.block_hash();
        if let Some(known) = self.known.get(&hash) {
            return Err(if known.invalid { Reject::DuplicateInvalid } else { Reject::Duplicate });
        }
        block_rules::check_block(&block, true)?;
        let parent_hash = block.header.prev_blockhash;
        let Some(parent) = self.known.get(&parent_hash) else {
            return Err(Reject::invalid("prev-blk-not-found"));
        };
        if parent.invalid {
            return Err(Reject::invalid("bad-prevblk"));
        }
        let context = self.context(parent, &parent_hash);
        let work = parent.work + block.header.target().to_work();
        block_rules::check_header(&block.header, &context)?;
        block_rules::check_in_context(&block, &context)?;
        self.known.insert(hash, Known { block, height: context.height, work, invalid: false });
        let tip_work = self.known.get(&self.tip()).map(|known| known.work);
        if tip_work.is_some_and(|tip| work <= tip) {
            return Err(Reject::Inconclusive);
        }
        self.activate(hash)
    }

    /// Makes the chain that ends in `tip` the active one, or marks what is bad in it and stays.
    fn activate(&mut self, tip: BlockHash) -> Result<Moved, Reject> {
        let mut branch = Vec::new();
        let mut at = tip;
        while let Some(known) = self.known.get(&at) {
            if self.at(known.height) == Some(at) {
                break;
            }
            branch.push(at);
            at = known.block.header.prev_blockhash;
        }
        let mut moved = Moved::default();
        while self.tip() != at {
            match self.disconnect_tip() {
                Some(block) => moved.disconnected.push(block),
                None => break,
            }
        }
        for (place, hash) in branch.iter().enumerate().rev() {
            if let Err(reject) = self.connect(*hash) {
                // This block and all that stand on it are bad; the old chain comes back.
                for bad in branch.iter().take(place + 1) {
                    if let Some(known) = self.known.get_mut(bad) {
                        known.invalid = true;
                    }
                }
                for _ in &moved.connected {
                    self.disconnect_tip();
                }
                for old in moved.disconnected.iter().rev() {
                    self.connect(old.block_hash())?;
                }
                return Err(reject);
            }
            if let Some(known) = self.known.get(hash) {
                moved.connected.push((known.height, known.block.clone()));
            }
        }
        Ok(moved)
    }

    fn connect(&mut self, hash: BlockHash) -> Result<(), Reject> {
        let Some(known) = self.known.get(&hash) else { return Err(Reject::invalid("prev-blk-not-found")) };
        let effect = self.coins.effect(&known.block, known.height, self.params, &self.secp)?;
        for tx in &known.block.txdata {
            self.index.insert(tx.compute_txid(), hash);
        }
        let undo = self.coins.apply(effect);
        self.undo.insert(hash, undo);
        self.active.push(hash);
        Ok(())
    }

    fn disconnect_tip(&mut self) -> Option<Block> {
        let hash = self.tip();
        let undo = self.undo.remove(&hash)?;
        self.coins.revert(undo);
        self.active.pop();
        let block = self.known.get(&hash)?.block.clone();
        for tx in &block.txdata {
            self.index.remove(&tx.compute_txid());
        }
        Some(block)
    }
}
