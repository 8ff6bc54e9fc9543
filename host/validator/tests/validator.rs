//! Shares are judged right, in any order and number; what is full or broken says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{Algorithm, AlgorithmError, Algorithms, Context, Cost};
use millpond_recipe::{Recipe, RunError, SessionStage};
use millpond_types::Target;
use millpond_validator::{Candidate, Limits, Refused, Targets, Validator};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::future::Future;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;

const BITCOIN: &str = include_str!("../../../examples/families/bitcoin/bitcoin.recipe");
const LITECOIN: &str = include_str!("../../../examples/families/litecoin/litecoin.recipe");

fn limits(threads: usize, queue: usize) -> Limits {
    Limits { threads, queue }
}

fn session(text: &str, algorithms: &Algorithms, consts: &[Vec<u8>]) -> Arc<SessionStage> {
    let recipe = Recipe::compile("test", text, algorithms).unwrap_or_else(|e| panic!("{e}"));
    Arc::new(recipe.job(consts).unwrap().session(&[] as &[&[u8]]).unwrap())
}

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

/// The genesis block of the chain that made scrypt a proof of work, cut at the last eight bytes of its script.
fn litecoin_genesis() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let coinbase = hex(
        "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4804ffff001d0104404e59205469\
         6d65732030352f4f63742f32303131205374657665204a6f62732c204170706c65e280997320566973696f6e6172792c20446965732061\
         74203536ffffffff0100f2052a010000004341040184710fa689ad5023690c80f3a49c8f13f8d45b8c857fbcbc8bc4a8e4d3eb4b10f4d4\
         604fa08dce601aaf0f470216fe1b51850b4acf21b179c45070ac7b03a9ac00000000",
    );
    let cut = 42 + 0x48 - 8;
    let time = 1_317_972_665_u32.to_be_bytes().to_vec();
    let consts = vec![
        coinbase[..cut].to_vec(),
        coinbase[cut + 8..].to_vec(),
        Vec::new(),
        hex("00000001"),
        vec![0; 32],
        hex("f0ff0f1e"),
        time.clone(),
    ];
    let share =
        vec![coinbase[cut..cut + 8].to_vec(), time, 2_084_524_493_u32.to_be_bytes().to_vec(), Vec::new()];
    (consts, share)
}

#[tokio::test]
async fn a_recipe_learns_what_its_heavy_shares_take() {
    let validator = Validator::new(limits(1, 8)).unwrap();
    let (consts, share) = litecoin_genesis();
    let session = session(LITECOIN, &Algorithms::native(), &consts);
    let targets = Targets { share: Target::MAX, network: Target::from_be_bytes([0; 32]) };
    let wrong = [share[0][..3].to_vec(), share[1].clone(), share[2].clone(), Vec::new()];
    assert!(validator.judge(&session, &wrong, targets).await.is_err());
    assert_eq!(session.job().recipe().usually_takes(), None, "one that was not hashed says nothing");
    for _ in 1..8 {
        validator.judge(&session, &share, targets).await.unwrap();
        assert_eq!(session.job().recipe().usually_takes(), None, "the first ones pay for cold caches too");
    }
    validator.judge(&session, &share, targets).await.unwrap();
    assert!(session.job().recipe().usually_takes().is_some());
}

#[tokio::test]
async fn a_scrypt_block_is_judged_on_the_validators_threads() {
    let validator = Validator::new(limits(1, 8)).unwrap();
    let (consts, share) = litecoin_genesis();
    let session = session(LITECOIN, &Algorithms::native(), &consts);
    let network = session.job().network_target().unwrap();
    // Harder than the network: the share misses its own target and is a solution all the same.
    let hard = Target::from_be_bytes([0; 32]);
    let verdict = validator.judge(&session, &share, Targets { share: hard, network }).await.unwrap();
    assert_eq!(hex::encode(verdict.pow), "0000050c34a64b415b6b15b37f2216634b5b1669cb9a2e38d76f7213b0671e00");
    assert_eq!(hex::encode(verdict.id), "e2bf047e7e5a191aa4ef34d314979dc9986e0f19251edaba5940fd1fe365a712");
    assert!(!verdict.meets_share && verdict.meets_network && verdict.is_solution());
    assert_eq!(verdict.results[0].len(), 80);
}

