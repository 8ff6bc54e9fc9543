//! A pool with a few miners, on a simulated disk, and a wallet that checks what a real one checks.
#![allow(dead_code)]

use millpond_codec_bitcoin::{Network, OutPoint, SignedInput, Transaction, address_of, assemble, script_of};
use millpond_disk::{Disk, SimDisk};
use millpond_ledger::{
    Allocation, Entry, FeeName, IncomeAllocated, IncomeKey, InputId, Ledger, LedgerError, Owner, TxId,
};
use millpond_settlement::{
    Kind, Lookup, Move, Output, Paid, PayTo, Policy, Seen, Settlement, Signed, Spent, Stands, Wallet,
    WalletBook, WalletError,
};
use millpond_types::{Amount, Digest, MinerId, UnixMillis};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

pub const START: UnixMillis = UnixMillis(1_700_000_000_000);

pub fn hours(count: u64) -> UnixMillis {
    UnixMillis(START.0 + count * 3_600_000)
}

/// How the next call that sends behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Done, but the answer is lost.
    DoneSilently,
    /// Not done, and no answer.
    LostSilently,
    /// The connection was refused.
    Unreachable,
    /// The node says no.
    Refusing,
    /// The wallet says no, and has made it all the same.
    StoredAndRefused,
    /// A call to send waits in a queue, and nobody waits for its answer any more.
    Waits,
    /// A call to send comes to the wallet twice; the first answer comes back.
    Twice,
    /// And no answer comes back.
    TwiceSilently,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tx {
    pub txid: TxId,
    pub inputs: Vec<InputId>,
    pub outputs: Vec<Output>,
    pub fee: Amount,
    pub marker: Option<String>,
    pub time: UnixMillis,
    pub height: Option<u64>,
    /// What makes one transaction differ from another that does the same.
    pub lock_time: u32,
}

/// A transaction as Bitcoin's family writes it, with a signature that nobody checks here, and its name.
pub fn bytes(inputs: &[InputId], outputs: &[Output], lock_time: u32) -> (Vec<u8>, TxId) {
    let input = |coin: &InputId| {
        let (txid, vout) = coin.0.split_once(':').unwrap();
        let spends = OutPoint { txid: txid.parse().unwrap(), vout: vout.parse().unwrap() };
        SignedInput { spends, script: vec![0x51], witness: Vec::new(), sequence: 0 }
    };
    let output = |output: &Output| {
        let script = script_of(&output.address, &Network::regtest()).unwrap();
        millpond_codec_bitcoin::Output { amount: output.amount, script }
    };
    let inputs: Vec<_> = inputs.iter().map(input).collect();
    let outputs: Vec<_> = outputs.iter().map(output).collect();
    let (bytes, txid) = assemble(2, &inputs, &outputs, lock_time).unwrap();
    (bytes, TxId(txid.to_string()))
}

/// Somebody's address: a key hash made of his name.
pub fn address(name: &str) -> String {
    let script = [&[0x00, 20][..], &Digest::of(name.as_bytes()).0[..20]].concat();
    address_of(&script, &Network::regtest()).unwrap()
}

/// A coin that no transaction here made.
pub fn coin(number: u32) -> InputId {
    InputId(format!("{:064x}:{number}", 7))
}

