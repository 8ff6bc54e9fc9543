//! From an income to an allocation: windows, scheme, fee policy, and every native check between them.
