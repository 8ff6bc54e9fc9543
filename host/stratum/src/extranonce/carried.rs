//! Leases as words for the process that takes over. A name says which prefix its session has, under the pool's own key,
//! which both processes know: so nothing but names is told.

use super::{Lease, Owner, Parked, PrefixTree, Slot};
use crate::carried::{Bits, Moment};
use crate::epoch::Epochs;
use crate::epoch::carried::EpochsState;
use crate::limits::Source;
use crate::login::carried::Payees;
use crate::parking::Leaving;
use millpond_types::{JobId, SessionId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A session that is not connected and may be taken up again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParkedState {
    session: SessionId,
    left: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    difficulty: Option<Bits>,
    epochs: EpochsState,
    #[serde(deserialize_with = "Option::deserialize")]
    owner: Option<(Source, String)>,
}

impl PrefixTree {
    /// The lease of a session that is connected while its server changes. `None` when its prefix is another here, or taken.
    pub(crate) fn take_over(self: &Arc<Self>, session: SessionId, prefix: &[u8]) -> Option<Lease> {
        let slot = self.key.lease(session) % self.layout.slots();
        if self.layout.prefix_of(slot) != prefix {
            return None;
        }
        let mut slots = self.slots.lock();
        if slots.taken.contains_key(&slot) {
            return None;
        }
        slots.taken.insert(slot, Slot::Held);
        drop(slots);
        Some(self.hold(slot, session, Parked::default()))
    }

    pub(crate) fn parked(&self, oldest: Option<JobId>, moment: Moment) -> Vec<ParkedState> {
        let slots = self.slots.lock();
        let parked = slots.taken.values().filter_map(|slot| match slot {
            Slot::Parked { session, until, kept } if *until > moment.0 => Some(ParkedState {
                session: *session,
                left: moment.after(*until),
                difficulty: kept.difficulty.map(Bits::from),
                epochs: kept.epochs.state(oldest),
                owner: kept.owner.as_ref().map(|owner| (owner.source, owner.agent.to_string())),
            }),
            Slot::Parked { .. } | Slot::Held => None,
        });
        parked.collect()
    }

    /// Parks again what was parked, each for what was left of its time. `most` is the number of one source's.
    pub(crate) fn park_again(
        self: &Arc<Self>,
        parked: Vec<ParkedState>,
        most: usize,
        moment: Moment,
        payees: &mut Payees,
    ) {
        for state in parked {
            let slot = self.key.lease(state.session) % self.layout.slots();
            let until = moment.later(state.left);
            let owner = state.owner.map(|(source, agent)| Owner { source, agent: agent.into() });
            let source = owner.as_ref().map(|owner| owner.source);
            let kept = Parked {
                difficulty: state.difficulty.map(f64::from),
                epochs: Epochs::of(state.epochs, Arc::default(), Arc::default(), payees),
                owner,
            };
            let mut slots = self.slots.lock();
            if slots.taken.contains_key(&slot) {
                continue;
            }
            let place = Slot::Parked { session: state.session, until, kept: Box::new(kept) };
            slots.taken.insert(slot, place);
            slots.parked.insert(state.session, slot);
            slots.make_room(source.map_or(Leaving::Parked, |of| Leaving::ParkedOf(of, most)), slot, until);
        }
    }
}
