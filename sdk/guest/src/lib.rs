//! What plugin authors write against: traits and macros for every contract.