/// A Bitcoin share computed without recipe and validator.
fn reference(consts: &[Vec<u8>], share: &[Vec<u8>]) -> ([u8; 32], Vec<u8>) {
    let d = |bytes: &[u8]| -> Vec<u8> { Sha256::digest(Sha256::digest(bytes)).to_vec() };
    let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
    let mut root = d(&[&consts[0][..], &share[0], &consts[1]].concat());
    for step in consts[2].chunks(32) {
        root = d(&[&root[..], step].concat());
    }
    let header = [
        reversed(&consts[3]),
        consts[4].clone(),
        root,
        reversed(&share[1]),
        consts[5].clone(),
        reversed(&share[2]),
    ]
    .concat();
    (reversed(&d(&header)).try_into().unwrap(), header)
}

prop_compose! {
    fn job()(
        head in proptest::collection::vec(any::<u8>(), 0..120),
        tail in proptest::collection::vec(any::<u8>(), 0..200),
        branch in proptest::collection::vec(any::<[u8; 32]>(), 0..14),
        version: u32, prev: [u8; 32], time in 0_u32..u32::MAX - 7000,
    ) -> Vec<Vec<u8>> {
        vec![head, tail, branch.concat(), version.to_be_bytes().to_vec(), prev.to_vec(), hex("ffff7f20"),
            time.to_be_bytes().to_vec()]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_batch_of_any_size_is_judged_as_the_reference_does_it(
        consts in job(),
        shares in proptest::collection::vec((any::<[u8; 8]>(), 0_u32..=7000, any::<[u8; 4]>(), any::<[u8; 32]>()), 1..40),
    ) {
        let validator = Validator::new(limits(2, 8)).unwrap();
        let session = session(BITCOIN, &Algorithms::native(), &consts);
        let network = session.job().network_target().unwrap();
        let start = u32::from_be_bytes(consts[6].clone().try_into().unwrap());
        let candidates: Vec<_> = shares.iter().map(|(xn, after, nonce, target)| Candidate {
            session: Arc::clone(&session),
            values: vec![xn.to_vec(), (start + after).to_be_bytes().to_vec(), nonce.to_vec(), Vec::new()],
            targets: Targets { share: Target::from_be_bytes(*target), network },
        }).collect();
        let verdicts = validator.judge_all(&candidates);
        prop_assert_eq!(verdicts.len(), candidates.len());
        for (candidate, verdict) in candidates.iter().zip(verdicts) {
            let (pow, header) = reference(&consts, &candidate.values);
            let verdict = verdict.unwrap();
            prop_assert_eq!(verdict.pow, pow);
            prop_assert_eq!(verdict.meets_share, pow <= candidate.targets.share.to_be_bytes());
            prop_assert_eq!(verdict.meets_network, pow <= network.to_be_bytes());
            prop_assert_eq!(verdict.results.first(), verdict.meets_network.then_some(&header));
        }
    }
}

#[tokio::test]
async fn a_light_share_with_a_bad_value_is_refused_as_the_miners() {
    let validator = Validator::new(limits(1, 8)).unwrap();
    let (consts, mut share) = litecoin_genesis();
    let session = session(BITCOIN, &Algorithms::native(), &consts);
    let targets = Targets { share: Target::MAX, network: Target::MAX };
    share[1] = vec![0, 0, 0, 0];
    let Err(Refused::Share(error)) = validator.judge(&session, &share, targets).await else { panic!() };
    assert!(matches!(error, RunError::Range { .. }) && error.is_the_miners(), "{error}");
    let Err(Refused::Failed(error)) = validator.judge(&session, &share[..3], targets).await else { panic!() };
    assert!(!error.is_the_miners(), "a missing field is the server's fault: {error}");
}

/// A heavy algorithm that says when it starts and waits for a word before it goes on; it panics on input 0xff.
struct Gate {
    started: Mutex<Sender<()>>,
    go: Arc<Mutex<Receiver<()>>>,
}

impl Algorithm for Gate {
    fn name(&self) -> &str {
        "gate"
    }
    fn cost(&self) -> Cost {
        Cost::Heavy
    }
    fn prepare(&self, _: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        Ok(Arc::new(Gate {
            started: Mutex::new(self.started.lock().unwrap().clone()),
            go: Arc::clone(&self.go),
        }))
    }
}

impl Context for Gate {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        assert_ne!(input, [0xff], "an algorithm that panics");
        self.started.lock().unwrap().send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        out.fill(input[0]);
        Ok(())
    }
}

