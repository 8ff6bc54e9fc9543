//! What a wallet signed, held against what it was asked for, before it is stored or sent.

use crate::{Output, Signed, Spent};
use millpond_codec_bitcoin::payment::{self, Coin, Intent, PaymentError, Rules};
use millpond_codec_bitcoin::{
    AddressError, Network, OutPoint, Transaction, TransactionError, Txid, scripts_for,
};
use millpond_ledger::InputId;
use millpond_types::Amount;

/// What a signed transaction must be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The outputs asked for, one per address.
    pub outputs: &'a [Output],
    /// The address of the wallet's own that change may go to.
    pub change: Option<&'a str>,
    /// The highest network fee.
    pub max_fee: Amount,
}

/// How a signed transaction differs from what was asked for. It was not stored and not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Its bytes say so.
    #[error(transparent)]
    Bytes(#[from] PaymentError),
    /// Its bytes are no transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// Its name is not that of its bytes.
    #[error("the wallet calls it {told}, and its bytes are transaction {is}")]
    Name {
        /// What the wallet says.
        told: String,
        /// What it is.
        is: Txid,
    },
    /// The coins that the wallet names are not those of its bytes.
    #[error("the wallet says that it spends {told} coins, and its bytes spend {is}")]
    Coins {
        /// What the wallet says.
        told: usize,
        /// What it is.
        is: usize,
    },
    /// A coin without a name that can be read.
    #[error("{0:?} does not name a coin")]
    CoinName(String),
    /// A coin of another payment.
    #[error("it spends {0}, which another open payment spends")]
    Reserved(InputId),
    /// An output asked for that is not there, by the wallet's own word.
    #[error("it does not pay {amount} to {address}", amount = .0.amount, address = .0.address)]
    Unpaid(Output),
    /// More outputs than were asked for, by the wallet's own word.
    #[error("it has {0} outputs that nobody asked for; one is change")]
    Outputs(usize),
    /// Change that goes to somebody else.
    #[error("{address}, who gets {amount}, is not the wallet", address = .0.address, amount = .0.amount)]
    NotOurs(Output),
    /// A fee above the cap, by the wallet's own word.
    #[error("its network fee of {fee} is above the cap of {cap}")]
    Fee {
        /// The fee.
        fee: Amount,
        /// The cap.
        cap: Amount,
    },
    /// An address whose script is not known.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Amounts that do not add up.
    #[error("its outputs exceed its inputs, or a sum does not fit 64 bits")]
    Sum,
}

impl Mismatch {
    /// Whether it is what was asked for but for a fee above the cap: dear, and no sign of a broken wallet.
    #[must_use]
    pub fn is_fee(&self) -> bool {
        matches!(self, Self::Fee { .. } | Self::Bytes(PaymentError::Fee { .. }))
    }
}