/// The network, the node and the wallet: it lives through every crash of the pool.
#[derive(Debug)]
pub struct World {
    pub kind: Kind,
    pub coins: BTreeMap<InputId, Amount>,
    /// Signed and maybe never seen again.
    pub drafts: BTreeMap<TxId, Tx>,
    pub accepted: BTreeMap<TxId, Tx>,
    pub own: BTreeSet<String>,
    pub height: u64,
    pub counter: u32,
    pub fee: u64,
    pub mood: Mood,
    pub keeps_marker: bool,
    pub double_spends: u64,
    pub now: UnixMillis,
    pub calls: Vec<&'static str>,
    /// Another wallet than the one that paid: it does not know what was paid before.
    pub other_wallet: bool,
    /// Addresses that the wallet cannot read: it refuses every call with one of them.
    pub unreadable: BTreeSet<String>,
    /// Calls to send that wait in the wallet's queue.
    pub queue: Vec<(Vec<Output>, String)>,
    /// Signed transactions that wait on their way to the node.
    pub late: Vec<Tx>,
    /// What can never confirm, since another transaction took its place.
    pub replaced: BTreeMap<TxId, TxId>,
    /// What a wallet shows of transactions that never confirm.
    pub conflicted: Vec<Tx>,
    /// What spent coins were worth.
    pub worth: BTreeMap<InputId, Amount>,
    /// What came into the wallet and went out of it beside payments: coinbases, deposits, spends by hand.
    pub others: Vec<Move>,
    /// Coins that are immature.
    pub immature: u64,
    /// Coins that strangers got, and have spent.
    pub moved_on: BTreeSet<InputId>,
}

#[derive(Clone, Debug)]
pub struct SimWallet(pub Arc<Mutex<World>>);

impl SimWallet {
    pub fn new(kind: Kind, coins: &[u64]) -> Self {
        let coins = coins.iter().zip(0..).map(|(amount, at)| (coin(at), Amount(*amount)));
        Self(Arc::new(Mutex::new(World {
            kind,
            coins: coins.collect(),
            drafts: BTreeMap::new(),
            accepted: BTreeMap::new(),
            own: BTreeSet::from([address("own")]),
            height: 100,
            counter: 0,
            fee: 10,
            mood: Mood::Well,
            keeps_marker: true,
            double_spends: 0,
            now: START,
            calls: Vec::new(),
            other_wallet: false,
            unreadable: BTreeSet::new(),
            queue: Vec::new(),
            late: Vec::new(),
            replaced: BTreeMap::new(),
            conflicted: Vec::new(),
            worth: BTreeMap::new(),
            others: Vec::new(),
            immature: 0,
            moved_on: BTreeSet::new(),
        })))
    }

    pub fn mood(&self, mood: Mood) {
        self.0.lock().mood = mood;
    }

    /// A block with everything that waits.
    pub fn mine(&self) {
        let mut world = self.0.lock();
        world.height += 1;
        let height = world.height;
        world.accepted.values_mut().filter(|tx| tx.height.is_none()).for_each(|tx| tx.height = Some(height));
    }

    /// What each foreign address was paid, over all transactions that the network has.
    pub fn paid(&self) -> BTreeMap<String, u64> {
        let world = self.0.lock();
        let mut paid = BTreeMap::new();
        for output in world.accepted.values().flat_map(|tx| &tx.outputs) {
            if !world.own.contains(&output.address) {
                *paid.entry(output.address.clone()).or_default() += output.amount.0;
            }
        }
        paid
    }

    pub fn transactions(&self) -> usize {
        self.0.lock().accepted.len()
    }

    pub fn count(&self, call: &str) -> usize {
        self.0.lock().calls.iter().filter(|made| **made == call).count()
    }

    /// Somebody else with the keys spends a coin, and it confirms.
    pub fn spend_elsewhere(&self, coin: &InputId) {
        let mut world = self.0.lock();
        let worth = world.coins.remove(coin).unwrap_or(Amount(1));
        let height = Some(world.height);
        let txid = TxId("elsewhere".to_owned());
        let tx = Tx {
            txid: txid.clone(),
            inputs: vec![coin.clone()],
            outputs: vec![],
            fee: worth,
            marker: None,
            time: world.now,
            height,
            lock_time: 0,
        };
        world.accepted.insert(txid, tx);
    }

