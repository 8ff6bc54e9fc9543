//! Shares judged together come to what each comes to alone, whatever else is in the batch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{Algorithm, AlgorithmError, Algorithms, Context, Cost, Key};
use millpond_recipe::{Recipe, RunError, Scratch, SessionStage, judge_batch};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// An algorithm, heavy or one that gains by several inputs, that counts its calls and fails on a batch with an input that
/// begins with 0xee.
#[derive(Clone, Default)]
struct Lanes {
    calls: Arc<AtomicUsize>,
    sizes: Arc<Mutex<Vec<usize>>>,
    keyless: bool,
    light: bool,
}

impl Algorithm for Lanes {
    fn name(&self) -> &str {
        "lanes"
    }
    fn key(&self) -> Key {
        if self.keyless { Key::None } else { Key::Dear }
    }
    fn cost(&self) -> Cost {
        if self.light { Cost::Light } else { Cost::Heavy }
    }
    fn prepare(&self, _: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Context for Lanes {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        self.hash_batch(input.len(), input, out)
    }
    fn gains_together(&self) -> bool {
        self.light
    }
    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.sizes.lock().unwrap().push(inputs.len() / width);
        for (input, out) in inputs.chunks(width).zip(out.chunks_mut(32)) {
            if input[0] == 0xee {
                return Err(AlgorithmError::Failed { algorithm: "lanes".into(), reason: "0xee".into() });
            }
            out.copy_from_slice(&Algorithms::native().hash("sha3-256", input).unwrap());
        }
        Ok(())
    }
}

const DOCUMENT: &str = "recipe 1 \"t\"\nconst k:32\nsession s:4=0\nshare n:1..6 t:1=0\nfirst = lanes k (cat n s)\n\
                        pow = lanes k (sha256 (cat first t))\njudge be pow | id pow | out first\nrange t 0..100\n";

fn setup() -> (Lanes, Arc<Recipe>) {
    compiled(Lanes::default())
}

fn compiled(lanes: Lanes) -> (Lanes, Arc<Recipe>) {
    let mut algorithms = Algorithms::native();
    assert!(algorithms.add(Arc::new(lanes.clone())));
    (lanes, Recipe::compile("t", DOCUMENT, &algorithms).unwrap())
}

type Plain = Result<([u8; 32], Vec<Vec<u8>>), RunError>;

fn one(session: &SessionStage, values: &[Vec<u8>]) -> Plain {
    let mut scratch = Scratch::default();
    session.judge(values, &mut scratch).map(|judged| (judged.pow, judged.results()))
}

fn together(shares: &[(&SessionStage, &[Vec<u8>])], scratches: &mut Vec<Scratch>) -> Vec<Plain> {
    let judged = judge_batch(shares, scratches);
    judged.into_iter().map(|one| one.map(|judged| (judged.pow, judged.results()))).collect()
}

#[test]
fn sixteen_shares_of_one_job_take_two_calls_of_a_hash_that_each_runs_twice() {
    let (lanes, recipe) = setup();
    let job = recipe.job(&[[0; 32]]).unwrap();
    let sessions: Vec<_> = (0..16_u8).map(|i| job.session(&[[0, 0, 0, i]]).unwrap()).collect();
    let values = [vec![1, 2], vec![5]];
    let shares: Vec<_> = sessions.iter().map(|session| (session, &values[..])).collect();
    let judged = together(&shares, &mut Vec::new());
    assert_eq!(lanes.calls.load(Ordering::Relaxed), 2);
    assert_eq!(*lanes.sizes.lock().unwrap(), [16, 16]);
    assert!(judged.iter().zip(&shares).all(|(judged, share)| *judged == one(share.0, share.1)));
}

