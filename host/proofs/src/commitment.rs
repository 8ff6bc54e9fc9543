//! Commitments: what one entry of the ledger says, small enough to be handed out with every statement.
//!
//! A commitment names the sums and roots of a division, how it was decided and by whom. Its hash, with the place of its entry,
//! is a leaf of the history tree that heads sign.

use crate::encode::{cases, fields};
use crate::{Domain, PublicKey, Root, TreeId, TreeKind, text};
use millpond_types::{Amount, Digest, PoolName, ShareSeq, UnixMillis};

/// The version of all documents and encodings that this program writes and reads.
pub const VERSION: u8 = 1;

/// Who a pool is: follows from the first key it ever signed with, its network and its name. A pool keeps it over new keys.
#[must_use]
pub fn pool_id(first: &PublicKey, network: &str, name: &PoolName) -> Digest {
    Origin { key: *first, network: network.to_owned(), name: name.as_str().to_owned() }.pool()
}

fields! {
    /// What a pool's id is made of.
    struct Origin {
        /// The key that signed its first head.
        key: PublicKey,
        /// Its network.
        network: String,
        /// Its name.
        name: String,
    }

    /// What an entry says.
    struct Commitment {
        /// The version of the encoding: 1.
        version: u8,
        /// Whose ledger ([`pool_id`]).
        pool: Digest,
        /// About what: an income's key; `shares FIRST..=LAST`; `payment N`.
        #[serde(with = "text::bytes")]
        subject: Vec<u8>,
        /// How often the subject was divided before: a division that was taken back never passes for the next one.
        #[serde(with = "text")]
        division: u64,
        /// What is said.
        what: What,
    }

    /// An income or a batch of shares, divided.
    struct Division {
        /// What the chain paid, or what the reserve pays for the batch.
        #[serde(with = "text")]
        amount: Amount,
        /// Units of rounding from before that are divided along with it.
        #[serde(with = "text")]
        carry_in: Amount,
        /// Units of the operator's reserve that are divided along with it.
        #[serde(with = "text")]
        reserve_in: Amount,
        /// The chain paid the owners itself, in the coinbase.
        direct: bool,
        /// The income's number, as the scheme was told it.
        #[serde(with = "text")]
        number: u64,
        /// Where its windows end.
        end: WindowEnd,
        /// A unit of work is 2^shift expected hashes.
        shift: u8,
        /// Every window that the scheme declared, in its order; behind them those of the scheme before it, where that still pays
        /// for work up to where this one took over: what is behind it counts as nobody's of an address.
        windows: Vec<Window>,
        /// The tree of credits. Fees, carry and reserve are in it, so its sum is
        /// `amount + carry_in + reserve_in`.
        credits: Root,
        /// The payout scheme.
        scheme: Plugin,
        /// The fee policies, in the order in which they are applied.
        fees: Vec<Plugin>,
        /// The scheme's cells before, hashed.
        state_before: Digest,
        /// The scheme's cells after, hashed.
        state_after: Digest,
    }

    /// The near end of the windows, as the journal fixed it.
    struct WindowEnd {
        /// The last share that belongs to it; 0 when there were none yet.
        #[serde(with = "text")]
        share: ShareSeq,
        /// The time that `millis` counts back from.
        #[serde(with = "text")]
        time: UnixMillis,
        /// The coordinate that `coord` counts back from.
        #[serde(with = "text")]
        coord: u64,
        /// The network's work there, for `work`.
        #[serde(with = "text")]
        network_work: u128,
        /// The round is all shares after this one.
        #[serde(with = "text")]
        round_after: ShareSeq,
    }

    /// A window as the scheme declared it, and what was counted in it.
    struct Window {
        /// How far back.
        span: Span,
        /// Measured in what.
        measure: Measure,
        /// What becomes of the share on the far edge.
        edge: Edge,
        /// What was counted; none for `finder` and `state`, which look at no shares.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counted: Option<Counted>,
    }

    /// A window in slices.
    struct Slices {
        /// How long it is, in thousandths of the network's work.
        #[serde(with = "text")]
        thousandths: u64,
        /// A slice ends with its coordinate, and where fees are so much above those of its first share; 0: with its
        /// coordinate alone.
        #[serde(with = "text")]
        step: u64,
    }

    /// The shares of a window.
    struct Counted {
        /// The first share that counts, in part or in full.
        #[serde(with = "text")]
        first: ShareSeq,
        /// The tree of work. Whoever has a leaf in one tree of a division has one in each of them, if need be of 0.
        work: Root,
    }

    /// A plugin with its settings.
    struct Plugin {
        /// Its name.
        name: String,
        /// BLAKE3 of its component, without a context: what `b3sum` prints.
        component: Digest,
        /// Its settings, sorted by name.
        settings: Vec<NamedSetting>,
    }

    /// A setting of a plugin.
    struct NamedSetting {
        /// Its name.
        name: String,
        /// Its value.
        value: Setting,
    }

    /// A payment.
    struct Payment {
        /// What was taken from balances, fees included.
        #[serde(with = "text")]
        amount: Amount,
        /// The transaction, as the chain writes its id.
        #[serde(with = "text::bytes")]
        txid: Vec<u8>,
        /// The tree of rows; its sum is `amount`.
        rows: Root,
    }

    /// An entry that takes back what another said.
    struct Undoing {
        /// The hash of the other's commitment.
        of: Digest,
        /// Why, in words.
        reason: String,
    }
}

