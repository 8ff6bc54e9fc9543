//! One of many by weights, at the price of one number whatever their number.

use crate::Stream;

/// Why weights make no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// Nothing can be drawn.
    #[error(
        "none of {0} weights is above 0: somebody must be there to be drawn, leave the draw out while nobody is"
    )]
    Nobody(usize),
    /// More than there are places for.
    #[error("{0} weights are too many for one table: it has 2^32 places, put small ones together")]
    TooMany(usize),
}

/// A place: itself below a bound, another above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    below: u64,
    other: u32,
}

/// Integer weights as a table of aliases: M. D. Vose, "A linear algorithm for generating random numbers with a given distribution"
/// (1991), in integers. With n weights the probability of each is its part of their sum to within (n + 1)·2^-64, and exactly 0
/// for a weight of 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    places: Vec<Place>,
}

impl Alias {
    /// The table of weights. It does not depend on their order but for who stands where.
    pub fn new(weights: &[u64]) -> Result<Self, WeightsError> {
        let many = u32::try_from(weights.len()).map_err(|_| WeightsError::TooMany(weights.len()))?;
        // At most 2^96: so is each weight times their number.
        let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        if sum == 0 {
            return Err(WeightsError::Nobody(weights.len()));
        }
        let mut places = vec![Place { below: u64::MAX, other: 0 }; weights.len()];
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for (at, weight) in (0..many).zip(weights) {
            let has = u128::from(*weight).wrapping_mul(u128::from(many));
            if has < sum { small.push((at, has)) } else { large.push((at, has)) }
        }
        while let Some((at, has)) = small.pop() {
            // There is one: those that are left have a full place each on average.
            let Some((other, more)) = large.pop() else { break };
            if let Some(place) = places.get_mut(at as usize) {
                *place = Place { below: part(has, sum), other };
            }
            // What the small one lacks of a full place is taken from the large one.
            let rest = more.saturating_sub(sum.saturating_sub(has));
            if rest < sum { small.push((other, rest)) } else { large.push((other, rest)) }
        }
        // Integers come out even: what is left is full.
        for (at, _) in large {
            if let Some(place) = places.get_mut(at as usize) {
                *place = Place { below: u64::MAX, other: at };
            }
        }
        Ok(Self { places })
    }

    /// One of them, by its place among the weights.
    #[inline]
    pub fn draw(&self, stream: &mut Stream) -> u32 {
        let wide = stream.times(self.places.len() as u64);
        let at = (wide >> 64) as u32;
        // There is always one. Which of both it is nobody can foretell, a processor neither.
        let place = self.places.get(at as usize).copied().unwrap_or(Place { below: u64::MAX, other: at });
        std::hint::select_unpredictable(wide as u64 >= place.below, place.other, at)
    }

    /// Draws one for each place of `owners`: what [`Alias::draw`] would give, one after the other.
    pub fn fill(&self, stream: &mut Stream, owners: &mut [u32]) {
        for owner in owners {
            *owner = self.draw(stream);
        }
    }
}

/// floor(2^64 · has / sum) for has < sum <= 2^96, in two steps of 32 bits.
fn part(has: u128, sum: u128) -> u64 {
    let step = |rest: u128| {
        let wide = rest << 32;
        (wide.checked_div(sum).unwrap_or(0) as u64, wide.checked_rem(sum).unwrap_or(0))
    };
    let (high, rest) = step(has);
    let (low, _) = step(rest);
    high << 32 | low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Purpose};
    use proptest::prelude::*;

    /// The probability of each in units of 2^-64/n, read off the table. A bound of 2^64 - 1 with itself behind is a full place.
    fn probabilities(table: &Alias) -> Vec<u128> {
        let mut all = vec![0_u128; table.places.len()];
        for (at, place) in table.places.iter().enumerate() {
            all[at] += u128::from(place.below);
            all[place.other as usize] += (1 << 64) - u128::from(place.below);
        }
        all
    }

    /// Whether each has its part of the sum to within n units of 2^-64/n.
    fn right(table: &Alias, weights: &[u64]) -> bool {
        let n = weights.len() as u128;
        let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        probabilities(table).iter().zip(weights).all(|(units, weight)| {
            // units / 2^64 against n times weight / sum.
            let has = u128::from(*weight) * n;
            let (whole, rest) = (has / sum, has % sum);
            let expected = (whole << 64) + u128::from(part(rest, sum));
            units.abs_diff(expected) <= n
        })
    }

    proptest! {
        #[test]
        fn each_has_its_part(weights in proptest::collection::vec(prop_oneof![Just(0), 1..10_u64, any::<u64>()], 1..40)) {
            if weights.iter().all(|weight| *weight == 0) {
                return Ok(());
            }
            let table = Alias::new(&weights).unwrap();
            prop_assert!(right(&table, &weights));
            for (units, weight) in probabilities(&table).iter().zip(&weights) {
                prop_assert_eq!(*units == 0, *weight == 0);
            }
            // The twin: the table of other weights, the largest halved; seen where the rest is not next to nothing beside it.
            let (at, largest) = weights.iter().enumerate().max_by_key(|(_, weight)| **weight).unwrap();
            let rest = weights.iter().map(|weight| u128::from(*weight)).sum::<u128>() - u128::from(*largest);
            if *largest > 2 && rest > u128::from(*largest >> 32) {
                let mut other = weights.clone();
                other[at] = largest / 2 + 1;
                prop_assert!(!right(&Alias::new(&other).unwrap(), &weights));
            }
        }
    }

    #[test]
    fn edges_of_a_table() {
        assert_eq!(Alias::new(&[]), Err(WeightsError::Nobody(0)));
        assert_eq!(Alias::new(&[0, 0]), Err(WeightsError::Nobody(2)));
        let mut stream = Key { seed: 1, replication: 0 }.stream(Purpose::Test, 0);
        let only = Alias::new(&[0, 5, 0]).unwrap();
        assert!((0..1000).all(|_| only.draw(&mut stream) == 1));
        let widest = vec![u64::MAX; 1000];
        assert!(right(&Alias::new(&widest).unwrap(), &widest));
    }

    #[test]
    fn a_chunk_is_filled_with_what_is_drawn_one_by_one() {
        let table = Alias::new(&[1, 2, 3]).unwrap();
        let mut stream = Key { seed: 1, replication: 0 }.stream(Purpose::Owner, 0);
        let mut again = stream.clone();
        let mut owners = [9; 100];
        table.fill(&mut stream, &mut owners);
        assert!(owners.iter().all(|owner| *owner == table.draw(&mut again)));
        assert_eq!(stream.place(), again.place());
    }
}
