//! Second confirmations: a command that changes money is done when it comes again with the code.

use crate::Command;
use parking_lot::Mutex;
use rand::Rng;
use std::time::{Duration, Instant};

/// A code can be used for this long.
const VALID: Duration = Duration::from_secs(120);
/// Codes waiting at once; the oldest goes first.
const WAITING: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Confirmations(Mutex<Vec<(String, String, Command, Instant)>>);

impl Confirmations {
    /// A code for this very command of this very actor.
    pub(crate) fn ask(&self, actor: &str, command: &Command, now: Instant) -> String {
        let mut bytes = [0_u8; 6];
        rand::rng().fill(&mut bytes);
        let code: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut waiting = self.0.lock();
        waiting.retain(|(_, _, _, since)| now.saturating_duration_since(*since) < VALID);
        if waiting.len() >= WAITING {
            waiting.remove(0);
        }
        waiting.push((code.clone(), actor.to_owned(), command.clone(), now));
        code
    }

    /// Uses a code up. True only for the same actor, the same command and in time; a wrong try uses it up too.
    pub(crate) fn take(&self, code: &str, actor: &str, command: &Command, now: Instant) -> bool {
        let mut waiting = self.0.lock();
        let Some(at) = waiting.iter().position(|(known, _, _, _)| known == code) else { return false };
        let (_, who, what, since) = waiting.remove(at);
        who == actor && what == *command && now.saturating_duration_since(since) < VALID
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_for_its_command_and_its_actor_in_time() {
        let codes = Confirmations::default();
        let now = Instant::now();
        let (run, other) =
            (Command::PaymentsRun { pool: "a".into() }, Command::PaymentsRun { pool: "b".into() });
        let code = codes.ask("me", &run, now);
        assert!(codes.take(&code, "me", &run, now));
        assert!(!codes.take(&code, "me", &run, now), "used twice");
        let code = codes.ask("me", &run, now);
        assert!(!codes.take(&code, "me", &other, now));
        let code = codes.ask("me", &run, now);
        assert!(!codes.take(&code, "you", &run, now));
        let code = codes.ask("me", &run, now);
        assert!(!codes.take(&code, "me", &run, now + VALID));
    }
}
