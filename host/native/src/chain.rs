//! What a run of calls came to, as one digest.

use millpond_contracts::{CallError, Outcome};
use millpond_types::Digest;
use serde::Serialize;

/// A chain of digests over what calls gave, one after the other: the last one is equal for two runs only where each
/// call gave the same bytes. Fuel is left out, and of an error all but its kind and the plugin's own words: native code
/// uses no fuel, and words a trap in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(Digest);

impl Default for Chain {
    fn default() -> Self {
        Self(Digest::of(b"millpond chain of results 1"))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Link<'a, T> {
    Gave(&'a T),
    Said(&'a str),
    Trapped,
    Refused,
}

impl Chain {
    /// Adds what a call gave.
    ///
    /// # Errors
    /// A result that JSON cannot say.
    pub fn push<T: Serialize>(&mut self, outcome: &Outcome<T>) -> serde_json::Result<()> {
        let link = match outcome {
            Ok(done) => Link::Gave(&done.value),
            Err(CallError::Plugin { message, .. }) => Link::Said(message),
            Err(CallError::Trap { .. }) => Link::Trapped,
            Err(CallError::Host { .. }) => Link::Refused,
        };
        let mut bytes = self.0.0.to_vec();
        serde_json::to_writer(&mut bytes, &link)?;
        self.0 = Digest::of(&bytes);
        Ok(())
    }

    /// The digest of all that was added.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_contracts::{Done, TrapKind};

    fn of(outcomes: &[Outcome<u64>]) -> Chain {
        let mut chain = Chain::default();
        outcomes.iter().for_each(|outcome| chain.push(outcome).unwrap());
        chain
    }

    fn gave(value: u64, fuel_used: u64) -> Outcome<u64> {
        Ok(Done { value, fuel_limit: 9, fuel_used })
    }

    fn trap(message: &str) -> Outcome<u64> {
        let (function, message) = ("f".to_owned(), message.to_owned());
        Err(CallError::Trap { function, kind: TrapKind::Other, message })
    }

    #[test]
    fn a_chain_is_of_what_was_given_in_its_order() {
        assert_eq!(of(&[gave(1, 5), gave(2, 6)]), of(&[gave(1, 0), gave(2, 0)]));
        assert_ne!(of(&[gave(1, 5), gave(2, 6)]), of(&[gave(2, 6), gave(1, 5)]));
        assert_ne!(of(&[gave(1, 5)]), of(&[gave(1, 5), gave(1, 5)]));
        assert_eq!(of(&[trap("unreachable")]), of(&[trap("attempt to add with overflow")]));
        let says = |message: &str| {
            let (function, message) = ("f".to_owned(), message.to_owned());
            Err(CallError::Plugin { function, message })
        };
        assert_ne!(of(&[says("one")]), of(&[says("another")]));
        assert_ne!(of(&[says("one")]), of(&[trap("one")]));
    }
}
