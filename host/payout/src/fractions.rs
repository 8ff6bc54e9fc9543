//! Fees of credits by share, in parts of a unit.
//!
//! Where a batch of shares ends is the clock's doing: rounded down in each, a fee of one percent of less than a hundred units
//! would be nothing, for as long as a miner is small. So a policy is asked for the fee of 2^places as much, and what is below
//! a unit is taken as one with just that probability: the fee is right in the mean however batches are cut, and exact where it
//! is whole. The draw is a digest of the batch's last share, the policy's place and the miner, so that a replay draws the same.

use millpond_types::MinerId;

/// Binary places below a unit.
const PLACES: u32 = 20;

/// How finely a policy is asked for its fees of one batch.
pub struct Fractions {
    places: u32,
    seed: blake3::Hasher,
}

impl Fractions {
    /// For the policy at a place of the list, of a batch of this key and sum. As fine as 64 bits hold; `None` when they hold
    /// no more than units.
    #[must_use]
    pub fn new(place: usize, key: &[u8], sum: u64) -> Option<Self> {
        let places = PLACES.min(sum.leading_zeros());
        let mut seed = blake3::Hasher::new_derive_key("millpond 2026 fractions of fees of credits");
        for number in [place, key.len()] {
            seed.update(&u64::try_from(number).unwrap_or(u64::MAX).to_le_bytes());
        }
        seed.update(key);
        (places > 0).then_some(Self { places, seed })
    }

    /// An amount as the policy is shown it. The sum of the batch fits, and so does each of its rows.
    #[must_use]
    pub fn finer(&self, amount: u64) -> u64 {
        amount << self.places
    }

    /// Whether a fee in whole units and one that was found so finely are the same: rounding down in one part gives the same,
    /// in two parts at most a unit less.
    #[must_use]
    pub fn agree(&self, plain: u64, fine: u64) -> bool {
        (plain..=plain.saturating_add(1)).contains(&(fine >> self.places))
    }

    /// The whole units of a miner's fee that was found so finely: at most the amount that it was taken of.
    #[must_use]
    pub fn whole(&self, fee: u64, miner: MinerId) -> u64 {
        let mut bytes = [0; 8];
        self.seed.clone().update(&miner.0.to_le_bytes()).finalize_xof().fill(&mut bytes);
        let below = (1_u64 << self.places).saturating_sub(1);
        // Fee and draw together are below the next unit.
        fee.saturating_add(u64::from_le_bytes(bytes) & below) >> self.places
    }
}
