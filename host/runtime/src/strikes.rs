//! What repeated failure of a plugin leads to.
//!
//! A strike is a trap, counted per (plugin, input): a deterministic plugin that trapped on an input will trap again.
//! Three strikes on one input, or [`TRAPS`] traps on any inputs without a healthy minute between, put the plugin into
//! quarantine: it is not called again until an operator releases it or another version takes its place. Errors that
//! the plugin reports itself, and inputs that a miner chose, are no strikes.

use crate::CallError;
use millpond_types::{Digest, UnixMillis};
use std::collections::HashMap;
use std::time::Duration;

/// Traps on one input until quarantine.
pub const STRIKES: u32 = 3;
/// Traps on any inputs until quarantine.
pub const TRAPS: u32 = 10;
/// A plugin that worked this long has no past.
pub const HEALTHY_MS: u64 = 60_000;
/// The first pause after a trap; it doubles with each.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// The longest pause.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// Inputs remembered per plugin; beyond it the oldest are forgotten.
const INPUTS: usize = 256;

/// What to do after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not a strike: go on.
    GoOn,
    /// Rebuild the instance and try again after this pause.
    RetryAfter(Duration),
    /// Do not call the plugin again; the first error says why.
    Quarantine {
        /// The first error since the plugin was last healthy.
        first_error: String,
    },
}

#[derive(Debug, Default)]
struct Record {
    per_input: HashMap<Digest, (u32, UnixMillis)>,
    traps: u32,
    last: UnixMillis,
    first_error: Option<String>,
    quarantined: bool,
}

/// The strikes of all plugins of one pool.
#[derive(Debug, Default)]
pub struct Strikes {
    plugins: HashMap<Digest, Record>,
}

impl Strikes {
    /// No strikes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A call failed. `input` is a digest of what the plugin was given, without times and counters.
    pub fn failed(&mut self, plugin: Digest, input: Digest, error: &CallError, now: UnixMillis) -> Decision {
        if !error.is_strike() {
            return if error.is_trap() { Decision::RetryAfter(FIRST_BACKOFF) } else { Decision::GoOn };
        }
        self.struck(plugin, input, &error.to_string(), now)
    }

    /// A strike: a trap, or a result that breaks the host's rules.
    pub fn struck(&mut self, plugin: Digest, input: Digest, error: &str, now: UnixMillis) -> Decision {
        let record = self.plugins.entry(plugin).or_default();
        if record.traps > 0 && !record.quarantined && now.since(record.last) >= HEALTHY_MS {
            *record = Record::default();
        }
        let first_error = record.first_error.get_or_insert_with(|| error.to_owned()).clone();
        record.last = now;
        record.traps = record.traps.saturating_add(1);
        if record.per_input.len() >= INPUTS && !record.per_input.contains_key(&input) {
            let oldest = record.per_input.iter().min_by_key(|(_, (_, at))| *at).map(|(input, _)| *input);
            if let Some(oldest) = oldest {
                record.per_input.remove(&oldest);
            }
        }
        let (strikes, at) = record.per_input.entry(input).or_default();
        *strikes = strikes.saturating_add(1);
        *at = now;
        if *strikes >= STRIKES || record.traps >= TRAPS {
            record.quarantined = true;
        }
        if record.quarantined {
            return Decision::Quarantine { first_error };
        }
        let doubled = FIRST_BACKOFF.saturating_mul(1 << (record.traps - 1).min(16));
        Decision::RetryAfter(doubled.min(LONGEST_BACKOFF))
    }

    /// A call went well: after a healthy minute the past is forgotten.
    pub fn went_well(&mut self, plugin: Digest, now: UnixMillis) {
        if let Some(record) = self.plugins.get(&plugin)
            && !record.quarantined
            && now.since(record.last) >= HEALTHY_MS
        {
            self.plugins.remove(&plugin);
        }
    }

    /// Whether the plugin is in quarantine, and its first error.
    #[must_use]
    pub fn quarantined(&self, plugin: Digest) -> Option<&str> {
        let record = self.plugins.get(&plugin).filter(|record| record.quarantined)?;
        record.first_error.as_deref()
    }

