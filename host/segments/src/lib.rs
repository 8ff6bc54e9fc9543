//! Append-only, checksummed, blake3-chained segment files with group commit.
