//! Payments: from a payable balance to a confirmed transaction; never twice, never lost.
//!
//! # States, allowed transitions, recovery
//!
//! A payment's state is what the ledger's log says, nothing else. Every transition is durable there **before** the call
//! that it announces; what a call did is written down after it.
//!
//! ```text
//!  reserved -> built -> submitting <-> sent -> settled        a wallet that builds, and sends bytes ("core", "bcoin")
//!  reserved ----------> submitting  -> sent -> settled        a wallet that can only send ("sendmany")
//!      |         |       |    ^         |
//!      |         |       v    |         |
//!      |         |      unknown --------+
//!      v         v       v              v        v
//!                   released                   undone
//! ```
//!
//! | state | means | after a restart, or at the next run |
//! |---|---|---|
//! | reserved | the rows left their balances; no byte of a transaction is stored | builder: nothing can have gone out, so build. sender: no call was announced, so announce and send |
//! | built | the signed bytes and txid are stored; no call that sends was announced | announce and send these bytes |
//! | submitting | a call that sends was announced; it happened or not | builder: look the txid up, else send the **same bytes** again. sender: read the wallet's history; found: sent; not found: unknown |
//! | sent | node or wallet has the transaction | count confirmations; enough: settled. Gone: the same bytes again |
//! | unknown | a call ended without an answer, or contradicts what was known | as submitting; a sender never sends again by itself. No new payment starts meanwhile |
//! | settled | confirmed; the debit is what was sent | looked at for a day: gone from the chain, the **same bytes** again |
//! | released | positively not paid; the rows are back in their balances | nothing |
//! | undone | settled, and another transaction has taken its place in the chain since; the rows are back | nothing |
//!
//! A batch that wallet or node refuse before anything went out is tried again with less, where the wallet's coins hardly
//! cover it and the network fee, or divided, until what they refuse stands alone: nobody waits for somebody else's address.
//!
//! What a builder signed is read natively before it is stored ([`SignedCheck`]): exactly the outputs asked for and at most
//! one more that is the wallet's own, spending only coins that no other open payment has, for a fee under the cap.
//!
//! A builder's payment has one transaction, ever: a second one is never built for it, and its inputs stay reserved until
//! it is settled or released. It is released only before the first call that sends, after a definite refusal of that
//! first call, or when another transaction that spends one of its inputs is confirmed as deep as the pool asks. A sender's
//! payment is released after a definite refusal, or by the operator when the wallet's history does not have it and its
//! call can wait nowhere any more: a day has gone by, or the wallet was started anew. One that its wallet made otherwise
//! than asked stays unknown until the operator has it booked as it was made; so does one that has several transactions. One
//! that is made once more, or after its release, stops payments until that is booked (`extra.rs`). A settled payment is
//! undone by the operator's order alone, and when another transaction that spends its coins is as deep as the pool asks.
//!
//! Notifications and metrics read what a run returns; they have no way to influence it.

mod charge;
mod decimal;
mod depth;
mod drivers;
mod error;
mod extra;
mod orders;
mod plan;
mod policy;
mod reconcile;
mod refusals;
mod restored;
mod rpc;
mod run;
mod schedule;
mod sending;
mod settled;
mod signed;
mod wallet;

pub use charge::{Charge, charge};
pub use decimal::{DecimalError, from_decimal, to_decimal};
pub use depth::depth;
pub use drivers::{BcoinWallet, CoreWallet, SendManyWallet};
pub use error::{SettlementError, WalletError};
pub use orders::Call;
pub use plan::{Due, Plan, Skip, Skipped, due, plan};
pub use policy::{PayTo, Payees, Policy};
pub use reconcile::{Code, Difference, Reconciled};
pub use rpc::{NodeRpc, Rest, Rpc};
pub use run::{Edge, Report, Settlement, Step};
pub use schedule::{Cron, Schedule, ScheduleError};
pub use signed::{BitcoinBytes, Mismatch, SignedCheck, WalletsWord, Wanted};
pub use wallet::{Kind, Lookup, Move, Output, Paid, Seen, Signed, Spent, Stands, Wallet, WalletBook};
