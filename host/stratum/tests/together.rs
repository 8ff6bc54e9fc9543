//! Shares that one connection sends without a pause are hashed together where their algorithm gains by that, and come to
//! exactly what they come to one by one: verdicts, duplicates, order, what the pool is told, and when it has enough.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::config;
use common::family::{Family, start_by, up_to_a_job};
use common::miner::Client;
use millpond_algorithms::{Algorithm, AlgorithmError, Algorithms, Context};
use millpond_stratum::{CountersNow, Refusal, StratumConfig};
use millpond_types::Target;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const RECIPE: &str = "recipe 1 \"own\"\nconst head:32\nshare xn:16 t:1=0\npow_hash = sha256 head\n\
                      parent = slice head 0..32\njudge be own (cat head xn t)\n\
                      id sha256 (cat head xn t)\nout xn\nrange t 0..9\n";
const DIALECT: &str = include_str!("../../../examples/families/ckb/a.dialect");

/// SHA-256 that says whether it gains by several inputs, and keeps how many it got.
#[derive(Clone, Default)]
struct Own {
    gains: bool,
    batches: Arc<Mutex<Vec<usize>>>,
}

impl Algorithm for Own {
    fn name(&self) -> &str {
        "own"
    }
    fn prepare(&self, _: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Context for Own {
    fn gains_together(&self) -> bool {
        self.gains
    }
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        // Some can be hashed by nobody.
        if input[47] == 13 {
            return Err(AlgorithmError::Failed { algorithm: "own".into(), reason: "13".to_owned() });
        }
        out.copy_from_slice(&Algorithms::native().hash("sha256", input).unwrap());
        Ok(())
    }
    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        self.batches.lock().unwrap().push(inputs.len() / width);
        inputs.chunks(width).zip(out.chunks_mut(32)).try_for_each(|(input, out)| self.hash(input, out))
    }
}

/// What a miner says.
#[derive(Clone, Debug)]
enum Said {
    /// A share of this number, under one of two names, for the job that he has or for one of the pool's before it.
    Share { number: u8, rig: bool, old: bool },
    /// For a job that never was.
    Unknown,
    /// With half a nonce.
    Short,
    /// Something else that is answered.
    Ping,
    /// He chooses a difficulty.
    Suggest(f64),
    /// Asks for what there is not.
    Nonsense,
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        30 => (0_u8..40, any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(number, rig, old)| Said::Share { number, rig, old }),
        1 => Just(Said::Unknown),
        1 => Just(Said::Short),
        1 => Just(Said::Ping),
        1 => select(vec![0.5, 1.0, 2.0, 4.0]).prop_map(Said::Suggest),
        1 => Just(Said::Nonsense),
    ]
}

/// The ids of his shares as they were answered, and every answer by its id.
type Answered = (Vec<u64>, Vec<(u64, Value)>);

/// All that can be seen of what a script came to.
#[derive(Debug, PartialEq)]
struct Seen {
    /// None where he was shut out, since what was said to him then may be lost on its way.
    answered: Option<Answered>,
    accepted: Vec<([u8; 32], bool, bool, String, u64)>,
    refused: Vec<Refusal>,
    unjudged: usize,
    counters: CountersNow,
}

fn line(id: usize, said: &Said, jobs: &[String; 2]) -> String {
    let nonce = |number: u8| hex::encode([&[0; 11][..], &[number]].concat());
    let share = |worker: &str, job: &str, nonce: &str| json!({"id": id, "method": "mining.submit", "params": [worker, job, nonce]});
    let message = match said {
        Said::Share { number, rig, old } => {
            let worker = if *rig { "ckb.rig" } else { "ckb" };
            share(worker, &jobs[usize::from(!old)], &nonce(*number))
        }
        Said::Unknown => share("ckb", "999999", &nonce(1)),
        Said::Short => share("ckb", &jobs[1], "0011"),
        Said::Ping => json!({"id": id, "method": "mining.ping", "params": []}),
        Said::Suggest(difficulty) => {
            json!({"id": id, "method": "mining.suggest_difficulty", "params": [difficulty]})
        }
        Said::Nonsense => json!({"id": id, "method": "mining.nonsense", "params": []}),
    };
    format!("{message}\n")
}