    /// A reorganisation takes a transaction out, and somebody else with the keys spends one of its coins in a block: it can
    /// never confirm. The wallet's history shows it for ever. Gives the other transaction.
    pub fn conflict(&self, gone: &TxId) -> TxId {
        let mut world = self.0.lock();
        let tx = world.accepted.remove(gone).unwrap();
        world.coins.retain(|coin, _| !coin.0.starts_with(&gone.0));
        let back: Vec<_> = tx.inputs.iter().map(|coin| (coin.clone(), world.worth[coin])).collect();
        world.coins.extend(back);
        let coin = tx.inputs[0].clone();
        world.conflicted.push(tx);
        drop(world);
        self.spend_elsewhere(&coin);
        let by = TxId("elsewhere".to_owned());
        self.0.lock().replaced.insert(gone.clone(), by.clone());
        by
    }

    /// The operator has the node take a transaction that it forgot, where it has none for it.
    pub fn send_by_hand(&self, txid: &TxId) {
        let mut world = self.0.lock();
        if let Some(tx) = world.drafts.get(txid).cloned()
            && tx.inputs.iter().all(|coin| world.coins.contains_key(coin))
        {
            world.accept(&tx).unwrap();
        }
    }

    /// The wallet comes to the calls that wait.
    pub fn work_off(&self) {
        let mut world = self.0.lock();
        for (outputs, marker) in std::mem::take(&mut world.queue) {
            world.send(&outputs, &marker).unwrap();
        }
        for tx in std::mem::take(&mut world.late) {
            // What came before may have spent its coins: then the node refuses it, and nobody hears of that.
            let spent = |coin: &InputId| !world.coins.contains_key(coin);
            if !tx.inputs.iter().any(spent) {
                world.accept(&tx).unwrap();
            }
        }
    }

    /// One transaction spends what another spent, which can never confirm now; the wallet shows both.
    pub fn replace(&self, gone: &TxId, by: &TxId) {
        let mut world = self.0.lock();
        let inputs = world.accepted[gone].inputs.clone();
        world.accepted.get_mut(by).unwrap().inputs = inputs;
        world.replaced.insert(gone.clone(), by.clone());
    }

    /// A wallet that is started anew keeps no calls.
    pub fn restart(&self) {
        let mut world = self.0.lock();
        world.queue.clear();
        world.late.clear();
    }

    /// The transaction of a payment, and what else carries its marker.
    pub fn marked(&self, payment: u64) -> Vec<TxId> {
        let prefix = format!("millpond {payment} ");
        let world = self.0.lock();
        let is_marked = |tx: &&Tx| tx.marker.as_ref().is_some_and(|marker| marker.starts_with(&prefix));
        world.accepted.values().filter(is_marked).map(|tx| tx.txid.clone()).collect()
    }

    /// A reorganisation takes everything out of the chain again.
    pub fn reorganise(&self) {
        self.0.lock().accepted.values_mut().for_each(|tx| tx.height = None);
    }

    /// The node forgets what waits (an eviction, a restart without its memory).
    pub fn forget_waiting(&self) {
        let mut world = self.0.lock();
        let gone: Vec<Tx> = world.accepted.values().filter(|tx| tx.height.is_none()).cloned().collect();
        for tx in gone {
            world.accepted.remove(&tx.txid);
            world.coins.retain(|coin, _| !coin.0.starts_with(&tx.txid.0));
            let back: Vec<_> = tx.inputs.iter().map(|coin| (coin.clone(), world.worth[coin])).collect();
            world.coins.extend(back);
            world.drafts.insert(tx.txid.clone(), tx);
        }
    }
}

