//! Hostile adapters: what they want does not happen, the operator sees why, and the next job still comes.

use crate::fake::*;
use millpond_contracts::chain::*;
use millpond_types::Amount;

/// An adapter that does this at its start, and serves job 2 when a push comes.
fn first(bad: impl Fn() -> Vec<Action> + Send + Sync + 'static) -> Fake {
    Fake::new("hostile", move |event| match &event.what {
        Happening::Start(_) => done(bad()),
        Happening::Link { .. } => done(vec![Action::Publish(job(2))]),
        _ => done(vec![]),
    })
}

/// The text an operator sees, and that the pool gets an honest job after it.
fn refused(bad: impl Fn() -> Vec<Action> + Send + Sync + 'static, part: &str) -> String {
    let rig = rig(first(bad));
    rig.chain.link(0, true);
    // The instance that did it is gone; the one after the pause does it again and is refused again.
    let text = rig.pool.alarm(part);
    assert!(text.starts_with("the adapter's actions were refused, none was applied: "), "{text}");
    assert_eq!(
        rig.pool.jobs().iter().filter(|coord| **coord == 1).count(),
        0,
        "a refused job reached the pool"
    );
    text
}

fn bad_job(change: impl Fn(&mut Job) + Send + Sync + 'static, part: &str) -> String {
    refused(
        move || {
            let mut bad = job(1);
            change(&mut bad);
            vec![Action::Publish(bad)]
        },
        part,
    )
}

#[test]
fn endless_actions_are_refused_as_a_whole() {
    let text =
        refused(|| vec![Action::Timer { id: 1, ms: 1000 }; 257], "257 actions of one event, at most 256");
    assert!(text.ends_with("at most 256"));
}

#[test]
fn a_flood_of_alarms_is_counted_and_does_not_hide_the_pool() {
    let adapter = Fake::new("loud", |event| match &event.what {
        Happening::Start(_) => done(vec![Action::Alarm { stop: false, text: "look at me".into() }; 200]),
        Happening::Link { .. } => done(vec![Action::Publish(job(2))]),
        _ => done(vec![]),
    });
    let rig = rig(adapter);
    rig.chain.link(0, true);
    rig.pool.job(2);
    let alarms = rig.pool.heard().iter().filter(|heard| matches!(heard, Heard::Alarm(_))).count();
    assert_eq!(alarms, 16);
}

#[test]
fn more_timers_than_allowed_or_too_short_ones_are_refused() {
    refused(|| (0..65).map(|id| Action::Timer { id, ms: 1000 }).collect(), "more than 64 timers");
    refused(|| vec![Action::Timer { id: 1, ms: 9 }], "a timer of 9 ms, at least 10");
}

#[test]
fn a_giant_job_is_refused() {
    bad_job(|job| job.private = vec![0; (256 << 10) + 1], "262145 private bytes, at most 262144");
    bad_job(|job| job.consts = vec![vec![0; 5 << 20]], "constants of 5242896 bytes, at most 4194304");
}

#[test]
fn a_trivial_target_is_refused() {
    bad_job(|job| job.network_target = vec![0xff; 32], "is trivial: more than half of all hashes meet it");
}

#[test]
fn a_target_easier_than_the_networks_floor_is_refused() {
    bad_job(|job| job.network_target[1] = 1, "is easier than the network's easiest");
}

#[test]
fn a_target_of_zero_or_of_another_length_is_refused() {
    bad_job(|job| job.network_target = vec![0; 32], "no hash meets it");
    bad_job(|job| job.network_target = vec![1; 31], "31 bytes, a target has 32");
}

#[test]
fn a_reward_times_ten_is_refused() {
    let text = bad_job(|job| job.reward = Amount(50_000), "its reward of 50000");
    assert!(text.ends_with("is above 6000, the cap in the pool's configuration"), "{text}");
}

