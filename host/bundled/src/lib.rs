//! The plugins that ship inside the binary, with their lock file.
