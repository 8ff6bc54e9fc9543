//! The bundled solo payout scheme.
