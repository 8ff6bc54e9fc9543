//! Normal, Student's t, χ² and Kolmogorov's distribution, and quantiles of the first two.

use libm::{erfc, exp, lgamma, log, log1p};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// 1/sqrt(2π).
const NORMAL_HEIGHT: f64 = 0.398_942_280_401_432_7;
/// From here on Student's t is the normal and a few terms.
const MANY_DEGREES: f64 = 2000.0;
/// More terms of a fraction or a series are never needed here.
const TERMS: u32 = 10_000;

/// The probability that a normal deviate is below z.
#[must_use]
pub fn normal_below(z: f64) -> f64 {
    0.5 * erfc(-z * FRAC_1_SQRT_2)
}

/// What a normal deviate is below with probability p: M. J. Wichura, "Algorithm AS 241: the percentage points of the normal
/// distribution" (1988), PPND16, to about 16 digits. Infinite at 0 and 1, `NaN` outside.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    const CENTRE: [f64; 8] = [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ];
    const CENTRE_UNDER: [f64; 8] = [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ];
    const TAIL: [f64; 8] = [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ];
    const TAIL_UNDER: [f64; 8] = [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ];
    const FAR: [f64; 8] = [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ];
    const FAR_UNDER: [f64; 8] = [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ];
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let away = p - 0.5;
    if away.abs() <= 0.425 {
        let r = 0.180_625 - away * away;
        return away * polynomial(&CENTRE, r) / polynomial(&CENTRE_UNDER, r);
    }
    let tail = if away < 0.0 { p } else { 1.0 - p };
    if tail == 0.0 {
        return f64::INFINITY.copysign(away);
    }
    let r = (-log(tail)).sqrt();
    let size = if r <= 5.0 {
        polynomial(&TAIL, r - 1.6) / polynomial(&TAIL_UNDER, r - 1.6)
    } else {
        polynomial(&FAR, r - 5.0) / polynomial(&FAR_UNDER, r - 5.0)
    };
    size.copysign(away)
}

fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// The probability that Student's t with so many degrees of freedom is below t.
#[must_use]
pub fn student_below(t: f64, degrees: f64) -> f64 {
    if t > 0.0 { 1.0 - student_above(t, degrees) } else { student_above(-t, degrees) }
}

/// That it is above t, for t of 0 and more: half the incomplete beta function of degrees/2 and ½.
fn student_above(t: f64, degrees: f64) -> f64 {
    if degrees > 1e6 {
        // R. A. Fisher's expansion by the normal (1925).
        let square = t * t;
        let first = (square + 1.0) / 4.0;
        let second = (square * (square * (3.0 * square - 5.0) - 7.0) - 3.0) / 96.0;
        let height = NORMAL_HEIGHT * exp(-0.5 * square) * t;
        return normal_below(-t) + height * (first + second / degrees) / degrees;
    }
    let square = t * t;
    let sum = degrees + square;
    if sum.is_infinite() {
        return 0.0;
    }
    let (x, y) = (degrees / sum, square / sum);
    let a = 0.5 * degrees;
    let ln_x = if y < 0.5 { log1p(-y) } else { log(x) };
    let front = exp(ln_half_step(a) + a * ln_x) * y.sqrt();
    if x < (a + 1.0) / (a + 2.5) {
        0.5 * front * fraction(a, 0.5, x) / a
    } else {
        0.5 - front * fraction(0.5, a, y)
    }
}

/// ln Γ(a + ½)/(Γ(a) √π), of which large parts would cancel.
fn ln_half_step(a: f64) -> f64 {
    let half_ln_pi = 0.5 * log(PI);
    if a < 50.0 {
        return lgamma(a + 0.5) - lgamma(a) - half_ln_pi;
    }
    let square = a * a;
    0.5 * log(a) - half_ln_pi - (1.0 / 8.0 - (1.0 / 192.0 - 1.0 / (640.0 * square)) / square) / a
}

