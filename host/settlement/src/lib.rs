//! Payments: build, sign, store, broadcast, reconcile; never twice, never lost.
