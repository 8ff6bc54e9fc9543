//! Why a block or a transaction is not accepted, in Bitcoin Core's words.

/// A block that is not accepted. The text is what `submitblock` answers.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Reject {
    /// Known already.
    #[error("duplicate")]
    Duplicate,
    /// Known already and bad.
    #[error("duplicate-invalid")]
    DuplicateInvalid,
    /// Valid as far as was looked, but not on the best chain.
    #[error("inconclusive")]
    Inconclusive,
    /// A proposal that does not stand on the tip.
    #[error("inconclusive-not-best-prevblk")]
    NotBestParent,
    /// Anything that the rules forbid.
    #[error("{0}")]
    Invalid(String),
}

impl Reject {
    pub(crate) fn invalid(reason: &str) -> Self {
        Self::Invalid(reason.to_owned())
    }
}

/// A transaction that does not enter the mempool.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TxReject {
    /// In the mempool already, which `sendrawtransaction` takes for success.
    #[error("txn-already-in-mempool")]
    InMempool,
    /// In the chain already, with outputs that are not spent.
    #[error("Transaction outputs already in utxo set")]
    InChain,
    /// An input that does not exist or is spent.
    #[error("bad-txns-inputs-missingorspent")]
    MissingInputs,
    /// Anything else.
    #[error("{0}")]
    Invalid(String),
}

impl TxReject {
    pub(crate) fn invalid(reason: &str) -> Self {
        Self::Invalid(reason.to_owned())
    }
}
