//! Places for instances, one count per class and process: the engine's pool refuses an instance beyond its size, and
//! whoever needed it would fail for reasons that are not his. So callers wait here, and some places are kept for calls
//! that a block waits for.

use crate::limits::{INSTANCES, KEPT, RESERVED};
use crate::outcome::{CallError, TrapKind};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a call waits for a place.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A block or the adapter itself waits for it: it may take the last place.
    Urgent,
    /// Anything else: it leaves the reserved places alone.
    Ordinary,
}

/// The places of one class.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    /// Those of instances that are kept.
    kept: u32,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub struct Place {
    of: Arc<Places>,
    kept: bool,
}

impl Place {
    /// Whether the instance may be kept while nobody calls it. Those that are kept are few beside all, so that whoever
    /// calls finds a place; one that may not be is to be dropped.
    #[must_use]
    pub fn keep(&mut self) -> bool {
        let mut taken = self.of.taken.lock();
        if !self.kept && taken.kept < KEPT {
            taken.kept += 1;
            self.kept = true;
        }
        self.kept
    }
}

impl Places {
    /// Takes a place, or waits for one. Blocks.
    pub(crate) fn take(
        self: &Arc<Self>,
        urgency: Urgency,
        function: &str,
        patience: Duration,
    ) -> Result<Place, CallError> {
        let most = match urgency {
            Urgency::Urgent => INSTANCES,
            Urgency::Ordinary => INSTANCES - RESERVED,
        };
        let deadline = Instant::now() + patience;
        let mut taken = self.taken.lock();
        while taken.all >= most {
            if self.freed.wait_until(&mut taken, deadline).timed_out() && taken.all >= most {
                let message = format!("no instance came free in {} s", patience.as_secs());
                return Err(CallError::Trap {
                    function: function.to_owned(),
                    kind: TrapKind::Overload,
                    message,
                });
            }
        }
        taken.all += 1;
        Ok(Place { of: Arc::clone(self), kept: false })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        taken.kept = taken.kept.saturating_sub(u32::from(self.kept));
        drop(taken);
        // All: the one that is woken may be ordinary and have to wait on while an urgent one could go.
        self.of.freed.notify_all();
    }
}

impl crate::Plugin {
    /// A place for an instance of this plugin; hold it for as long as the instance lives. Blocks while there is none.
    ///
    /// # Errors
    /// When none came free in time: the host is overloaded, which is no strike against the plugin.
    pub fn place(&self, urgency: Urgency, function: &str) -> Result<Place, CallError> {
        self.places().take(urgency, function, PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_leaves_places_for_what_a_block_waits_for_and_waits_for_its_own() {
        let places = Arc::new(Places::default());
        let now = Duration::ZERO;
        let mut crowd: Vec<_> = (0..INSTANCES - RESERVED)
            .map(|_| places.take(Urgency::Ordinary, "resolve", now).unwrap())
            .collect();
        let refused = places.take(Urgency::Ordinary, "resolve", now).unwrap_err();
        assert!(!refused.is_strike(), "{refused}");
        assert!(refused.is_trap(), "it is tried again: {refused}");
        let urgent: Vec<_> =
            (0..RESERVED).map(|_| places.take(Urgency::Urgent, "assemble", now).unwrap()).collect();
        assert!(places.take(Urgency::Urgent, "assemble", now).is_err());
        drop(urgent);
        let waiting = {
            let places = Arc::clone(&places);
            std::thread::spawn(move || {
                places.take(Urgency::Ordinary, "resolve", Duration::from_secs(60)).is_ok()
            })
        };
        crowd.pop();
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn what_is_kept_leaves_most_places_to_others() {
        let places = Arc::new(Places::default());
        let take = || places.take(Urgency::Ordinary, "pow.run", Duration::ZERO).unwrap();
        let mut many: Vec<_> = (0..=KEPT).map(|_| take()).collect();
        let kept = many.iter_mut().filter_map(|place| place.keep().then_some(())).count();
        assert_eq!(kept, KEPT as usize, "the last one is to be dropped");
        assert!(many[0].keep(), "what is kept stays so and is counted once");
        many.truncate(1);
        let mut next: Vec<_> = (0..KEPT).map(|_| take()).collect();
        assert_eq!(next.iter_mut().filter_map(|place| place.keep().then_some(())).count(), KEPT as usize - 1);
    }
}
