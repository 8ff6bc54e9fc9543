//! Bans and conduct as words for the process that takes over.

use super::{BanReason, Bans, Conduct, Entry};
use crate::carried::{Bits, Moment};
use crate::limits::Source;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BanState {
    source: Source,
    reason: BanReason,
    left: u64,
    severity: Bits,
    since: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConductState {
    recent: Vec<bool>,
    #[serde(deserialize_with = "Option::deserialize")]
    only_invalid: Option<u64>,
    warned: u8,
    garbage: Bits,
    #[serde(deserialize_with = "Option::deserialize")]
    garbage_at: Option<u64>,
}

impl Bans {
    pub(crate) fn state(&self, moment: Moment) -> Vec<BanState> {
        let entries = self.entries.lock();
        let state = |(source, entry): (&Source, &Entry)| BanState {
            source: *source,
            reason: entry.reason,
            left: moment.after(entry.until),
            severity: entry.severity.into(),
            since: moment.before(entry.at),
        };
        entries.iter().map(state).collect()
    }

    pub(crate) fn restore(&self, bans: &[BanState], moment: Moment) {
        let entry = |ban: &BanState| Entry {
            until: moment.later(ban.left),
            reason: ban.reason,
            severity: ban.severity.into(),
            at: moment.earlier(ban.since),
        };
        self.entries.lock().extend(bans.iter().map(|ban| (ban.source, entry(ban))));
    }
}

impl Conduct {
    pub(crate) fn state(&self, moment: Moment) -> ConductState {
        ConductState {
            recent: self.recent.iter().copied().collect(),
            only_invalid: self.only_invalid_since.map(|at| moment.before(at)),
            warned: self.warned,
            garbage: self.garbage.into(),
            garbage_at: self.garbage_at.map(|at| moment.before(at)),
        }
    }

    pub(crate) fn of(state: ConductState, moment: Moment) -> Self {
        let earlier = |before: Option<u64>| before.map(|before| moment.earlier(before));
        Self {
            invalid: state.recent.iter().filter(|valid| !**valid).count(),
            recent: state.recent.into(),
            only_invalid_since: earlier(state.only_invalid),
            warned: state.warned,
            garbage: state.garbage.into(),
            garbage_at: earlier(state.garbage_at),
        }
    }
}
