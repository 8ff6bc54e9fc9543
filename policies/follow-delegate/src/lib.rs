//! The bundled vote policy: a user's explicit choices, then his delegate's, then the pool's default.
