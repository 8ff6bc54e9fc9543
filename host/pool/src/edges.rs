//! The points between two durable steps of a pool, where a crash test stops the world.
//!
//! In production nothing listens at them: passing one costs a look at an option. A crash drill names one in
//! [`VARIABLE`], and the process then ends there as a crash would end it (docs/operator.md).

use millpond_settlement::Edge as PaymentEdge;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable of a crash drill: an edge's name, and after a colon which passing of it ends the process
/// (1, the first, when not said).
pub const VARIABLE: &str = "MILLPOND_CRASH_AT";

/// A point between two durable steps, in the order in which a share becomes money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edge {
    /// A share is durable; its miner is not answered.
    ShareRecorded,
    /// A solution came; it is neither recorded nor on its way.
    Solved,
    /// A block is assembled; no node has heard of it.
    Assembled,
    /// A solution and its template are durable; its miner is not answered.
    SolutionRecorded,
    /// The nodes answered for a block; their verdicts are not written down.
    Answered,
    /// The verdicts are written down; the template is still kept.
    VerdictRecorded,
    /// An income passed the trust rules; it is not written down.
    IncomeSeen,
    /// An income is in the journal; it is not divided.
    IncomeRecorded,
    /// An income's division is decided and its audit records are durable; the ledger does not know of it.
    Decided,
    /// An income is in the ledger.
    Divided,
    /// An income's maturity is in the journal; the ledger does not know of it.
    MaturityRecorded,
    /// An income's parts are payable.
    Matured,
    /// A plan of the coinbase is durable; no job carries it.
    PlanRecorded,
    /// What shows an entry of the ledger to its owners is kept; the history does not know of it.
    Evidenced,
    /// An entry of the ledger is in the history; no head has it.
    Committed,
    /// A head is durable; nobody was shown it.
    HeadKept,
    /// A point of a payment.
    Payment(PaymentEdge),
}

/// Every edge between a share and its payment with its name.
const NAMES: [(Edge, &str); 20] = [
    (Edge::ShareRecorded, "share-recorded"),
    (Edge::Solved, "solved"),
    (Edge::Assembled, "assembled"),
    (Edge::SolutionRecorded, "solution-recorded"),
    (Edge::Answered, "answered"),
    (Edge::VerdictRecorded, "verdict-recorded"),
    (Edge::IncomeSeen, "income-seen"),
    (Edge::IncomeRecorded, "income-recorded"),
    (Edge::Decided, "decided"),
    (Edge::Divided, "divided"),
    (Edge::MaturityRecorded, "maturity-recorded"),
    (Edge::Matured, "matured"),
    (Edge::Payment(PaymentEdge::Reserved), "payment-reserved"),
    (Edge::Payment(PaymentEdge::Signed), "payment-signed"),
    (Edge::Payment(PaymentEdge::Stored), "payment-stored"),
    (Edge::Payment(PaymentEdge::Announced), "payment-announced"),
    (Edge::Payment(PaymentEdge::Called), "payment-called"),
    (Edge::Payment(PaymentEdge::Recorded), "payment-recorded"),
    (Edge::Payment(PaymentEdge::Confirmed), "payment-confirmed"),
    (Edge::Payment(PaymentEdge::Settled), "payment-settled"),
];

/// Edges that are passed beside the way of a share, and those that a payment passes when something went wrong, or by an order.
const ASIDE: [(Edge, &str); 10] = [
    (Edge::PlanRecorded, "plan-recorded"),
    (Edge::Evidenced, "evidenced"),
    (Edge::Committed, "committed"),
    (Edge::HeadKept, "head-kept"),
    (Edge::Payment(PaymentEdge::Doubted), "payment-doubted"),
    (Edge::Payment(PaymentEdge::Released), "payment-released"),
    (Edge::Payment(PaymentEdge::Again), "payment-again"),
    (Edge::Payment(PaymentEdge::AgainCalled), "payment-again-called"),
    (Edge::Payment(PaymentEdge::Ordered), "payment-ordered"),
    (Edge::Payment(PaymentEdge::Undone), "payment-undone"),
];

