//! Every sampler draws what it says, as χ² and Kolmogorov's test see it, and the same test refuses a law that is a little off.
//!
//! A right sampler passes at 4 σ (once in 31,574 it would not; seeds are fixed). Sizes: with 64 cells the bound is χ² = 118 for 63
//! degrees, and a law that is off has a χ² of 63 + λ on average with a deviation of sqrt(2 (63 + 2λ)): λ = 200 lies beyond
//! the bound by more than 4 of these. λ is the number of draws times Σ(p' - p)²/p. For a parameter that is off by a part δ that is
//! about δ² times: 1 for an exponential's rate, 1/(1 - p) for a geometric's, the mean for a Poisson's, np/(1 - p) for a
//! binomial's, 2 for a normal's scale. Each test says what its twin is off by.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_statistics::{
    Expectation, Fit, Moments, Verdict, Weighted, chi_square, kolmogorov_smirnov, normal_below,
};
use millpond_stream::{Alias, Geometric, Key, Purpose, Stream, Tilt, maths};

const CELLS: u64 = 64;

fn stream(who: u32) -> Stream {
    Key { seed: 20_260_727, replication: 0 }.stream(Purpose::Test, who)
}

/// Probabilities in units of 2^-64.
fn units(p: f64) -> u128 {
    (p / maths::UNIT) as u128
}

/// Passes for what is said, fails for the twin. Says both where not.
fn told_apart(what: &str, fit: Fit, twin: Fit) {
    assert!(fit.z() <= 4.0, "{what}: {} σ, {fit:?}", fit.z());
    assert!(twin.z() > 4.0, "the twin of {what} passes: {} σ, {twin:?}", twin.z());
}

/// The probabilities of counts from `low` on, with all below in front and all above behind.
struct Law {
    low: u64,
    cells: Vec<f64>,
}

impl Law {
    /// From a law's logarithms, for the counts of which 20 and more are expected among `n`. Those that are not are few and lie at
    /// the ends.
    fn of(n: u64, most: u64, ln_p: impl Fn(u64) -> f64) -> Self {
        let all: Vec<f64> = (0..=most).map(|k| maths::exp(ln_p(k))).collect();
        let seen = |p: &f64| *p * n as f64 >= 20.0;
        let low = all.iter().position(seen).unwrap();
        let high = all.iter().rposition(seen).unwrap();
        let mut cells = vec![all[..low].iter().sum()];
        cells.extend_from_slice(&all[low..=high]);
        cells.push((1.0 - cells.iter().sum::<f64>()).max(0.0));
        // Ends too small to be counted by themselves go to their neighbours.
        let last = cells.len() - 1;
        if cells[last] * (n as f64) < 20.0 {
            cells[last - 1] += cells[last];
            cells.pop();
        }
        if cells[0] * (n as f64) < 20.0 {
            cells[1] += cells[0];
            cells.remove(0);
            return Self { low: low as u64, cells };
        }
        Self { low: (low as u64).saturating_sub(1), cells }
    }

    fn fit(&self, counts: &[u64]) -> Fit {
        let mut seen = vec![0; self.cells.len()];
        for (count, times) in counts.iter().enumerate() {
            let at = (count as u64).saturating_sub(self.low).min(self.cells.len() as u64 - 1);
            seen[at as usize] += times;
        }
        chi_square(&seen.into_iter().zip(self.cells.iter().copied()).collect::<Vec<_>>())
    }
}

/// How often each count came, the last for all above.
fn counted(n: u64, most: u64, mut draw: impl FnMut() -> u64) -> Vec<u64> {
    let mut counts = vec![0; most as usize + 1];
    for _ in 0..n {
        counts[draw().min(most) as usize] += 1;
    }
    counts
}

/// Counts of equal cells of what is between 0 and 1.
fn spread(n: u64, mut draw: impl FnMut() -> f64) -> Fit {
    let counts = counted(n, CELLS - 1, || (draw() * CELLS as f64) as u64);
    chi_square(&counts.into_iter().map(|count| (count, 1.0 / CELLS as f64)).collect::<Vec<_>>())
}

