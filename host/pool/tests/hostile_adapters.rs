//! Hostile chain adapters in a pool that miners are connected to: what they want does not happen, the operator sees
//! why, miners go on with the jobs that they have, and the first honest job reaches them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_admin::Role;
use millpond_contracts::chain::{Action, Assembled, Call, Chunk, Event, Job};
use millpond_contracts::{CallError, TrapKind};
use millpond_devchain::{DevChain, Options as ChainOptions};
use millpond_pool::Pool;
use millpond_test_guests::{Spoiled, adapter_of};
use millpond_types::Amount;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use support::client::{Client, Want};
use support::{process, start_with, stranger, until};

/// Regtest's easiest target, as a header has it.
const EASIEST: [u8; 4] = [0xff, 0xff, 0x7f, 0x20];
/// Where Bitcoin's recipe has the coinbase behind the extranonce, and the compact target.
const TAIL: usize = 1;
const BITS: usize = 5;

/// Further recipes of the adapter, which an honest job never names.
const RECIPES: [&str; 3] = [
    "recipe 1 \"fold\"
const head:bytes path:32*
share xn:8 nonce:4
root = fold sha256d (sha256d head) path
pow = sha256d (cat root xn nonce)
judge le pow | id pow | out pow
",
    "recipe 1 \"beyond\"
const head:bytes
share xn:8 nonce:4
pow = sha256d (cat (slice head 100..108) xn nonce)
judge le pow | id pow | out pow
",
    "recipe 1 \"deaf\"
const head:bytes
share xn:8 nonce:4
pow = sha256d (cat head (slice xn 1..2) (slice nonce 1..2))
judge le pow | id (sha256d (cat head xn nonce)) | out pow
",
];

/// Bitcoin's recipe with a decoy: the parts that it names as the coinbase are not those that it hashes. Its last constant
/// is what it hashes behind the extranonce.
fn decoy() -> String {
    let honest = include_str!("../../../examples/families/bitcoin/bitcoin.recipe");
    let named = "cb    = cat head xn tail";
    assert!(honest.contains(named) && honest.contains("suffix=tail"));
    format!("{}const stolen:bytes\n", honest.replace(named, "cb = cat head xn stolen"))
}

async fn chain() -> DevChain {
    // About 4,000 hashes a block.
    let options = ChainOptions { bits: 0x1f0f_ffff, prologue: 10, ..ChainOptions::default() };
    DevChain::start(options).await.unwrap()
}

fn config(chain: &DevChain) -> String {
    format!(
        r#"
[host]
[[pool]]
name = "dev"
[pool.chain]
payout_address = "{}"
easiest_target = "000fffff{}"
reward_cap = 6000000000
settings = {{ network = "regtest", maturity = 5, orphan_after = 2 }}
[[pool.node]]
url = "{}"
user = "{}"
password = "{}"
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 0.0000001
fixed = true
[pool.payout]
scheme = "prop"
[pool.settlement]
schedule = "manual"
"#,
        chain.new_address(),
        "00".repeat(28),
        chain.url(),
        chain.user(),
        chain.password(),
    )
}

type OnEvent = Box<dyn Fn(&Event, &mut Vec<Action>) -> Result<(), CallError> + Send>;
type OnBlock = Box<dyn Fn(&mut Assembled) -> Result<(), CallError> + Send>;

/// What the adapter does wrong at present; nothing at first.
#[derive(Default)]
struct Mischief {
    event: Mutex<Option<OnEvent>>,
    block: Mutex<Option<OnBlock>>,
}

/// A pool whose adapter turns, with two miners connected.
struct Rig {
    folder: tempfile::TempDir,
    chain: DevChain,
    pool: Arc<Pool>,
    mischief: Arc<Mischief>,
    payee: Vec<u8>,
    miners: [Client; 2],
}

