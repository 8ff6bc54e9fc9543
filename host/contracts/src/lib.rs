//! The plugin contracts as Rust: bindings of every frozen WIT version mapped to one core type each.
