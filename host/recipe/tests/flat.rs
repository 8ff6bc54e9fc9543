//! What a share comes to does not depend on how its stage is laid out: the flat program and the plain interpreter agree
//! on every document, job and share, in results, in registers and in errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::Algorithms;
use millpond_recipe::{Judged, Recipe, RunError, Scratch, SessionStage};
use proptest::prelude::*;
use std::fmt::Write as _;

const NONE: &[&[u8]] = &[];

/// What is known of a register that a made-up document has written.
#[derive(Clone)]
struct Known {
    name: String,
    width: Width,
}

#[derive(Clone, Copy, PartialEq)]
enum Width {
    Fixed(usize),
    Open,
    List,
    Number,
}

/// Choices out of a list that ends in zeros.
struct Choices<'c>(std::slice::Iter<'c, u16>);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n.max(1)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// Makes up a document that compiles, nearly whatever the choices are: every operation over every stage, with registers that
/// are joined, cut, and used again.
fn document(choices: &mut Choices<'_>) -> String {
    let mut known: Vec<Known> = Vec::new();
    let mut text = "recipe 1 \"t\"\nhash keyed = blake2b-256-keyed \"key\"\n".to_owned();
    for group in ["const", "session", "share"] {
        let _ = write!(text, "{group}");
        for i in 0..1 + choices.below(4) {
            let name = format!("{}{i}", &group[..2]);
            let fixed = choices.one(&[1_usize, 4, 4, 8, 16, 32]);
            let (written, width) = match choices.below(8) {
                0 => ("bytes".to_owned(), Width::Open),
                1 => ("2..9".to_owned(), Width::Open),
                2 => (format!("..{fixed}"), Width::Fixed(fixed)),
                3 => ("32*".to_owned(), Width::List),
                4 => ("33*".to_owned(), Width::Open),
                5 => ("4=7".to_owned(), Width::Fixed(4)),
                _ => (fixed.to_string(), Width::Fixed(fixed)),
            };
            let _ = write!(text, " {name}:{written}");
            known.push(Known { name, width });
        }
        text.push('\n');
    }
    let _ = writeln!(text, "share nonce:8");
    known.push(Known { name: "nonce".into(), width: Width::Fixed(8) });
    for i in 0..choices.below(24) {
        if let Some((expression, width)) = expression(choices, &known) {
            let name = format!("r{i}");
            let _ = writeln!(text, "{name} = {expression}");
            known.push(Known { name, width });
        }
        check(choices, &known, &mut text);
    }
    // Everything that was written is hashed, so that the id depends on what the hash depends on.
    let all: Vec<&str> = known.iter().filter(|k| k.width != Width::Number).map(|k| k.name.as_str()).collect();
    let _ = writeln!(text, "all = cat {}", all.join(" "));
    let hash = choices.one(&["sha256d", "blake3", "keyed"]);
    let side = choices.one(&["le", "be"]);
    let _ =
        writeln!(text, "pow = {hash} all\njudge {side} pow | id sha256 all | out pow all {}", all.join(" "));
    let _ = writeln!(text, "judge be (sha256 pow) against (zeros 32)");
    text
}

fn bytes<'k>(choices: &mut Choices<'_>, known: &'k [Known]) -> &'k Known {
    let all: Vec<&Known> = known.iter().filter(|k| k.width != Width::Number).collect();
    all[choices.below(all.len())]
}

fn of_width<'k>(choices: &mut Choices<'_>, known: &'k [Known], width: Width) -> Option<&'k Known> {
    let all: Vec<&Known> = known.iter().filter(|k| k.width == width).collect();
    (!all.is_empty()).then(|| all[choices.below(all.len())])
}