#[test]
fn shares_of_two_jobs_fill_the_same_lanes_where_the_hash_has_no_key() {
    let lanes = Lanes { keyless: true, ..Lanes::default() };
    let mut algorithms = Algorithms::native();
    algorithms.add(Arc::new(lanes.clone()));
    let text = "recipe 1 \"t\"\nconst k:32\nshare n:4\npow = lanes (cat k n)\njudge be pow | id pow | out n";
    let recipe = Recipe::compile("t", text, &algorithms).unwrap();
    let sessions = [[1; 32], [2; 32]].map(|k| recipe.job(&[k]).unwrap().session(&[] as &[&[u8]]).unwrap());
    let values: Vec<_> = (0..10_u8).map(|i| [vec![i; 4]]).collect();
    let shares: Vec<_> = values.iter().enumerate().map(|(i, v)| (&sessions[i / 5], &v[..])).collect();
    let judged = together(&shares, &mut Vec::new());
    assert_eq!(*lanes.sizes.lock().unwrap(), [10]);
    assert!(judged.iter().zip(&shares).all(|(judged, share)| *judged == one(share.0, share.1)));
}

#[test]
fn a_light_hash_that_gains_takes_all_shares_of_a_job_at_once() {
    let (lanes, recipe) = compiled(Lanes { light: true, ..Lanes::default() });
    let jobs = [recipe.job(&[[0; 32]]).unwrap(), recipe.job(&[[1; 32]]).unwrap()];
    assert!(jobs[0].gains_together());
    let sessions: Vec<_> =
        (0..16_u8).map(|i| jobs[usize::from(i / 10)].session(&[[0, 0, 0, i]]).unwrap()).collect();
    let values = [vec![1, 2], vec![5]];
    let shares: Vec<_> = sessions.iter().map(|session| (session, &values[..])).collect();
    let judged = together(&shares, &mut Vec::new());
    assert_eq!(*lanes.sizes.lock().unwrap(), [10, 10, 6, 6], "twice for each of two jobs");
    assert!(judged.iter().zip(&shares).all(|(judged, share)| *judged == one(share.0, share.1)));
}

#[test]
fn what_a_batch_hashes_counts_as_what_a_share_alone_does() {
    let mut algorithms = Algorithms::native();
    algorithms.add(Arc::new(Lanes { keyless: true, ..Lanes::default() }));
    let text = "recipe 1 \"t\"\nconst c:bytes\nshare n:4\nw = cat n c\na = sha256 w\nb = sha256d w\ne = blake3 w\n\
                f = sha3-256 w\ng = keccak256 w\nh = lanes w\npow = sha256 (cat a b e f g h)\njudge be pow | id pow | out h";
    let recipe = Recipe::compile("t", text, &algorithms).unwrap();
    for (bytes, fits) in [(80_000, true), (100_000, false)] {
        let session = recipe.job(&[vec![1; bytes]]).unwrap().session(&[] as &[&[u8]]).unwrap();
        let values: Vec<_> = (0..3_u8).map(|i| [vec![i; 4]]).collect();
        let shares: Vec<_> = values.iter().map(|values| (&session, &values[..])).collect();
        let judged = together(&shares, &mut Vec::new());
        for (judged, (session, values)) in judged.iter().zip(&shares) {
            assert_eq!(judged.is_ok(), fits, "{bytes} bytes");
            assert_eq!(*judged, one(session, values), "{bytes} bytes");
        }
    }
}

#[test]
fn light_hashes_that_gain_nothing_are_not_collected() {
    let recipe = Recipe::compile(
        "t",
        "recipe 1 \"t\"\nshare n:4\npow = sha256 n\njudge be pow | id pow",
        &Algorithms::native_on(millpond_algorithms::Processor::portable()),
    )
    .unwrap();
    assert!(!recipe.job(&[] as &[&[u8]]).unwrap().gains_together());
}

#[test]
fn a_share_that_fails_does_not_spoil_the_others() {
    let (_, recipe) = setup();
    let session = recipe.job(&[[0; 32]]).unwrap().session(&[[0; 4]]).unwrap();
    let values: [[Vec<u8>; 2]; 4] = [
        [vec![1], vec![0]],
        [vec![0xee], vec![0]], // the algorithm fails
        [vec![2], vec![101]],  // a check refuses
        [vec![3; 7], vec![0]], // a field is too long
    ];
    let shares: Vec<_> = values.iter().map(|values| (&session, &values[..])).collect();
    let judged = together(&shares, &mut Vec::new());
    assert!(judged[0].is_ok());
    assert!(matches!(judged[1], Err(RunError::Algorithm { .. })));
    assert!(matches!(judged[2], Err(RunError::Range { value: 101, .. })));
    assert!(matches!(judged[3], Err(RunError::Width { .. })));
}