async fn family(own: &Own, config: StratumConfig) -> Family {
    let mut algorithms = Algorithms::native();
    assert!(algorithms.add(Arc::new(own.clone())));
    // Of difficulty 1 is nearly every second hash.
    let mut diff1 = [0xff; 32];
    diff1[0] = 0x7f;
    let first = [0_u8; 4];
    let diff1 = Target::from_be_bytes(diff1);
    start_by(RECIPE, &algorithms, &[DIALECT], (16, Some(&first)), diff1, config).await.unwrap()
}

/// Says all of it at once, and looks what came of it.
async fn run(own: &Own, script: &[Said], config: StratumConfig) -> Seen {
    let family = family(own, config).await;
    // One hash in 16 is a block.
    let mut network = [0xff; 32];
    network[0] = 0x0f;
    let mut client = Client::connect(family.server.addresses()[0]).await;
    family.publish_for(5, &[vec![5; 32]], Target::from_be_bytes(network));
    client.call("mining.subscribe", json!(["test/1", null])).await;
    client.call("mining.authorize", json!(["ckb", "x"])).await;
    let job = |told: Vec<Value>| told.last().unwrap()["params"][0].as_str().unwrap().to_owned();
    let old = job(up_to_a_job(&mut client).await);
    family.publish_for(6, &[vec![6; 32]], Target::from_be_bytes(network));
    let jobs = [old, job(up_to_a_job(&mut client).await)];
    let lines: String = script.iter().enumerate().map(|(at, said)| line(at + 100, said, &jobs)).collect();
    let last = 100 + script.len() as u64;
    client.send_raw(lines.as_bytes()).await;
    client.send(&json!({"id": last, "method": "mining.ping", "params": []})).await;
    let (mut order, mut answers, mut open) = (Vec::new(), Vec::new(), true);
    while answers.len() <= script.len() {
        let Some(text) = client.line().await else {
            open = false;
            break;
        };
        let message: Value = serde_json::from_str(&text).unwrap();
        let Some(id) = message["id"].as_u64().filter(|id| *id >= 100) else { continue };
        if let Some(Said::Share { .. } | Said::Unknown | Said::Short) = script.get(id as usize - 100) {
            order.push(id);
        }
        answers.push((id, message));
    }
    answers.sort_by_key(|(id, _)| *id);
    let counters = family.server.handle().counters();
    let accepted = family.pool.accepted.lock().unwrap();
    let accepted = accepted
        .iter()
        .map(|one| (one.id, one.credited, one.solution.is_some(), one.worker.to_string(), one.work.0));
    let (accepted, refused) = (accepted.collect(), family.pool.refused.lock().unwrap().clone());
    let unjudged = family.pool.unjudged.lock().unwrap().len();
    // How the lines were cut into reads and writes is not the point.
    let counters = CountersNow { bytes_read: 0, bytes_written: 0, ..counters };
    Seen { answered: open.then_some((order, answers)), accepted, refused, unjudged, counters }
}

fn chosen(shares_in_flight: usize, window: usize) -> StratumConfig {
    let mut config = config();
    config.vardiff.start = 1.0;
    config.extranonce.prefix = Some(4);
    config.limits.shares_in_flight = shares_in_flight;
    config.bans.window = window;
    config.bans.invalid_ratio = 0.7;
    config
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn shares_hashed_together_come_to_what_they_come_to_one_by_one(
        script in prop::collection::vec(said(), 1..70),
        in_flight in select(vec![1, 3, 64]),
        window in select(vec![0, 10, 50]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (wide, narrow) = (Own { gains: true, ..Own::default() }, Own::default());
        let (wide, narrow) = runtime.block_on(async {
            (run(&wide, &script, chosen(in_flight, window)).await, run(&narrow, &script, chosen(in_flight, window)).await)
        });
        prop_assert_eq!(wide, narrow);
    }
}

#[tokio::test]
async fn sixteen_at_once_are_one_batch_and_one_alone_is_none() {
    let own = Own { gains: true, ..Own::default() };
    let script: Vec<_> = (20..36).map(|number| Said::Share { number, rig: false, old: false }).collect();
    let seen = run(&own, &script, chosen(64, 0)).await;
    assert_eq!(*own.batches.lock().unwrap(), [16]);
    assert_eq!(seen.answered.unwrap().0, (100..116).collect::<Vec<_>>(), "in their order");
    let alone = Own { gains: true, ..Own::default() };
    run(&alone, &script[..1], chosen(64, 0)).await;
    assert!(alone.batches.lock().unwrap().is_empty());
}