fn expression(choices: &mut Choices<'_>, known: &[Known]) -> Option<(String, Width)> {
    let x = bytes(choices, known);
    let as_bytes = if x.width == Width::List { Width::Open } else { x.width };
    Some(match choices.below(18) {
        0..=3 => {
            let parts: Vec<&Known> = (0..1 + choices.below(5)).map(|_| bytes(choices, known)).collect();
            let width = parts.iter().try_fold(2, |sum, part| match part.width {
                Width::Fixed(n) => Some(sum + n),
                _ => None,
            });
            let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
            (format!("cat {} 0x00ff", names.join(" ")), width.map_or(Width::Open, Width::Fixed))
        }
        4 => (format!("rev {}", x.name), as_bytes),
        5 | 6 => {
            let word = choices.one(&[1, 2, 4, 8]);
            let Width::Fixed(n) = x.width else { return None };
            let operation = choices.one(&["revwords", "swapwords"]);
            (n % word == 0).then(|| (format!("{operation} {word} {}", x.name), x.width))?
        }
        7 => {
            let (a, b) = (of_width(choices, known, x.width)?, of_width(choices, known, x.width)?);
            matches!(x.width, Width::Fixed(_))
                .then(|| (format!("blend {} {} {}", x.name, a.name, b.name), x.width))?
        }
        8 => {
            let a = of_width(choices, known, x.width)?;
            matches!(x.width, Width::Fixed(_)).then(|| (format!("xor {} {}", x.name, a.name), x.width))?
        }
        9 | 10 => {
            let Width::Fixed(n) = x.width else {
                return Some((format!("slice {} 1..", x.name), Width::Open));
            };
            let (a, b) = (choices.below(n + 1), choices.below(n + 1));
            let (from, to) = (a.min(b), a.max(b));
            (format!("slice {} {from}..{to}", x.name), Width::Fixed(to - from))
        }
        11 => {
            let width = match x.width {
                Width::Fixed(n) => n.max(1) + choices.below(5),
                _ => 400,
            };
            (format!("{} {width} {}", choices.one(&["lpad", "rpad"]), x.name), Width::Fixed(width))
        }
        12 => {
            let prefix = bytes(choices, known);
            (format!("strip {} {}", prefix.name, x.name), Width::Open)
        }
        13 => {
            let hash = choices.one(&["sha256", "sha256d", "keyed", "blake2b-512", "sha3-256", "blake256"]);
            let width = if hash == "blake2b-512" { 64 } else { 32 };
            (format!("{hash} {}", x.name), Width::Fixed(width))
        }
        14 => {
            let list = of_width(choices, known, Width::List)?;
            let hash = choices.one(&["sha256d", "keyed"]);
            (format!("fold {hash} (sha256 {}) {}", x.name, list.name), Width::Fixed(32))
        }
        15 => (format!("len {}", x.name), Width::Number),
        16 => match x.width {
            Width::Fixed(n) if n <= 8 => {
                (format!("{} {}", choices.one(&["int-be", "int-le"]), x.name), Width::Number)
            }
            _ => return None,
        },
        _ => {
            let (a, b) = (of_width(choices, known, Width::Number)?, of_width(choices, known, Width::Number)?);
            match choices.below(4) {
                0 => {
                    (format!("{} {} {}", choices.one(&["add", "sub", "mul"]), a.name, b.name), Width::Number)
                }
                1 => (format!("varint {}", a.name), Width::Open),
                2 => (format!("le 4 {}", a.name), Width::Fixed(4)),
                _ => (format!("be 8 {}", a.name), Width::Fixed(8)),
            }
        }
    })
}

fn check(choices: &mut Choices<'_>, known: &[Known], text: &mut String) {
    let x = bytes(choices, known);
    let _ = match choices.below(12) {
        0 => match of_width(choices, known, Width::Number) {
            Some(number) => writeln!(text, "range {} 0..{}+90000", number.name, number.name),
            None => Ok(()),
        },
        1 if matches!(x.width, Width::Fixed(n) if n <= 8) => writeln!(text, "range {} 1..{}", x.name, x.name),
        2 if matches!(x.width, Width::Fixed(_)) => match of_width(choices, known, x.width) {
            Some(mask) => writeln!(text, "subset (xor {0} {0}) {1}", x.name, mask.name),
            None => Ok(()),
        },
        3 if x.width == Width::Fixed(4) => writeln!(text, "subset {} 0xfffffff7", x.name),
        4 => writeln!(text, "claim {} {0}", x.name),
        _ => Ok(()),
    };
}

/// A result as it can be compared: what was judged with every register, or the error.
type Shown = Result<(([u8; 32], [u8; 32], u64), Vec<Vec<u8>>), RunError>;

