//! Dialect documents: how a family of miners speaks Stratum V1; compiled at load.