#[test]
fn a_reward_far_above_recent_ones_is_refused_without_a_cap() {
    let adapter = Fake::new("greedy", |event| match &event.what {
        Happening::Link { .. } => done((1..=4).map(|coord| Action::Publish(job(coord))).collect()),
        Happening::Push(_) => done(vec![Action::Publish(Job { reward: Amount(50_000), ..job(5) })]),
        _ => done(vec![]),
    });
    let mut description = description(vec![node()]);
    description.transports[0].methods.push("tip".into());
    let adapter = Fake { description, ..adapter };
    let (nodes, pool) = (FakeNodes::new(1), std::sync::Arc::new(FakePool::default()));
    let mut setup = setup(adapter, crate::Trust { reward_cap: None, ..trust() }, &nodes, &pool);
    setup.grants[0].methods.push("tip".into());
    let chain = crate::ChainHandle::start(setup).unwrap();
    chain.link(0, true);
    pool.job(4);
    chain.push(0, "node", "tip", bytes::Bytes::new());
    pool.alarm("is above 20000, four times the median of recent jobs");
    assert_eq!(pool.jobs(), [1, 2, 3, 4]);
}

fn with_recipe(recipe: &str, consts: Vec<Vec<u8>>, part: &str) {
    let fake = first(move || vec![Action::Publish(Job { consts: consts.clone(), ..job(1) })]);
    let mut description = description(vec![node()]);
    description.recipes = vec![recipe.to_owned()];
    let rig = rig(Fake { description, ..fake });
    rig.pool.alarm(part);
    assert!(!rig.pool.jobs().contains(&1));
}

fn little(pow: &str, id: &str) -> String {
    format!(
        "recipe 1 \"little\"\nconst head:bytes\nshare xn:8 nonce:4\npow = {pow}\njudge le pow | id {id} | out pow\n"
    )
}

#[test]
fn a_hash_that_ignores_the_nonce_is_refused() {
    // Where the document itself shows it, the adapter does not even load.
    let mut constant = description(vec![node()]);
    constant.recipes = vec![little("sha256d head", "sha256d (cat head xn nonce)")];
    let adapter = Fake { description: constant, ..first(Vec::new) };
    let pool = std::sync::Arc::new(FakePool::default());
    let error = crate::ChainHandle::start(setup(adapter, trust(), &FakeNodes::new(1), &pool)).err().unwrap();
    assert!(error.to_string().contains("the judged hash depends on no share field"), "{error}");

    // Where it hides in parts of fields, the probe of the job shows it.
    let parts = "cat head (slice xn 1..2) (slice nonce 1..2)";
    let some = little(&format!("sha256d ({parts})"), "sha256d (cat head xn nonce)");
    with_recipe(
        &some,
        vec![vec![1; 8]],
        "its recipe fails the probe: byte 0 of share field xn changes only one of",
    );
    let neither = little(&format!("sha256d ({parts})"), &format!("sha256d ({parts})"));
    with_recipe(&neither, vec![vec![1; 8]], "byte 0 of share field xn changes neither hash nor id");
}

#[test]
fn an_unbounded_fold_is_refused() {
    let fold = "recipe 1 \"fold\"
const head:bytes path:32*
share xn:8 nonce:4
root = fold sha256d (sha256d head) path
pow = sha256d (cat root xn nonce)
judge le pow | id pow | out pow
";
    with_recipe(fold, vec![vec![1; 8], vec![0; 32 * 100_000]], "its recipe fails: ");
}

#[test]
fn what_this_host_does_not_serve_is_refused_and_not_passed_over() {
    bad_job(
        |job| job.warm = vec![("randomx".into(), vec![1; 32])],
        "contexts to build ahead (`warm`) are not served by this pool yet",
    );
    bad_job(|job| job.recipe = 65_535, "merged-mining jobs are not served by this pool yet");
    for kind in [
        TransportKind::JsonrpcWs,
        TransportKind::GrpcStream,
        TransportKind::GrpcUnary,
        TransportKind::Webhook,
    ] {
        let stream = Transport { kind, ..node() };
        let why = millpond_contracts::served(&description(vec![node(), stream])).unwrap_err();
        assert!(why.contains("this host speaks jsonrpc-http and zmq-sub to nodes so far"), "{why}");
    }
    let signer = Description { settlement: "signer:kaspa".into(), ..description(vec![node()]) };
    assert!(millpond_contracts::served(&signer).unwrap_err().contains("\"signer:kaspa\" is not there yet"));
    assert_eq!(millpond_contracts::served(&description(vec![node()])), Ok(()));
}