fn shown(recipe: &Recipe, judged: Result<Judged<'_>, RunError>) -> Shown {
    let judged = judged?;
    let registers = recipe.register_names().map(|name| judged.register(name).unwrap().to_vec());
    let all = registers.chain(judged.results()).collect();
    Ok(((judged.pow, judged.id, judged.met), all))
}

fn agree(session: &SessionStage, values: &[&[u8]], scratch: &mut Scratch) -> Shown {
    let recipe = session.job().recipe();
    let flat = shown(recipe, session.judge(values, scratch));
    let plain = shown(recipe, session.judge_plainly(values, &mut Scratch::default()));
    assert_eq!(flat, plain);
    flat
}

/// Values of lengths that the fields mostly take.
fn values<'v>(
    fields: &[millpond_recipe::Field],
    bytes: &'v [u8],
    choices: &mut Choices<'_>,
) -> Vec<&'v [u8]> {
    let fitting: Vec<Vec<usize>> = fields
        .iter()
        .map(|field| (0..bytes.len().min(100)).filter(|len| field.width.admits(*len)).collect())
        .collect();
    fitting
        .iter()
        .map(|lengths| {
            let len = match choices.below(60) {
                0 => choices.below(70),
                _ => choices.one(lengths),
            };
            let from = choices.below(bytes.len() - len);
            &bytes[from..from + len]
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_flat_program_comes_to_what_the_plain_one_does(
        choices in proptest::collection::vec(any::<u16>(), 300),
        bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(7), any::<u8>()], 300),
    ) {
        let mut choices = Choices(choices.iter());
        let text = document(&mut choices);
        // A few compile to nothing: widths add up to more than they are filled up to.
        let Ok(recipe) = Recipe::compile("t", &text, &Algorithms::native()) else { return Ok(()) };
        // The same memory for all jobs and shares, so that what one leaves behind is what the next one finds.
        let mut scratch = Scratch::default();
        for _ in 0..3 {
            let Ok(job) = recipe.job(&values(recipe.consts(), &bytes, &mut choices)) else { continue };
            for _ in 0..2 {
                let given = values(recipe.session_fields(), &bytes, &mut choices);
                let Ok(session) = job.session(&given) else { continue };
                for _ in 0..3 {
                    let given = values(recipe.share_fields(), &bytes, &mut choices);
                    let _ = agree(&session, &given, &mut scratch);
                }
            }
        }
    }
}

