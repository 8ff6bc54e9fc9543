//! The operator's TOML configuration: one table of options gives parser, validation, help and example.
