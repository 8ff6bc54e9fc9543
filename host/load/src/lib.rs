//! A load generator for Stratum V1 servers, ours or others', and the mock Bitcoin node that feeds them.
//!
//! It shares its machine with the server it measures, so it is light itself: a few threads, each with one loop over the
//! sockets of all its miners, and a scanner that reads only what it needs of a message. It says what CPU time it took.
//!
//! What it may not do: decide anything about a share. It counts what the server says.

pub mod bench;
mod connection;
mod echo;
mod fleet;
mod histogram;
mod job;
mod link;
pub mod node;
mod noise;
pub mod process;
mod report;
mod scan;
mod worker;

pub use echo::Echo;
pub use fleet::{Blocks, Fleet, LoadError, Options, Volley};
pub use histogram::{Histogram, Latency};
pub use noise::{Din, Met, Mischief, Noise};
pub use report::{Held, Jobs, Shares, Spread, Storm};

use bitcoin::{Address, KnownHrp, WitnessProgram, WitnessVersion};

/// A login that a pool of regtest takes: an address whose key is nobody's, and a worker for each connection.
pub const LOGIN: &str = "bcrt1qqgpqyqszqgpqyqszqgpqyqszqgpqyqszazmwwa.w{}";

/// Logins of so many addresses that a pool of regtest takes, nobody's either, with a worker for each connection: pools keep
/// figures by address and by worker, and a load of one address would hide what they cost.
#[must_use]
pub fn logins(addresses: u32) -> Vec<String> {
    (0..addresses.max(1)).filter_map(login).collect()
}

/// The login of an address whose key's hash is [`LOGIN`]'s but for its last four bytes.
fn login(number: u32) -> Option<String> {
    let mut hash = [2; 20];
    *hash.last_chunk_mut()? = number.to_be_bytes();
    let program = WitnessProgram::new(WitnessVersion::V0, &hash).ok()?;
    Some(format!("{}.w{{}}", Address::from_witness_program(program, KnownHrp::Regtest)))
}

/// The mark of a block: what tells it apart in a job. Takes its hash as nodes show it, 64 hex digits.
#[must_use]
pub fn mark(hash: &str) -> u64 {
    // On the wire the words of four bytes stand in reverse order: the last two come first.
    let words: String = hash.as_bytes().rchunks(8).take(2).map(String::from_utf8_lossy).collect();
    job::parent(words.as_bytes())
}

#[cfg(test)]
mod tests {
    #[test]
    fn logins_are_of_different_addresses_of_the_one_kind() {
        let logins = super::logins(400);
        let different: std::collections::HashSet<_> = logins.iter().collect();
        assert_eq!(different.len(), 400);
        assert!(logins.iter().all(|login| login.starts_with("bcrt1q") && login.ends_with(".w{}")));
        assert_eq!(super::login(0x0202_0202).as_deref(), Some(super::LOGIN));
    }

    #[test]
    fn the_mark_of_a_block_is_that_of_the_jobs_on_it() {
        // The stratum manual's previous block, as nodes show it and as it stands on the wire.
        let shown = "00000000440b921e1b77c6c0487ae5616de67f788f44ae2a5af6e2194d16b6f8";
        assert_eq!(super::mark(shown), 0x4d16_b6f8_5af6_e219);
    }
}
