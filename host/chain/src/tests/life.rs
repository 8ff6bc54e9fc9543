//! Life of an adapter: restart, quarantine, swap.

use crate::fake::*;
use crate::{ChainHandle, Setup};
use bytes::Bytes;
use millpond_contracts::chain::*;
use millpond_types::{Amount, Digest, UnixMillis};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// An adapter that listens to the topic `tip` and publishes the job that a push names; a push of `trap` traps it.
fn honest(name: &'static str) -> Fake {
    listening(Fake::new(name, |event| match &event.what {
        Happening::Push(push) if push.data == b"trap" => Err(trap("index out of bounds")),
        Happening::Push(push) => done(vec![Action::Publish(job(u64::from(push.data[0])))]),
        _ => done(vec![]),
    }))
}

fn listening(fake: Fake) -> Fake {
    let news = Transport { name: "news".into(), kind: TransportKind::ZmqSub, methods: vec!["tip".into()] };
    Fake { description: description(vec![node(), news]), ..fake }
}

fn start(adapter: Fake) -> (ChainHandle, Arc<FakePool>) {
    let pool = Arc::new(FakePool::default());
    let setup = setup(adapter, trust(), &FakeNodes::new(1), &pool);
    (ChainHandle::start(setup).unwrap(), pool)
}

fn tell(chain: &ChainHandle, data: &'static [u8]) {
    chain.push(0, "news", "tip", Bytes::from_static(data));
}

#[test]
fn a_node_that_cannot_be_reached_is_told_by_the_host_whatever_the_adapter_says() {
    let (chain, pool) = start(honest("silent"));
    chain.link(0, true);
    chain.link(0, false);
    let reason = pool.wait("the node's loss", |heard| match heard {
        Heard::Unfit(0, reason) => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.contains("cannot be reached"), "{reason}");
}

/// Asks each node for work when it comes up, and publishes what it says: a reward, above the cap from node 0.
fn asking(name: &'static str) -> Fake {
    Fake::new(name, |event| match &event.what {
        Happening::Link { link, up: true } => done(vec![Action::Call(Call {
            id: event.seq,
            transport: 0,
            method: "template".into(),
            body: b"[]".to_vec(),
            link: Some(*link),
            timeout_ms: 1_000,
        })]),
        Happening::Reply(reply) => {
            let said = reply.outcome.clone().unwrap_or_default();
            let reward =
                Amount(String::from_utf8(said.into()).unwrap_or_default().parse().unwrap_or_default());
            done(vec![Action::Publish(Job { reward, ..job(u64::from(reply.link) + 1) })])
        }
        _ => done(vec![]),
    })
}

#[test]
fn a_node_whose_work_breaks_a_trust_rule_does_not_hold_up_the_work_of_another() {
    let nodes = FakeNodes::answering(2, |link, _| Ok(if link == 0 { "60000" } else { "5000" }.into()));
    let rig = rig_with(asking("misled"), trust(), nodes);
    rig.chain.link(1, true);
    rig.pool.job(2);
    rig.chain.link(0, true);
    let reason = rig.pool.wait("the node's bar", |heard| match heard {
        Heard::Unfit(0, reason) => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.contains("the work that it gives is refused"), "{reason}");
    // The instance that comes after hears of the other node alone, and works with it.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while rig.pool.jobs().len() < 2 {
        assert!(std::time::Instant::now() < deadline, "{:?}", rig.pool.heard());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // None of the barred node's, however often it was let in again meanwhile.
    assert!(rig.pool.jobs().iter().all(|coord| *coord == 2), "{:?}", rig.pool.jobs());
    assert!(rig.chain.status().refused >= 1);
}

#[test]
fn the_last_node_is_never_barred_and_may_be_mended() {
    let asked = AtomicU32::new(0);
    let nodes = FakeNodes::answering(2, move |_, _| match asked.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Ok(b"60000".to_vec()),
        _ => Ok(b"5000".to_vec()),
    });
    let rig = rig_with(asking("lone"), trust(), nodes);
    rig.chain.link(0, true);
    rig.pool.job(1);
    assert!(!rig.pool.heard().iter().any(|heard| matches!(heard, Heard::Unfit(..))));
    assert_eq!(rig.chain.status().refused, 2);
}

/// Every event of every instance, by what it was told of: instance, number in its life, and the push's byte.
type Told = Arc<Mutex<Vec<(u32, u64, Option<u8>)>>>;

#[test]
fn an_instance_gives_way_after_its_number_of_events_and_no_event_is_lost() {
    const AFTER: u64 = 5;
    const PUSHES: u8 = 40;
    let told: Told = Arc::default();
    let (seen, instances) = (Arc::clone(&told), AtomicU32::new(0));
    let adapter = listening(Fake::new("forgetful", move |event| {
        if matches!(event.what, Happening::Start(_)) {
            instances.fetch_add(1, Ordering::SeqCst);
        }
        let push = if let Happening::Push(push) = &event.what { Some(push.data[0]) } else { None };
        seen.lock().push((instances.load(Ordering::SeqCst), event.seq, push));
        match (&event.what, push) {
            (Happening::Start(start), _) if start.saved.is_empty() => {
                done(vec![Action::Save(b"once".to_vec())])
            }
            (_, Some(number)) => done(vec![Action::Publish(job(number.into()))]),
            _ => done(vec![]),
        }
    }));
    let pool = Arc::new(FakePool::default());
    let setup = Setup { renew_after: AFTER, ..setup(adapter, trust(), &FakeNodes::new(1), &pool) };
    let chain = ChainHandle::start(setup).unwrap();
    chain.link(0, true);
    for number in 1..=PUSHES {
        chain.push(0, "news", "tip", Bytes::copy_from_slice(&[number]));
        // Pushes that wait are coalesced: each is waited for, so that each has to arrive.
        pool.job(number.into());
    }
    let told = told.lock();
    for number in 1..=PUSHES {
        assert!(told.iter().any(|(_, _, push)| *push == Some(number)), "{number} was told to nobody");
    }
    let last = told.iter().map(|(instance, ..)| *instance).max().unwrap();
    assert!(last > u32::from(PUSHES) / 5, "{last} instances");
    for instance in 1..=last {
        let life: Vec<_> = told.iter().filter(|(of, ..)| *of == instance).collect();
        let numbers: Vec<u64> = life.iter().map(|(_, seq, _)| *seq).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "gaps in the life of {instance}");
        assert!(numbers.len() as u64 <= AFTER, "instance {instance} lives on after {numbers:?}");
        // What was the newest is told to who comes after, in its first events.
        let newest = told.iter().filter(|(of, ..)| *of < instance).filter_map(|(_, _, push)| *push).max();
        let heard = life.iter().find_map(|(_, _, push)| *push);
        assert!(newest.is_none() || heard.is_none() || heard >= newest, "{instance} began with old news");
    }
    drop(told);
    // The one that had just had its number when this looked may have given way since.
    let renewed = chain.status().renewed;
    assert!(renewed == u64::from(last) - 1 || renewed == u64::from(last), "{renewed} of {last}");
    assert_eq!((chain.status().traps, chain.status().refused), (0, 0));
}

