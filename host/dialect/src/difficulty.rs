//! Which difficulties a family of miners understands.

/// How a wanted difficulty is rounded before it is sent; always downwards, so that nobody is given more than the
/// pool decided. Hashing power is judged by the target of the rounded difficulty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// As it is.
    #[default]
    Exact,
    /// Whole numbers; below 1 (test networks) powers of two.
    Integers,
    /// Powers of two, also negative ones.
    PowersOfTwo,
}

impl Rounding {
    /// Rounds down. A difficulty that is not positive and finite comes back unchanged; making it a target fails.
    #[must_use]
    pub fn apply(self, difficulty: f64) -> f64 {
        match self {
            _ if !difficulty.is_finite() || difficulty <= 0.0 => difficulty,
            Self::Exact => difficulty,
            Self::Integers if difficulty >= 1.0 => difficulty.floor(),
            Self::Integers | Self::PowersOfTwo => power_of_two(difficulty),
        }
    }
}

fn power_of_two(positive: f64) -> f64 {
    // Without its fraction bits a normal double is a power of two; subnormal ones are no difficulties.
    let power = f64::from_bits(positive.to_bits() & !((1 << 52) - 1));
    if power > 0.0 { power } else { f64::MIN_POSITIVE }
}

#[cfg(test)]
mod tests {
    use super::Rounding::*;

    #[test]
    fn difficulties_are_rounded_down_to_what_the_firmware_takes() {
        assert_eq!(PowersOfTwo.apply(1000.0), 512.0);
        assert_eq!(PowersOfTwo.apply(0.0005), 2_f64.powi(-11));
        assert_eq!(PowersOfTwo.apply(4096.0), 4096.0);
        assert_eq!(Integers.apply(1000.7), 1000.0);
        assert_eq!(Integers.apply(0.3), 0.25);
        assert_eq!(Exact.apply(0.3), 0.3);
    }

    #[test]
    fn what_is_no_difficulty_stays_what_it_is() {
        assert!(PowersOfTwo.apply(f64::NAN).is_nan());
        assert_eq!(Integers.apply(-3.5), -3.5);
        assert_eq!(PowersOfTwo.apply(5e-324), f64::MIN_POSITIVE);
    }
}
