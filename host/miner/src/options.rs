//! What a miner is told, and what it tells.

use millpond_algorithms::AlgorithmError;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How to mine.
#[derive(Clone, Debug)]
pub struct Options {
    /// The pool: `host:port`, with or without `stratum+tcp://`.
    pub pool: String,
    /// The login: an address, often with `.worker` behind it.
    pub login: String,
    /// The password: `d=1024` asks for a difficulty.
    pub password: String,
    /// Threads that hash, at least 1.
    pub threads: usize,
    /// The algorithm's name: `sha256d`, `scrypt`.
    pub algorithm: String,
    /// The user agent.
    pub agent: String,
    /// Ends after so many accepted shares.
    pub shares: Option<u64>,
    /// Hashes a second and thread at most, to leave the machine to others.
    pub hashes_per_second: Option<f64>,
}

impl Options {
    /// One thread of sha256d.
    #[must_use]
    pub fn new(pool: impl Into<String>, login: impl Into<String>) -> Self {
        Self {
            pool: pool.into(),
            login: login.into(),
            password: "x".to_owned(),
            threads: 1,
            algorithm: "sha256d".to_owned(),
            agent: concat!("millpond/", env!("CARGO_PKG_VERSION")).to_owned(),
            shares: None,
            hashes_per_second: None,
        }
    }

    /// The pool as `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.pool.strip_prefix("stratum+tcp://").unwrap_or(&self.pool).trim_end_matches('/')
    }
}

/// Why a miner ended.
#[derive(Debug, thiserror::Error)]
pub enum MineError {
    /// The pool cannot be reached.
    #[error("{pool} cannot be reached: {source}; is it host:port of a running pool?")]
    Unreachable {
        /// As given.
        pool: String,
        /// Why.
        source: std::io::Error,
    },
    /// The pool hung up, or said what no Stratum pool says.
    #[error("{pool}: {what}")]
    Protocol {
        /// As given.
        pool: String,
        /// What happened.
        what: String,
    },
    /// The pool refused the login.
    #[error("{pool} refuses the login {login:?}: {why}")]
    Login {
        /// As given.
        pool: String,
        /// As given.
        login: String,
        /// In the pool's words.
        why: String,
    },
    /// An algorithm that is not native, or not of 32 bytes.
    #[error("there is no algorithm {given:?} to mine with; there are {known}")]
    Algorithm {
        /// As given.
        given: String,
        /// What there is.
        known: String,
    },
    /// The algorithm could not be prepared.
    #[error(transparent)]
    Prepare(#[from] AlgorithmError),
    /// A thread could not be started.
    #[error("no thread to hash on: {0}")]
    Thread(std::io::Error),
    /// The miner's task ended early.
    #[error("the miner ended early")]
    Ended,
}

/// What a miner did so far; read from anywhere.
#[derive(Debug, Default)]
pub struct Progress {
    pub(crate) hashes: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) jobs: AtomicU64,
    pub(crate) connections: AtomicU64,
}

impl Progress {
    /// Hashes computed.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }

    /// Shares that the pool accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Shares that the pool refused.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Jobs received.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.jobs.load(Ordering::Relaxed)
    }

    /// Times it connected.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn summary(&self, time: Duration) -> Summary {
        let seconds = time.as_secs_f64();
        Summary {
            accepted: self.accepted(),
            rejected: self.rejected(),
            hashes: self.hashes(),
            seconds,
            hashes_per_second: self.hashes() as f64 / seconds.max(0.001),
        }
    }
}

/// What a miner did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Shares that the pool accepted.
    pub accepted: u64,
    /// Shares that it refused.
    pub rejected: u64,
    /// Hashes computed.
    pub hashes: u64,
    /// How long it took.
    pub seconds: f64,
    /// The mean rate.
    pub hashes_per_second: f64,
}
