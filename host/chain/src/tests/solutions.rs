//! What becomes of a block: assembled by the version that made its job, sent to every node, followed, paid once.

use crate::fake::*;
use crate::{CheckedIncome, Solved};
use millpond_contracts::chain::*;
use millpond_contracts::{CallError, TrapKind};
use millpond_types::{Amount, Digest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

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
        body: job.body.as_ref().map(|body| body.bytes()),
        solution,
    }
}

fn solve(rig: &Rig, tag: u64) {
    rig.chain.link(0, true);
    let job = rig.pool.job(1);
    rig.chain.solve_with(solved(&job, tag)).unwrap();
}

/// The last that is heard of a block.
fn submitted(rig: &Rig) -> crate::Submission {
    rig.pool.wait("the end of a submission", |heard| match heard {
        Heard::Submitted(submission) if submission.ended => Some(submission.clone()),
        _ => None,
    })
}

/// Tags of the blocks that a node has.
fn taken(rig: &Rig) -> std::collections::BTreeSet<u64> {
    let tag = |heard: &Heard| match heard {
        Heard::Submitted(submission) if submission.accepted() => Some(submission.tag),
        _ => None,
    };
    rig.pool.heard().iter().filter_map(tag).collect()
}

fn loading() -> NodeError {
    NodeError { kind: NodeErrorKind::Rpc, code: -28, message: "Loading block index…".into() }
}

fn away() -> NodeError {
    NodeError { kind: NodeErrorKind::Unreachable, code: 0, message: "no connection".into() }
}

#[test]
fn a_block_goes_to_every_node() {
    let rig = rig_with(publishing(), trust(), FakeNodes::new(3));
    solve(&rig, 42);
    let submission = submitted(&rig);
    assert_eq!(submission.tag, 42);
    assert!(submission.accepted() && !submission.refused);
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
    let text = rig.pool.alarm("rejected it");
    assert!(text.starts_with("every node that could judge block 626c6f636b20"), "{text}");
    assert!(text.ends_with("node 0: \"bad-cb-amount\"; node 1: \"bad-cb-amount\""), "{text}");
    let submission = submitted(&rig);
    assert!(submission.refused && !submission.accepted());
}

#[test]
fn a_node_that_only_keeps_the_block_does_not_outweigh_a_refusal() {
    let nodes = FakeNodes::answering(2, |link, _| match link {
        0 => Ok(b"\"bad-cb-amount\"".to_vec()),
        _ => Ok(b"\"inconclusive\"".to_vec()),
    });
    let rig = rig_with(publishing(), trust(), nodes);
    solve(&rig, 1);
    rig.pool.alarm("rejected it");
    assert!(submitted(&rig).refused);
}

#[test]
fn a_node_that_answers_an_error_is_read_by_the_adapter_and_asked_until_it_takes_the_block() {
    let calls = AtomicU32::new(0);
    let nodes = FakeNodes::answering(1, move |_, _| match calls.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Err(loading()),
        _ => Ok(b"null".to_vec()),
    });
    let rig = rig_with(publishing(), trust(), nodes);
    solve(&rig, 1);
    let text = rig.pool.alarm("no node has it yet");
    assert!(text.ends_with(r#"node 0: {"code":-28,"message":"Loading block index…"}"#), "{text}");
    assert!(rig.pool.alarm("a node has it now").ends_with("node 0: null"));
    let submission = submitted(&rig);
    assert!(submission.accepted() && !submission.refused);
    assert_eq!(rig.nodes.called("submit"), 3);
}

#[test]
fn a_block_that_was_found_while_no_node_is_there_goes_out_when_one_comes_up() {
    let there = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&there);
    let nodes = FakeNodes::answering(1, move |_, _| match up.load(Ordering::Acquire) {
        false => Err(away()),
        true => Ok(b"null".to_vec()),
    });
    let rig = rig_with(publishing(), trust(), nodes);
    solve(&rig, 1);
    rig.pool.alarm("no node has it yet, it is sent again until one takes it; node 0: Unreachable 0");
    let before = rig.nodes.called("submit");
    there.store(true, Ordering::Release);
    rig.chain.link(0, true);
    assert!(submitted(&rig).accepted());
    assert!(rig.nodes.called("submit") > before);
}

#[test]
fn a_silent_node_holds_up_neither_the_news_of_the_others_nor_other_blocks() {
    let rig = rig_with(publishing(), trust(), FakeNodes::with_a_silent_one(2, 1));
    rig.chain.link(0, true);
    let job = rig.pool.job(1);
    let tags = 1..=20;
    for tag in tags.clone() {
        rig.chain.solve_with(solved(&job, tag)).unwrap();
    }
    for tag in tags.clone() {
        rig.pool.wait("a block that a node has", |heard| match heard {
            Heard::Submitted(submission) => (submission.tag == tag && submission.accepted()).then_some(()),
            _ => None,
        });
    }
    assert_eq!(taken(&rig), tags.collect());
    rig.chain.finish();
}

