//! The chain over fake adapters: what a hostile one costs, what a swap does, what becomes of a block.

mod coinbase;
mod components;
mod hostile;
mod life;
mod solutions;
