//! One pool put together from the crates below: the path of a share and the path of an income.

pub mod books;
mod decide;
pub mod luck;
pub mod plugins;
pub mod policy;
pub mod replay;
pub mod stats;
pub mod view;
