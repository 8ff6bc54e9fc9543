//! Hash functions and proof-of-work algorithms by name.
