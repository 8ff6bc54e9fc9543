//! The bundled chain adapter for Bitcoin and coins like it.
