//! The bundled prop payout scheme.
