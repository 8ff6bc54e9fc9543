//! What is carried over, in records of bounded size: a frame has a limit and the number of miners has none.

use crate::Record;
use crate::codec::{Field, Input};
use crate::state::State;
use std::sync::Arc;

/// Bytes of one record of what is carried over, about: one item more may fit in. Far below what a frame holds.
pub(crate) const PART: usize = 4 << 20;

/// A further part of what is carried over: what it holds is added, its numbers say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More(pub(crate) Box<State>);

impl More {
    /// What this part holds.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.0
    }
}

impl Field for More {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        Field::take(from).map(|state| Self(Box::new(state)))
    }
}

struct Parts {
    done: Vec<State>,
    last: State,
    bytes: usize,
    limit: usize,
}

impl Parts {
    fn add<T: Field>(&mut self, item: T, place: impl FnOnce(&mut State, T)) {
        let mut bytes = Vec::new();
        item.put(&mut bytes);
        if self.bytes >= self.limit {
            self.done.push(std::mem::take(&mut self.last));
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        place(&mut self.last, item);
    }
}

impl State {
    /// The records that carry this state over, each of about `limit` bytes at most.
    pub(crate) fn carried(self, limit: usize) -> Vec<Record> {
        let whole = self;
        let (next_share, next_job, dropped) = (whole.next_share, whole.next_job, whole.dropped);
        let numbers = State { next_share, next_job, dropped, ..State::default() };
        let mut parts = Parts { done: Vec::new(), last: numbers, bytes: 0, limit };
        for (id, miner) in whole.miners {
            parts.add(miner, |part, miner| _ = part.miners.insert(id, miner));
        }
        for (id, worker) in whole.workers {
            parts.add(worker, |part, worker| _ = part.workers.insert(id, worker));
        }
        for (key, setting) in whole.settings {
            parts.add(setting, |part, setting| _ = part.settings.insert(key, setting));
        }
        for policy in whole.policies {
            parts.add(policy, |part, policy| part.policies.push(policy));
        }
        for (front_end, lease) in whole.leases {
            parts.add(lease, |part, lease| _ = part.leases.insert(front_end, lease));
        }
        for (id, block) in whole.blocks {
            parts.add(block, |part, block| _ = part.blocks.insert(id, block));
        }
        for (key, income) in whole.incomes {
            parts.add(income, |part, income| _ = part.incomes.insert(key, income));
        }
        for end in whole.ends {
            parts.add(end, |part, end| _ = part.ends.insert(end));
        }
        for listed in Arc::unwrap_or_clone(whole.lists).into_each() {
            parts.add(listed, |part, listed| Arc::make_mut(&mut part.lists).push(listed));
        }
        let Parts { mut done, last, .. } = parts;
        done.push(last);
        let mut states = done.into_iter().map(Box::new);
        let first = states.next().map(Record::CarriedOver);
        let more = states.map(|state| Record::CarriedMore(More(state)));
        let announced =
            whole.notice.map(Record::Notice).into_iter().chain(whole.promise.map(Record::Promise));
        first.into_iter().chain(more).chain(announced).collect()
    }

    /// Takes in a further part.
    pub(crate) fn add(&mut self, more: State) {
        self.miners.extend(more.miners);
        self.workers.extend(more.workers);
        self.settings.extend(more.settings);
        self.policies.extend(more.policies);
        self.leases.extend(more.leases);
        self.blocks.extend(more.blocks);
        self.incomes.extend(more.incomes);
        self.ends.extend(more.ends);
        if !more.lists.is_empty() {
            Arc::make_mut(&mut self.lists).extend(Arc::unwrap_or_clone(more.lists));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{
        Authority, List, ListRow, Miner, Notice, PluginInForce, Policy, Promise, Setting, Worker, WorkerId,
    };
    use millpond_types::{Digest, MinerId, ShareSeq, UnixMillis};

    #[test]
    fn what_is_announced_is_carried_over_until_it_is_in_force_or_withdrawn() {
        let plugin = |name: &str| PluginInForce {
            name: name.into(),
            component: Digest::of(name.as_bytes()),
            config: Digest::of(b"settings"),
            settings: vec![("part".into(), Setting::Int(3))],
        };
        let policy = Policy {
            from: ShareSeq(0),
            scheme: plugin("scheme"),
            fees: vec![plugin("fee")],
            reason: "an operator".into(),
            time: UnixMillis(1),
        };
        let (announced, not_before, reason) = (UnixMillis(1), UnixMillis(9), "more for the small".to_owned());
        let notice = Notice { policy: Some(policy.clone()), announced, not_before, reason, by_file: false };
        let read = |records: &[Record]| {
            let mut state = State::default();
            for record in records {
                state.apply(1, &Record::decode(record.kind(), &record.encode()).unwrap());
            }
            state
        };
        let waits = read(&[Record::Notice(notice.clone())]);
        assert_eq!(waits.notice.as_ref(), Some(&notice));
        assert_eq!(read(&waits.clone().carried(PART)), waits);
        // The same on another word is another: an earlier policy that is recorded again.
        let other = Policy { reason: "configuration".into(), from: ShareSeq(7), ..policy.clone() };
        assert_eq!(read(&[notice.clone().into(), other.into()]).notice.as_ref(), Some(&notice));
        let withdrawn = Notice { policy: None, ..notice.clone() };
        for end in [Policy { from: ShareSeq(8), ..policy }.into(), withdrawn.into()] {
            let ended = read(&[notice.clone().into(), end]);
            assert_eq!(ended.notice, None);
            assert_eq!(ended.carried(PART).len(), 1);
        }
        // A promise outlives what was announced under it.
        let promise = Promise { before: 7, notice: 3, since: UnixMillis(5) };
        let promised = read(&[notice.into(), promise.clone().into()]);
        assert_eq!(read(&promised.clone().carried(PART)), promised);
        assert_eq!([4, 5].map(|time| promise.at(UnixMillis(time))), [7, 3]);
    }

    #[test]
    fn a_state_in_parts_is_the_same_state_again() {
        let mut state = State { next_share: 77, next_job: 9, ..State::default() };
        for id in 1..=300 {
            let (id, worker) = (MinerId(id), WorkerId(id));
            let miner = Miner { id, payee: id.0.to_le_bytes().to_vec(), address: format!("m{}", id.0) };
            state.miners.insert(id, miner);
            state.workers.insert(worker, Worker { id: worker, miner: id, name: "rig".into() });
            state.ends.insert(ShareSeq(id.0 * 3));
            let rows = vec![ListRow { miner: MinerId(id.0), value: id.0 }];
            let by = Authority::Operator("op".into());
            let list = List { name: "vip".into(), whole: false, rows, by, time: UnixMillis(id.0) };
            Arc::make_mut(&mut state.lists).put_in(ShareSeq(id.0), list);
        }
        for limit in [1, 100, 2_000, usize::MAX] {
            let records = state.clone().carried(limit);
            assert_eq!(records.len() > 1, limit < usize::MAX, "{limit}");
            let mut again = State::default();
            for (place, record) in records.iter().enumerate() {
                let bytes = record.encode();
                assert!(bytes.len() < limit.saturating_add(100), "{} at a limit of {limit}", bytes.len());
                let read = Record::decode(record.kind(), &bytes).unwrap();
                again.apply(place as u64, &read);
            }
            assert_eq!(again, state);
        }
    }
}
