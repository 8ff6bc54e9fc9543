//! The bits of every estimate, on every machine and in every version: what changes one of these changes what was published.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_statistics::{
    Batches, Control, Moments, Pairs, Weighted, Whole, chi_square_above, in_order, kolmogorov_above,
    normal_below, normal_quantile, student_below, student_quantile,
};
use millpond_stream::{Key, Purpose, maths};

/// Everything once, of a stream. Three parts are merged.
fn lines(seed: u64) -> String {
    let mut lines = String::new();
    let mut say = |what: &str, values: &[f64]| {
        let bits: Vec<_> = values.iter().map(|value| format!("{:016x}", value.to_bits())).collect();
        lines += &format!("{what} {}\n", bits.join(" "));
    };
    type Part = (Moments, Pairs, Control<2>, Weighted, Batches, Whole);
    let parts: Vec<Part> = (0..3)
        .map(|replication| {
            let mut stream = Key { seed, replication }.stream(Purpose::Test, 0);
            let mut part = Part::from((
                Moments::default(),
                Pairs::default(),
                Control::new([1.0, 0.5]),
                Weighted::default(),
                Batches::new(7),
                Whole::default(),
            ));
            for _ in 0..1000 {
                let (x, y) = (stream.exponential(), stream.unit());
                part.0.push(x * x);
                part.1.push(x + y, x);
                part.2.push(x * x + y, [x, y]);
                part.3.push(y, maths::exp(-x));
                part.4.push(x + y);
                part.5.push(stream.below(1 << 50) as i64);
            }
            part
        })
        .collect();
    let moments = in_order(parts.iter().map(|part| part.0)).unwrap();
    let [mean, variance, cv] = [moments.mean(), moments.variance(), moments.squared_cv()];
    say(
        "moments",
        &[mean.value, mean.sigma, variance.value, variance.sigma, cv.value, cv.sigma, moments.kurtosis()],
    );
    let pairs = in_order(parts.iter().map(|part| part.1)).unwrap();
    say(
        "pairs",
        &[pairs.ratio().value, pairs.ratio().sigma, pairs.difference().value, pairs.difference().sigma],
    );
    let control = in_order(parts.iter().map(|part| part.2.clone())).unwrap().mean();
    say("control", &[control.value, control.sigma]);
    let weighted = in_order(parts.iter().map(|part| part.3)).unwrap();
    say(
        "weighted",
        &[weighted.mean().value, weighted.normalised().sigma, weighted.effective(), weighted.largest_part()],
    );
    let batches = in_order(parts.iter().map(|part| part.4.clone())).unwrap();
    let interval = batches.mean().interval(0.99);
    say("batches", &[interval.low, interval.high, batches.correlation()]);
    let whole = in_order(parts.iter().map(|part| part.5)).unwrap();
    say("whole", &[whole.mean().value, whole.mean().sigma]);
    let mut stream = Key { seed, replication: 3 }.stream(Purpose::Test, 0);
    let mut sums = [0.0; 6];
    for _ in 0..2000 {
        let (p, degrees) = (stream.unit(), 1.0 + 100.0 * stream.unit());
        let all = [
            normal_quantile(p),
            normal_below(p),
            student_quantile(p, degrees),
            student_below(p, degrees),
            chi_square_above(degrees * p * 2.0, degrees),
            kolmogorov_above(2.0 * p),
        ];
        sums.iter_mut().zip(all).for_each(|(sum, value)| *sum += value);
    }
    say("distributions", &sums);
    lines
}

#[test]
fn every_estimate_has_the_bits_that_it_had() {
    let lines_now = lines(1);
    for (now, golden) in lines_now.lines().zip(include_str!("golden.txt").lines()) {
        assert_eq!(now, golden);
    }
    assert_eq!(lines_now, include_str!("golden.txt"));
    // The twin: another seed's are others, in every line.
    for (now, golden) in lines(2).lines().zip(include_str!("golden.txt").lines()) {
        assert_ne!(now, golden);
    }
}