impl World {
    fn read<'a>(&self, mut addresses: impl Iterator<Item = &'a String>) -> Result<(), WalletError> {
        if addresses.any(|address| self.unreadable.contains(address)) {
            return Err(refused("invalid address"));
        }
        Ok(())
    }

    fn make(&mut self, outputs: &[Output], reserved: &BTreeSet<InputId>) -> Result<Tx, WalletError> {
        self.read(outputs.iter().map(|output| &output.address))?;
        let wanted: u64 = outputs.iter().map(|output| output.amount.0).sum::<u64>() + self.fee;
        let (mut inputs, mut sum) = (Vec::new(), 0);
        for (coin, amount) in self.coins.iter().filter(|(coin, _)| !reserved.contains(*coin)) {
            if sum >= wanted {
                break;
            }
            inputs.push(coin.clone());
            sum += amount.0;
        }
        if sum < wanted {
            return Err(refused("insufficient funds"));
        }
        let mut outputs = outputs.to_vec();
        if sum > wanted {
            outputs.push(Output { address: address("own"), amount: Amount(sum - wanted) });
        }
        self.counter += 1;
        let (_, txid) = bytes(&inputs, &outputs, self.counter);
        let lock_time = self.counter;
        Ok(Tx {
            txid,
            inputs,
            outputs,
            fee: Amount(self.fee),
            marker: None,
            time: self.now,
            height: None,
            lock_time,
        })
    }

    fn accept(&mut self, tx: &Tx) -> Result<(), WalletError> {
        if self.accepted.contains_key(&tx.txid) {
            return Ok(());
        }
        if !tx.inputs.iter().all(|coin| self.coins.contains_key(coin)) {
            self.double_spends += 1;
            return Err(refused("missing or spent inputs"));
        }
        for coin in &tx.inputs {
            let worth = self.coins.remove(coin).unwrap();
            self.worth.insert(coin.clone(), worth);
        }
        for (output, at) in tx.outputs.iter().zip(0..) {
            if self.own.contains(&output.address) {
                self.coins.insert(InputId(format!("{}:{at}", tx.txid)), output.amount);
            }
        }
        self.accepted.insert(tx.txid.clone(), tx.clone());
        Ok(())
    }

    fn sending(&mut self, tx: &Tx) -> Result<(), WalletError> {
        let silent = || WalletError::Unknown { call: "send".to_owned(), why: "timeout".to_owned() };
        match self.mood {
            Mood::Well => self.accept(tx),
            Mood::DoneSilently => self.accept(tx).and_then(|()| Err(silent())),
            Mood::LostSilently => Err(silent()),
            Mood::Unreachable => {
                Err(WalletError::NotSent { call: "send".to_owned(), why: "connection refused".to_owned() })
            }
            Mood::Refusing => Err(refused("min relay fee not met")),
            Mood::StoredAndRefused => self.accept(tx).and(Err(refused("could not be relayed"))),
            // What is sent twice as it is has come once.
            Mood::Twice => self.accept(tx),
            Mood::Waits => {
                self.late.push(tx.clone());
                Err(silent())
            }
            Mood::TwiceSilently => self.accept(tx).and_then(|()| Err(silent())),
        }
    }

    /// What a call to send does.
    fn send(&mut self, outputs: &[Output], marker: &str) -> Result<TxId, WalletError> {
        let mut tx = self.make(outputs, &BTreeSet::new())?;
        tx.marker = self.keeps_marker.then(|| marker.to_owned());
        self.accept(&tx)?;
        Ok(tx.txid)
    }
}

fn refused(why: &str) -> WalletError {
    WalletError::Refused { call: "wallet".to_owned(), why: why.to_owned(), code: -26 }
}

impl Wallet for SimWallet {
    fn kind(&self) -> Kind {
        self.0.lock().kind
    }

    fn spendable(&self, reserved: &BTreeSet<InputId>) -> Result<Amount, WalletError> {
        let world = self.0.lock();
        let usable = world.coins.iter().filter(|(coin, _)| !reserved.contains(*coin));
        Ok(Amount(usable.map(|(_, amount)| amount.0).sum()))
    }

    fn owns(&self, addresses: &[String]) -> Result<Vec<bool>, WalletError> {
        let world = self.0.lock();
        world.read(addresses.iter())?;
        Ok(addresses.iter().map(|address| world.own.contains(address)).collect())
    }

