//! The double-entry, hash-chained ledger.
