//! What a plugin logs: sanitised, cut, and limited in rate, because terminal escape codes and floods pass through
//! strings untouched.

use crate::limits::Limits;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a plugin's log lines go.
pub trait LogSink: Send + Sync {
    /// One line, fit for a terminal. Level 1 is an error, 2 a warning, 3 information, more is detail.
    fn line(&self, plugin: &str, level: u8, line: &str);
}

/// Into the host's own log.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

impl LogSink for TracingSink {
    fn line(&self, plugin: &str, level: u8, line: &str) {
        match level {
            0 | 1 => tracing::error!(plugin, "{line}"),
            2 => tracing::warn!(plugin, "{line}"),
            3 => tracing::info!(plugin, "{line}"),
            _ => tracing::debug!(plugin, "{line}"),
        }
    }
}

/// The log of one plugin, shared by all its instances.
#[derive(Clone)]
pub struct GuestLog {
    plugin: Arc<str>,
    sink: Arc<dyn LogSink>,
    gate: Arc<Mutex<Gate>>,
    limits: &'static Limits,
}

struct Gate {
    since: Instant,
    lines: u64,
    dropped: u64,
}

impl GuestLog {
    /// A log under the plugin's name.
    #[must_use]
    pub fn new(plugin: &str, limits: &'static Limits, sink: Arc<dyn LogSink>) -> Self {
        let gate = Gate { since: Instant::now(), lines: 0, dropped: 0 };
        Self { plugin: Arc::from(clean(plugin, 64)), sink, gate: Arc::new(Mutex::new(gate)), limits }
    }

    /// Passes on one line, or counts it.
    pub fn line(&self, level: u8, line: &str) {
        let dropped = {
            let mut gate = self.gate.lock();
            let mut dropped = 0;
            if gate.since.elapsed() >= Duration::from_secs(1) {
                dropped = std::mem::take(&mut gate.dropped);
                gate.since = Instant::now();
                gate.lines = 0;
            }
            if gate.lines >= self.limits.log_lines {
                gate.dropped = gate.dropped.saturating_add(1);
                return;
            }
            gate.lines = gate.lines.saturating_add(1);
            dropped
        };
        if dropped > 0 {
            let note = format!("{dropped} log lines dropped: at most {} in a second", self.limits.log_lines);
            self.sink.line(&self.plugin, 2, &note);
        }
        self.sink.line(&self.plugin, level, &clean(line, self.limits.log_line));
    }

    /// Lines dropped since the last one that passed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.gate.lock().dropped
    }
}

impl std::fmt::Debug for GuestLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GuestLog({})", self.plugin)
    }
}

/// A text from a plugin, fit for a terminal and a log: control characters (escape codes, line breaks) and characters
/// that reorder or hide text are shown as escapes, and it is cut after `limit` bytes.
#[must_use]
pub fn clean(text: &str, limit: u64) -> String {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut out = String::with_capacity(text.len().min(limit));
    for c in text.chars() {
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        let room = limit.saturating_sub(out.len());
        let needs = if c.is_control() || hidden { c.escape_unicode().len() } else { c.len_utf8() };
        if needs > room {
            out.push('…');
            break;
        }
        if c.is_control() || hidden { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ADAPTER;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl LogSink for Kept {
        fn line(&self, _: &str, _: u8, line: &str) {
            self.0.lock().push(line.to_owned());
        }
    }

    #[test]
    fn escape_codes_do_not_reach_the_operators_terminal() {
        assert_eq!(clean("\u{1b}[2Jpaid\r\n\u{202e}", 100), "\\u{1b}[2Jpaid\\u{d}\\u{a}\\u{202e}");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(clean("äöü", 5), "äö…");
        assert_eq!(clean("abc", 3), "abc");
    }

    #[test]
    fn a_flood_passes_at_most_its_lines_in_a_second() {
        let kept = Arc::new(Kept::default());
        let log = GuestLog::new("flood", &ADAPTER, kept.clone());
        for n in 0..1000 {
            log.line(2, &n.to_string());
        }
        let passed = kept.0.lock().len();
        // One more second may begin while this runs.
        assert!((64..1000).contains(&passed), "{passed} lines passed");
        assert!(log.dropped() > 0);
    }
}
