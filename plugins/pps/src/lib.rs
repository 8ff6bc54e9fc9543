//! The bundled pps payout scheme.
