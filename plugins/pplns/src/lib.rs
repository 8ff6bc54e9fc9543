//! The bundled pplns payout scheme.
