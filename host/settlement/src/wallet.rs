//! What settlement needs of a wallet. Drivers implement it; nothing here knows a coin.

use crate::WalletError;
use millpond_ledger::{InputId, TxId};
use millpond_types::{Amount, UnixMillis};
use std::collections::BTreeSet;

/// One output to make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Output {
    /// As the wallet writes it.
    pub address: String,
    /// What it gets.
    pub amount: Amount,
}

/// A coin that a transaction spends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Its name.
    pub coin: InputId,
    /// What it is worth.
    pub amount: Amount,
}

/// A signed transaction that nobody has seen yet, and what the wallet's own decoder says of it: its word, which
/// [`crate::SignedCheck`] holds against the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Its name.
    pub txid: TxId,
    /// What it spends.
    pub spends: Vec<Spent>,
    /// All of its outputs, change included.
    pub outputs: Vec<Output>,
}

/// What a wallet and its node know of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing. This is no proof of anything: a node that lost its memory answers so too.
    NotFound,
    /// It waits for a block.
    Waiting,
    /// It is in a block with this many confirmations, at least 1.
    Confirmed(u32),
    /// Another transaction that spends one of its inputs has this many confirmations.
    Conflicted(u32),
}

/// A payment found in the history of a wallet that can only send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its transaction.
    pub txid: TxId,
    /// The marker that the call carried, if the wallet keeps it.
    pub marker: Option<String>,
    /// What it paid, without change.
    pub outputs: Vec<Output>,
    /// When the wallet made it.
    pub time: UnixMillis,
}

/// What a transaction of the wallet's own paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// To whom, without change.
    pub outputs: Vec<Output>,
    /// Its network fee.
    pub fee: Amount,
}

/// Where a transaction of a wallet's history stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// In a block.
    Confirmed,
    /// In none yet.
    Waits,
    /// Given up, orphaned, or another one took its place: it moved nothing.
    Never,
}

/// What one transaction did to a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The transaction.
    pub txid: TxId,
    /// By how much the wallet's coins grew, network fee and all.
    pub net: i128,
    /// Where it stands.
    pub stands: Stands,
    /// The block that it is in, as its node writes it.
    pub block: Option<String>,
    /// It pays for that block.
    pub coinbase: bool,
    /// The marker that its call carried.
    pub marker: Option<String>,
}

/// What a wallet says of itself: what it holds, and everything that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletBook {
    /// All its coins: those that may be spent, those that wait, those that are immature.
    pub holds: Amount,
    /// One a transaction.
    pub moves: Vec<Move>,
}

/// What a wallet can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Build and sign without sending; send given bytes.
    Builder,
    /// Only build, sign and send in one call.
    Sender,
}

/// A wallet that pays. Calls block and have their own deadlines; one caller at a time.
///
/// A driver reports truthfully whether a failed call may have had an effect ([`WalletError`]): everything rests on it.
pub trait Wallet: Send + Sync {
    /// Which calls it has.
    fn kind(&self) -> Kind;

    /// The sum of coins that may be spent now: confirmed as deep as the pool asks, mature, not in `reserved`.
    ///
    /// # Errors
    /// As the call went.
    fn spendable(&self, reserved: &BTreeSet<InputId>) -> Result<Amount, WalletError>;

    /// Why the wallet could not sign now: it is locked, or watches only. `None` when it can, or does not tell.
    ///
    /// # Errors
    /// As the call went.
    fn cannot_sign(&self) -> Result<Option<String>, WalletError> {
        Ok(None)
    }

    /// For each address whether the wallet holds its key.
    ///
    /// # Errors
    /// As the call went.
    fn owns(&self, addresses: &[String]) -> Result<Vec<bool>, WalletError>;

    /// Builds and signs a transaction with exactly these outputs and at most one more, the wallet's change. Spends no
    /// coin in `reserved`, and sends nothing. `fee_rate` is in ledger units per 1000 bytes, 0 for the wallet's choice.
    ///
    /// # Errors
    /// As the call went. A [`Kind::Sender`] refuses.
    fn build(
        &self,
        outputs: &[Output],
        fee_rate: u64,
        reserved: &BTreeSet<InputId>,
    ) -> Result<Signed, WalletError>;

    /// Sends bytes to the node. Bytes that the node has already are a success.
    ///
    /// # Errors
    /// As the call went. A [`Kind::Sender`] refuses.
    fn broadcast(&self, bytes: &[u8], txid: &TxId) -> Result<(), WalletError>;

    /// What is known of a transaction.
    ///
    /// # Errors
    /// As the call went.
    fn lookup(&self, txid: &TxId, inputs: &[InputId]) -> Result<Lookup, WalletError>;

    /// Whether the node's chain has this coin unspent, whatever waits. `false` also where the node cannot be asked.
    ///
    /// # Errors
    /// As the call went.
    fn has_coin(&self, coin: &InputId) -> Result<bool, WalletError>;

    /// Makes a transaction with these outputs and sends it, in one call. Called once per payment.
    ///
    /// # Errors
    /// As the call went. A [`Kind::Builder`] refuses.
    fn send_many(&self, outputs: &[Output], marker: &str, fee_rate: u64) -> Result<TxId, WalletError>;

    /// Everything that the wallet paid since a time, oldest first, complete.
    ///
    /// # Errors
    /// As the call went; an answer that may be incomplete is an error.
    fn history(&self, since: UnixMillis) -> Result<Vec<Seen>, WalletError>;

    /// The transactions since a time that carry a marker, and it. A driver that reads less for them than for
    /// [`Wallet::history`] says how.
    ///
    /// # Errors
    /// As [`Wallet::history`].
    fn marked(&self, since: UnixMillis) -> Result<Vec<(TxId, String)>, WalletError> {
        let history = self.history(since)?;
        Ok(history.into_iter().filter_map(|seen| Some((seen.txid, seen.marker?))).collect())
    }

    /// What a transaction that the wallet sent paid to others, and its network fee.
    ///
    /// # Errors
    /// As the call went; also when the wallet cannot tell. A [`Kind::Builder`] refuses.
    fn paid(&self, txid: &TxId) -> Result<Paid, WalletError>;

    /// What the wallet holds and everything that it ever did, of one moment.
    ///
    /// # Errors
    /// As the call went; also when the wallet cannot tell.
    fn book(&self) -> Result<WalletBook, WalletError> {
        let (call, why) = ("history".to_owned(), "this driver cannot list what its wallet did".to_owned());
        Err(WalletError::Refused { call, why, code: 0 })
    }
}