/// Consecutive numbers, numbers of neighbouring streams and of neighbouring replications know nothing of each other: 8 × 8 cells
/// of their first three bits, and of their last three. The twin repeats one number in 50: λ = n · 0.0028.
#[test]
fn numbers_know_nothing_of_each_other() {
    const N: u64 = 1_000_000;
    let pairs = |shift: u32, next: &mut dyn FnMut() -> (u64, u64)| {
        let counts = counted(N, 63, || {
            let (a, b) = next();
            (a >> shift & 7) << 3 | b >> shift & 7
        });
        chi_square(&counts.into_iter().map(|count| (count, 1.0 / 64.0)).collect::<Vec<_>>())
    };
    let of = |replication, who| Key { seed: 9, replication }.stream(Purpose::Test, who);
    for shift in [0, 29, 61] {
        let (mut one, mut twin, mut pick) = (of(0, 0), of(0, 0), of(1, 0));
        let after = pairs(shift, &mut || (one.bits(), one.bits()));
        let repeated = pairs(shift, &mut || {
            let (a, b) = (twin.bits(), twin.bits());
            (a, if pick.below(50) == 0 { a } else { b })
        });
        told_apart("numbers one after the other", after, repeated);
        let beside = |mut a: Stream, mut b: Stream| pairs(shift, &mut || (a.bits(), b.bits()));
        for (what, fit) in [
            ("who", beside(of(0, 1), of(0, 2))),
            ("replications", beside(of(1, 1), of(2, 1))),
            ("purposes", beside(of(0, 1), Key { seed: 9, replication: 0 }.stream(Purpose::Owner, 1))),
            ("seeds", beside(of(0, 1), Key { seed: 10, replication: 0 }.stream(Purpose::Test, 1))),
        ] {
            assert!(fit.z() <= 4.0, "{what}: {fit:?}");
        }
        // The first numbers of many streams, as a world with many miners takes them.
        let (mut who, first) = (0, |who| of(3, who).bits());
        let firsts = pairs(shift, &mut || {
            who += 2;
            (first(who), first(who + 1))
        });
        assert!(firsts.z() <= 4.0, "first numbers: {firsts:?}");
    }
}

/// Off by 1 %: a range that is told 1,010 for 1,000.
#[test]
fn below_is_even() {
    let law = |n: u64, draws| Law::of(draws, n - 1, |_| -maths::ln(n as f64));
    let (mut right, mut off) = (stream(1), stream(1));
    let n = 2_000_000;
    told_apart(
        "below",
        law(1000, n).fit(&counted(n, 2000, || right.below(1000))),
        law(1000, n).fit(&counted(n, 2000, || off.below(1010))),
    );
}

/// Off by 1 %, as 8 σ.
#[test]
fn hits_are_as_many_as_their_probability() {
    for (who, p) in [(2, 0.3_f64), (3, 0.02)] {
        let n = Expectation::samples(((1.0 - p) / p).sqrt());
        let mut stream = stream(who);
        let hits: Moments = (0..n).map(|_| f64::from(u8::from(stream.hit(units(p))))).collect();
        let expected = Expectation::of(p);
        assert!(expected.judge(&hits.mean()).holds(), "{:?}", hits.mean());
        for twin in [1.01, 0.99] {
            assert!(matches!(expected.times(twin).judge(&hits.mean()), Verdict::Deviates { .. }));
        }
    }
}

/// Off by 1 % in the exponent: the largest distance is 0.0037, and 4 σ of Kolmogorov's test are 2.35/√n.
#[test]
fn units_are_even() {
    let n = 2_000_000;
    let mut stream = stream(4);
    let mut units: Vec<f64> = (0..n).map(|_| stream.unit()).collect();
    let right = kolmogorov_smirnov(&mut units, |x| x);
    told_apart("unit", right, kolmogorov_smirnov(&mut units, |x| maths::power(x, 1.01)));
}

/// Off by 1 % in the rate.
#[test]
fn exponentials_have_their_rate() {
    let n = 4_000_000;
    let fit = |rate: f64| {
        let mut stream = stream(5);
        spread(n, || -maths::exp_m1(-rate * stream.exponential()))
    };
    told_apart("exponential", fit(1.0), fit(1.01));
    let mut stream = stream(6);
    let mut samples: Vec<f64> = (0..2_000_000).map(|_| stream.exponential()).collect();
    let right = kolmogorov_smirnov(&mut samples, |x| -maths::exp_m1(-x));
    told_apart("exponential", right, kolmogorov_smirnov(&mut samples, |x| -maths::exp_m1(-1.01 * x)));
}

/// Off by 1 % in the scale.
#[test]
fn normals_have_their_scale() {
    let fit = |scale: f64| {
        let mut stream = stream(7);
        spread(3_000_000, || normal_below(scale * stream.normal()))
    };
    told_apart("normal", fit(1.0), fit(1.01));
}