impl Rig {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chain = chain().await;
        let process = process(folder.path());
        let mischief = Arc::new(Mischief::default());
        let mut payee = Vec::new();
        let pool = start_with(&process, &config(&chain), |prepared| {
            payee.clone_from(&prepared.outputs[0].payee);
            let good = Spoiled::of(Arc::clone(&prepared.adapter));
            let mut description = good.description.clone();
            description.recipes.extend(RECIPES.map(str::to_owned));
            description.recipes.push(decoy());
            let (events, blocks) = (Arc::clone(&mischief), Arc::clone(&mischief));
            prepared.adapter = Arc::new(Spoiled {
                description,
                spoil: Arc::new(move |event, actions| match &*events.event.lock() {
                    Some(does) => does(event, actions),
                    None => Ok(()),
                }),
                block: Arc::new(move |assembled| match &*blocks.block.lock() {
                    Some(does) => does(assembled),
                    None => Ok(()),
                }),
                ..good
            });
        })
        .await;
        let address = pool.addresses()[0];
        let one = Client::connect(address, &stranger("bcrt", 1).0, "sha256d").await.unwrap();
        let two = Client::connect(address, &stranger("bcrt", 2).0, "sha256d").await.unwrap();
        Self { folder, chain, pool: Arc::new(pool), mischief, payee, miners: [one, two] }
    }

    /// Both miners send a share of the job that they have.
    async fn shares(&mut self) {
        for miner in &mut self.miners {
            let job = miner.job.clone().unwrap();
            let share = miner.find(&job, 0, Want::Mere);
            let reply = miner.submit(&share).await;
            assert_eq!(reply["result"], json!(true), "{reply}");
        }
    }

    /// Both miners get a job on the chain's tip.
    async fn work_on_the_tip(&mut self) {
        for miner in &mut self.miners {
            miner.job_on(&self.chain.tip()).await;
        }
    }

    async fn alarm(&self, part: &str) -> String {
        let alarm = || self.pool.alarms().into_iter().find(|alarm| alarm.text.contains(part));
        until(&self.pool, part, || alarm().is_some()).await;
        alarm().unwrap().text
    }

    fn first_error(&self) -> Option<String> {
        self.pool.view().plugins.into_iter().find(|plugin| plugin.role == "adapter").unwrap().first_error
    }

    /// The adapter turns at the next tip. Its actions are refused with this text, miners keep what they have, and once
    /// it is honest again they get work on the new tip.
    async fn refused(
        &mut self,
        what: &str,
        told: &str,
        does: impl Fn(&Event, &mut Vec<Action>) -> Result<(), CallError> + Send + 'static,
    ) {
        self.work_on_the_tip().await;
        let before = self.pool.view().coord;
        *self.mischief.event.lock() = Some(Box::new(does));
        self.chain.generate(1).unwrap();
        let alarm = self.alarm(told).await;
        assert!(
            alarm.starts_with("the adapter's actions were refused, none was applied: "),
            "{what}: {alarm}"
        );
        assert!(self.first_error().is_some(), "{what}");
        assert_eq!(self.pool.view().coord, before, "{what}: a job of it was given out");
        assert_eq!(self.pool.not_ready(), [""; 0], "{what}");
        self.shares().await;
        *self.mischief.event.lock() = None;
        self.work_on_the_tip().await;
        self.shares().await;
    }

    /// As [`Rig::refused`], by a job that is changed.
    async fn bad_job(&mut self, what: &str, told: &str, change: impl Fn(&mut Job) + Send + 'static) {
        self.refused(what, told, move |_, actions| {
            for action in actions {
                if let Action::Publish(job) = action {
                    change(job);
                }
            }
            Ok(())
        })
        .await;
    }

    async fn swap(&self, plugin: &str) -> Result<String, String> {
        let (pool, plugin) = (Arc::clone(&self.pool), plugin.to_owned());
        tokio::task::spawn_blocking(move || pool.swap(Role::Adapter, &plugin, "", "test")).await.unwrap()
    }

    async fn stop(self) {
        assert_eq!(self.pool.server().connections(), 2, "a miner was disconnected");
        drop(self.miners);
        self.pool.stop().await;
        drop(self.folder);
    }
}

