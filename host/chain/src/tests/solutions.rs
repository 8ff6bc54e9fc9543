//! What becomes of a block: assembled by the version that made its job, sent to every node, followed, paid once.

use crate::fake::*;
use crate::{CheckedIncome, Solved};
use millpond_contracts::chain::*;
use millpond_contracts::{CallError, TrapKind};
use millpond_types::{Amount, Digest};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn publishing() -> Fake {
    Fake::new("miner", |event| match &event.what {
        Happening::Link { .. } => done(vec![Action::Publish(job(1))]),
        _ => done(vec![]),
    })
}

fn solved(job: &crate::ReadyJob, tag: u64) -> Solved {
    let fields = vec![vec![1; 8], vec![2; 8], vec![3; 4]];
    let solution =
        Solution { private: job.private.to_vec(), fields, results: vec![vec![9; 32]], proof: None };
    Solved {
        tag,
        version: job.version.clone(),
        coord: job.coord,
        reward: job.reward,
        body: job.body.clone(),
        solution,
    }
}

fn solve(rig: &Rig, tag: u64) {
    rig.chain.link(0, true);
    let job = rig.pool.job(1);
    rig.chain.solve_with(solved(&job, tag)).unwrap();
}

fn submitted(rig: &Rig) -> crate::Submission {
    rig.pool.wait("the submission", |heard| match heard {
        Heard::Submitted(submission) => Some(submission.clone()),
        _ => None,
    })
}

#[test]
fn a_block_goes_to_every_node() {
    let rig = rig_with(publishing(), trust(), FakeNodes::new(3));
    solve(&rig, 42);
    let submission = submitted(&rig);
    assert_eq!(submission.tag, 42);
    assert!(submission.accepted() && !submission.all_rejected());
    assert_eq!(submission.verdicts.len(), 3);
    let links: Vec<_> = rig.nodes.calls.lock().iter().filter_map(|call| call.link).collect();
    assert_eq!(links, [0, 1, 2]);
    // Recorded before it was sent.
    let heard = rig.pool.heard();
    let at = |wanted: fn(&Heard) -> bool| heard.iter().position(wanted).unwrap();
    assert!(at(|h| matches!(h, Heard::Submitting)) < at(|h| matches!(h, Heard::Submitted(_))));
}

#[test]
fn a_block_that_every_node_rejects_is_an_alarm_and_told_to_the_pool() {
    let nodes = FakeNodes::answering(2, |_, _| Ok(b"\"bad-cb-amount\"".to_vec()));
    let rig = rig_with(publishing(), trust(), nodes);
    solve(&rig, 1);
    let text = rig.pool.alarm("every node rejected block");
    assert!(text.ends_with("node 0: \"bad-cb-amount\"; node 1: \"bad-cb-amount\""), "{text}");
    assert!(submitted(&rig).all_rejected());
}

#[test]
fn one_node_that_takes_it_is_enough_and_one_that_does_not_answer_is_asked_again() {
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    let nodes = FakeNodes::answering(2, move |link, _| match link {
        0 => Ok(b"null".to_vec()),
        _ => {
            count.fetch_add(1, Ordering::Relaxed);
            Err(NodeError { kind: NodeErrorKind::Timeout, code: 0, message: "no answer".into() })
        }
    });
    let rig = rig_with(publishing(), trust(), nodes);
    solve(&rig, 1);
    let submission = submitted(&rig);
    assert!(submission.accepted());
    assert_eq!(submission.verdicts[1].1, Verdict::Retry);
    assert_eq!(tries.load(Ordering::Relaxed), 3);
}

#[test]
fn a_trap_in_assemble_is_tried_again_in_a_fresh_instance() {
    let calls = AtomicU32::new(0);
    let good = publishing().assemble;
    let adapter = Fake {
        assemble: Arc::new(move |solution| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err(trap("stack overflow")),
            _ => good(solution),
        }),
        ..publishing()
    };
    let rig = rig(adapter);
    solve(&rig, 1);
    assert!(submitted(&rig).accepted());
}

#[test]
fn a_block_waits_for_room_on_an_overloaded_host_and_is_assembled_then() {
    let calls = AtomicU32::new(0);
    let good = publishing().assemble;
    let adapter = Fake {
        assemble: Arc::new(move |solution| match calls.fetch_add(1, Ordering::Relaxed) {
            0..=2 => Err(CallError::Trap {
                function: "block.assemble".into(),
                kind: TrapKind::Overload,
                message: "no instance came free".into(),
            }),
            // And a trap of its own in between costs one try, as ever.
            3 => Err(trap("stack overflow")),
            _ => good(solution),
        }),
        ..publishing()
    };
    let rig = rig(adapter);
    solve(&rig, 1);
    assert!(submitted(&rig).accepted());
}

#[test]
fn a_block_that_cannot_be_assembled_is_kept_and_alarmed() {
    let adapter = Fake { assemble: Arc::new(|_| Err(trap("unreachable"))), ..publishing() };
    let rig = rig(adapter);
    solve(&rig, 1);
    let text = rig.pool.alarm("could not be assembled");
    assert_eq!(
        text,
        "a block at 1 was found and could not be assembled; its data is in the log: adapter.handle: trap: unreachable"
    );
    rig.pool.wait("the raw solution", |heard| matches!(heard, Heard::Unassembled).then_some(()));
    // The actor and its jobs are not touched by it.
    assert_eq!(rig.chain.status().traps, 0);
}

