//! Verification of statements, offline: from the owner's leaf to the reward, to the entry, to the signed head, to the key that
//! the caller knows the pool by.
//!
//! What is checked is listed by [`Proven`], and so is what was not looked at and what only a node can say. The first thing that
//! is wrong ends it, with what was expected and what was found.

use crate::receipt::{self, ReceiptError, Receipted};
use crate::{
    Commitment, Contradiction, Division, Entries, FormError, KeyError, KeysInForce, Leaf, Path, PathError,
    Payment, PublicKey, Root, SignatureError, SignedHead, SignedReceipt, Statement, TreeKind, VERSION, What,
    contradiction, included, walk,
};
use millpond_types::{Digest, UnixMillis};
use std::fmt;

/// What a statement is held against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Against<'a> {
    /// The key the pool is known by. Without it a good signature says nothing of who signed.
    pub key: Option<PublicKey>,
    /// The pool it has to be.
    pub pool: Option<Digest>,
    /// The address whose statement it has to be.
    pub address: Option<&'a str>,
    /// Heads of the pool from elsewhere: its published chain, other miners, a mirror.
    pub heads: &'a [SignedHead],
    /// The receipts its miner has kept.
    pub receipts: &'a [SignedReceipt],
}

/// A tree by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeName {
    /// Credits.
    Credits,
    /// Work in a window.
    Work(u8),
    /// A payment's rows.
    Payment,
}

impl fmt::Display for TreeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credits => f.write_str("the credits"),
            Self::Work(window) => write!(f, "the work in window {window}"),
            Self::Payment => f.write_str("the payment's rows"),
        }
    }
}

/// Why a statement is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It cannot be read.
    #[error(transparent)]
    Form(#[from] FormError),
    /// A part of it has another version than the document.
    #[error("{what} has version {version}; this program knows version 1: take a newer one")]
    Version {
        /// Which part.
        what: &'static str,
        /// Its version.
        version: u8,
    },
    /// It is another pool's.
    #[error("{what} is of the pool {found}, not of {expected}")]
    OtherPool {
        /// What.
        what: &'static str,
        /// The pool it names.
        found: Digest,
        /// The pool it has to be.
        expected: Digest,
    },
    /// A head has a pool's id that its first key, network and name do not make.
    #[error(
        "head {number} names the pool {pool}, which is not the id of the first key, network and name in it"
    )]
    Origin {
        /// The head.
        number: u64,
        /// The id in it.
        pool: Digest,
    },
    /// It is another address's.
    #[error("this is the statement of {found:?}, not of {expected:?}")]
    OtherAddress {
        /// The address in it.
        found: String,
        /// The address it has to be.
        expected: String,
    },
    /// The key that signed the head was not in force.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The head's signature is bad.
    #[error("head {number}: {why}")]
    Signature {
        /// The head.
        number: u64,
        /// Why.
        why: SignatureError,
    },
    /// Heads contradict each other: both are signed, so this is evidence.
    #[error("{0}; keep both heads: they are evidence")]
    Heads(#[from] Contradiction),
    /// The entry is said to be written after the head.
    #[error("entry {entry} of the ledger is newer than head {head}, which ends at {newest}")]
    EntryAfterHead {
        /// The entry.
        entry: u64,
        /// The head.
        head: u64,
        /// Its newest entry.
        newest: u64,
    },
    /// The entry is not in the head's history.
    #[error(
        "the commitment is not entry {index} of the {size} that head {head} commits: it was changed, or never written"
    )]
    Inclusion {
        /// The place it is said to have.
        index: u64,
        /// Entries of the head.
        size: u64,
        /// The head.
        head: u64,
    },
    /// A window says that it counts shares and has no tree, or the reverse, or there are more than 255.
    #[error("window {0} of the commitment counts shares and shows none, or the reverse")]
    Window(usize),
    /// The sum of the credits is not what was divided.
    #[error(
        "the credits sum to {credits}, but {amount} with {drawn} carried in or drawn on the reserve was to be divided"
    )]
    NotTheReward {
        /// Their sum.
        credits: u128,
        /// What came in.
        amount: u64,
        /// What was carried in, and what was drawn on the reserve.
        drawn: u128,
    },
    /// The entry divides something and the statement has no part of it.
    #[error("the statement shows no part of {0}")]
    CreditMissing(TreeName),
    /// The statement has something the entry says nothing of.
    #[error("the statement shows {0}, which its entry has not")]
    Surplus(TreeName),
    /// The payment's row has no address, or charges more than it pays, or a credit has an address.
    #[error("the part of {0} has a payee where it should have none, or none, or is charged more than it is")]
    Payee(TreeName),
    /// A window has no proof of work.
    #[error("the statement does not show the work in window {0}, which counted shares")]
    WindowMissing(usize),
    /// The owner's value is above the sum of all.
    #[error("the part of {value} is above the sum of {tree}, {sum}")]
    ValueAbove {
        /// Of what.
        tree: TreeName,
        /// The part.
        value: u128,
        /// All.
        sum: u128,
    },
    /// A path has another shape than its place gives it.
    #[error("{tree}: {why}")]
    Shape {
        /// Of what.
        tree: TreeName,
        /// How.
        why: PathError,
    },
    /// Sums wrap.
    #[error(
        "{tree}: the sums at level {level} do not fit 128 bits: one of them stands for something negative"
    )]
    SumOverflow {
        /// Of what.
        tree: TreeName,
        /// Where.
        level: u8,
    },
    /// A path ends elsewhere.
    #[error("{tree}: {why}: the leaf is not in the tree that the pool committed")]
    Path {
        /// Of what.
        tree: TreeName,
        /// How.
        why: PathError,
    },
    /// A receipt is bad.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// More work was receipted than counted.
    #[error(
        "the pool signed receipts for {receipts} of work in window {window} and counted {counted}: keep the receipts and this \
         statement, together they are evidence"
    )]
    ReceiptsExceedWork {
        /// The window.
        window: usize,
        /// Work of the receipts inside.
        receipts: u128,
        /// The leaf.
        counted: u128,
    },
    /// A later entry took back or replaced what this one says.
    #[error("entry {by} of the ledger took this one back: {why}")]
    Superseded {
        /// The later entry.
        by: u64,
        /// What it did.
        why: String,
    },
    /// Two statements with good signatures show different entries at one place of the history.
    #[error(
        "two histories: place {index} of the history holds two different entries; keep both statements: they are evidence"
    )]
    TwoHistories {
        /// The place.
        index: u64,
    },
    /// One division of one subject was written down twice with different results.
    #[error(
        "division {division} of {subject} was committed twice, in the entries {first} and {second}; keep both statements"
    )]
    TwoDivisions {
        /// Of what.
        subject: String,
        /// Which.
        division: u64,
        /// An entry.
        first: u64,
        /// The other.
        second: u64,
    },
}