fn named() -> impl Iterator<Item = &'static (Edge, &'static str)> {
    NAMES.iter().chain(&ASIDE)
}

impl Edge {
    /// All that are passed between a share and its payment when nothing goes wrong.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(edge, _)| *edge)
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = named().find(|(edge, _)| edge == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// A drill that names no edge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}={0}: say one of {names}, and after a colon which passing of it if not the first", names = names())]
pub struct UnknownEdge(String);

fn names() -> String {
    named().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Edge {
    type Err = UnknownEdge;

    fn from_str(text: &str) -> Result<Self, UnknownEdge> {
        let found = named().find(|(_, name)| *name == text);
        found.map(|(edge, _)| *edge).ok_or_else(|| UnknownEdge(text.to_owned()))
    }
}

type Hook = Arc<dyn Fn(Edge) + Send + Sync>;

/// Who listens at the edges of a pool: nobody, or a crash test.
#[derive(Clone, Default)]
pub struct Edges(Option<Hook>);

impl fmt::Debug for Edges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Edges").field(&self.0.is_some()).finish()
    }
}

impl Edges {
    /// Calls `stop` the `passing`-th time (from 1) that an edge is passed, on the thread that passes it. A stop at
    /// [`Edge::SolutionRecorded`] keeps every block from the nodes until `stop` returns, if it does: submission and
    /// record go side by side, and the drill is about a block that only the record knows.
    pub fn stop_at(edge: Edge, passing: u64, stop: impl Fn(Edge) + Send + Sync + 'static) -> Self {
        let passed = AtomicU64::new(0);
        let (stopped, came) = (Mutex::new(false), Condvar::new());
        Self(Some(Arc::new(move |at| {
            if at == Edge::Assembled && edge == Edge::SolutionRecorded {
                let mut stopped = stopped.lock();
                while !*stopped {
                    came.wait(&mut stopped);
                }
            }
            if at == edge && passed.fetch_add(1, Ordering::AcqRel).saturating_add(1) == passing {
                stop(at);
                *stopped.lock() = true;
                came.notify_all();
            }
        })))
    }

    /// The drill that the environment asks for, if any: the process aborts at the edge, and nothing of it runs on.
    ///
    /// # Errors
    /// When it names no edge.
    pub fn from_environment() -> Result<Self, UnknownEdge> {
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(Self::default()) };
        let text = text.to_string_lossy();
        let (edge, passing) = match text.split_once(':') {
            None => (text.as_ref(), 1),
            Some((edge, passing)) => {
                (edge, passing.parse().map_err(|_| UnknownEdge(text.clone().into_owned()))?)
            }
        };
        Ok(Self::stop_at(edge.parse()?, passing, |edge| {
            tracing::error!(%edge, "the crash drill ends the process");
            std::process::abort();
        }))
    }

    /// Somebody may listen at the edges.
    pub(crate) fn are_watched(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn pass(&self, edge: Edge) {
        if let Some(hook) = &self.0 {
            hook(edge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_has_one_name_and_an_unknown_one_is_told_with_all_of_them() {
        for edge in Edge::all() {
            assert_eq!(edge.to_string().parse(), Ok(edge));
        }
        for payment in PaymentEdge::ALL {
            let edge = Edge::Payment(payment);
            assert_eq!(edge.to_string().parse(), Ok(edge), "{payment:?}");
        }
        let told = "nowhere".parse::<Edge>().unwrap_err().to_string();
        assert!(told.contains("nowhere") && told.contains("payment-settled"), "{told}");
    }

    #[test]
    fn a_stop_comes_at_the_passing_that_was_asked_for() {
        let stopped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&stopped);
        let edges = Edges::stop_at(Edge::Divided, 2, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        for edge in [Edge::Divided, Edge::Matured, Edge::Matured] {
            edges.pass(edge);
            assert_eq!(stopped.load(Ordering::Relaxed), 0);
        }
        edges.pass(Edge::Divided);
        edges.pass(Edge::Divided);
        assert_eq!(stopped.load(Ordering::Relaxed), 1);
    }
}