fn trap(function: &str) -> CallError {
    let message = "wasm trap: wasm `unreachable` instruction executed".to_owned();
    CallError::Trap { function: function.to_owned(), kind: TrapKind::Other, message }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn through_each_hostile_list_of_actions_miners_are_served() {
    let mut rig = Rig::new().await;
    let at_a_job = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Publish(_)));
    rig.refused("endless actions", " actions of one event, at most 256", move |_, actions| {
        if at_a_job(actions) {
            actions.extend(vec![Action::Save(vec![7]); 300]);
        }
        Ok(())
    })
    .await;
    rig.refused("endless timers", "more than 64 timers", move |_, actions| {
        if at_a_job(actions) {
            actions.extend((1_000..1_065).map(|id| Action::Timer { id, ms: 10 }));
        }
        Ok(())
    })
    .await;
    rig.refused("a timer without pause", "a timer of 1 ms, at least 10", move |_, actions| {
        if at_a_job(actions) {
            actions.push(Action::Timer { id: 1_000, ms: 1 });
        }
        Ok(())
    })
    .await;
    rig.bad_job("giant job", "constants of 5", |job| job.consts[TAIL] = vec![0; 5 << 20]).await;
    rig.bad_job("giant private bytes", "262145 private bytes, at most 262144", |job| {
        job.private = vec![0; (256 << 10) + 1];
    })
    .await;
    rig.bad_job(
        "unbounded fold",
        "a job was refused: its recipe fails: line 0: the job stage takes more than 1048576 bytes",
        |job| {
            (job.recipe, job.consts) = (2, vec![vec![1; 8], vec![0; 32 * 100_000]]);
        },
    )
    .await;
    rig.bad_job(
        "out-of-range read",
        "a job was refused: its recipe fails: line 4: a slice 100..108 of 8 bytes",
        |job| {
            (job.recipe, job.consts) = (3, vec![vec![1; 8]]);
        },
    )
    .await;
    rig.bad_job("hash that ignores the nonce", "its recipe fails the probe: ", |job| {
        (job.recipe, job.consts) = (4, vec![vec![1; 8]]);
    })
    .await;
    rig.bad_job("trivial target", "is trivial: more than half of all hashes meet it", |job| {
        (job.recipe, job.consts) = (4, vec![vec![1; 8]]);
        job.network_target = vec![0xff; 32];
    })
    .await;
    rig.bad_job("target easier than the network's floor", "is easier than the network's easiest, ", |job| {
        job.consts[BITS] = EASIEST.to_vec();
        job.network_target = [&[0x7f, 0xff, 0xff][..], &[0; 29]].concat();
    })
    .await;
    rig.bad_job("another target than the header's", "network target: the adapter says 0000ff", |job| {
        job.network_target = [&[0, 0, 0xff][..], &[0; 29]].concat();
    })
    .await;
    let payee = rig.payee.clone();
    rig.bad_job(
        "stolen payee",
        "a job was refused: its coinbase: output 0 pays 5000000000 to script ",
        move |job| {
            let tail = &mut job.consts[TAIL];
            let at = tail.windows(payee.len()).position(|window| window == payee).unwrap();
            // The last byte of the key's hash.
            tail[at + payee.len() - 1] ^= 1;
        },
    )
    .await;
    let payee = rig.payee.clone();
    rig.bad_job(
        "an honest coinbase to look at, another one to hash",
        "a job was refused: its coinbase: output 0 pays 5000000000 to script 51",
        move |job| {
            let mut stolen = job.consts[TAIL].clone();
            let at = stolen.windows(payee.len()).position(|window| window == payee).unwrap();
            stolen[at] = 0x51;
            job.recipe = 5;
            job.consts.push(stolen);
        },
    )
    .await;
    rig.bad_job("reward times ten", "its reward of 50000000000 is above 6000000000, the cap", |job| {
        job.reward = Amount(job.reward.0 * 10);
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wallet_call_is_never_made_and_the_job_beside_it_is_served() {
    let mut rig = Rig::new().await;
    let coins = rig.chain.balance();
    *rig.mischief.event.lock() = Some(Box::new(|_, actions| {
        if actions.iter().any(|action| matches!(action, Action::Publish(_))) {
            actions.push(Action::Call(Call {
                id: 1 << 40,
                transport: 0,
                method: "sendtoaddress".into(),
                body: b"[\"thief\", 1]".to_vec(),
                link: Some(0),
                timeout_ms: 1_000,
            }));
        }
        Ok(())
    }));
    rig.chain.generate(1).unwrap();
    let told = rig.alarm("sendtoaddress").await;
    assert!(told.starts_with("the adapter made a call that is refused: not granted: "), "{told}");
    assert!(
        told.ends_with(
            "it may move money, use keys or change the node: its name is not of blocks and work alone"
        ),
        "{told}"
    );
    rig.work_on_the_tip().await;
    rig.shares().await;
    assert!(rig.chain.balance() >= coins);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_that_cannot_be_assembled_is_told_and_miners_are_served() {
    let mut rig = Rig::new().await;
    let attempts: [(&str, OnBlock); 4] = [
        (
            "could not be assembled; its data is in the log: block.assemble: trap: ",
            Box::new(|_| Err(trap("block.assemble"))),
        ),
        (
            "piece 0 is out of range: 1000 bytes from 4000000000 of a body of ",
            Box::new(|assembled| {
                assembled.request = vec![Chunk::Body { offset: 4_000_000_000, length: 1_000 }];
                Ok(())
            }),
        ),
        (
            "\"sendtoaddress\" can never be granted to an adapter",
            Box::new(|assembled| {
                assembled.method = "sendtoaddress".into();
                Ok(())
            }),
        ),
        (
            "the adapter assembled block ",
            Box::new(|assembled| {
                assembled.block[0] ^= 1;
                Ok(())
            }),
        ),
    ];
    for (told, does) in attempts {
        rig.work_on_the_tip().await;
        *rig.mischief.block.lock() = Some(does);
        let height = rig.chain.height();
        let miner = &mut rig.miners[0];
        let job = miner.job.clone().unwrap();
        let share = miner.find(&job, 0, Want::Block);
        let reply = miner.submit(&share).await;
        assert_eq!(reply["result"], json!(true), "{reply}");
        rig.alarm(told).await;
        *rig.mischief.block.lock() = None;
        if told.starts_with("the adapter assembled") {
            // Named wrongly, but a block: the node has it, and it is followed and paid under its own name.
            until(&rig.pool, "the block on the chain", || rig.chain.height() > height).await;
            let own = share.block();
            until(&rig.pool, "its income", || {
                let mut blocks = rig.pool.blocks(10).into_iter();
                blocks.any(|known| known.block == own && known.fate == "accepted" && known.income > Amount(0))
            })
            .await;
        } else {
            // Miners go on with the job that they have.
            rig.shares().await;
            rig.chain.generate(1).unwrap();
        }
    }
    rig.work_on_the_tip().await;
    let (height, miner) = (rig.chain.height(), &mut rig.miners[1]);
    let job = miner.job.clone().unwrap();
    let share = miner.find(&job, 0, Want::Block);
    assert_eq!(miner.submit(&share).await["result"], json!(true));
    until(&rig.pool, "an honest block", || rig.chain.height() == height + 1).await;
    assert_eq!(rig.chain.tip(), share.block());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_adapter_that_only_traps_is_quarantined_its_jobs_served_until_they_expire_and_a_swap_heals() {
    let mut rig = Rig::new().await;
    // Its last job lives for a few seconds only.
    *rig.mischief.event.lock() = Some(Box::new(|_, actions| {
        for action in actions {
            if let Action::Publish(job) = action {
                job.expires_ms = 20_000;
            }
        }
        Ok(())
    }));
    rig.chain.generate(1).unwrap();
    rig.work_on_the_tip().await;
    *rig.mischief.event.lock() = Some(Box::new(|_, _| Err(trap("adapter.handle"))));
    let last = rig.chain.tip();
    rig.chain.generate(1).unwrap();
    let told = rig.alarm("is in quarantine and there is no older version").await;
    assert!(told.contains("its jobs are served until they expire, then the pool stands; its first error: adapter.handle: trap: "), "{told}");
    rig.shares().await;
    let ready = rig.pool.not_ready();
    assert!(ready[0].starts_with("the adapter is in quarantine: adapter.handle: trap: "), "{ready:?}");
    let view = rig.pool.view().plugins.into_iter().find(|plugin| plugin.role == "adapter").unwrap();
    assert_eq!(view.state, "quarantined");
    // A job that has expired is worked on by nobody; the connection stays.
    let miner = &mut rig.miners[0];
    let job = miner.job_on(&last).await;
    let deadline = std::time::Instant::now() + support::PATIENCE;
    loop {
        let share = miner.find(&job, 0, Want::Share);
        let reply = miner.submit(&share).await;
        if reply["result"] != json!(true) {
            assert_eq!(reply["error"][0], json!(21), "{reply}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the job never expires");
    }
    rig.swap("bitcoin").await.unwrap();
    rig.work_on_the_tip().await;
    rig.shares().await;
    assert_eq!(rig.pool.not_ready(), [""; 0]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_swap_to_each_hostile_component_fails_with_its_reason_and_the_running_version_stays() {
    let hostile = [
        ("endless loop", "(loop br 0) unreachable", "adapter.handle: out of "),
        (
            "memory bomb",
            "(loop (drop (memory.grow (i32.const 64))) br 0) unreachable",
            "adapter.handle: out of memory: it wanted ",
        ),
        (
            "deep recursion",
            "(i32.add (i32.const 1) AGAIN)",
            "adapter.handle: stack overflow: more than 512 KiB of stack: recursion without end?",
        ),
        ("trap", "unreachable", "adapter.handle: trap: wasm trap: wasm `unreachable` instruction executed"),
        (
            "log flood",
            "(loop (call 0 (i32.const 3) (i32.const 0) (i32.const 9)) br 0) unreachable",
            "adapter.handle: trap: it called the host more than 10000 times in one call",
        ),
        (
            "endless actions",
            // ok, and a list of 2^18 actions that are all zeros: more than 16 MiB.
            "(i32.store (i32.const 1028) (i32.const 65536))
             (i32.store (i32.const 1032) (i32.const 262144))
             (drop (memory.grow (i32.const 900)))
             i32.const 1024",
            "adapter.handle: too many bytes handed to the host: ",
        ),
        ("result outside its own memory", "i32.const 0x7ffffff0", "adapter.handle: trap: "),
    ];
    let mut rig = Rig::new().await;
    let leading = |rig: &Rig| {
        rig.pool.view().plugins.into_iter().find(|plugin| plugin.role == "adapter").unwrap().digest
    };
    let digest = leading(&rig);
    let recipe = "recipe 1 \"little\"
const head:bytes
share xn:8 nonce:4
pow = sha256d (cat head xn nonce)
judge le pow | id pow | out pow
";
    for (name, handle, told) in hostile {
        let file = rig.folder.path().join(format!("{}.wasm", name.replace(' ', "-")));
        std::fs::write(&file, adapter_of("regtest", 100, handle, "unreachable", recipe)).unwrap();
        let why = rig.swap(file.to_str().unwrap()).await.unwrap_err();
        assert!(why.starts_with(told), "{name}: {why}");
        let alarm = rig.alarm(&format!("did not take place: {told}")).await;
        assert!(alarm.starts_with("the swap of the adapter to "), "{alarm}");
        assert_eq!(leading(&rig), digest, "{name}");
        rig.shares().await;
    }
    rig.chain.generate(1).unwrap();
    rig.work_on_the_tip().await;
    rig.shares().await;
    rig.stop().await;
}