impl StatementError {
    /// A short name for programs, which stays.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form(FormError::Field { .. }) => "form",
            Self::Form(FormError::Version(_)) | Self::Version { .. } => "version",
            Self::OtherPool { .. } => "other-pool",
            Self::Origin { .. } => "origin",
            Self::OtherAddress { .. } => "other-address",
            Self::Key(KeyError::Unknown { .. }) => "key-unknown",
            Self::Key(KeyError::NotYet { .. }) => "key-not-yet",
            Self::Key(KeyError::Replaced { .. }) => "key-replaced",
            Self::Signature { .. } => "signature",
            Self::Heads(Contradiction::TwoHeads { .. }) => "two-heads",
            Self::Heads(Contradiction::ChainBroken { .. }) => "chain-broken",
            Self::Heads(Contradiction::NotContinued { .. }) => "not-continued",
            Self::Heads(Contradiction::Losses { .. }) => "losses",
            Self::EntryAfterHead { .. } => "entry-after-head",
            Self::Inclusion { .. } => "inclusion",
            Self::Window(_) => "window",
            Self::NotTheReward { .. } => "not-the-reward",
            Self::CreditMissing(_) => "credit-missing",
            Self::Surplus(_) => "surplus",
            Self::Payee(_) => "payee",
            Self::WindowMissing(_) => "window-missing",
            Self::ValueAbove { .. } => "value-above",
            Self::Shape { .. } => "shape",
            Self::SumOverflow { .. } => "sum-overflow",
            Self::Path { .. } => "path",
            Self::Receipt(_) => "receipt",
            Self::ReceiptsExceedWork { .. } => "receipts-exceed-work",
            Self::Superseded { .. } => "superseded",
            Self::TwoHistories { .. } => "two-histories",
            Self::TwoDivisions { .. } => "two-divisions",
        }
    }
}

/// A part that was shown to be in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of what.
    pub tree: TreeName,
    /// The owner's.
    pub value: u128,
    /// All owners'.
    pub sum: u128,
    /// How many owners.
    pub owners: u64,
}

