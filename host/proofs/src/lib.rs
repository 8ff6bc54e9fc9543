//! What miners can check: the bytes, hashes, signatures and proofs of statements, and their verification.
//!
//! A pool hands every miner a [`Statement`] of each income and each payment: his part and his work as leaves of salted Merkle
//! sum trees ([`tree`]), the [`Commitment`] that names their roots and sums, its place in the history of all commitments
//! ([`history`]), and a signed head of that history ([`head`]). [`verify`](verify()) goes from the leaf to the signature with
//! nothing but the document and the key the pool is known by. `docs/proofs.md` has every format to the byte, and says what a
//! statement cannot prove.
//!
//! This crate is what a pool, a miner's tool and a web page share. It does no I/O, reads no clock and draws no random numbers
//! (salts and keys are arguments), knows neither ledger nor journal, and needs no C compiler.

mod commitment;
mod domain;
mod encode;
pub mod evidence;
pub mod head;
pub mod history;
mod keys;
pub mod receipt;
mod statement;
mod text;
mod together;
pub mod tree;
mod verify;

pub use commitment::{
    Commitment, Counted, Division, Edge, Measure, NamedSetting, Origin, Payment, Plugin, Setting, Slices,
    Span, Undoing, VERSION, What, Window, WindowEnd, pool_id, state_digest,
};
pub use domain::Domain;
pub use encode::Encode;
pub use evidence::{Compared, Evidence, EvidenceError, Found, Placed, Shown, compare};
pub use head::{
    Contradiction, Entry, HeadBody, HeadKind, KeyError, KeysInForce, Loss, NextKey, SignedHead, contradiction,
};
pub use history::{Entries, History, HistoryHash, continues, included};
pub use keys::{PublicKey, Signature, SignatureError, Signer};
pub use receipt::{Connection, ReceiptBody, ReceiptError, Receipted, SignedReceipt, add_share};
pub use statement::{Consistency, Credit, FormError, Paid, Place, Statement, Work};
pub use together::verify_all;
pub use tree::{Leaf, Path, PathError, Root, Salt, Sum, Tree, TreeError, TreeId, TreeKind, build, walk};
pub use verify::{Against, AskNode, NotLookedAt, Part, Proven, StatementError, TreeName, verify};
