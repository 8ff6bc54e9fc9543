//! What the host calls of a chain adapter.

use crate::Settings;
use crate::chain::{
    Action, Assembled, Coin, Decoded, Description, Event, Frame, Outgoing, Payee, PaymentPlan, PaymentRow,
    PaymentView, Solution, Verdict,
};
use millpond_runtime::{CallError, Outcome};
use millpond_types::Digest;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The optional interfaces that an adapter exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Optional {
    /// Proof-of-work algorithms of its own.
    pub pow: bool,
    /// A codec for miners' messages.
    pub codec: bool,
    /// Session values that no recipe can derive.
    pub session_work: bool,
    /// A merged-mining parent.
    pub merge_parent: bool,
}

/// What an adapter's own algorithms have cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowFigures {
    /// Batches that were hashed.
    pub batches: u64,
    /// Instances that were made for them.
    pub instances: u64,
    /// Keys that were prepared, in all instances.
    pub prepared: u64,
    /// Batches that failed in an instance that had served before, and were hashed again in a new one.
    pub again: u64,
    /// Batches that were done again in a new instance and came to the same.
    pub checked: u64,
    /// Instances that wait for a batch.
    pub idle: usize,
    /// A result was another in an instance that had served before than in a new one: since then each batch has an
    /// instance of its own.
    pub stateful: bool,
}

impl std::ops::Add for PowFigures {
    type Output = Self;

    /// Of two adapters together.
    fn add(self, other: Self) -> Self {
        Self {
            batches: self.batches.saturating_add(other.batches),
            instances: self.instances.saturating_add(other.instances),
            prepared: self.prepared.saturating_add(other.prepared),
            again: self.again.saturating_add(other.again),
            checked: self.checked.saturating_add(other.checked),
            idle: self.idle.saturating_add(other.idle),
            stateful: self.stateful || other.stateful,
        }
    }
}

/// One version of a chain adapter with its settings. Everything here but [`ChainAdapter::start_actor`] is pure and
/// runs in a fresh instance ([`ChainAdapter::pow`] in one that is kept), on the caller's thread, with a deadline; it
/// never waits for the actor.
pub trait ChainAdapter: Send + Sync {
    /// The digest of the component.
    fn digest(&self) -> Digest;
    /// What `describe` said at load.
    fn description(&self) -> &Description;
    /// The settings it was loaded with.
    fn settings(&self) -> &Settings;
    /// Which optional interfaces it exports.
    fn optional(&self) -> Optional;
    /// A new warm actor; `describe` has been called in it.
    ///
    /// # Errors
    /// When the instance cannot be made or describes itself otherwise than at load.
    fn start_actor(&self) -> Result<Box<dyn AdapterActor>, CallError>;
    /// `block.assemble`.
    ///
    /// # Errors
    /// The adapter's own, or a trap: the caller tries once more and alarms.
    fn assemble(&self, solution: &Solution) -> Outcome<Assembled>;
    /// `block.read-reply`: what a node's reply to the method means, and the words for the log.
    ///
    /// # Errors
    /// A trap.
    fn read_reply(&self, method: &str, reply: &[u8]) -> Outcome<(Verdict, String)>;
    /// `payee.resolve`, one result per name.
    ///
    /// # Errors
    /// A trap, or a result of another length.
    fn resolve(&self, names: &[String]) -> Outcome<Vec<Result<Payee, String>>>;
    /// `settlement.plan-payment`.
    ///
    /// # Errors
    /// The adapter's own, or a trap.
    fn plan_payment(&self, rows: &[PaymentRow], view: &PaymentView) -> Outcome<PaymentPlan>;
    /// `settlement.read-coins`.
    ///
    /// # Errors
    /// The adapter's own, or a trap.
    fn read_coins(&self, reply: &[u8]) -> Outcome<Vec<Coin>>;
    /// `settlement.find`: the transaction with our marker in a wallet's history.
    ///
    /// # Errors
    /// The adapter's own, or a trap.
    fn find(&self, marker: &str, history: &[u8]) -> Outcome<Option<Vec<u8>>>;
    /// `codec.decode`.
    ///
    /// # Errors
    /// A trap, or an adapter without a codec.
    fn decode(&self, dialect: u16, frames: &[Frame]) -> Outcome<Vec<Decoded>>;
    /// `codec.encode`.
    ///
    /// # Errors
    /// A trap, or an adapter without a codec.
    fn encode(&self, dialect: u16, messages: &[Outgoing]) -> Outcome<Vec<Frame>>;
    /// `session-work.consts`: one list of session values per payee.
    ///
    /// # Errors
    /// The adapter's own, a trap, or an adapter without the interface.
    fn session_consts(&self, private: &[u8], payees: &[Vec<u8>]) -> Outcome<Vec<Vec<Vec<u8>>>>;
    /// `merge-parent.prove`.
    ///
    /// # Errors
    /// The adapter's own, a trap, or an adapter without the interface.
    fn prove(&self, solution: &Solution, aux: u32) -> Outcome<Vec<u8>>;
    /// `pow.prepare` and `pow.run` over `inputs`, items of `width` bytes: 32 bytes each, all ones for invalid. In an
    /// instance that is kept with the keys that were prepared in it, one for each thread that calls at once. What such a
    /// call comes to is what it comes to in a new instance; an adapter for which that is not so is found out, sooner or
    /// later, and from then on gets a new one for each batch.
    ///
    /// # Errors
    /// The adapter's own, a trap, a result of another length, or an adapter without the interface.
    fn pow(&self, algorithm: &str, key: &[u8], width: u32, inputs: &[u8]) -> Outcome<Vec<u8>>;
    /// What its own algorithms have cost so far; nothing where it has none.
    fn pow_figures(&self) -> PowFigures {
        PowFigures::default()
    }
    /// Gives back the instances of its own algorithms that have hashed nothing for longer than this. Called now and then
    /// by whoever drives the adapter, so that a pool that stands holds no memory.
    fn rest(&self, _after: Duration) {}
}

/// The one stateful instance. Calls are serial. After a trap it is dropped and another one starts.
pub trait AdapterActor: Send {
    /// `adapter.handle`.
    ///
    /// # Errors
    /// The adapter's own: the event failed and the instance lives. A trap: the instance is gone.
    fn handle(&mut self, event: &Event) -> Outcome<Vec<Action>>;
}
