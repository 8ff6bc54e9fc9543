//! The node: chain, mempool and wallet behind one lock, and the news that longpolls and subscribers wait for.

use crate::block_rules::height_push;
use crate::chain::{Chain, Moved};
use crate::economy::Economy;
use crate::keys::{Account, Keys};
use crate::mempool::{Mempool, Waiting};
use crate::options::{Options, Params};
use crate::reject::{Reject, TxReject};
use crate::trouble::Trouble;
use crate::wallet::Wallet;
use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Txid,
    Witness, WitnessMerkleNode,
};
use parking_lot::Mutex;
use tokio::sync::watch;

/// What the outside waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) tip: BlockHash,
    pub(crate) mempool: u64,
}

/// Everything that changes.
pub(crate) struct State {
    pub(crate) chain: Chain,
    pub(crate) mempool: Mempool,
    pub(crate) wallet: Wallet,
    pub(crate) economy: Economy,
    /// Makes every coinbase of ours unlike every other.
    blocks_made: u64,
}

/// The node.
pub(crate) struct Node {
    pub(crate) options: Options,
    pub(crate) trouble: Trouble,
    state: Mutex<State>,
    news: watch::Sender<News>,
}

/// What a block on some parent would be made of.
pub(crate) struct Template {
    pub(crate) parent: BlockHash,
    pub(crate) height: u32,
    pub(crate) version: i32,
    pub(crate) bits: bitcoin::CompactTarget,
    pub(crate) min_time: u32,
    pub(crate) time: u32,
    pub(crate) transactions: Vec<(Txid, Waiting)>,
    pub(crate) value: u64,
    /// The script of the output that commits to the witnesses, for a reserved value of zeros.
    pub(crate) commitment: ScriptBuf,
}

impl Node {
    pub(crate) fn new(options: Options) -> Self {
        let chain = Chain::new(Params::of(&options), options.clock);
        let news = News { tip: chain.tip(), mempool: 0 };
        let state = State {
            chain,
            mempool: Mempool::default(),
            wallet: Wallet::new(Keys::new(options.seed, Account::Wallet)),
            economy: Economy::new(options.seed, options.economy),
            blocks_made: 0,
        };
        let trouble = Trouble::default();
        Self { options, trouble, state: Mutex::new(state), news: watch::Sender::new(news) }
    }

    pub(crate) fn news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// Looks at or changes the state; whoever waits is told when the tip or the mempool changed.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = look(&mut state);
        let now = News { tip: state.chain.tip(), mempool: state.mempool.changes() };
        drop(state);
        self.news.send_if_modified(|news| {
            let changed = *news != now;
            *news = now;
            changed
        });
        result
    }

    /// Takes a block in.
    pub(crate) fn submit(&self, block: Block) -> Result<(), Reject> {
        self.with(|state| state.submit(block))
    }

    /// Makes blocks on the tip that pay `script`, with the transactions that wait.
    pub(crate) fn generate(&self, count: u32, script: &ScriptBuf) -> Result<Vec<BlockHash>, Reject> {
        (0..count)
            .map(|_| {
                // The search for a nonce runs without the lock; when somebody else was faster, it is begun anew.
                loop {
                    let tip = self.with(|state| state.chain.tip());
                    let block = self.with(|state| state.block_on(tip, script, self.options.version));
                    let block = solve(block.ok_or(Reject::invalid("prev-blk-not-found"))?);
                    let hash = block.block_hash();
                    match self.submit(block) {
                        Ok(()) => return Ok(hash),
                        Err(Reject::Inconclusive) => {}
                        Err(reject) => return Err(reject),
                    }
                }
            })
            .collect()
    }

    /// Makes a row of blocks on any known block, without transactions. While it is not the best chain the blocks lie
    /// beside it.
    pub(crate) fn fork(
        &self,
        parent: BlockHash,
        count: u32,
        script: &ScriptBuf,
    ) -> Result<Vec<BlockHash>, Reject> {
        let mut parent = parent;
        let mut hashes = Vec::new();
        for _ in 0..count {
            let block = self.with(|state| state.empty_block_on(parent, script, self.options.version));
            let block = solve(block.ok_or(Reject::invalid("prev-blk-not-found"))?);
            parent = block.block_hash();
            match self.submit(block) {
                Ok(()) | Err(Reject::Inconclusive) => hashes.push(parent),
                Err(reject) => return Err(reject),
            }
        }
        Ok(hashes)
    }

    /// The blocks at the start.
    pub(crate) fn prologue(&self) -> Result<(), Reject> {
        for done in 0..self.options.prologue {
            let left = self.options.prologue - done;
            let block = self.with(|state| {
                let script = if self.options.economy > 0 {
                    state.economy.next_script()
                } else {
                    state.wallet.keys.next()
                };
                let tip = state.chain.tip();
                let mut block = state.block_on(tip, &script, self.options.version)?;
                // Times in the past, so that the first real block is not pushed ahead of the clock.
                let natural = state.chain.now().saturating_sub(left.saturating_mul(30));
                block.header.time = natural.max(state.chain.median_time(&tip).saturating_add(1));
                Some((block, script))
            });
            let Some((block, _)) = block else { return Err(Reject::invalid("prev-blk-not-found")) };
            self.submit(solve(block))?;
        }
        Ok(())
    }
}

impl State {
    pub(crate) fn submit(&mut self, block: Block) -> Result<(), Reject> {
        let moved = self.chain.accept(block)?;
        self.follow(moved);
        Ok(())
    }