#[test]
fn after_a_trap_a_new_instance_starts_from_what_was_saved() {
    let starts: Arc<Mutex<Vec<Start>>> = Arc::default();
    let seen = Arc::clone(&starts);
    let adapter = listening(Fake::new("traps once", move |event| match &event.what {
        Happening::Start(start) => {
            seen.lock().push(start.clone());
            done(vec![])
        }
        Happening::Push(push) if push.data == b"save" => done(vec![Action::Save(b"state".to_vec())]),
        Happening::Push(push) if push.data == b"trap" && seen.lock().len() == 1 => {
            Err(trap("index out of bounds"))
        }
        Happening::Push(_) => done(vec![Action::Publish(job(2))]),
        _ => done(vec![]),
    }));
    let (chain, pool) = start(adapter);
    chain.outputs(vec![Output { payee: vec![0x51], weight: 1 }]);
    tell(&chain, b"save");
    pool.wait("the saved bytes", |heard| {
        matches!(heard, Heard::Saved(bytes) if bytes == b"state").then_some(())
    });
    tell(&chain, b"trap");
    pool.alarm(
        "the adapter trapped, a new instance starts in 50 ms: adapter.handle: trap: index out of bounds",
    );
    // The newest push is told again after the start: what trapped is not forgotten, and here it goes well.
    chain.outputs(vec![]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while starts.lock().len() < 2 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let starts = starts.lock();
    assert_eq!(starts[0].saved, b"");
    assert_eq!(starts[1].saved, b"state");
    assert_eq!(chain.status().traps, 1);
}

#[test]
fn three_traps_on_one_input_without_an_older_version_stop_the_pool_with_the_first_error() {
    let (chain, pool) = start(honest("breaks"));
    tell(&chain, &[1]);
    pool.job(1);
    assert!(chain.status().ready(UnixMillis::now()));
    tell(&chain, b"trap");
    // Every new instance is told the newest push, and traps on it again.
    let text = pool.alarm("there is no older version");
    assert!(text.ends_with("its first error: adapter.handle: trap: index out of bounds"), "{text}");
    let status = chain.status();
    assert_eq!(status.quarantined.as_deref(), Some("adapter.handle: trap: index out of bounds"));
    assert_eq!(status.traps, 3);
    assert!(!status.ready(UnixMillis::now()));
    // The operator lets it out, with better news from the node.
    tell(&chain, &[5]);
    chain.release();
    pool.job(5);
    assert!(chain.status().ready(UnixMillis::now()));
}

#[test]
fn a_swap_takes_over_at_the_new_versions_first_valid_job() {
    let (chain, pool) = start(honest("old"));
    tell(&chain, &[1]);
    pool.job(1);
    let answer = chain.swap(Arc::new(honest("new")), &grants()).unwrap();
    // The ring tells the new version the newest push: its first job comes without waiting for the node.
    assert_eq!(answer.recv(), Ok(Ok(())));
    let version = pool.wait("the version", |heard| match heard {
        Heard::Version(digest) => Some(*digest),
        _ => None,
    });
    assert_eq!(version, Digest::of(b"new"));
    assert_eq!(chain.version().unwrap().origin.adapter, Digest::of(b"new"));
    tell(&chain, &[2]);
    let job = pool.job(2);
    assert_eq!(job.origin().adapter, Digest::of(b"new"));
    let old = pool.job(1);
    assert!(chain.version_of(old.origin()).is_some(), "old jobs keep their version");
}

#[test]
fn a_version_that_takes_over_inherits_no_grants_of_the_one_before() {
    let (chain, pool) = start(honest("old"));
    tell(&chain, &[1]);
    pool.job(1);
    let error = chain.swap(Arc::new(honest("new")), &grants()[..1]).err().unwrap().to_string();
    assert!(error.contains("\"tip\" on transport \"news\", which is not granted"), "{error}");
    assert_eq!(chain.version().unwrap().origin.adapter, Digest::of(b"old"));
}

#[test]
fn an_adapter_that_stops_has_its_live_jobs_taken_back() {
    let (chain, pool) = start(listening(Fake::new("stops", |event| match &event.what {
        Happening::Push(push) if push.data == [9] => {
            done(vec![Action::Alarm { stop: true, text: "the node refuses the block of our job".into() }])
        }
        Happening::Push(push) => done(vec![Action::Publish(job(u64::from(push.data[0])))]),
        _ => done(vec![]),
    })));
    tell(&chain, &[1]);
    pool.job(1);
    tell(&chain, &[9]);
    pool.wait("a withdrawal", |heard| matches!(heard, Heard::Withdrawn).then_some(()));
    pool.alarm("the adapter says: the node refuses the block of our job");
    assert!(!chain.status().ready(UnixMillis::now()));
}

#[test]
fn a_swap_to_a_version_that_traps_leaves_the_old_one_running() {
    let (chain, pool) = start(honest("old"));
    tell(&chain, &[1]);
    pool.job(1);
    let broken = listening(Fake::new("broken", |event| match &event.what {
        Happening::Start(_) => Err(trap("unreachable")),
        _ => done(vec![]),
    }));
    let answer = chain.swap(Arc::new(broken), &grants()).unwrap();
    assert_eq!(answer.recv(), Ok(Err("adapter.handle: trap: unreachable".to_owned())));
    pool.alarm("does not take over, the running version stays: adapter.handle: trap: unreachable");
    tell(&chain, &[2]);
    assert_eq!(pool.job(2).origin().adapter, Digest::of(b"old"));
}

#[test]
fn a_swap_to_a_version_whose_job_is_refused_leaves_the_old_one_running() {
    let (chain, pool) = start(honest("old"));
    let greedy = listening(Fake::new("greedy", |event| match &event.what {
        Happening::Start(_) => {
            done(vec![Action::Publish(Job { reward: millpond_types::Amount(1 << 40), ..job(9) })])
        }
        _ => done(vec![]),
    }));
    let answer = chain.swap(Arc::new(greedy), &grants()).unwrap();
    let reason = answer.recv().unwrap().unwrap_err();
    assert!(reason.starts_with("its actions were refused: a job was refused: its reward of "), "{reason}");
    tell(&chain, &[2]);
    assert_eq!(pool.job(2).origin().adapter, Digest::of(b"old"));
    assert_eq!(pool.jobs(), [2]);
}

#[test]
fn a_version_for_another_network_or_unit_of_work_cannot_follow() {
    let (chain, _pool) = start(honest("old"));
    let mut other = honest("other");
    other.description.network = "mainnet".into();
    let reason = chain.swap(Arc::new(other), &grants()).unwrap().recv().unwrap().unwrap_err();
    assert_eq!(
        reason,
        "its network is mainnet, that of the running version is test: that is another pool, not a swap"
    );
    let mut other = honest("other");
    other.description.work_shift = 3;
    assert!(chain.swap(Arc::new(other), &grants()).unwrap().recv().unwrap().is_err());
}

#[test]
fn a_version_that_breaks_after_its_swap_gives_way_to_the_last_good_one() {
    let (chain, pool) = start(honest("good"));
    tell(&chain, &[1]);
    pool.job(1);
    let sick = listening(Fake::new("sick", |event| match &event.what {
        Happening::Push(push) if push.data == [1] => done(vec![Action::Publish(job(1))]),
        Happening::Push(_) => Err(trap("out of memory")),
        _ => done(vec![]),
    }));
    assert_eq!(chain.swap(Arc::new(sick), &grants()).unwrap().recv(), Ok(Ok(())));
    tell(&chain, &[3]);
    let text = pool.alarm("the last good version");
    assert!(text.ends_with("goes on; its first error: adapter.handle: trap: out of memory"), "{text}");
    assert_eq!(pool.job(3).origin().adapter, Digest::of(b"good"));
}

#[test]
fn an_error_of_the_adapters_own_costs_the_event_only() {
    let calls = AtomicU32::new(0);
    let adapter = listening(Fake::new("errs", move |event| match &event.what {
        Happening::Push(_) if calls.fetch_add(1, Ordering::Relaxed) == 0 => {
            Err(millpond_contracts::CallError::Plugin {
                function: "adapter.handle".into(),
                message: "syncing".into(),
            })
        }
        Happening::Push(push) => done(vec![Action::Publish(job(u64::from(push.data[0])))]),
        _ => done(vec![]),
    }));
    let (chain, pool) = start(adapter);
    tell(&chain, &[1]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while chain.status().last_error.is_none() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(chain.status().last_error.as_deref(), Some("adapter.handle: the plugin says: syncing"));
    tell(&chain, &[2]);
    pool.job(2);
    assert_eq!(chain.status().traps, 0);
}

#[test]
fn timers_that_set_themselves_again_do_not_starve_other_events() {
    let adapter = listening(Fake::new("ticks", |event| match &event.what {
        Happening::Start(_) => done((0..64).map(|id| Action::Timer { id, ms: 10 }).collect()),
        Happening::Timer(id) => done(vec![Action::Timer { id: *id, ms: 10 }]),
        Happening::Push(push) => done(vec![Action::Publish(job(u64::from(push.data[0])))]),
        _ => done(vec![]),
    }));
    let (chain, pool) = start(adapter);
    for data in [&[1_u8], &[2], &[3]] {
        tell(&chain, data);
        pool.job(u64::from(data[0]));
    }
}

#[test]
fn an_alarm_that_stops_publishing_holds_until_the_next_valid_job() {
    let adapter = listening(Fake::new("careful", |event| match &event.what {
        Happening::Push(push) if push.data == b"odd" => {
            done(vec![Action::Alarm { stop: true, text: "unknown header\u{1b}[31m version".into() }])
        }
        Happening::Push(push) => done(vec![Action::Publish(job(u64::from(push.data[0])))]),
        _ => done(vec![]),
    }));
    let (chain, pool) = start(adapter);
    tell(&chain, &[1]);
    pool.job(1);
    tell(&chain, b"odd");
    assert_eq!(pool.alarm("unknown header"), "the adapter says: unknown header\\u{1b}[31m version");
    assert!(!chain.status().ready(UnixMillis::now()));
    tell(&chain, &[2]);
    pool.job(2);
    assert!(chain.status().ready(UnixMillis::now()));
}

#[test]
fn a_call_to_a_node_that_goes_down_is_answered_at_once_and_only_once() {
    let ask = || {
        Action::Call(Call {
            id: 7,
            transport: 0,
            method: "template".into(),
            body: vec![],
            link: Some(0),
            timeout_ms: 300_000,
        })
    };
    let adapter = Fake::new("waits", move |event| match &event.what {
        Happening::Link { up: true, .. } => done(vec![ask()]),
        Happening::Reply(reply) => match &reply.outcome {
            Ok(body) => done(vec![Action::Publish(job(body[0].into()))]),
            Err(error) if error.kind == NodeErrorKind::Unreachable => {
                // The same id again, for another call.
                done(vec![Action::Publish(job(2)), ask()])
            }
            Err(_) => done(vec![]),
        },
        _ => done(vec![]),
    });
    let rig = rig_with(adapter, trust(), FakeNodes::with_a_silent_one(1, 0));
    rig.chain.link(0, true);
    rig.nodes.wait_for_calls("template", 1);
    rig.chain.link(0, false);
    rig.pool.job(2);
    rig.nodes.wait_for_calls("template", 2);
    rig.nodes.answer_late(&[9]);
    rig.nodes.answer_late(&[3]);
    rig.pool.job(3);
    assert_eq!(rig.pool.jobs(), [2, 3], "the first call was answered before");
    assert_eq!(rig.chain.status().refused, 0);
}

#[test]
fn each_version_is_told_to_give_idle_instances_back() {
    let adapter = honest("resting");
    let rested = Arc::clone(&adapter.rested);
    let (_chain, _pool) = start(adapter);
    let deadline = Instant::now() + Duration::from_secs(60);
    while rested.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < deadline, "it was never told");
        std::thread::yield_now();
    }
}