#[test]
fn made_up_documents_are_judged_and_refused() {
    // The property above would hold for nothing at all if every share were refused early.
    let (mut judged, mut refused, mut wrong) = (0, 0, 0);
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u16
    };
    let bytes: Vec<u8> = (0..300).map(|_| next() as u8).collect();
    for _ in 0..400 {
        let choices: Vec<u16> = (0..300).map(|_| next()).collect();
        let mut choices = Choices(choices.iter());
        let compiled = Recipe::compile("t", &document(&mut choices), &Algorithms::native());
        wrong += usize::from(compiled.is_err());
        let Ok(recipe) = compiled else { continue };
        let Ok(job) = recipe.job(&values(recipe.consts(), &bytes, &mut choices)) else { continue };
        let Ok(session) = job.session(&values(recipe.session_fields(), &bytes, &mut choices)) else {
            continue;
        };
        let given = values(recipe.share_fields(), &bytes, &mut choices);
        match agree(&session, &given, &mut Scratch::default()) {
            Ok(_) => judged += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(judged > 100 && refused > 10 && wrong < 80, "{judged} judged, {refused} refused, {wrong} wrong");
    println!("{judged} judged, {refused} refused, {wrong} wrong");
}

fn session(body: &str, consts: &[&[u8]]) -> SessionStage {
    let recipe = Recipe::compile("t", &format!("recipe 1 \"t\"\n{body}"), &Algorithms::native()).unwrap();
    recipe.job(consts).unwrap().session(NONE).unwrap()
}

#[test]
fn limits_are_met_at_the_same_line_as_plainly() {
    // What the share decides doubles until it leaves its room; what the document fixes lies before and behind.
    let doubling: String = (1..9).map(|i| format!("r{i} = cat r{0} r{0}\n", i - 1)).collect();
    let body = format!(
        "const c:bytes\nshare n:4 m:bytes\nr0 = cat m m\nfar = rpad 60000 n\n{doubling}x = sha256 (cat c r8 far n)\n\
         judge be x | id x"
    );
    let mut scratch = Scratch::default();
    let mut limited = 0;
    for (job, share) in [(0, 0), (0, 100), (0, 130), (0, 200), (0, 4000), (70_000, 0), (70_000, 10)] {
        let session = session(&body, &[&vec![1; job]]);
        let result = agree(&session, &[&[1; 4], &vec![2; share]], &mut scratch);
        limited += usize::from(matches!(result, Err(RunError::TooLarge { .. })));
    }
    assert!((2..7).contains(&limited), "{limited}");
}

#[test]
fn what_a_share_may_hash_is_counted_the_same_with_a_beginning_taken_ahead() {
    let hashes: String = (0..8).map(|i| format!("h{i} = sha256d c\n")).collect();
    let body = format!("const big:bytes\nshare n:4\nc = cat big n\n{hashes}judge be h0 | id h1");
    let mut scratch = Scratch::default();
    for (len, fits) in [(60_000, true), (65_532, true), (65_533, false)] {
        let session = session(&body, &[&vec![3; len]]);
        let result = agree(&session, &[&[1; 4]], &mut scratch);
        assert_eq!(result.is_ok(), fits, "{len}");
    }
}

#[test]
fn sessions_of_a_job_take_turns_in_one_buffer() {
    // Without a further target, and with what the session knows joined, blended, hashed and checked against.
    let text = "recipe 1 \"t\"\nconst head:bytes version:4 at:4\nsession mask:4 prefix:3 far:32\n\
                share xn:8 time:4 nonce:4 vbits:4=0\n\
                c = cat head prefix xn far\nroot = sha256d c\n\
                hdr = cat (rev (blend version vbits mask)) prefix root (rev time) (rev nonce) (xor root far)\n\
                pow = sha256d hdr\njudge le pow | id pow | out hdr c\nsubset vbits mask\nrange time at..at+100";
    let recipe = Recipe::compile("t", text, &Algorithms::native()).unwrap();
    let job = |head: &[u8]| recipe.job(&[head, &[0x20, 0, 0, 0], &[0, 0, 1, 0]]).unwrap();
    let mut scratch = Scratch::default();
    for job in [job(b"one"), job(&[7; 300]), job(b"")] {
        let masks = [[0x1f, 0xff, 0xe0, 0], [0, 0, 0xe0, 0]];
        let sessions: Vec<_> = masks
            .iter()
            .enumerate()
            .map(|(i, mask)| job.session(&[&mask[..], &[i as u8; 3], &[0xf0 | i as u8; 32]]).unwrap())
            .collect();
        for turn in 0..4_u8 {
            for (i, session) in sessions.iter().enumerate() {
                let share = |time: [u8; 4], bits: &'static [u8]| {
                    [vec![turn; 8], time.to_vec(), vec![turn; 4], bits.to_vec()]
                };
                let mut judge = |share: [Vec<u8>; 4]| {
                    let share: Vec<&[u8]> = share.iter().map(Vec::as_slice).collect();
                    agree(session, &share, &mut scratch)
                };
                let (_, registers) = judge(share([0, 0, 1, 100], &[0, 0, 0x20, 0])).unwrap();
                let [.., hdr, c] = registers.as_slice() else { panic!() };
                assert_eq!(hdr[..7], [0, 0x20, 0, 0x20, i as u8, i as u8, i as u8]);
                assert!(c.ends_with(&[0xf0 | i as u8; 32]));
                assert!(judge(share([0, 0, 1, 0], &[])).is_ok());
                let beyond = judge(share([0, 0, 1, 0], &[0x10, 0, 0, 0]));
                assert_eq!(beyond.is_ok(), i == 0, "{beyond:?}");
                for time in [[0, 0, 0, 255], [0, 0, 1, 101]] {
                    assert!(matches!(judge(share(time, &[])), Err(RunError::Range { .. })));
                }
            }
        }
    }
}
