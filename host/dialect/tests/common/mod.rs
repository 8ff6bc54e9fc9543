//! Documents of the repository and a session whose state a test sets by hand.

#![allow(dead_code)]

use millpond_dialect::{Dialect, Extranonce, JobRef, SessionView};
use std::path::Path;
use std::sync::Arc;

pub fn family(path: &str) -> Arc<Dialect> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/families").join(path);
    let text = std::fs::read_to_string(&file).unwrap();
    Dialect::compile(path, &text).unwrap_or_else(|errors| panic!("{errors}"))
}

#[derive(Clone, Debug, Default)]
pub struct Session {
    pub subscribed: bool,
    pub authorized: bool,
    pub extranonce_updates: bool,
    pub agent: String,
    pub prefix: Vec<u8>,
    pub size: usize,
    pub mask: Option<Vec<u8>>,
}

impl Session {
    pub fn with_prefix(prefix: &str, size: usize) -> Self {
        Self { prefix: bytes(prefix), size, ..Self::default() }
    }

    pub fn ready(prefix: &str, size: usize) -> Self {
        Self { subscribed: true, authorized: true, ..Self::with_prefix(prefix, size) }
    }
}

impl SessionView for Session {
    fn subscribed(&self) -> bool {
        self.subscribed
    }

    fn authorized(&self) -> bool {
        self.authorized
    }

    fn extranonce_updates(&self) -> bool {
        self.extranonce_updates
    }

    fn agent(&self) -> &str {
        &self.agent
    }

    fn extranonce(&self, _job: &JobRef) -> Extranonce<'_> {
        Extranonce { prefix: &self.prefix, size: self.size }
    }

    fn negotiated(&self, field: &str) -> Option<&[u8]> {
        self.mask.as_deref().filter(|_| field == "mask")
    }
}

pub fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines of an output, each as JSON.
pub fn lines(out: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(out).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?} has no line end");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}
