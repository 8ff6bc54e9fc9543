//! Random numbers that are the same on every machine, in whatever order and on however many threads they are asked for.
//!
//! A number is a function of five things and of nothing else: the run's seed, the replication, the purpose, whom it is about, and its
//! place in that stream. So a world with one miner more, or with another rule of payment, finds the same blocks at the same shares:
//! differences between two runs are of what was changed, and their error is that of the difference. No state is carried between
//! streams, and none has to be kept to go on from a place.
//!
//! The numbers are Philox 4x64-10 (J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011), a counter put through ten rounds under a key: the key is seed and replication, the counter is place, purpose and who. Two
//! different fives never give the same block, since the rounds are a permutation. It is no cipher: who sees numbers may work out
//! others.
//!
//! Samplers use integers where they can. Where they cannot, they use + - * / and sqrt of f64, which IEEE 754 rounds exactly, and the
//! functions of [`maths`]. The platform's own are refused by this crate's clippy.toml. A test holds the first numbers of each.
//!
//! No number here is ever a secret: this is for simulations alone.

mod alias;
mod counts;
pub mod maths;
mod philox;
mod reals;
mod stream;
mod tilt;
mod whole;

pub use alias::{Alias, WeightsError};
pub use counts::Geometric;
pub use stream::{Key, Purpose, Stream};
pub use tilt::{Tilt, TiltError};