    fn follow(&mut self, moved: Moved) {
        for (_, block) in &moved.connected {
            for tx in &block.txdata {
                self.wallet.see(tx, block.header.time);
                self.economy.see(tx);
            }
        }
        if moved.disconnected.is_empty() {
            for (_, block) in &moved.connected {
                self.mempool.block_connected(block);
            }
        } else {
            let lost = moved.disconnected.iter().rev().flat_map(|block| block.txdata.iter().skip(1).cloned());
            self.mempool.reorganised(&self.chain, lost.collect());
        }
        self.refill();
    }

    /// Brings the economy's transactions up to their number.
    pub(crate) fn refill(&mut self) {
        let missing =
            self.economy.wanted().saturating_sub(u32::try_from(self.mempool.len()).unwrap_or(u32::MAX));
        self.add_transactions(missing);
    }

    /// Makes up some transactions of the economy's; says how many there were coins for.
    pub(crate) fn add_transactions(&mut self, count: u32) -> u32 {
        let mut made = 0;
        for _ in 0..count {
            let Some(tx) = self.economy.next_transaction(&self.chain, &self.mempool) else { break };
            match self.mempool.accept(&self.chain, tx) {
                Ok(_) => made += 1,
                Err(reason) => tracing::debug!(%reason, "a transaction of the economy did not fit"),
            }
        }
        made
    }

    /// Takes a transaction into the mempool, as `sendrawtransaction` does.
    pub(crate) fn send(&mut self, tx: Transaction) -> Result<Txid, TxReject> {
        let txid = tx.compute_txid();
        match self.mempool.accept(&self.chain, tx.clone()) {
            Ok(txid) => {
                self.wallet.see(&tx, self.chain.now());
                Ok(txid)
            }
            Err(TxReject::InMempool) => Ok(txid),
            Err(reject) => Err(reject),
        }
    }

    /// The template on the tip.
    pub(crate) fn template(&self, version: i32) -> Option<Template> {
        self.template_on(self.chain.tip(), version)
    }

    fn template_on(&self, parent: BlockHash, version: i32) -> Option<Template> {
        let height = self.chain.get(&parent)?.height.checked_add(1)?;
        let on_tip = parent == self.chain.tip();
        let transactions: Vec<(Txid, Waiting)> = if on_tip {
            self.mempool.select().into_iter().map(|(txid, waiting)| (txid, waiting.clone())).collect()
        } else {
            Vec::new()
        };
        let fees = transactions.iter().fold(0_u64, |sum, (_, waiting)| sum.saturating_add(waiting.fee));
        let min_time = self.chain.median_time(&parent).saturating_add(1);
        let params = self.chain.params();
        Some(Template {
            parent,
            height,
            version,
            bits: params.bits_at(height),
            min_time,
            time: self.chain.now().max(min_time),
            value: params.subsidy(height).saturating_add(fees),
            commitment: commitment_script(transactions.iter().map(|(_, waiting)| &waiting.tx)),
            transactions,
        })
    }

    fn block_on(&mut self, parent: BlockHash, script: &ScriptBuf, version: i32) -> Option<Block> {
        let template = self.template_on(parent, version)?;
        Some(self.block_of(template, script))
    }

    fn empty_block_on(&mut self, parent: BlockHash, script: &ScriptBuf, version: i32) -> Option<Block> {
        let mut template = self.template_on(parent, version)?;
        template.transactions.clear();
        template.value = self.chain.params().subsidy(template.height);
        template.commitment = commitment_script([].into_iter());
        Some(self.block_of(template, script))
    }

    fn block_of(&mut self, template: Template, script: &ScriptBuf) -> Block {
        self.blocks_made = self.blocks_made.saturating_add(1);
        let mut tag = height_push(template.height);
        tag.push(8);
        tag.extend_from_slice(&self.blocks_made.to_le_bytes());
        tag.extend_from_slice(b"/devchain/");
        let mut witness = Witness::new();
        witness.push([0; 32]);
        let coinbase = Transaction {
            version: bitcoin::transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: ScriptBuf::from_bytes(tag),
                sequence: Sequence::MAX,
                witness,
            }],
            output: vec![
                TxOut { value: Amount::from_sat(template.value), script_pubkey: script.clone() },
                TxOut { value: Amount::ZERO, script_pubkey: template.commitment },
            ],
        };
        let mut txdata = vec![coinbase];
        txdata.extend(template.transactions.into_iter().map(|(_, waiting)| waiting.tx));
        let header = Header {
            version: Version::from_consensus(template.version),
            prev_blockhash: template.parent,
            merkle_root: TxMerkleNode::all_zeros(),
            time: template.time,
            bits: template.bits,
            nonce: 0,
        };
        let mut block = Block { header, txdata };
        block.header.merkle_root = block.compute_merkle_root().unwrap_or(TxMerkleNode::all_zeros());
        block
    }
}

/// The output script that commits to the witnesses of a coinbase (whose own hash counts as zeros) and these
/// transactions, with 32 zeros reserved (BIP 141).
fn commitment_script<'a>(transactions: impl Iterator<Item = &'a Transaction>) -> ScriptBuf {
    let mut hashes = vec![WitnessMerkleNode::all_zeros()];
    hashes.extend(
        transactions.map(|tx| WitnessMerkleNode::from_byte_array(tx.compute_wtxid().to_byte_array())),
    );
    let root =
        bitcoin::merkle_tree::calculate_root(hashes.into_iter()).unwrap_or(WitnessMerkleNode::all_zeros());
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    ScriptBuf::from_bytes([&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], &commitment.to_byte_array()[..]].concat())
}

/// Searches a nonce, and a later time when there is none.
pub(crate) fn solve(mut block: Block) -> Block {
    let target = block.header.target();
    while !target.is_met_by(block.header.block_hash()) {
        block.header.nonce = block.header.nonce.wrapping_add(1);
        if block.header.nonce == 0 {
            block.header.time = block.header.time.saturating_add(1);
        }
    }
    block
}