/// What was not looked at, for want of something to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotLookedAt {
    /// Whose key it is.
    Key(PublicKey),
    /// Whether the statement is the caller's.
    Address,
    /// Whose the statement is: of an entry that takes another back or restores it, owner and address are bound to nothing.
    Nobody,
    /// Whether others are shown the same ledger.
    Heads,
    /// Whether all accepted shares were counted: there are no receipts.
    Receipts,
    /// The same, for a window that chooses share by share or measures in units.
    Incomparable {
        /// The window.
        window: usize,
    },
}

impl fmt::Display for NotLookedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(
                f,
                "whose key {key} is: the signature is good for the key in the file; compare it with the one on the pool's site"
            ),
            Self::Address => f.write_str("whether this is your address: give it to have it compared"),
            Self::Nobody => f.write_str(
                "whose this is: the entry concerns all who were in the one that it names, and no signature is over owner and address",
            ),
            Self::Heads => {
                f.write_str("whether the pool shows others another ledger: give heads from elsewhere")
            }
            Self::Receipts => f.write_str("whether every accepted share was counted: there are no receipts"),
            Self::Incomparable { window } => write!(
                f,
                "whether every accepted share was counted in window {window}: receipts of ranges cannot be held against it"
            ),
        }
    }
}

/// What only a node of the chain can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskNode {
    /// Whether the income is on the chain, and as large.
    Income {
        /// The income's key.
        subject: String,
        /// What it paid.
        amount: u64,
    },
    /// Whether the transaction pays.
    Payment {
        /// The transaction.
        txid: String,
        /// The address.
        address: String,
        /// What arrived.
        amount: u128,
    },
}

impl fmt::Display for AskNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Income { subject, amount } => {
                write!(f, "is income {subject} on the chain, and does it pay {amount}?")
            }
            Self::Payment { txid, address, amount } => {
                write!(f, "does transaction {txid} pay {amount} to {address}?")
            }
        }
    }
}

/// What a statement proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The pool.
    pub pool: Digest,
    /// The owner's address; empty where the entry is of nobody in particular.
    pub address: String,
    /// The owner's name in the ledger; empty where the entry is of nobody in particular.
    pub owner: String,
    /// What the entry is about.
    pub subject: String,
    /// The commitment's hash.
    pub commitment: Digest,
    /// The owner's parts: the credit or payment first, then his work in each window.
    pub parts: Vec<Part>,
    /// The key that signed.
    pub key: PublicKey,
    /// The head.
    pub head: u64,
    /// Its time, as the pool says.
    pub time: UnixMillis,
    /// What receipts came to, by window.
    pub receipts: Vec<(usize, Receipted)>,
    /// What was not looked at.
    pub not_looked_at: Vec<NotLookedAt>,
    /// What only a node can say.
    pub ask_a_node: Vec<AskNode>,
}

/// Verifies one statement.
///
/// # Errors
/// At the first thing that is wrong.
pub fn verify(statement: &Statement, against: &Against<'_>) -> Result<Proven, StatementError> {
    let (commitment, head) = (&statement.commitment, &statement.head.body);
    check_versions(statement)?;
    let pool = against.pool.unwrap_or(commitment.pool);
    for (what, found) in [("the statement", commitment.pool), ("its head", head.pool)] {
        if found != pool {
            return Err(StatementError::OtherPool { what, found, expected: pool });
        }
    }
    if let Some(expected) = against.address.filter(|expected| *expected != statement.address) {
        let (found, expected) = (statement.address.clone(), expected.to_owned());
        return Err(StatementError::OtherAddress { found, expected });
    }
    let keys = KeysInForce::new(against.key.unwrap_or(head.key), &pool, against.heads);
    check_head(&statement.head, &keys)?;
    check_heads(against.heads.iter().chain([&statement.head]).collect(), &pool, &keys)?;
    check_place(statement)?;

    let mut proven = Proven {
        pool,
        address: statement.address.clone(),
        owner: statement.owner.clone(),
        subject: commitment.subject_text(),
        commitment: commitment.hash(),
        parts: Vec::new(),
        key: head.key,
        head: head.number,
        time: head.time,
        receipts: Vec::new(),
        not_looked_at: Vec::new(),
        ask_a_node: Vec::new(),
    };
    match &commitment.what {
        What::Income(division) => {
            check_division(statement, division, &mut proven)?;
            let (subject, amount) = (proven.subject.clone(), division.amount.0);
            proven.ask_a_node.push(AskNode::Income { subject, amount });
        }
        What::Accrued(division) => check_division(statement, division, &mut proven)?,
        What::Payment(payment) => check_payment(statement, payment, &mut proven)?,
        What::Reversed(_) | What::Kept(_) | What::Reinstated(_) | What::Undone(_) => {
            if statement.credit.is_some() {
                return Err(StatementError::Surplus(TreeName::Credits));
            }
            no_work(statement)?;
            // No leaf has them.
            (proven.address, proven.owner) = (String::new(), String::new());
            proven.not_looked_at.push(NotLookedAt::Nobody);
        }
    }
    check_receipts(statement, against.receipts, &keys, &mut proven)?;
    if against.key.is_none() {
        proven.not_looked_at.push(NotLookedAt::Key(head.key));
    }
    if against.address.is_none() && !proven.not_looked_at.contains(&NotLookedAt::Nobody) {
        proven.not_looked_at.push(NotLookedAt::Address);
    }
    if against.heads.is_empty() {
        proven.not_looked_at.push(NotLookedAt::Heads);
    }
    Ok(proven)
}