#[test]
fn an_assembled_slice_out_of_range_and_a_method_that_is_not_granted_are_refused() {
    let assembled = |method: &str, chunk: Chunk| Assembled {
        block: vec![1],
        transport: 0,
        method: method.into(),
        request: vec![chunk],
    };
    let slice = assembled("submit", Chunk::Body { offset: 0, length: 9 });
    let adapter = Fake { assemble: Arc::new(move |_| done(slice.clone())), ..publishing() };
    let out_of_range = rig(adapter);
    solve(&out_of_range, 1);
    out_of_range.pool.alarm("piece 0 is a slice of a body, the job keeps none");

    let wallet = assembled("sendtoaddress", Chunk::Literal(vec![]));
    let adapter = Fake { assemble: Arc::new(move |_| done(wallet.clone())), ..publishing() };
    let thief = rig(adapter);
    solve(&thief, 1);
    thief.pool.alarm("can never be granted to an adapter");
    assert_eq!(thief.nodes.calls.lock().len(), 0);
}

#[test]
fn a_job_issued_before_a_swap_is_assembled_by_the_version_that_made_it() {
    let by = |name: &'static str| {
        let block = move |_: &Solution| {
            let block = name.as_bytes().to_vec();
            done(Assembled { block, transport: 0, method: "submit".into(), request: vec![] })
        };
        let handle = move |event: &Event| match &event.what {
            Happening::Link { .. } => done(vec![Action::Publish(job(1))]),
            _ => done(vec![]),
        };
        Fake { assemble: Arc::new(block), ..Fake::new(name, handle) }
    };
    let rig = rig(by("old"));
    rig.chain.link(0, true);
    let old = rig.pool.job(1);
    assert_eq!(rig.chain.swap(Arc::new(by("new")), &grants()).unwrap().recv(), Ok(Ok(())));
    assert_eq!(rig.chain.version().unwrap().origin.adapter, Digest::of(b"new"));
    rig.chain.solve_with(solved(&old, 1)).unwrap();
    assert_eq!(submitted(&rig).block, b"old");
}

/// Reports an income of the block it is told to watch: immature at once, mature under a second key as well.
#[test]
fn one_block_matured_twice_pays_once_and_not_before_the_hosts_own_count() {
    let adapter = Fake::new("twice", |event| match &event.what {
        Happening::Link { .. } => done(vec![Action::Publish(job(1))]),
        Happening::Watch(watched) => {
            let at = IncomeAt::Block(watched.block.clone());
            let income = |mature| Income { key: vec![1], amount: Amount(5_000), at: at.clone(), mature };
            done(vec![
                Action::Fate { block: watched.block.clone(), fate: Fate::Accepted(1) },
                Action::Income(income(false)),
                Action::Income(income(true)),
            ])
        }
        // A new coinbase payee: here only the sign to go on.
        Happening::Outputs { revision: 1, .. } => done(vec![Action::Publish(job(11))]),
        Happening::Outputs { .. } => {
            let at = IncomeAt::Block([b"block ".as_slice(), &1_u64.to_le_bytes()].concat());
            done(vec![
                Action::Income(Income { key: vec![1], amount: Amount(5_000), at: at.clone(), mature: true }),
                Action::Income(Income { key: vec![2], amount: Amount(5_000), at, mature: true }),
            ])
        }
        _ => done(vec![]),
    });
    let rig = rig(adapter);
    solve(&rig, 1);
    submitted(&rig);
    rig.pool.alarm("the host has not counted 10 confirmations yet");
    let heard: Vec<_> = rig.pool.incomes().iter().map(|income| income.mature).collect();
    assert_eq!(heard, [false]);
    rig.chain.outputs(vec![]);
    let mature = rig.pool.wait("the mature income", |heard| match heard {
        Heard::Income(income) if income.mature => Some(income.clone()),
        _ => None,
    });
    let block = [b"block ".as_slice(), &1_u64.to_le_bytes()].concat();
    let expected =
        CheckedIncome { key: vec![1], amount: Amount(5_000), at: IncomeAt::Block(block), mature: true };
    assert_eq!(mature, expected);
    rig.chain.outputs(vec![]);
    rig.pool.alarm("an income or fate was refused: incomes of 10000 for block");
    assert_eq!(rig.pool.incomes().len(), 2, "once immature, once mature");
}

/// After a restart the first that is heard of a block may be that it is final; adapters say its income in the same event.
#[test]
fn an_income_that_is_told_behind_its_blocks_final_fate_takes_place_before_it() {
    let adapter = Fake::new("late", |event| match &event.what {
        Happening::Link { .. } => done(vec![Action::Publish(job(1))]),
        Happening::Watch(watched) => {
            let at = IncomeAt::Block(watched.block.clone());
            done(vec![
                Action::Fate { block: watched.block.clone(), fate: Fate::Final },
                Action::Income(Income { key: vec![1], amount: Amount(5_000), at, mature: true }),
            ])
        }
        _ => done(vec![]),
    });
    let rig = rig(adapter);
    solve(&rig, 1);
    rig.pool.wait("the fate", |heard| matches!(heard, Heard::Fate).then_some(()));
    let heard = rig.pool.heard();
    let at = |wanted: fn(&Heard) -> bool| heard.iter().position(wanted).unwrap();
    assert!(at(|h| matches!(h, Heard::Income(_))) < at(|h| matches!(h, Heard::Fate)), "{heard:?}");
}