#[test]
fn a_wallet_call_is_never_made() {
    let adapter = Fake::new("thief", |event| match &event.what {
        Happening::Start(_) => done(vec![Action::Call(Call {
            id: 1,
            transport: 0,
            method: "sendtoaddress".into(),
            body: b"[\"thief\", 1]".to_vec(),
            link: None,
            timeout_ms: 1000,
        })]),
        Happening::Reply(reply) => {
            let denied = matches!(&reply.outcome, Err(error) if error.kind == NodeErrorKind::Denied);
            done(if denied { vec![Action::Publish(job(2))] } else { vec![] })
        }
        _ => done(vec![]),
    });
    let rig = rig(adapter);
    let text = rig.pool.alarm("sendtoaddress");
    assert_eq!(
        text,
        "the adapter made a call that is refused: not granted: \"sendtoaddress\" can never be granted to an adapter: it may move money, use keys or change the node: its name is not of blocks and work alone"
    );
    rig.pool.job(2);
    assert_eq!(rig.nodes.calls.lock().len(), 0);
}

#[test]
fn an_adapter_that_asks_for_a_wallet_method_does_not_start() {
    let mut wants = description(vec![node()]);
    wants.transports[0].methods.push("dumpwallet".into());
    let adapter = Fake { description: wants, ..first(Vec::new) };
    let pool = std::sync::Arc::new(FakePool::default());
    let mut setup = setup(adapter, trust(), &FakeNodes::new(1), &pool);
    setup.grants[0].methods.push("dumpwallet".into());
    let error = crate::ChainHandle::start(setup).err().unwrap().to_string();
    assert!(error.contains("wallet, key and shutdown methods can never be granted to an adapter"), "{error}");
}

#[test]
fn an_adapter_that_asks_again_on_every_answer_is_slowed_down() {
    let adapter = Fake::new("eager", |event| {
        let ask = |id| {
            Action::Call(Call {
                id,
                transport: 0,
                method: "template".into(),
                body: vec![],
                link: None,
                timeout_ms: 1000,
            })
        };
        match &event.what {
            Happening::Start(_) => done((0..100).map(ask).collect()),
            Happening::Reply(reply) => match &reply.outcome {
                Err(error) if error.message.contains("too many calls") => done(vec![Action::Publish(job(2))]),
                _ => done(vec![ask(reply.id)]),
            },
            _ => done(vec![]),
        }
    });
    let rig = rig(adapter);
    rig.pool.job(2);
    assert!(rig.nodes.called("template") >= 500);
}

#[test]
fn the_actions_of_one_event_apply_all_or_none() {
    let adapter = first(|| {
        vec![
            Action::Publish(job(1)),
            Action::Tip { parent: vec![7; 32], coord: 1 },
            Action::Save(b"half".to_vec()),
            Action::Unfit { link: 9, reason: "no such node".into() },
        ]
    });
    let rig = rig(adapter);
    rig.pool.alarm("it names node 9, there are 2");
    let applied = |heard: &Heard| matches!(heard, Heard::Job(_) | Heard::Tip | Heard::Saved(_));
    assert!(!rig.pool.heard().iter().any(applied), "{:?}", rig.pool.heard());
}

#[test]
fn incomes_of_foreign_blocks_are_refused() {
    let income = Income { key: vec![1], amount: Amount(1), at: IncomeAt::Block(vec![9; 32]), mature: true };
    refused(move || vec![Action::Income(income.clone())], "which no miner of this pool found");
    refused(
        || vec![Action::Fate { block: vec![9; 32], fate: Fate::Final }],
        "which no miner of this pool found",
    );
}

#[test]
fn too_much_saved_is_refused() {
    refused(|| vec![Action::Save(vec![0; (64 << 10) + 1])], "it saves 65537 bytes, at most 65536");
}

#[test]
fn a_body_that_is_gone_is_refused() {
    bad_job(|job| job.body = Some(77), "it keeps body 77, which is not there any more");
}