/// The continued fraction of the incomplete beta function, by Lentz.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let kept = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / kept(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for term in 1..TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / kept(1.0 + even * d);
        c = kept(1.0 + even / c);
        value *= c * d;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / kept(1.0 + odd * d);
        c = kept(1.0 + odd / c);
        let step = c * d;
        value *= step;
        if (step - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// What Student's t with so many degrees of freedom is below with probability p. Infinite at 0 and 1; `NaN` outside, and without a
/// degree of freedom.
#[must_use]
pub fn student_quantile(p: f64, degrees: f64) -> f64 {
    let z = normal_quantile(p);
    if degrees.is_nan() || degrees <= 0.0 {
        return f64::NAN;
    }
    if z.is_nan() || z.is_infinite() || z == 0.0 || degrees.is_infinite() {
        return z;
    }
    let start = expanded(z.abs(), degrees);
    let t = if degrees >= MANY_DEGREES { start } else { refined(p.min(1.0 - p), start, degrees) };
    t.copysign(z)
}

/// Cornish and Fisher's expansion of Student's t by that of the normal (Abramowitz and Stegun 26.7.5).
fn expanded(z: f64, degrees: f64) -> f64 {
    let s = z * z;
    let first = z * (s + 1.0) / 4.0;
    let second = z * (3.0 + s * (16.0 + s * 5.0)) / 96.0;
    let third = z * (-15.0 + s * (17.0 + s * (19.0 + s * 3.0))) / 384.0;
    let fourth = z * (-945.0 + s * (-1920.0 + s * (1482.0 + s * (776.0 + s * 79.0)))) / 92_160.0;
    z + (first + (second + (third + fourth / degrees) / degrees) / degrees) / degrees
}

/// Newton's steps towards the t that is exceeded with probability `tail`, kept between what is known to be below and above it.
fn refined(tail: f64, start: f64, degrees: f64) -> f64 {
    let height = exp(ln_half_step(0.5 * degrees)) / degrees.sqrt();
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut t = start;
    for _ in 0..200 {
        let away = student_above(t, degrees) - tail;
        if away > 0.0 {
            low = t
        } else {
            high = t
        }
        let slope = height * exp(-0.5 * (degrees + 1.0) * log1p(t * t / degrees));
        let newton = t + away / slope;
        let next = if newton > low && newton < high {
            newton
        } else if high.is_infinite() {
            2.0 * t
        } else {
            0.5 * (low + high)
        };
        if (next - t).abs() <= 1e-15 * t {
            return next;
        }
        t = next;
    }
    t
}

/// The probability that χ² with so many degrees of freedom is above x: the upper incomplete gamma function of degrees/2 and x/2.
#[must_use]
pub fn chi_square_above(x: f64, degrees: f64) -> f64 {
    let (a, x) = (0.5 * degrees, 0.5 * x);
    if x.is_nan() || x <= 0.0 {
        return if x.is_nan() { f64::NAN } else { 1.0 };
    }
    if x.is_infinite() {
        return 0.0;
    }
    let front = exp(a * log(x) - x - lgamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum, mut at) = (1.0 / a, 1.0 / a, a);
        for _ in 0..TERMS {
            at += 1.0;
            term *= x / at;
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return 1.0 - front * sum;
    }
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut value = d;
    for term in 1..TERMS {
        let i = f64::from(term);
        let numerator = -i * (i - a);
        b += 2.0;
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        let step = c * d;
        value *= step;
        if (step - 1.0).abs() < 1e-16 {
            break;
        }
    }
    front * value
}

/// The probability that the largest distance of a distribution of n samples from its own is above λ/√n, for many samples:
/// Kolmogorov's distribution, by whichever of its two series is short.
#[must_use]
pub fn kolmogorov_above(lambda: f64) -> f64 {
    if lambda.is_nan() || lambda <= 0.0 {
        return if lambda.is_nan() { f64::NAN } else { 1.0 };
    }
    if lambda < 1.18 {
        let first = PI * PI / (8.0 * lambda * lambda);
        let sum: f64 = [1.0, 9.0, 25.0, 49.0, 81.0].iter().map(|square| exp(-first * square)).sum();
        return (1.0 - (2.0 * PI).sqrt() / lambda * sum).max(0.0);
    }
    let first = 2.0 * lambda * lambda;
    2.0 * (exp(-first) - exp(-4.0 * first) + exp(-9.0 * first) - exp(-16.0 * first))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Closed forms by the platform's functions, beside ours.
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(found: f64, expected: f64, room: f64) {
        assert!((found - expected).abs() <= room * expected.abs(), "{found} for {expected}");
    }

    /// Quantiles to 16 digits as tables of them have.
    #[test]
    fn normal_quantiles_are_those_of_tables() {
        for (p, z) in [
            (0.975, 1.959_963_984_540_054),
            (0.995, 2.575_829_303_548_900_4),
            (0.84, 0.994_457_883_209_753),
            (1e-10, -6.361_340_902_404_056),
        ] {
            near(normal_quantile(p), z, 1e-14);
            // The twin is in another place of the table.
            assert!((normal_quantile(p * 0.99) - z).abs() > 1e-4);
        }
        assert_eq!(normal_quantile(0.5), 0.0);
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        assert!(normal_quantile(-0.1).is_nan() && normal_quantile(f64::NAN).is_nan());
    }

    /// A&S 26.7.3 and 26.7.4: the probability between -t and t for whole degrees, as a sum of cosines' powers.
    fn between(t: f64, degrees: u32) -> f64 {
        let angle = (t / f64::from(degrees).sqrt()).atan();
        let (sine, square) = (angle.sin(), angle.cos() * angle.cos());
        let odd = degrees % 2 == 1;
        let mut term = if odd { angle.cos() } else { 1.0 };
        let mut sum = if odd && degrees == 1 { 0.0 } else { term };
        let mut at = if odd { 2 } else { 1 };
        while at + 2 < degrees {
            term *= square * f64::from(at) / f64::from(at + 1);
            sum += term;
            at += 2;
        }
        if odd { (angle + sine * sum) * 2.0 / PI } else { sine * sum }
    }

    proptest! {
        #[test]
        fn normal_quantiles_go_back(z in -30.0..8.0_f64) {
            let back = normal_quantile(normal_below(z));
            // Above, p is near 1 and has lost the digits of the tail.
            let room = if z > 0.0 { 1e-15 / (NORMAL_HEIGHT * exp(-0.5 * z * z)) } else { 0.0 };
            prop_assert!((back - z).abs() <= 1e-14 * z.abs() + room + 1e-15);
        }

        #[test]
        fn students_t_is_the_sum_that_it_is_for_whole_degrees(t in 0.01..40.0_f64, degrees in 1_u32..120) {
            let by_sum = 0.5 + 0.5 * between(t, degrees);
            prop_assert!((student_below(t, degrees.into()) - by_sum).abs() < 1e-13);
            prop_assert!((student_below(-t, degrees.into()) - (1.0 - by_sum)).abs() < 1e-13);
            // The twin has 1 % more degrees, and t where that is felt.
            if (0.5..3.0).contains(&t) && degrees < 10 {
                prop_assert!((student_below(t, f64::from(degrees) * 1.01) - by_sum).abs() > 1e-7);
            }
        }

        #[test]
        fn students_quantiles_go_back(
            decades in 0.302..9.0_f64,
            degrees in prop_oneof![0.5..50.0_f64, 50.0..1900.0, MANY_DEGREES..2100.0, 2100.0..1e12],
        ) {
            let p = 10_f64.powf(-decades);
            let t = student_quantile(p, degrees);
            prop_assert!((student_below(t, degrees) / p - 1.0).abs() < 1e-10);
            prop_assert!((student_quantile(1.0 - p, degrees) + t).abs() <= 1e-6 * t.abs());
        }
    }

    #[test]
    fn students_quantiles_are_those_of_tables() {
        for (degrees, t) in [
            (1.0, 12.706_204_736_174_7),
            (2.0, 4.302_652_729_749_46),
            (5.0, 2.570_581_835_636_31),
            (10.0, 2.228_138_851_986_27),
            (30.0, 2.042_272_456_301_24),
            (100.0, 1.983_971_518_523_55),
        ] {
            near(student_quantile(0.975, degrees), t, 1e-12);
            assert!((student_quantile(0.975, degrees * 1.01) / t - 1.0).abs() > 1e-5);
        }
        assert_eq!(student_quantile(0.975, f64::INFINITY), normal_quantile(0.975));
        // Both ways agree where one takes over.
        near(student_quantile(0.999, MANY_DEGREES - 1e-9), student_quantile(0.999, MANY_DEGREES), 1e-12);
        assert_eq!(student_quantile(0.5, 3.0), 0.0);
        assert_eq!(student_quantile(1.0, 3.0), f64::INFINITY);
        assert!(student_quantile(0.975, 0.0).is_nan());
    }

    #[test]
    fn chi_square_is_what_it_is_in_closed_form() {
        for x in [0.1, 1.0, 3.0, 9.0, 20.0, 90.0] {
            // Two degrees: e^(-x/2). Four: (1 + x/2) of it. One: twice the normal's tail.
            near(chi_square_above(x, 2.0), (-x / 2.0).exp(), 1e-13);
            near(chi_square_above(x, 4.0), (-x / 2.0).exp() * (1.0 + x / 2.0), 1e-13);
            near(chi_square_above(x, 1.0), 2.0 * normal_below(-x.sqrt()), 1e-12);
            assert!((chi_square_above(x * 1.01, 2.0) / (-x / 2.0).exp() - 1.0).abs() > 1e-4);
        }
        // Many degrees: the sum of Poisson's probabilities below 50 at 60.
        let sum: f64 =
            (0..50).map(|k| (f64::from(k) * 60_f64.ln() - 60.0 - lgamma(f64::from(k) + 1.0)).exp()).sum();
        near(chi_square_above(120.0, 100.0), sum, 1e-12);
        assert_eq!(chi_square_above(0.0, 3.0), 1.0);
        assert_eq!(chi_square_above(f64::INFINITY, 3.0), 0.0);
    }

    /// Both series are the same function, and 1.3581 is the 5 % point of every table.
    #[test]
    fn kolmogorovs_series_agree() {
        near(kolmogorov_above(1.18 - 1e-12), kolmogorov_above(1.18), 1e-9);
        near(kolmogorov_above(1.358_098_6), 0.05, 1e-6);
        assert!((kolmogorov_above(1.358_098_6 * 1.01) / 0.05 - 1.0).abs() > 0.01);
        assert_eq!(kolmogorov_above(0.0), 1.0);
        assert!(kolmogorov_above(0.05) > 1.0 - 1e-12);
        assert!(kolmogorov_above(5.0) < 1e-21);
    }
}