fn check_versions(statement: &Statement) -> Result<(), StatementError> {
    for (what, version) in [
        ("the statement", statement.millpond_statement),
        ("the commitment", statement.commitment.version),
        ("the head", statement.head.body.version),
    ] {
        if version != VERSION {
            return Err(StatementError::Version { what, version });
        }
    }
    Ok(())
}

fn check_head(head: &SignedHead, keys: &KeysInForce) -> Result<(), StatementError> {
    let number = head.body.number;
    if !head.body.is_named() {
        return Err(StatementError::Origin { number, pool: head.body.pool });
    }
    keys.check(&head.body.key, number)?;
    head.verify().map_err(|why| StatementError::Signature { number, why })
}

/// Checks heads, and each against its next.
fn check_heads(mut heads: Vec<&SignedHead>, pool: &Digest, keys: &KeysInForce) -> Result<(), StatementError> {
    for head in &heads {
        if head.body.version != VERSION {
            return Err(StatementError::Version { what: "a head", version: head.body.version });
        }
        if head.body.pool != *pool {
            let (what, found, expected) = ("a head", head.body.pool, *pool);
            return Err(StatementError::OtherPool { what, found, expected });
        }
        check_head(head, keys)?;
    }
    heads.sort_by_key(|head| head.body.number);
    for (before, after) in heads.iter().zip(heads.iter().skip(1)) {
        if let Some(found) = contradiction(&before.body, &after.body) {
            return Err(found.into());
        }
    }
    Ok(())
}

fn check_place(statement: &Statement) -> Result<(), StatementError> {
    let (place, head) = (&statement.entry, &statement.head.body);
    let newer = place.restarts > head.restarts
        || (place.restarts == head.restarts && place.ledger_seq > head.ledger_seq);
    if newer {
        let (entry, newest) = (place.ledger_seq, head.ledger_seq);
        return Err(StatementError::EntryAfterHead { entry, head: head.number, newest });
    }
    let leaf = statement.entry().leaf();
    if included::<Entries>(&leaf, place.index, head.size, &place.inclusion, &head.root) {
        Ok(())
    } else {
        Err(StatementError::Inclusion { index: place.index, size: head.size, head: head.number })
    }
}

fn check_division(
    statement: &Statement,
    division: &Division,
    proven: &mut Proven,
) -> Result<(), StatementError> {
    for (at, window) in division.windows.iter().enumerate() {
        if window.span.counts() != window.counted.is_some() || u8::try_from(at).is_err() {
            return Err(StatementError::Window(at));
        }
    }
    let drawn = u128::from(division.carry_in.0) + u128::from(division.reserve_in.0);
    if division.credits.sum != u128::from(division.amount.0) + drawn {
        let amount = division.amount.0;
        return Err(StatementError::NotTheReward { credits: division.credits.sum, amount, drawn });
    }
    let credit = statement.credit.as_ref().ok_or(StatementError::CreditMissing(TreeName::Credits))?;
    if credit.paid.is_some() {
        return Err(StatementError::Payee(TreeName::Credits));
    }
    let leaf = statement.credit_leaf(credit);
    proven.parts.push(in_tree(
        &statement.commitment,
        TreeName::Credits,
        &leaf,
        &credit.path,
        &division.credits,
    )?);

    let mut shown = vec![false; division.windows.len()];
    for work in &statement.work {
        let name = TreeName::Work(work.window);
        let at = usize::from(work.window);
        let counted = division.windows.get(at).and_then(|window| window.counted.as_ref());
        let (Some(counted), Some(shown)) = (counted, shown.get_mut(at).filter(|shown| !**shown)) else {
            return Err(StatementError::Surplus(name));
        };
        *shown = true;
        let leaf = statement.work_leaf(work);
        proven.parts.push(in_tree(&statement.commitment, name, &leaf, &work.path, &counted.work)?);
    }
    let hidden = |(at, shown): (usize, &bool)| {
        let counts = division.windows.get(at).is_some_and(|window| window.counted.is_some());
        (counts && !shown).then_some(at)
    };
    // Fees, carry and reserve have no address and no work.
    match shown.iter().enumerate().find_map(hidden) {
        Some(at) if !statement.address.is_empty() => Err(StatementError::WindowMissing(at)),
        _ => Ok(()),
    }
}