cases! {
    /// What an entry says.
    enum What {
        /// An income was divided.
        0 => Income(division: Division),
        /// A batch of shares was credited from the reserve.
        1 => Accrued(division: Division),
        /// A payment was confirmed.
        2 => Payment(payment: Payment),
        /// The chain took an income back, and the credits are forgotten.
        3 => Reversed(undoing: Undoing),
        /// The chain took an income back, and the miners keep their credits at the operator's cost.
        4 => Kept(undoing: Undoing),
        /// An income that was taken back is there again.
        5 => Reinstated(undoing: Undoing),
        /// A payment was undone: the chain spent its inputs elsewhere.
        6 => Undone(undoing: Undoing),
    }

    /// How far back a window reaches.
    enum Span {
        /// Shares after the end of the round before.
        0 => Round,
        /// No shares: the block's miner.
        1 => Finder,
        /// The newest shares, so many.
        2 => Shares(#[serde(with = "text")] count: u64),
        /// The newest shares up to so many thousandths of the network's work.
        3 => Work(#[serde(with = "text")] thousandths: u64),
        /// So many milliseconds.
        4 => Millis(#[serde(with = "text")] millis: u64),
        /// So many coordinates.
        5 => Coord(#[serde(with = "text")] steps: u64),
        /// No shares: the scheme's cells decide.
        6 => State,
        /// The shares of one batch.
        7 => Batch,
        /// As many thousandths of the network's work, in slices.
        8 => Slices(slices: Slices),
        /// Shares that no income had paid, newest first, up to what is divided; at most so many back.
        9 => Unpaid(#[serde(with = "text")] most: u64),
    }

    /// What a share weighs.
    #[derive(Copy)]
    enum Measure {
        /// Its work.
        0 => Work,
        /// Its work as a fraction of the network's, 2^64 = 1.
        1 => Units,
        /// One.
        2 => Count,
        /// What it was worth, 2^32 to the smallest unit.
        3 => Value,
        /// The same of the subsidy.
        4 => SubsidyValue,
        /// The same of the fees; in slices its part of its slice's work by the fees of its job, 2^32 to the unit of work.
        5 => FeeValue,
    }

    /// What becomes of the share on the far edge of a `work` window.
    #[derive(Copy)]
    enum Edge {
        /// It counts in full.
        0 => Whole,
        /// It counts as far as it fits.
        1 => Split,
        /// It does not count.
        2 => Cut,
    }

    /// A setting's value.
    enum Setting {
        /// A text.
        0 => Text(value: String),
        /// A number.
        1 => Int(#[serde(with = "text")] value: i64),
        /// Yes or no.
        2 => Flag(value: bool),
    }
}

impl Origin {
    /// The pool's id.
    #[must_use]
    pub fn pool(&self) -> Digest {
        Domain::Pool.of(self)
    }
}

impl Span {
    /// Whether shares are counted in such a window.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !matches!(self, Self::Finder | Self::State)
    }
}

impl Commitment {
    /// A commitment of this version.
    #[must_use]
    pub const fn new(pool: Digest, subject: Vec<u8>, division: u64, what: What) -> Self {
        Self { version: VERSION, pool, subject, division, what }
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Domain::Commitment.of(self)
    }

    /// The id of one of its trees.
    #[must_use]
    pub fn tree(&self, kind: TreeKind, window: u8) -> TreeId {
        TreeId::new(&self.pool, kind, window, &self.subject, self.division)
    }

    /// What was divided, if something was.
    #[must_use]
    pub const fn division(&self) -> Option<&Division> {
        match &self.what {
            What::Income(division) | What::Accrued(division) => Some(division),
            What::Payment(_) | What::Reversed(_) | What::Kept(_) | What::Reinstated(_) | What::Undone(_) => {
                None
            }
        }
    }

    /// The commitment that this one takes back or restores.
    #[must_use]
    pub const fn undoing(&self) -> Option<&Undoing> {
        match &self.what {
            What::Reversed(undoing)
            | What::Kept(undoing)
            | What::Reinstated(undoing)
            | What::Undone(undoing) => Some(undoing),
            What::Income(_) | What::Accrued(_) | What::Payment(_) => None,
        }
    }

    /// The subject as people write it: an income's key in hex, the words of the others as they are.
    #[must_use]
    pub fn subject_text(&self) -> String {
        let in_words = matches!(self.what, What::Accrued(_) | What::Payment(_) | What::Undone(_));
        match std::str::from_utf8(&self.subject) {
            Ok(text) if in_words && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => {
                text.to_owned()
            }
            _ => hex::encode(&self.subject),
        }
    }
}

/// The hash of a scheme's cells.
#[must_use]
pub fn state_digest(cells: &[u8]) -> Digest {
    Digest::of(cells)
}
