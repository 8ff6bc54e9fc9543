//! One pool put together from the crates below: the path of a share and the path of an income.

pub mod luck;
pub mod plugins;
pub mod stats;
pub mod view;
