//! Vardiff as words for the process that takes over. The limits are those of its own configuration.

use super::{Vardiff, VardiffConfig};
use crate::carried::{Bits, Moment};
use crate::evidence::Evidence;
use millpond_dialect::Rounding;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VardiffState {
    difficulty: Bits,
    floor: Bits,
    promised: Bits,
    fixed: bool,
    evidence: Evidence,
    counted: u64,
    quiet: u64,
    silences: u8,
    known: bool,
}

impl Vardiff {
    pub(crate) fn state(&self, moment: Moment) -> VardiffState {
        VardiffState {
            difficulty: self.difficulty.into(),
            floor: self.floor.into(),
            promised: self.promised.into(),
            fixed: self.fixed,
            evidence: self.evidence,
            counted: moment.before(self.counted),
            quiet: moment.before(self.quiet),
            silences: self.silences,
            known: self.known,
        }
    }

    pub(crate) fn of(
        state: &VardiffState,
        config: VardiffConfig,
        rounding: Rounding,
        moment: Moment,
    ) -> Self {
        Self {
            difficulty: state.difficulty.into(),
            floor: state.floor.into(),
            promised: state.promised.into(),
            fixed: state.fixed || !config.enabled,
            rounding,
            evidence: state.evidence,
            counted: moment.earlier(state.counted),
            quiet: moment.earlier(state.quiet),
            silences: state.silences,
            known: state.known,
            config,
        }
    }
}