fn check_payment(
    statement: &Statement,
    payment: &Payment,
    proven: &mut Proven,
) -> Result<(), StatementError> {
    if payment.rows.sum != u128::from(payment.amount.0) {
        let (credits, amount) = (payment.rows.sum, payment.amount.0);
        return Err(StatementError::NotTheReward { credits, amount, drawn: 0 });
    }
    let credit = statement.credit.as_ref().ok_or(StatementError::CreditMissing(TreeName::Payment))?;
    let payee = StatementError::Payee(TreeName::Payment);
    let paid = credit.paid.as_ref().ok_or(payee.clone())?;
    let amount = credit.value.checked_sub(u128::from(paid.charged.0)).ok_or(payee)?;
    no_work(statement)?;
    let leaf = statement.credit_leaf(credit);
    proven.parts.push(in_tree(&statement.commitment, TreeName::Payment, &leaf, &credit.path, &payment.rows)?);
    let (txid, address) = (hex::encode(&payment.txid), paid.address.clone());
    proven.ask_a_node.push(AskNode::Payment { txid, address, amount });
    Ok(())
}

fn no_work(statement: &Statement) -> Result<(), StatementError> {
    statement.work.first().map_or(Ok(()), |work| Err(StatementError::Surplus(TreeName::Work(work.window))))
}

fn in_tree(
    commitment: &Commitment,
    name: TreeName,
    leaf: &Leaf,
    path: &Path,
    root: &Root,
) -> Result<Part, StatementError> {
    let (kind, window) = match name {
        TreeName::Credits => (TreeKind::Credits, 0),
        TreeName::Work(window) => (TreeKind::Work, window),
        TreeName::Payment => (TreeKind::Payment, 0),
    };
    if leaf.value > root.sum {
        return Err(StatementError::ValueAbove { tree: name, value: leaf.value, sum: root.sum });
    }
    walk(&commitment.tree(kind, window), leaf, path, root).map_err(|why| match why {
        PathError::Place { .. } | PathError::TooFew { .. } | PathError::TooMany { .. } => {
            StatementError::Shape { tree: name, why }
        }
        PathError::Overflow { level } => StatementError::SumOverflow { tree: name, level },
        PathError::Sum { .. } | PathError::Hash { .. } => StatementError::Path { tree: name, why },
    })?;
    Ok(Part { tree: name, value: leaf.value, sum: root.sum, owners: root.count })
}

fn check_receipts(
    statement: &Statement,
    receipts: &[SignedReceipt],
    keys: &KeysInForce,
    proven: &mut Proven,
) -> Result<(), StatementError> {
    let Some(division) = statement.commitment.division() else { return Ok(()) };
    if receipts.is_empty() {
        proven.not_looked_at.push(NotLookedAt::Receipts);
        return Ok(());
    }
    let pool = &statement.commitment.pool;
    let good = receipt::check(receipts, pool, &statement.owner, &statement.address, keys)?;
    for work in &statement.work {
        let window = usize::from(work.window);
        match receipt::inside(&good, division, statement.entry.restarts, window) {
            None => proven.not_looked_at.push(NotLookedAt::Incomparable { window }),
            Some(sums) if sums.work > work.value => {
                let (receipts, counted) = (sums.work, work.value);
                return Err(StatementError::ReceiptsExceedWork { window, receipts, counted });
            }
            Some(sums) => proven.receipts.push((window, sums)),
        }
    }
    Ok(())
}