#[test]
fn a_block_that_the_chain_has_left_behind_is_given_up_with_a_word() {
    // Its own confirmations, ten, and one more.
    let adapter = Fake::new("far", |event| match &event.what {
        Happening::Link { .. } => done(vec![Action::Publish(job(1))]),
        Happening::Outputs { .. } => done(vec![Action::Publish(job(12))]),
        _ => done(vec![]),
    });
    let rig = rig_with(adapter, trust(), FakeNodes::answering(1, |_, _| Err(away())));
    solve(&rig, 1);
    rig.pool.alarm("no node has it yet");
    rig.chain.outputs(vec![]);
    rig.pool.alarm("it is given up, the chain is 11 blocks past it");
    assert!(!submitted(&rig).accepted());
}

#[test]
fn only_so_many_blocks_wait_for_a_node_and_what_is_left_out_is_told() {
    let rig = rig_with(publishing(), trust(), FakeNodes::answering(1, |_, _| Err(away())));
    rig.chain.link(0, true);
    let job = rig.pool.job(1);
    for tag in 1..=65 {
        rig.chain.solve_with(solved(&job, tag)).unwrap();
    }
    rig.pool.alarm("64 newer blocks wait as well: it is sent again after a restart");
    assert!(!submitted(&rig).accepted());
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
        Happening::Outputs { revision, .. } if *revision <= 3 => {
            let number = if *revision < 3 { *revision + 1 } else { 11 };
            done(vec![Action::Publish(Job { outputs_rev: *revision, ..job(number) })])
        }
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
    // Blocks later the claim is still ahead of the jobs that the adapter itself publishes.
    rig.chain.outputs(vec![]);
    rig.pool.job(2);
    rig.chain.outputs(vec![]);
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

/// Swaps to a version that says this at its start, at its link and at new outputs, when one block of the old version's
/// is followed: how the swap ended, and what the pool heard of incomes.
fn swapped(
    start: Vec<Action>,
    link: Vec<Action>,
    outputs: Vec<Action>,
) -> (Result<(), String>, Vec<CheckedIncome>, bool) {
    let rig = rig(publishing());
    solve(&rig, 1);
    submitted(&rig);
    let new = Fake::new("new", move |event| match &event.what {
        Happening::Start(_) => done(start.clone()),
        Happening::Link { .. } => done(link.clone()),
        Happening::Outputs { .. } => done(outputs.clone()),
        _ => done(vec![]),
    });
    let answer = rig.chain.swap(Arc::new(new), &grants()).unwrap();
    rig.chain.outputs(vec![]);
    let answer = answer.recv().unwrap();
    let leads = rig.chain.version().unwrap().origin.adapter == Digest::of(b"new");
    rig.chain.finish();
    (answer, rig.pool.incomes(), leads)
}

fn of_the_block(key: u8, amount: u64) -> Action {
    let at = IncomeAt::Block([b"block ".as_slice(), &1_u64.to_le_bytes()].concat());
    Action::Income(Income { key: vec![key], amount: Amount(amount), at, mature: false })
}

#[test]
fn what_a_new_version_reports_before_it_leads_is_held_against_the_book_as_a_whole() {
    let takes_over = || Action::Publish(job(2));
    let reason = "its actions were refused: an income or fate was refused: incomes of 10000 for block ";
    // One block paid twice: by two events that were held back, by one of those and the event that takes over, and the
    // second time with something else that must not count either.
    let twice = [
        (vec![of_the_block(1, 5_000)], vec![of_the_block(2, 5_000)], vec![takes_over()]),
        (vec![of_the_block(1, 5_000)], vec![of_the_block(2, 5_000), takes_over()], vec![]),
        (
            vec![of_the_block(1, 2_500), Action::Save(b"the lie".to_vec())],
            vec![of_the_block(2, 2_500)],
            vec![takes_over(), of_the_block(3, 5_000)],
        ),
    ];
    for (start, link, outputs) in twice {
        let (answer, incomes, leads) = swapped(start, link, outputs);
        let told = answer.unwrap_err();
        assert!(told.starts_with(reason), "{told}");
        assert_eq!(incomes, [], "all or none of what it said");
        assert!(!leads);
    }
    // The same income again, or two that come to what the job was worth, are no more than the truth.
    for (first, second, paid) in [((1, 5_000), (1, 5_000), 1), ((1, 2_000), (2, 3_000), 2)] {
        let income = |(key, amount)| of_the_block(key, amount);
        let (answer, incomes, leads) =
            swapped(vec![income(first)], vec![income(second)], vec![income(first), takes_over()]);
        assert_eq!(answer, Ok(()));
        assert_eq!(Amount::sum(incomes.iter().map(|income| income.amount)), Some(Amount(5_000)));
        assert_eq!(incomes.len(), paid);
        assert!(leads);
    }
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
