//! A value that comes when its group is durable. It can be awaited by a task of any runtime or by a thread.

use crate::LogError;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Resolves when what was appended is durable, or with the reason why it never will be. Dropping it does not take
/// the append back.
///
/// `R` is the receipt that the log's owner gives, `T` what the caller makes of it.
#[must_use = "an append is durable only when its commit resolved"]
pub struct Commit<R, T = R> {
    slot: Arc<Slot<R>>,
    map: fn(R) -> T,
}

impl<R, T> fmt::Debug for Commit<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit").finish_non_exhaustive()
    }
}

/// The other end of a [`Commit`]. Dropped unresolved, it resolves with [`LogError::Closed`].
#[derive(Debug)]
pub struct Resolver<T> {
    slot: Option<Arc<Slot<T>>>,
}

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
    resolved: Condvar,
}

#[derive(Debug)]
struct State<T> {
    outcome: Option<Result<T, LogError>>,
    waker: Option<Waker>,
}

impl<T> Commit<T> {
    /// A commit and what resolves it.
    pub fn pair() -> (Resolver<T>, Self) {
        let state = Mutex::new(State { outcome: None, waker: None });
        let slot = Arc::new(Slot { state, resolved: Condvar::new() });
        (Resolver { slot: Some(Arc::clone(&slot)) }, Self { slot, map: |receipt| receipt })
    }

    /// The same commit, giving something made of the receipt.
    pub fn map<U>(self, map: fn(T) -> U) -> Commit<T, U> {
        Commit { slot: self.slot, map }
    }

    /// A commit that is resolved already.
    pub fn ready(outcome: Result<T, LogError>) -> Self {
        let (resolver, commit) = Self::pair();
        resolver.resolve(outcome);
        commit
    }
}

impl<R, T> Commit<R, T> {
    /// Blocks the thread until the outcome is there. Not for async tasks: await it there.
    ///
    /// # Errors
    /// When the append was not made durable.
    pub fn wait(self) -> Result<T, LogError> {
        let mut state = self.slot.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome.map(self.map);
            }
            self.slot.resolved.wait(&mut state);
        }
    }

    /// Blocks at most so long; gives the commit back when there is no outcome yet.
    ///
    /// # Errors
    /// The commit itself, when the time is over.
    pub fn wait_for(self, limit: Duration) -> Result<Result<T, LogError>, Self> {
        let deadline = Instant::now() + limit;
        let mut state = self.slot.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return Ok(outcome.map(self.map));
            }
            if self.slot.resolved.wait_until(&mut state, deadline).timed_out() {
                let last = state.outcome.take();
                drop(state);
                return last.map(|outcome| outcome.map(self.map)).ok_or(self);
            }
        }
    }
}

impl<R, T> Future for Commit<R, T> {
    type Output = Result<T, LogError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.state.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome.map(self.map));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl<T> Resolver<T> {
    /// Gives the outcome to whoever waits.
    pub fn resolve(self, outcome: Result<T, LogError>) {
        if let Some(waker) = self.settle(outcome) {
            waker.wake();
        }
    }

    /// The same, without waking the task that awaits it: that is left to the caller.
    pub(crate) fn settle(mut self, outcome: Result<T, LogError>) -> Option<Waker> {
        self.slot.take().and_then(|slot| slot.set(outcome))
    }
}

impl<T> Slot<T> {
    /// Wakes the threads that wait, and says which task does.
    fn set(&self, outcome: Result<T, LogError>) -> Option<Waker> {
        let waker = {
            let mut state = self.state.lock();
            state.outcome = Some(outcome);
            state.waker.take()
        };
        self.resolved.notify_all();
        waker
    }
}

impl<T> Drop for Resolver<T> {
    fn drop(&mut self) {
        let waker = self.slot.take().and_then(|slot| slot.set(Err(LogError::Closed)));
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_that_is_dropped_does_not_leave_anybody_waiting() {
        let (resolver, commit) = Commit::<()>::pair();
        drop(resolver);
        assert!(matches!(commit.wait(), Err(LogError::Closed)));
    }

    #[test]
    fn a_thread_that_waits_is_woken() {
        let (resolver, commit) = Commit::pair();
        let waiter = std::thread::spawn(move || commit.wait().unwrap());
        resolver.resolve(Ok(7));
        assert_eq!(waiter.join().unwrap(), 7);
    }

    #[test]
    fn a_wait_that_is_too_short_gives_the_commit_back() {
        let (resolver, commit) = Commit::pair();
        let commit = commit.wait_for(Duration::from_millis(1)).unwrap_err();
        resolver.resolve(Ok(7));
        assert_eq!(commit.wait_for(Duration::from_secs(60)).unwrap().unwrap(), 7);
    }

    #[tokio::test]
    async fn a_task_that_awaits_is_woken() {
        let (resolver, commit) = Commit::pair();
        let waiter = tokio::spawn(commit);
        tokio::task::yield_now().await;
        resolver.resolve(Ok(7));
        assert_eq!(waiter.await.unwrap().unwrap(), 7);
    }
}