fn gated() -> (Arc<SessionStage>, Receiver<()>, Sender<()>) {
    let ((started, has_started), (go, wait)) = (channel(), channel());
    let mut algorithms = Algorithms::native();
    algorithms.add(Arc::new(Gate { started: Mutex::new(started), go: Arc::new(Mutex::new(wait)) }));
    let text = "recipe 1 \"gate\"\nshare xn:1\npow = gate xn\njudge be pow | id pow";
    (session(text, &algorithms, &[]), has_started, go)
}

const ANY: Targets = Targets { share: Target::MAX, network: Target::from_be_bytes([0; 32]) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_makes_the_next_share_wait_and_all_are_judged() {
    let validator = Arc::new(Validator::new(limits(1, 2)).unwrap());
    let (session, started, go) = gated();
    let submit = |byte: u8| {
        let (validator, session) = (Arc::clone(&validator), Arc::clone(&session));
        tokio::spawn(async move { validator.judge(&session, &[[byte]], ANY).await })
    };
    let first = submit(1);
    started.recv().unwrap();
    let (second, third) = (submit(2), submit(3));
    while validator.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    // One more: it may be a block, so it is not turned away.
    let session_of_fourth = Arc::clone(&session);
    let values = [[4]];
    let mut fourth = std::pin::pin!(validator.judge(&session_of_fourth, &values, ANY));
    let waits = std::future::poll_fn(|context| Poll::Ready(fourth.as_mut().poll(context).is_pending()));
    assert!(waits.await);
    assert_eq!(validator.waiting(), 2, "the queue is as long as it may be");
    for _ in 0..4 {
        go.send(()).unwrap();
    }
    assert_eq!(fourth.await.unwrap().pow, [4; 32]);
    for (share, byte) in [(first, 1), (second, 2), (third, 3)] {
        assert_eq!(share.await.unwrap().unwrap().pow, [byte; 32]);
    }
    assert_eq!(validator.waiting(), 0);
}

#[tokio::test]
async fn light_shares_are_answered_while_a_heavy_one_takes_its_time() {
    // One network thread, one thread for heavy hashes, and a hash that ends only when it is told to.
    let validator = Arc::new(Validator::new(limits(1, 8)).unwrap());
    let (heavy, started, go) = gated();
    let slow = tokio::spawn({
        let (validator, heavy) = (Arc::clone(&validator), Arc::clone(&heavy));
        async move { validator.judge(&heavy, &[[9]], ANY).await }
    });
    tokio::task::yield_now().await;
    started.recv().unwrap();
    let (consts, share) = litecoin_genesis();
    let light = session(BITCOIN, &Algorithms::native(), &consts);
    for _ in 0..100 {
        assert!(validator.judge(&light, &share, ANY).await.is_ok());
    }
    assert!(!slow.is_finished());
    go.send(()).unwrap();
    assert_eq!(slow.await.unwrap().unwrap().pow, [9; 32]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_hangs_up_gives_its_place_in_the_queue_free() {
    let validator = Arc::new(Validator::new(limits(1, 1)).unwrap());
    let (session, started, go) = gated();
    let spawn = |byte: u8| {
        let (validator, session) = (Arc::clone(&validator), Arc::clone(&session));
        tokio::spawn(async move { validator.judge(&session, &[[byte]], ANY).await })
    };
    let first = spawn(1);
    started.recv().unwrap();
    let second = spawn(2);
    while validator.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    let third = spawn(3);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().pow, [1; 32]);
    assert_eq!(third.await.unwrap().unwrap().pow, [3; 32]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_makes_its_algorithm_panic_does_not_take_its_batch_along() {
    let validator = Arc::new(Validator::new(limits(1, 8)).unwrap());
    let (session, started, go) = gated();
    let submit = |byte: u8| {
        let (validator, session) = (Arc::clone(&validator), Arc::clone(&session));
        tokio::spawn(async move { validator.judge(&session, &[[byte]], ANY).await })
    };
    let first = submit(1);
    started.recv().unwrap();
    let rest = [submit(2), submit(0xff), submit(3)];
    while validator.waiting() < 3 {
        tokio::task::yield_now().await;
    }
    // Shares before the bad one may be hashed twice: in the batch, and alone.
    for _ in 0..8 {
        go.send(()).unwrap();
    }
    assert!(first.await.unwrap().is_ok());
    let mut lost = 0;
    for share in rest {
        match share.await.unwrap() {
            Ok(verdict) => assert_ne!(verdict.pow, [0xff; 32]),
            Err(error) => {
                assert_eq!(error, Refused::Lost);
                lost += 1;
            }
        }
    }
    assert_eq!(lost, 1);
}

/// A hash that fails so many times.
#[derive(Clone)]
struct Failing(Arc<AtomicUsize>, Cost);

impl Algorithm for Failing {
    fn name(&self) -> &str {
        "failing"
    }
    fn cost(&self) -> Cost {
        self.1
    }
    fn prepare(&self, _: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Context for Failing {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        if self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(AlgorithmError::Failed { algorithm: "failing".into(), reason: "a trap".into() });
        }
        out.fill(input[0]);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_through_no_fault_of_the_miner_is_judged_once_more_and_is_never_called_his() {
    let validator = Validator::new(limits(1, 8)).unwrap();
    for cost in [Cost::Light, Cost::Heavy] {
        let left = Arc::new(AtomicUsize::new(0));
        let mut algorithms = Algorithms::native();
        algorithms.add(Arc::new(Failing(Arc::clone(&left), cost)));
        let text = "recipe 1 \"failing\"\nshare xn:1\npow = failing xn\njudge be pow | id pow";
        let session = session(text, &algorithms, &[]);
        left.store(1, SeqCst);
        assert_eq!(validator.judge(&session, &[[7]], ANY).await.unwrap().pow, [7; 32]);
        left.store(2, SeqCst);
        let refused = validator.judge(&session, &[[7]], ANY).await.unwrap_err();
        assert!(matches!(refused, Refused::Failed(_)) && !refused.is_the_miners(), "{refused:?}");
        assert!(refused.to_string().contains("a trap"), "{refused}");
        // What is the miner's own is not hashed twice: the failure that is left is the next share's.
        left.store(2, SeqCst);
        let wide = validator.judge(&session, &[[7, 7]], ANY).await.unwrap_err();
        assert!(wide.is_the_miners() && left.load(SeqCst) == 2, "{wide:?}");
    }
}

#[tokio::test]
async fn an_algorithm_that_panics_loses_its_share_and_nothing_else() {
    let validator = Validator::new(limits(1, 4)).unwrap();
    let (session, _started, go) = gated();
    assert_eq!(validator.judge(&session, &[[0xff]], ANY).await, Err(Refused::Lost));
    go.send(()).unwrap();
    assert_eq!(validator.judge(&session, &[[7]], ANY).await.unwrap().pow, [7; 32]);
}
