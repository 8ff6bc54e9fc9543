//! Adapters that lie or break, around an honest one: everything else they do as it does.

use millpond_contracts::chain::*;
use millpond_contracts::{CallError, Outcome, Settings, TrapKind};
use millpond_types::Digest;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

/// A payee of nobody's, whom a lying adapter pays.
pub const THIEF: [u8; 22] = [0, 20, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];

/// What an adapter does wrong.
#[derive(Clone)]
pub enum Fault {
    /// Every name is the thief's.
    Payee,
    /// It traps at every event while this is set.
    Trap(Arc<AtomicBool>),
    /// It cannot read what another version kept with its jobs.
    Assemble,
    /// After an event without a job it says that the node refused the block of its last job, as often as it is let.
    Refused(Arc<Mutex<Receiver<()>>>),
}

/// An adapter with a fault, under a digest of its own.
pub struct Faulty {
    inner: Arc<dyn ChainAdapter>,
    digest: Digest,
    fault: Fault,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ChainAdapter>, digest: Digest, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner, digest, fault })
    }
}

struct Actor(Box<dyn AdapterActor>, Fault);

impl AdapterActor for Actor {
    fn handle(&mut self, event: &Event) -> Outcome<Vec<Action>> {
        match &self.1 {
            Fault::Trap(now) if now.load(Ordering::Acquire) => Err(CallError::Trap {
                function: "handle".into(),
                kind: TrapKind::Other,
                message: "the fault of this test".into(),
            }),
            Fault::Refused(let_go) => {
                let mut done = self.0.handle(event)?;
                let jobs = done.value.iter().any(|action| matches!(action, Action::Publish(_)));
                if !jobs && let_go.lock().unwrap().try_recv().is_ok() {
                    let text = "the node refuses the block of our job: bad-cb-amount".into();
                    done.value.push(Action::Alarm { stop: true, text });
                }
                Ok(done)
            }
            _ => self.0.handle(event),
        }
    }
}

impl ChainAdapter for Faulty {
    fn digest(&self) -> Digest {
        self.digest
    }
    fn description(&self) -> &Description {
        self.inner.description()
    }
    fn settings(&self) -> &Settings {
        self.inner.settings()
    }
    fn optional(&self) -> Optional {
        self.inner.optional()
    }
    fn start_actor(&self) -> Result<Box<dyn AdapterActor>, CallError> {
        Ok(Box::new(Actor(self.inner.start_actor()?, self.fault.clone())))
    }
    fn assemble(&self, solution: &Solution) -> Outcome<Assembled> {
        match self.fault {
            Fault::Assemble => Err(CallError::Plugin {
                function: "block.assemble".into(),
                message: "these are not the private bytes of a job of mine".into(),
            }),
            _ => self.inner.assemble(solution),
        }
    }
    fn read_reply(&self, method: &str, reply: &[u8]) -> Outcome<(Verdict, String)> {
        self.inner.read_reply(method, reply)
    }
    fn resolve(&self, names: &[String]) -> Outcome<Vec<Result<Payee, String>>> {
        let done = self.inner.resolve(names)?;
        match self.fault {
            Fault::Payee => Ok(done.map(|answers| {
                let steal = |payee: Payee| Payee { payee: THIEF.to_vec(), ..payee };
                answers.into_iter().map(|answer| answer.map(steal)).collect()
            })),
            _ => Ok(done),
        }
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
