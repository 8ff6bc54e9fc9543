//! The numbers themselves. A run's bytes are made of them, on every machine and in every version: what changes one of these changes
//! every figure that was published with its seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_stream::{Alias, Geometric, Key, Purpose, Stream, Tilt, maths};

const DRAWS: u32 = 100_000;

type Draw = Box<dyn FnMut(&mut Stream) -> u64>;

fn samplers() -> Vec<(&'static str, Draw)> {
    let table = Alias::new(&[5, 0, 1, 90, 33, 33, 1 << 6, 12]).unwrap();
    let geometric = Geometric::new((1 << 64) / 1000);
    let tilt = Tilt::new((1 << 64) / 8000, (1 << 64) / 1000).unwrap();
    let (mut counts, mut items) = (Vec::new(), [0_u64, 1, 2, 3, 4, 5, 6, 7]);
    vec![
        ("bits", Box::new(Stream::bits)),
        ("below", Box::new(|stream| stream.below(3 << 62))),
        ("hit", Box::new(|stream| stream.hit(1 << 62).into())),
        ("unit", Box::new(|stream| stream.unit().to_bits())),
        ("exponential", Box::new(|stream| stream.exponential().to_bits())),
        ("normal", Box::new(|stream| stream.normal().to_bits())),
        ("geometric", Box::new(move |stream| geometric.draw(stream))),
        ("poisson-3", Box::new(|stream| stream.poisson(3.0))),
        ("poisson-100", Box::new(|stream| stream.poisson(100.0))),
        ("binomial-8", Box::new(|stream| stream.binomial(8000, 0.001))),
        ("binomial-300", Box::new(|stream| stream.binomial(1000, 0.3))),
        ("alias", Box::new(move |stream| table.draw(stream).into())),
        (
            "tilt",
            Box::new(move |stream| {
                let blocks = stream.binomial(8000, 0.001);
                tilt.weight(blocks, 8000).to_bits()
            }),
        ),
        (
            "maths",
            Box::new(|stream| {
                let (x, y) = (stream.unit(), 50.0 * stream.unit());
                let all = [
                    maths::power(x, y),
                    maths::ln_gamma(y),
                    maths::exp_m1(x),
                    maths::ln_1p(-x),
                    maths::exp(-y),
                ];
                all.iter().fold(0, |all, value| all.rotate_left(7) ^ value.to_bits())
            }),
        ),
        (
            "multinomial",
            Box::new(move |stream| {
                stream.multinomial(1000, &[1, 2, 3], &mut counts);
                counts.iter().fold(0, |all, count| all << 16 | count)
            }),
        ),
        (
            "shuffle",
            Box::new(move |stream| {
                stream.shuffle(&mut items);
                items.iter().fold(0, |all, item| all << 8 | item)
            }),
        ),
    ]
}

/// Each sampler on a line of its own: the first three numbers, and blake3 of the first hundred thousand.
fn lines(key: Key) -> String {
    let mut lines = String::new();
    for (name, mut draw) in samplers() {
        let mut stream = key.stream(Purpose::Test, 0);
        let drawn: Vec<u64> = (0..DRAWS).map(|_| draw(&mut stream)).collect();
        let mut digest = blake3::Hasher::new();
        drawn.iter().for_each(|number| {
            digest.update(&number.to_le_bytes());
        });
        let first = drawn.iter().take(3).map(|number| format!("{number:016x}")).collect::<Vec<_>>().join(" ");
        let digest = digest.finalize().to_hex();
        lines += &format!("{name} {first} {}\n", &digest[..32]);
    }
    lines
}

#[test]
fn the_first_numbers_of_every_sampler_are_what_they_were() {
    let lines_now = lines(Key { seed: 1, replication: 2 });
    for (now, golden) in lines_now.lines().zip(include_str!("golden.txt").lines()) {
        assert_eq!(now, golden);
    }
    assert_eq!(lines_now, include_str!("golden.txt"));
    // The twin: the next replication's are others, in every line.
    for (now, golden) in
        lines(Key { seed: 1, replication: 3 }).lines().zip(include_str!("golden.txt").lines())
    {
        assert_ne!(now, golden);
    }
}
