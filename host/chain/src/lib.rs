//! Drives a chain adapter: events in, actions out, and the trust rules between it and the pool.