    fn build(&self, outputs: &[Output], _: u64, reserved: &BTreeSet<InputId>) -> Result<Signed, WalletError> {
        let mut world = self.0.lock();
        world.calls.push("build");
        let unique: BTreeSet<_> = outputs.iter().map(|output| &output.address).collect();
        assert_eq!(unique.len(), outputs.len(), "a duplicate address");
        let tx = world.make(outputs, reserved)?;
        world.drafts.insert(tx.txid.clone(), tx.clone());
        let (bytes, txid) = bytes(&tx.inputs, &tx.outputs, tx.lock_time);
        let spent = |coin: &InputId| Spent { coin: coin.clone(), amount: world.coins[coin] };
        Ok(Signed { bytes, txid, spends: tx.inputs.iter().map(spent).collect(), outputs: tx.outputs })
    }

    fn broadcast(&self, sent: &[u8], txid: &TxId) -> Result<(), WalletError> {
        let mut world = self.0.lock();
        world.calls.push("broadcast");
        assert_eq!(Transaction::parse(sent).unwrap().txid.to_string(), txid.0);
        let known = world.drafts.get(txid).or_else(|| world.accepted.get(txid)).cloned();
        let tx = known.expect("bytes that the wallet never signed");
        world.sending(&tx)
    }

    fn lookup(&self, txid: &TxId, inputs: &[InputId]) -> Result<Lookup, WalletError> {
        let mut world = self.0.lock();
        world.calls.push("lookup");
        if world.other_wallet {
            return Ok(Lookup::NotFound);
        }
        let depth = |height: u64| u32::try_from(world.height - height + 1).unwrap();
        if let Some(by) = world.replaced.get(txid) {
            let height = world.accepted.get(by).and_then(|tx| tx.height);
            return Ok(height.map_or(Lookup::Waiting, |height| Lookup::Conflicted(depth(height))));
        }
        if let Some(tx) = world.accepted.get(txid) {
            return Ok(tx.height.map_or(Lookup::Waiting, |height| Lookup::Confirmed(depth(height))));
        }
        let conflict = world.accepted.values().find(|tx| tx.inputs.iter().any(|coin| inputs.contains(coin)));
        Ok(match conflict.and_then(|tx| tx.height) {
            Some(height) => Lookup::Conflicted(depth(height)),
            None => Lookup::NotFound,
        })
    }

    fn has_coin(&self, coin: &InputId) -> Result<bool, WalletError> {
        let mut world = self.0.lock();
        world.calls.push("has_coin");
        let unspent = world.coins.contains_key(coin);
        let (name, index) = coin.0.split_once(':').unwrap();
        let Some(tx) = world.accepted.get(&TxId(name.to_owned())) else { return Ok(unspent) };
        let output = tx.outputs.get(index.parse::<usize>().unwrap());
        // What strangers got they keep; what is the wallet's own is a coin as long as it is not spent.
        let foreign = output.is_some_and(|output| !world.own.contains(&output.address));
        let kept = foreign && !world.moved_on.contains(coin);
        Ok(tx.height.is_some() && (kept || unspent))
    }

    fn send_many(&self, outputs: &[Output], marker: &str, _: u64) -> Result<TxId, WalletError> {
        let mut world = self.0.lock();
        world.calls.push("send_many");
        let mood = world.mood;
        match mood {
            Mood::Waits => world.queue.push((outputs.to_vec(), marker.to_owned())),
            Mood::Twice | Mood::TwiceSilently => {
                let first = world.send(outputs, marker)?;
                world.send(outputs, marker)?;
                if mood == Mood::Twice {
                    return Ok(first);
                }
            }
            _ => {}
        }
        if matches!(mood, Mood::Waits | Mood::TwiceSilently) {
            return Err(WalletError::Unknown { call: "send".to_owned(), why: "timeout".to_owned() });
        }
        let mut tx = world.make(outputs, &BTreeSet::new())?;
        tx.marker = world.keeps_marker.then(|| marker.to_owned());
        world.sending(&tx)?;
        Ok(tx.txid)
    }

    fn history(&self, since: UnixMillis) -> Result<Vec<Seen>, WalletError> {
        let world = self.0.lock();
        let all = world.accepted.values().chain(&world.conflicted);
        let seen = all.filter(|tx| tx.time >= since && !tx.outputs.is_empty()).map(|tx| Seen {
            txid: tx.txid.clone(),
            marker: tx.marker.clone(),
            outputs: tx
                .outputs
                .iter()
                .filter(|output| !world.own.contains(&output.address))
                .cloned()
                .collect(),
            time: tx.time,
        });
        Ok(seen.collect())
    }