/// Off by 1 % in the probability.
#[test]
fn geometrics_have_their_probability() {
    let n = 4_000_000;
    for (who, p) in [(8, 0.05), (9, 0.4), (10, 0.9)] {
        let law =
            |p: f64| {
                Law::of(n, 2000, |k| {
                    if k == 0 { -1e3 } else { maths::ln(p) + (k as f64 - 1.0) * maths::ln_1p(-p) }
                })
            };
        let geometric = Geometric::new(units(p));
        let mut stream = stream(who);
        let counts = counted(n, 2000, || geometric.draw(&mut stream));
        told_apart(&format!("geometric {p}"), law(p).fit(&counts), law(p * 1.01).fit(&counts));
    }
    // A rare one, as rounds are: mean 2^40, looked at as a continuous one.
    let fit = |rate: f64| {
        let mut stream = stream(11);
        let geometric = Geometric::new(1 << 24);
        spread(n, || -maths::exp_m1(-rate * (geometric.draw(&mut stream) as f64) / (1_u64 << 40) as f64))
    };
    told_apart("rare geometric", fit(1.0), fit(1.01));
}

/// Off by 1 %, and by 2 in 1,000 from a mean of 100 on, where that is seen as well.
#[test]
fn poissons_have_their_mean() {
    let n = 2_000_000;
    for (who, mean, off) in [
        (12, 0.7, 1.01),
        (13, 3.0, 1.01),
        (14, 9.99, 1.01),
        (15, 10.0, 1.01),
        (16, 100.0, 1.002),
        (17, 1000.0, 1.002),
    ] {
        let law = |mean: f64| {
            Law::of(n, 2000, |k| k as f64 * maths::ln(mean) - mean - maths::ln_gamma(k as f64 + 1.0))
        };
        let mut stream = stream(who);
        let counts = counted(n, 2000, || stream.poisson(mean));
        told_apart(&format!("poisson {mean}"), law(mean).fit(&counts), law(mean * off).fit(&counts));
    }
}

/// Off by 1 %, and by 2 in 1,000 from 100 hits on.
#[test]
fn binomials_have_their_probability() {
    let draws = 2_000_000;
    for (who, n, p, off) in [
        (18, 8000, 0.001, 1.01),
        (19, 12, 0.45, 1.01),
        (20, 40, 0.25, 1.01),
        (21, 25, 0.8, 1.01),
        (22, 1000, 0.3, 1.002),
        (23, 1500, 0.9, 1.002),
    ] {
        let ln_ways = |k: f64| {
            let n = n as f64;
            maths::ln_gamma(n + 1.0) - maths::ln_gamma(k + 1.0) - maths::ln_gamma(n - k + 1.0)
        };
        let law = |p: f64| {
            Law::of(draws, n.min(2000), |k| {
                let k = k as f64;
                ln_ways(k) + k * maths::ln(p) + (n as f64 - k) * maths::ln_1p(-p)
            })
        };
        let mut stream = stream(who);
        let counts = counted(draws, 2000, || stream.binomial(n, p));
        told_apart(&format!("binomial {n} {p}"), law(p).fit(&counts), law(p * off).fit(&counts));
    }
}

/// Large counts have the mean and the variance that they must. Off by 1 % in the variance, whose relative deviation is √2 for a
/// sample: 8 σ at 1.28 million; the mean is told from one that is off by 8 of its own σ.
#[test]
fn large_counts_have_their_mean_and_variance() {
    let n = Expectation::samples(2_f64.sqrt());
    type Draw = fn(&mut Stream) -> u64;
    let cases: [(u32, Draw, f64, f64); 3] = [
        (24, |stream| stream.binomial(1_000_000_000, 0.2), 2e8, 1.6e8),
        (25, |stream| stream.binomial(100_000, 0.5), 5e4, 2.5e4),
        (26, |stream| stream.poisson(1e6), 1e6, 1e6),
    ];
    for (who, draw, mean, variance) in cases {
        let mut stream = stream(who);
        let moments: Moments = (0..n).map(|_| draw(&mut stream) as f64).collect();
        assert!(moments.mean().z(mean).abs() <= 4.0, "{:?} for {mean}", moments.mean());
        assert!(moments.mean().z(mean + 8.5 * moments.mean().sigma).abs() > 4.0);
        let expected = Expectation::of(variance);
        assert!(expected.judge(&moments.variance()).holds(), "{:?} for {variance}", moments.variance());
        assert!(!expected.times(1.01).judge(&moments.variance()).holds());
        assert!(!expected.times(0.99).judge(&moments.variance()).holds());
    }
}

