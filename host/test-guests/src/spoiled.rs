//! A good adapter with one thing wrong.

use millpond_contracts::chain::{
    Action, AdapterActor, Assembled, ChainAdapter, Coin, Decoded, Description, Event, Frame, Optional,
    Outgoing, Payee, PaymentPlan, PaymentRow, PaymentView, Solution, Verdict,
};
use millpond_contracts::{CallError, Outcome, Settings};
use millpond_types::Digest;
use std::fmt;
use std::sync::Arc;

/// Changes an event before the adapter sees it.
pub type Blind = Arc<dyn Fn(&mut Event) + Send + Sync>;
/// Changes what the adapter did at an event, or ends it.
pub type Spoil = Arc<dyn Fn(&Event, &mut Vec<Action>) -> Result<(), CallError> + Send + Sync>;
/// Changes whom a name pays.
pub type Steal = Arc<dyn Fn(&mut Payee) + Send + Sync>;
/// Changes an assembled block, or ends its assembly.
pub type Block = Arc<dyn Fn(&mut Assembled) -> Result<(), CallError> + Send + Sync>;

/// An adapter with one thing wrong.
#[derive(Clone)]
pub struct Spoiled {
    /// The good adapter.
    pub inner: Arc<dyn ChainAdapter>,
    /// The component that it passes for: the good one's, or another's.
    pub digest: Digest,
    /// What it says of itself.
    pub description: Description,
    /// Before it sees an event.
    pub blind: Blind,
    /// After it has acted.
    pub spoil: Spoil,
    /// After it has assembled.
    pub block: Block,
    /// After it has read a name.
    pub payee: Steal,
}

impl fmt::Debug for Spoiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spoiled")
    }
}

impl Spoiled {
    /// With nothing wrong yet.
    #[must_use]
    pub fn of(inner: Arc<dyn ChainAdapter>) -> Self {
        Self {
            digest: inner.digest(),
            description: inner.description().clone(),
            inner,
            blind: Arc::new(|_| {}),
            spoil: Arc::new(|_, _| Ok(())),
            block: Arc::new(|_| Ok(())),
            payee: Arc::new(|_| {}),
        }
    }
}

struct Actor {
    inner: Box<dyn AdapterActor>,
    blind: Blind,
    spoil: Spoil,
}

impl AdapterActor for Actor {
    fn handle(&mut self, event: &Event) -> Outcome<Vec<Action>> {
        let mut seen = event.clone();
        (self.blind)(&mut seen);
        let mut done = self.inner.handle(&seen)?;
        (self.spoil)(event, &mut done.value)?;
        Ok(done)
    }
}

impl ChainAdapter for Spoiled {
    fn digest(&self) -> Digest {
        self.digest
    }
    fn description(&self) -> &Description {
        &self.description
    }
    fn settings(&self) -> &Settings {
        self.inner.settings()
    }
    fn optional(&self) -> Optional {
        self.inner.optional()
    }
    fn start_actor(&self) -> Result<Box<dyn AdapterActor>, CallError> {
        let (blind, spoil) = (Arc::clone(&self.blind), Arc::clone(&self.spoil));
        Ok(Box::new(Actor { inner: self.inner.start_actor()?, blind, spoil }))
    }
    fn assemble(&self, solution: &Solution) -> Outcome<Assembled> {
        let mut done = self.inner.assemble(solution)?;
        (self.block)(&mut done.value)?;
        Ok(done)
    }
    fn read_reply(&self, method: &str, reply: &[u8]) -> Outcome<(Verdict, String)> {
        self.inner.read_reply(method, reply)
    }
    fn resolve(&self, names: &[String]) -> Outcome<Vec<Result<Payee, String>>> {
        let mut done = self.inner.resolve(names)?;
        done.value.iter_mut().flatten().for_each(|payee| (self.payee)(payee));
        Ok(done)
    }
    fn plan_payment(&self, rows: &[PaymentRow], view: &PaymentView) -> Outcome<PaymentPlan> {
        self.inner.plan_payment(rows, view)
    }
    fn read_coins(&self, reply: &[u8]) -> Outcome<Vec<Coin>> {
        self.inner.read_coins(reply)
    }
    fn find(&self, marker: &str, history: &[u8]) -> Outcome<Option<Vec<u8>>> {
        self.inner.find(marker, history)
    }
    fn decode(&self, dialect: u16, frames: &[Frame]) -> Outcome<Vec<Decoded>> {
        self.inner.decode(dialect, frames)
    }
    fn encode(&self, dialect: u16, messages: &[Outgoing]) -> Outcome<Vec<Frame>> {
        self.inner.encode(dialect, messages)
    }
    fn session_consts(&self, private: &[u8], payees: &[Vec<u8>]) -> Outcome<Vec<Vec<Vec<u8>>>> {
        self.inner.session_consts(private, payees)
    }
    fn prove(&self, solution: &Solution, aux: u32) -> Outcome<Vec<u8>> {
        self.inner.prove(solution, aux)
    }
    fn pow(&self, algorithm: &str, key: &[u8], width: u32, inputs: &[u8]) -> Outcome<Vec<u8>> {
        self.inner.pow(algorithm, key, width, inputs)
    }
}
