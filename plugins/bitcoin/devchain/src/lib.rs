//! The development chain: a small Bitcoin-like node and wallet in one process, for the demo and the tests.