    /// Whether any plugin is in quarantine.
    #[must_use]
    pub fn any_quarantined(&self) -> bool {
        self.plugins.values().any(|record| record.quarantined)
    }

    /// The first error since the plugin was last healthy.
    #[must_use]
    pub fn first_error(&self, plugin: Digest) -> Option<&str> {
        self.plugins.get(&plugin)?.first_error.as_deref()
    }

    /// An operator lets a plugin out of quarantine.
    pub fn release(&mut self, plugin: Digest) {
        self.plugins.remove(&plugin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrapKind;

    fn trap(message: &str) -> CallError {
        CallError::Trap { function: "handle".into(), kind: TrapKind::Other, message: message.into() }
    }

    const PLUGIN: Digest = Digest([1; 32]);
    const INPUT: Digest = Digest([2; 32]);

    #[test]
    fn three_traps_on_one_input_are_quarantine_and_the_first_error_is_kept() {
        let mut strikes = Strikes::new();
        let first = strikes.failed(PLUGIN, INPUT, &trap("first"), UnixMillis(0));
        assert_eq!(first, Decision::RetryAfter(FIRST_BACKOFF));
        let second = strikes.failed(PLUGIN, INPUT, &trap("second"), UnixMillis(10));
        assert_eq!(second, Decision::RetryAfter(FIRST_BACKOFF * 2));
        let Decision::Quarantine { first_error } =
            strikes.failed(PLUGIN, INPUT, &trap("third"), UnixMillis(20))
        else {
            panic!("no quarantine after three strikes");
        };
        assert_eq!(first_error, "handle: trap: first");
        assert!(strikes.quarantined(PLUGIN).is_some());
        strikes.went_well(PLUGIN, UnixMillis(1_000_000));
        assert!(strikes.quarantined(PLUGIN).is_some(), "only an operator ends a quarantine");
        strikes.release(PLUGIN);
        assert_eq!(strikes.quarantined(PLUGIN), None);
    }

    #[test]
    fn a_plugin_that_traps_on_everything_is_quarantined_too() {
        let mut strikes = Strikes::new();
        for n in 1..TRAPS {
            let input = Digest::of(&n.to_le_bytes());
            assert!(matches!(
                strikes.failed(PLUGIN, input, &trap("x"), UnixMillis(0)),
                Decision::RetryAfter(_)
            ));
        }
        assert!(matches!(
            strikes.failed(PLUGIN, INPUT, &trap("x"), UnixMillis(0)),
            Decision::Quarantine { .. }
        ));
    }

    #[test]
    fn a_healthy_minute_forgets() {
        let mut strikes = Strikes::new();
        strikes.failed(PLUGIN, INPUT, &trap("old"), UnixMillis(0));
        strikes.failed(PLUGIN, INPUT, &trap("old"), UnixMillis(1));
        let later = strikes.failed(PLUGIN, INPUT, &trap("new"), UnixMillis(HEALTHY_MS + 1));
        assert_eq!(later, Decision::RetryAfter(FIRST_BACKOFF));
        assert_eq!(strikes.first_error(PLUGIN), Some("handle: trap: new"));
        strikes.went_well(PLUGIN, UnixMillis(3 * HEALTHY_MS));
        assert_eq!(strikes.first_error(PLUGIN), None);
    }

    #[test]
    fn the_plugins_own_error_and_an_overloaded_host_are_no_strikes() {
        let mut strikes = Strikes::new();
        let own = CallError::Plugin { function: "handle".into(), message: "no template yet".into() };
        let slow =
            CallError::Trap { function: "handle".into(), kind: TrapKind::Overload, message: String::new() };
        for _ in 0..100 {
            assert_eq!(strikes.failed(PLUGIN, INPUT, &own, UnixMillis(0)), Decision::GoOn);
            assert!(matches!(strikes.failed(PLUGIN, INPUT, &slow, UnixMillis(0)), Decision::RetryAfter(_)));
        }
        assert_eq!(strikes.quarantined(PLUGIN), None);
    }
}
