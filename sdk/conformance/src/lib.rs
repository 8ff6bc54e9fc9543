//! The conformance kit: the host's own code, run over somebody's plugin.
