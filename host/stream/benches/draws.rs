//! What a draw costs, in nanoseconds on one core, beside rand's `StdRng` in the same run. Prints one JSON object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // The platform's logarithm, beside ours.

use millpond_stream::{Alias, Geometric, Key, Purpose, Stream};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use std::hint::black_box;
use std::time::Instant;

/// Draws that are timed together, and how often.
const PIECE: u32 = 8_000;
const PIECES: u32 = 401;

/// The median of many short pieces, so that a busy machine counts little.
fn each<T>(draws: u32, mut draw: impl FnMut() -> T) -> f64 {
    let mut pieces: Vec<f64> = (0..PIECES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..draws {
                black_box(draw());
            }
            start.elapsed().as_nanos() as f64 / f64::from(draws)
        })
        .collect();
    pieces.sort_by(f64::total_cmp);
    pieces[pieces.len() / 2]
}

fn main() {
    let mut lines = Vec::new();
    let mut say = |name: &str, nanoseconds: f64| lines.push(format!("  \"{name}\": {nanoseconds:.2}"));
    let key = Key { seed: 1, replication: 0 };
    let mut stream = key.stream(Purpose::Test, 0);
    let mut rng = StdRng::seed_from_u64(1);

    say("bits", each(PIECE, || stream.bits()));
    say("StdRng bits", each(PIECE, || rng.next_u64()));
    say("below 1000", each(PIECE, || stream.below(1000)));
    say("StdRng below 1000", each(PIECE, || rng.random_range(0..1000_u64)));
    let units = black_box((1_u128 << 64) / 10_000);
    say("hit", each(PIECE, || stream.hit(units)));
    let p = black_box(1e-4);
    say("StdRng hit", each(PIECE, || rng.random_bool(p)));
    say("unit", each(PIECE, || stream.unit()));
    say("StdRng unit", each(PIECE, || rng.random::<f64>()));
    say("exponential", each(PIECE, || stream.exponential()));
    say("StdRng exponential by the platform's ln", each(PIECE, || -(1.0 - rng.random::<f64>()).ln()));
    say("normal", each(PIECE, || stream.normal()));
    let geometric = Geometric::new(units);
    say("geometric", each(PIECE, || geometric.draw(&mut stream)));
    for mean in [3.0, 100.0] {
        say(&format!("poisson {mean}"), each(PIECE, || stream.poisson(mean)));
    }
    for (n, p) in [(8000, 0.001), (100_000, 0.3)] {
        say(&format!("binomial {n} {p}"), each(PIECE, || stream.binomial(n, p)));
    }
    for many in [100, 10_000, 1_000_000] {
        let weights: Vec<u64> = (0..many).map(|_| stream.below(1 << 30) + 1).collect();
        let mut builds = [0; 5].map(|_| {
            let start = Instant::now();
            black_box(Alias::new(&weights).unwrap());
            start.elapsed().as_nanos() as f64 / many as f64
        });
        builds.sort_by(f64::total_cmp);
        say(&format!("alias of {many}: building, a weight"), builds[2]);
        let table = Alias::new(&weights).unwrap();
        say(&format!("alias of {many}"), each(PIECE, || table.draw(&mut stream)));
    }
    let mut who = 0;
    say(
        "a new stream and its first number",
        each(PIECE, || {
            who += 1;
            key.stream(Purpose::Strategy, who).bits()
        }),
    );
    let mut place = 0_u64;
    say(
        "a number at any place",
        each(PIECE, || {
            place = place.wrapping_add(0x9e37_79b9);
            stream.at(place);
            stream.bits()
        }),
    );
    say("what a share asks: whose, when, a block", {
        let table = Alias::new(&(1..=1000).collect::<Vec<_>>()).unwrap();
        let mut streams: [Stream; 3] =
            [Purpose::Owner, Purpose::Interval, Purpose::Block].map(|of| key.stream(of, 0));
        each(PIECE, || {
            let [owner, interval, block] = &mut streams;
            (table.draw(owner), interval.exponential(), block.hit(units))
        })
    });
    println!("{{\n{}\n}}", lines.join(",\n"));
}