#[test]
fn a_document_cannot_make_a_share_cost_many_heavy_hashes() {
    let lanes = Lanes::default();
    let mut algorithms = Algorithms::native();
    algorithms.add(Arc::new(lanes));
    let errors = |body: &str| {
        Recipe::compile("t", &format!("recipe 1 \"t\"\n{body}"), &algorithms).unwrap_err().to_string()
    };
    let chain =
        "share n:4\na = scrypt n\nb = scrypt a\nc = scrypt b\nd = scrypt c\ne = scrypt d\njudge be e | id e";
    assert!(errors(chain).contains("t:7:5: more than 4 heavy hashes for one share"));
    let fold = "const p:32*\nshare n:32\na = fold scrypt n p\njudge be a | id a";
    assert!(errors(fold).contains("too heavy a hash for a fold"));
}

proptest! {
    #[test]
    fn a_mixed_batch_equals_single_shares(
        shares in proptest::collection::vec(
            (0_usize..3, 0_usize..2, proptest::collection::vec(0xe0_u8..0xf0, 0..8), 90_u8..110), 1..100),
        light: bool,
    ) {
        let (_, recipe) = compiled(Lanes { light, ..Lanes::default() });
        let jobs: Vec<_> = (0..3).map(|i| recipe.job(&[[i; 32]]).unwrap()).collect();
        let sessions: Vec<Vec<_>> =
            jobs.iter().map(|job| (0..2).map(|s| job.session(&[[s; 4]]).unwrap()).collect()).collect();
        let values: Vec<_> = shares.iter().map(|(_, _, n, t)| [n.clone(), vec![*t]]).collect();
        let shares: Vec<_> =
            shares.iter().zip(&values).map(|((job, session, ..), v)| (&sessions[*job][*session], &v[..])).collect();
        let mut scratches = Vec::new();
        for _ in 0..2 {
            let judged = together(&shares, &mut scratches);
            for (judged, (session, values)) in judged.iter().zip(&shares) {
                prop_assert_eq!(judged, &one(session, values));
            }
        }
    }
}

proptest! {
    #[test]
    fn shares_of_real_families_come_to_the_same_together(
        shares in proptest::collection::vec((0_usize..2, any::<[u8; 16]>()), 1..70)
    ) {
        let ckb = include_str!("../../../examples/families/ckb/ckb.recipe");
        let kaspa = include_str!("../../../examples/families/kaspa/kaspa.recipe");
        for document in [ckb, kaspa] {
            let recipe = Recipe::compile("t", document, &Algorithms::native()).unwrap();
            let constant = |i: u8| -> Vec<Vec<u8>> {
                let value = |field: &millpond_recipe::Field| match field.width {
                    millpond_recipe::Width::Fixed(width) => vec![i; width as usize],
                    _ => vec![i; 192],
                };
                recipe.consts().iter().map(value).collect()
            };
            let jobs = [recipe.job(&constant(1)).unwrap(), recipe.job(&constant(2)).unwrap()];
            let sessions = jobs.map(|job| job.session(&[] as &[&[u8]]).unwrap());
            let values: Vec<Vec<Vec<u8>>> = shares
                .iter()
                .map(|(_, bytes)| {
                    let width = |field: &millpond_recipe::Field| match field.width {
                        millpond_recipe::Width::Fixed(width) => width as usize,
                        _ => 8,
                    };
                    recipe.share_fields().iter().map(|field| bytes[..width(field)].to_vec()).collect()
                })
                .collect();
            let pairs: Vec<_> =
                shares.iter().zip(&values).map(|((job, _), values)| (&sessions[*job], &values[..])).collect();
            let judged = together(&pairs, &mut Vec::new());
            for (judged, (session, values)) in judged.iter().zip(&pairs) {
                prop_assert_eq!(judged, &one(session, values));
            }
        }
    }
}