    fn paid(&self, txid: &TxId) -> Result<Paid, WalletError> {
        let world = self.0.lock();
        let tx = world.accepted.get(txid).ok_or_else(|| refused("no such transaction"))?;
        let foreign = tx.outputs.iter().filter(|output| !world.own.contains(&output.address));
        Ok(Paid { outputs: foreign.cloned().collect(), fee: tx.fee })
    }

    fn book(&self) -> Result<WalletBook, WalletError> {
        let world = self.0.lock();
        let coins: u64 = world.coins.values().map(|amount| amount.0).sum();
        let one = |tx: &Tx, stands| {
            let foreign = tx.outputs.iter().filter(|output| !world.own.contains(&output.address));
            let out: u64 = foreign.map(|output| output.amount.0).sum();
            let (txid, marker, net) = (tx.txid.clone(), tx.marker.clone(), -i128::from(out + tx.fee.0));
            Move { txid, net, stands, block: None, coinbase: false, marker }
        };
        let stands = |tx: &Tx| if tx.height.is_some() { Stands::Confirmed } else { Stands::Waits };
        let mut moves: Vec<Move> = world.accepted.values().map(|tx| one(tx, stands(tx))).collect();
        moves.extend(world.conflicted.iter().map(|tx| one(tx, Stands::Never)));
        moves.extend(world.others.iter().cloned());
        Ok(WalletBook { holds: Amount(coins + world.immature), moves })
    }
}

pub fn miner(id: u64) -> Owner {
    Owner::Miner(MinerId(id))
}

pub fn operator() -> Owner {
    Owner::Fee(FeeName::try_from("operator".to_owned()).unwrap())
}

pub fn payees(owner: &Owner) -> Option<PayTo> {
    matches!(owner, Owner::Miner(_))
        .then(|| PayTo { address: address(&owner.to_string()), minimum: Amount::ZERO })
}

pub fn open(disk: &SimDisk) -> Result<Arc<Ledger>, LedgerError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Ledger::open(disk, Path::new("ledger")).map(Arc::new)
}

/// One matured income with these parts.
pub fn earn(ledger: &Ledger, number: u64, parts: &[(Owner, u64)]) -> Result<(), LedgerError> {
    let key = IncomeKey::new(number.to_be_bytes().to_vec()).unwrap();
    let parts = Allocation::merged(parts.iter().map(|(owner, amount)| (owner.clone(), Amount(*amount))))?;
    let amount = parts.total();
    let income = IncomeAllocated::new(key.clone(), amount, Amount::ZERO, parts, Vec::new())?;
    ledger.append(START, Entry::IncomeAllocated(income))?;
    ledger.append(START, Entry::Matured { key }).map(drop)
}

pub fn policy() -> Policy {
    Policy { minimum: Amount(100), ..Policy::default() }
}

pub fn settlement(ledger: &Arc<Ledger>, wallet: &SimWallet, policy: Policy) -> Settlement {
    Settlement::new(ledger.clone(), Arc::new(wallet.clone()), policy)
}

/// The pool of most tests: miners 1 to 3 with 5000, 3000 and 2000, the operator with 500.
pub fn pool(kind: Kind) -> (Arc<Ledger>, SimWallet) {
    let ledger = open(&SimDisk::new()).unwrap();
    earn(&ledger, 1, &[(miner(1), 5000), (miner(2), 3000), (miner(3), 2000), (operator(), 500)]).unwrap();
    (ledger, SimWallet::new(kind, &[4000, 4000, 4000]))
}

/// What each miner got on the chain, by address.
pub fn expected(rows: &[(u64, u64)]) -> BTreeMap<String, u64> {
    rows.iter().map(|(id, amount)| (address(&format!("m{id}")), *amount)).collect()
}
