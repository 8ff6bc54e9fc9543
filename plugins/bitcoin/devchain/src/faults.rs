//! Nodes in trouble, on demand: what a test tells an address of the chain's to answer instead of the truth.

use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error of this code and these words, as of a node that is still loading (-28). Nothing is done.
    Error(i32, String),
    /// This JSON instead of the result. Nothing is done.
    Result(String),
    /// No answer until the fault is mended; only then is the call looked at.
    Silence,
    /// The connection ends without an answer. Nothing is done.
    HangUp,
}

/// The faults of one address. Cheap to clone; batches have none.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<watch::Sender<HashMap<String, Fault>>>);

/// In place of a method: all of them.
const ALL: &str = "";

impl Faults {
    /// Calls of this method fail from now on.
    pub fn fail(&self, method: &str, fault: Fault) {
        self.0.send_modify(|faults| drop(faults.insert(method.to_owned(), fault)));
    }

    /// All calls fail from now on, those that fail in a way of their own excepted.
    pub fn fail_all(&self, fault: Fault) {
        self.fail(ALL, fault);
    }

    /// Everything is answered truly from now on.
    pub fn mend(&self) {
        self.0.send_modify(HashMap::clear);
    }

    /// What is wrong with a call of this method; a silence is over when this returns.
    pub(crate) async fn of(&self, method: &str) -> Option<Fault> {
        let mut faults = self.0.subscribe();
        loop {
            let fault = {
                let faults = faults.borrow_and_update();
                faults.get(method).or_else(|| faults.get(ALL)).cloned()
            };
            if fault != Some(Fault::Silence) {
                return fault;
            }
            if faults.changed().await.is_err() {
                return None;
            }
        }
    }
}