/// Each share of a multinomial is a binomial of all. Off by 1 % in the weight.
#[test]
fn a_multinomial_falls_by_its_weights() {
    let draws = 2_000_000;
    let weights = [10, 20, 30, 40];
    let mut stream = stream(27);
    let mut drawn = Vec::new();
    let mut counts = [const { Vec::new() }; 4];
    counts.iter_mut().for_each(|counts| *counts = vec![0_u64; 21]);
    for _ in 0..draws {
        stream.multinomial(20, &weights, &mut drawn);
        for (counts, count) in counts.iter_mut().zip(&drawn) {
            counts[*count as usize] += 1;
        }
    }
    for (counts, weight) in counts.iter().zip(weights) {
        let law = |p: f64| {
            Law::of(draws, 20, |k| {
                let k = k as f64;
                maths::ln_gamma(21.0) - maths::ln_gamma(k + 1.0) - maths::ln_gamma(21.0 - k)
                    + k * maths::ln(p)
                    + (20.0 - k) * maths::ln_1p(-p)
            })
        };
        let p = weight as f64 / 100.0;
        told_apart(&format!("part {weight}"), law(p).fit(counts), law(p * 1.01).fit(counts));
    }
}

/// Off by 1 % in the largest of nine weights, which is four tenths: λ = n · 10^-4 · 0.4 · 0.6, with 8 degrees, where the bound is
/// 36 and λ = 120 is enough.
#[test]
fn an_alias_table_draws_by_its_weights() {
    let draws = 6_000_000;
    let weights = [1000, 4000, 0, 50, 2000, 950, 1000, 700, 300];
    let table = Alias::new(&weights).unwrap();
    let mut stream = stream(28);
    let counts = counted(draws, 8, || table.draw(&mut stream).into());
    assert_eq!(counts[2], 0);
    let fit = |weights: &[u64]| {
        let sum = weights.iter().sum::<u64>() as f64;
        chi_square(
            &counts
                .iter()
                .zip(weights)
                .map(|(count, weight)| (*count, *weight as f64 / sum))
                .collect::<Vec<_>>(),
        )
    };
    let mut off = weights;
    off[1] = 4040;
    told_apart("alias", fit(&weights), fit(&off));
}

/// All 24 orders of four. The twin leaves one in a hundred as it was: λ = n · 0.0023, with 23 degrees, where the bound is 60 and
/// λ = 150 is enough.
#[test]
fn all_orders_are_alike() {
    let draws = 200_000;
    let orders = |left_out: u64| {
        let mut stream = stream(29);
        let counts = counted(draws, 255, || {
            let mut items = [0_u64, 1, 2, 3];
            if stream.below(100) >= left_out {
                stream.shuffle(&mut items);
            }
            items[0] << 6 | items[1] << 4 | items[2] << 2 | items[3]
        });
        let seen: Vec<_> =
            counts.into_iter().filter(|count| *count > 0).map(|count| (count, 1.0 / 24.0)).collect();
        assert_eq!(seen.len(), 24);
        chi_square(&seen)
    };
    told_apart("shuffle", orders(0), orders(1));
}

/// A share is unpaid if no block falls into its window of eight times the difficulty, which is one in 2,993. With an eighth of the
/// blocks and weights it takes 1.1 million windows for 1 % to be 8 σ, where plainly it would be 1.9 thousand million. The twin
/// weighs with a probability that is 1 % larger: its figure is 8 % off.
#[test]
fn what_is_rare_is_found_by_weights() {
    const WINDOW: u64 = 8000;
    let p = 0.001;
    let real = units(p);
    let expected = Expectation::of(maths::exp(WINDOW as f64 * maths::ln_1p(-p)));
    let n = Expectation::samples(1.718_f64.sqrt());
    let unpaid = |weighing: Tilt| {
        let tilt = Tilt::new(real, real / 8).unwrap();
        let drawn = maths::probability(tilt.drawn());
        let mut stream = stream(30);
        let mut unpaid = Weighted::default();
        for _ in 0..n {
            let blocks = stream.binomial(WINDOW, drawn);
            unpaid.push(f64::from(u8::from(blocks == 0)), weighing.weight(blocks, WINDOW));
        }
        unpaid
    };
    let right = unpaid(Tilt::new(real, real / 8).unwrap());
    assert!(expected.judge(&right.mean()).holds(), "{:?} {:?}", right.mean(), expected.judge(&right.mean()));
    assert!(!expected.times(1.01).judge(&right.mean()).holds());
    assert!(!expected.times(0.99).judge(&right.mean()).holds());
    assert!(right.largest_part() < 0.01);
    let twin = unpaid(Tilt::new(units(p * 1.01), real / 8).unwrap());
    assert!(!expected.judge(&twin.mean()).holds());
}
