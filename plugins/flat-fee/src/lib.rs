//! The bundled flat fee policy, in basis points.