/// Holds a signed transaction against what was asked for.
pub trait SignedCheck: Send + Sync + std::fmt::Debug {
    /// The network fee of a transaction that is what was asked for.
    ///
    /// # Errors
    /// When anything differs.
    fn check(&self, signed: &Signed, wanted: Wanted<'_>) -> Result<Amount, Mismatch>;

    /// Whether two addresses are one, however each is written.
    fn same(&self, one: &str, other: &str) -> bool {
        one == other
    }
}

/// Reads the bytes themselves, as Bitcoin's family writes transactions: whom they pay, what they spend and under which
/// name they will be known is nobody's word. Signatures are left to the nodes, which refuse a wrong one; what a coin is
/// worth is the node's word, as the driver asked for it.
#[derive(Clone, Debug, Default)]
pub struct BitcoinBytes {
    /// What version bytes of base58 addresses mean. Without it such an address is a key's or a script's; whose it is is
    /// known all the same.
    pub network: Option<Network>,
}

impl BitcoinBytes {
    /// By the name that configurations use for a network; a name that is not known leaves only the kind of base58
    /// addresses open.
    #[must_use]
    pub fn of_network(name: &str) -> Self {
        Self { network: Network::by_name(name) }
    }
}

impl SignedCheck for BitcoinBytes {
    fn check(&self, signed: &Signed, wanted: Wanted<'_>) -> Result<Amount, Mismatch> {
        let tx = Transaction::parse(&signed.bytes)?;
        if !signed.txid.0.eq_ignore_ascii_case(&tx.txid.to_string()) {
            return Err(Mismatch::Name { told: signed.txid.0.clone(), is: tx.txid });
        }
        let coins = signed.spends.iter().map(coin).collect::<Result<Vec<_>, _>>()?;
        if coins.len() != tx.inputs.len() {
            return Err(Mismatch::Coins { told: coins.len(), is: tx.inputs.len() });
        }
        let intent = |output: &Output| {
            // Of the scripts that an address may stand for, the one that is paid.
            let mut scripts = scripts_for(&output.address, self.network.as_ref())?;
            let paid = scripts.iter().position(|script| tx.outputs_to(script).next().is_some()).unwrap_or(0);
            let script = scripts.swap_remove(paid);
            Ok::<_, AddressError>(Intent { script, amount: output.amount })
        };
        let intents = wanted.outputs.iter().map(intent).collect::<Result<Vec<_>, _>>()?;
        let change = match wanted.change {
            Some(address) => scripts_for(address, self.network.as_ref())?,
            None => Vec::new(),
        };
        let rules = Rules { intents: &intents, coins: &coins, change: &change, max_fee: wanted.max_fee };
        Ok(payment::verify(&signed.bytes, rules)?.fee)
    }

    /// A file may have it in capitals, and some wallets write a script's address with a newer version byte.
    fn same(&self, one: &str, other: &str) -> bool {
        let scripts = |address: &str| scripts_for(address, self.network.as_ref()).unwrap_or_default();
        one == other || {
            let others = scripts(other);
            scripts(one).iter().any(|script| others.contains(script))
        }
    }
}

fn coin(spent: &Spent) -> Result<Coin, Mismatch> {
    let parts = spent
        .coin
        .0
        .split_once(':')
        .and_then(|(txid, vout)| Some(OutPoint { txid: txid.parse().ok()?, vout: vout.parse().ok()? }));
    let at = parts.ok_or_else(|| Mismatch::CoinName(spent.coin.0.chars().take(80).collect()))?;
    Ok(Coin { at, amount: spent.amount })
}

/// Takes the wallet's own word for what its transaction does: for chains whose transactions the host cannot read, where
/// the operator granted that trust by name.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalletsWord;

impl SignedCheck for WalletsWord {
    fn check(&self, signed: &Signed, wanted: Wanted<'_>) -> Result<Amount, Mismatch> {
        let sum = |amounts: &mut dyn Iterator<Item = Amount>| Amount::sum(amounts).ok_or(Mismatch::Sum);
        let spent = sum(&mut signed.spends.iter().map(|spent| spent.amount))?;
        let paid = sum(&mut signed.outputs.iter().map(|output| output.amount))?;
        let fee = spent.checked_sub(paid).ok_or(Mismatch::Sum)?;
        let cap = wanted.max_fee;
        if fee > cap { Err(Mismatch::Fee { fee, cap }) } else { Ok(fee) }
    }
}

/// The output that nobody asked for, the wallet's change, by its own word.
pub(crate) fn change_of<'a>(
    signed: &'a Signed,
    asked: &[Output],
    check: &dyn SignedCheck,
) -> Result<Option<&'a Output>, Mismatch> {
    let mut rest: Vec<&Output> = signed.outputs.iter().collect();
    for output in asked {
        let pays =
            |made: &&Output| made.amount == output.amount && check.same(&made.address, &output.address);
        let made = rest.iter().position(pays);
        rest.swap_remove(made.ok_or_else(|| Mismatch::Unpaid(output.clone()))?);
    }
    match rest.as_slice() {
        [] => Ok(None),
        [change] => Ok(Some(change)),
        more => Err(Mismatch::Outputs(more.len())),
    }
}
