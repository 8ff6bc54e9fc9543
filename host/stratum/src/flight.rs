//! Shares on their way: hashed on the validator's threads, or waiting for their record. Answers go out in the order in
//! which the shares came.
//!
//! A share that only waits for its record is followed by its connection. One that may still turn out a block, or has,
//! runs on a task of its own. All of them outlive the connection.

use crate::backend::Refusal;
use crate::submit::Outcome;
use millpond_dialect::Call;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

type Settling = Pin<Box<dyn Future<Output = Outcome> + Send>>;

enum Waiting {
    Known(Outcome),
    /// Followed here.
    Here(Settling),
    /// On a task of its own.
    Task(JoinHandle<Outcome>),
}

/// A share whose answer is not written yet.
struct Flight {
    call: Call,
    outcome: Waiting,
    /// What its hash was charged ahead.
    charged: Option<Duration>,
}

/// A share whose outcome is there.
pub(crate) struct Landed {
    pub(crate) call: Call,
    pub(crate) outcome: Outcome,
    pub(crate) charged: Option<Duration>,
}

/// The shares of one connection that are on their way.
#[derive(Default)]
pub(crate) struct Flights(VecDeque<Flight>);

impl Flights {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One whose outcome is known waits for those before it.
    pub(crate) fn known(&mut self, call: Call, outcome: Outcome) {
        self.0.push_back(Flight { call, outcome: Waiting::Known(outcome), charged: None });
    }

    /// One that waits for its record. It is begun at once, so that it shares a group with its neighbours.
    pub(crate) fn follow(&mut self, call: Call, mut settling: Settling) {
        // Whoever is first in the queue is asked again with a waker that wakes.
        let outcome = match settling.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Waiting::Known(outcome),
            Poll::Pending => Waiting::Here(settling),
        };
        self.0.push_back(Flight { call, outcome, charged: None });
    }

    /// One that goes on whatever becomes of its connection. `charged`: what, for a hash that is still to be computed.
    pub(crate) fn spawn(
        &mut self,
        call: Call,
        charged: Option<Duration>,
        settling: impl Future<Output = Outcome> + Send + 'static,
    ) {
        self.0.push_back(Flight { call, outcome: Waiting::Task(tokio::spawn(settling)), charged });
    }

    /// The oldest, when its outcome is there; pending as well when there is none.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Landed> {
        let Some(flight) = self.0.front_mut() else { return Poll::Pending };
        let late = match &mut flight.outcome {
            Waiting::Known(_) => None,
            Waiting::Here(settling) => Some(ready!(settling.as_mut().poll(context))),
            Waiting::Task(task) => Some(match ready!(Pin::new(task).poll(context)) {
                Ok(outcome) => outcome,
                Err(error) => {
                    tracing::error!(%error, "the task of a share ended early");
                    let text = "the pool could not record the share".to_owned();
                    Outcome::refused(Refusal::NotDurable, Some(text), "")
                }
            }),
        };
        let Some(Flight { call, outcome, charged }) = self.0.pop_front() else { return Poll::Pending };
        if self.0.is_empty() {
            // A miner at rest holds no memory for shares.
            self.0 = VecDeque::new();
        }
        match (late, outcome) {
            (Some(outcome), _) | (None, Waiting::Known(outcome)) => {
                Poll::Ready(Landed { call, outcome, charged })
            }
            (None, Waiting::Here(_) | Waiting::Task(_)) => Poll::Pending,
        }
    }

    /// Waits for the oldest; only while there is one.
    pub(crate) async fn next(&mut self) -> Landed {
        poll_fn(|context| self.poll_next(context)).await
    }
}

impl Drop for Flights {
    fn drop(&mut self) {
        let here: Vec<_> = self
            .0
            .drain(..)
            .filter_map(|flight| match flight.outcome {
                Waiting::Here(settling) => Some(settling),
                Waiting::Known(_) | Waiting::Task(_) => None,
            })
            .collect();
        // Their records are queued, or those of the miner's name before them; what is left is to count them, or to forget
        // their ids if they were not written.
        if let (false, Ok(runtime)) = (here.is_empty(), Handle::try_current()) {
            drop(runtime.spawn(async move {
                for settling in here {
                    settling.await;
                }
            }));
        }
    }
}
