//! What the journal promises to the pool.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::{Disk, Fault, Operation, SimDisk};
use millpond_journal::*;
use millpond_segments::LogError;
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, Target, UnixMillis};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn share_numbers_are_unique_ascending_and_without_gaps_over_restarts() {
    let disk = SimDisk::new();
    let mut next = 1;
    for _ in 0..5 {
        let (journal, recovered) = open(&disk);
        assert_eq!(recovered.newest, ShareSeq(next - 1));
        let commits: Vec<_> = (0..200).map(|n| journal.share(share(next + n))).collect();
        for commit in commits {
            assert_eq!(commit.wait().unwrap(), ShareSeq(next));
            next += 1;
        }
        assert_eq!(journal.view().newest(), ShareSeq(next - 1));
    }
    let (view, _) = JournalView::open(Arc::new(disk), Path::new(DIR)).unwrap();
    let mut due = 1;
    view.shares(ShareSeq(0), |seq, found| -> Result<(), JournalError> {
        assert_eq!((seq, *found), (ShareSeq(due), share(due)));
        due += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(due, next);
    assert!(view.log().segments().count() > 3);
    view.verify().unwrap();
}

#[test]
fn shares_of_one_group_are_one_block() {
    let disk = SimDisk::new();
    let options = Options { max_wait: Duration::from_secs(600), ..Options::new(FORMAT) };
    let (journal, _) = Journal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
    let commits: Vec<_> = (1..101).map(|n| journal.share(share(n))).collect();
    drop(journal);
    for (index, commit) in commits.into_iter().enumerate() {
        assert_eq!(commit.wait().unwrap(), ShareSeq(index as u64 + 1));
    }
    let (view, _) = JournalView::open(Arc::new(disk), Path::new(DIR)).unwrap();
    let blocks: Vec<usize> = view
        .records(0)
        .filter_map(|entry| match entry.unwrap().record {
            Record::Shares(block) => Some(block.shares.len()),
            _ => None,
        })
        .collect();
    assert_eq!(blocks, [100]);
}

#[test]
fn a_solution_is_durable_in_its_own_write_while_shares_wait() {
    let disk = SimDisk::new();
    let options = Options { max_wait: Duration::from_secs(600), ..Options::new(FORMAT) };
    let (journal, _) = Journal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
    let waiting: Vec<_> = (10..20).map(|n| journal.share(share(n))).collect();
    let syncs = disk.count(Operation::Sync);
    let seq = journal.solution(solution(b"block"), Some(share(1))).wait().unwrap();
    assert_eq!(seq, Some(ShareSeq(1)), "the solution's share is first: the others wait for company");
    assert_eq!(disk.count(Operation::Sync), syncs + 1);
    let without = journal.solution(solution(b"other"), None).wait().unwrap();
    assert_eq!(without, None);
    let view = journal.view();
    assert_eq!(view.newest(), ShareSeq(1), "a share was written with a block");
    drop(journal);
    for (index, commit) in waiting.into_iter().enumerate() {
        assert_eq!(commit.wait().unwrap(), ShareSeq(index as u64 + 2));
    }
    let (journal, recovered) = open(&disk);
    let ends: Vec<_> = recovered.unsubmitted.iter().map(|s| (s.block.clone(), s.share, s.end)).collect();
    let one = ShareSeq(1);
    assert_eq!(ends, [(b"block".to_vec(), Some(one), one), (b"other".to_vec(), None, one)]);
    let (end, open) = journal.end_of_block(b"block").unwrap();
    assert_eq!((end.seq, end.round_after, open.miner), (one, ShareSeq(0), MinerId(2)));
}

#[test]
fn a_block_is_submitted_after_a_restart_until_a_node_has_it_and_followed_until_it_is_final() {
    let disk = SimDisk::new();
    let submission = |block: &[u8], verdict| Submission {
        block: block.to_vec(),
        node: "n".into(),
        verdict,
        detail: String::new(),
        time: UnixMillis(3),
    };
    let (journal, _) = open(&disk);
    for block in [b"a", b"b", b"c", b"d"] {
        journal.solution(solution(block), None).wait().unwrap();
    }
    journal.record(submission(b"a", Verdict::Accepted)).wait().unwrap();
    journal.record(submission(b"b", Verdict::Retry)).wait().unwrap();
    journal.record(submission(b"c", Verdict::Rejected)).wait().unwrap();
    journal.record(submission(b"d", Verdict::Rejected)).wait().unwrap();
    journal.record(submission(b"d", Verdict::Duplicate)).wait().unwrap();
    fill(&journal, 1, 300);
    drop(journal);
    let (journal, recovered) = open(&disk);
    let blocks: Vec<_> = recovered.unsubmitted.iter().map(|s| s.block.as_slice()).collect();
    assert_eq!(
        blocks,
        [b"b", b"c"],
        "one that every node refused is submitted again: a node may have been wrong"
    );
    let fate = |fate| Fate { block: b"a".to_vec(), fate, time: UnixMillis(4) };
    journal.record(fate(BlockFate::Orphan("other block".into()))).wait().unwrap();
    assert_eq!(journal.open_blocks().len(), 4, "an orphan may come back");
    journal.record(fate(BlockFate::Accepted(3))).wait().unwrap();
    assert_eq!(journal.open_blocks()[0].fate, Some(BlockFate::Accepted(3)));
    journal.record(fate(BlockFate::Final)).wait().unwrap();
    assert_eq!(journal.open_blocks().len(), 3);
    assert!(matches!(journal.end_of_block(b"a"), Err(JournalError::UnknownBlock { .. })));
}

#[test]
fn a_miner_has_one_number_however_often_he_comes() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    let commits: Vec<_> = (0..6).map(|n| journal.miner(&[n % 3], &format!("address {n}"))).collect();
    let ids: Vec<_> = commits.into_iter().map(|commit| commit.wait().unwrap().0).collect();
    assert_eq!(ids, [1, 2, 3, 1, 2, 3]);
    let worker = journal.worker(MinerId(2), "rig").wait().unwrap();
    assert_eq!(journal.worker(MinerId(2), "rig").wait().unwrap(), worker);
    assert_ne!(journal.worker(MinerId(1), "rig").wait().unwrap(), worker);
    assert!(matches!(journal.miner(&[0; 5000], "x").wait(), Err(LogError::TooLarge { .. })));
    fill(&journal, 1, 500);
    drop(journal);
    let (journal, _) = open(&disk);
    assert_eq!(journal.miner(&[1], "written otherwise").wait().unwrap(), MinerId(2));
    assert_eq!(journal.miner(&[9], "new").wait().unwrap(), MinerId(4));
    assert_eq!(journal.miner_by_id(MinerId(2)).unwrap().address, "address 1");
    assert_eq!(journal.worker_by_id(worker).unwrap().name, "rig");
    assert_eq!(journal.miner_by_payee(&[2]), Some(MinerId(3)));
    assert_eq!(journal.miner_by_address("address 1").unwrap().id, MinerId(2));
    assert_eq!(journal.miner_by_address("new").unwrap().id, MinerId(4));
    assert!(journal.miner_by_address("nobody").is_none());
    assert_eq!(journal.miners().len(), 4);
}

#[test]
fn names_beyond_what_one_record_holds_are_carried_over_into_the_next_segment() {
    let disk = SimDisk::new();
    let long = |number: u64| [number.to_le_bytes().to_vec(), vec![7; MAX_NAME - 8]].concat();
    {
        let (journal, _) = open(&disk);
        // 8 KiB each, 68 MiB in all: a frame holds 64.
        let commits: Vec<_> =
            (0..8_700).map(|number| journal.miner(&long(number), &"a".repeat(MAX_NAME))).collect();
        for commit in commits {
            commit.wait().unwrap();
        }
        journal.roll().wait().unwrap();
        assert!(journal.poisoned().is_none());
        journal.miner(b"last", "last").wait().unwrap();
    }
    let (journal, _) = open(&disk);
    assert_eq!(journal.miners().len(), 8_701);
    assert_eq!(journal.miner_by_payee(&long(8_699)), Some(MinerId(8_700)));
}

#[test]
fn a_miner_with_endless_worker_names_fills_no_registry() {
    let (journal, _) = open(&SimDisk::new());
    let miner = journal.miner(b"script", "address").wait().unwrap();
    let known = journal.worker(miner, "0").wait().unwrap();
    let workers: HashSet<_> = (0..3_000)
        .map(|number| journal.worker(miner, &number.to_string()))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|commit| commit.wait().unwrap())
        .collect();
    assert_eq!(workers.len(), MAX_WORKERS + 1, "the names it knows, and one without a name");
    assert_eq!(journal.worker(miner, "0").wait().unwrap(), known);
    let other = journal.miner(b"other", "other").wait().unwrap();
    let name = journal.worker(other, "rig").wait().unwrap();
    assert_eq!(journal.worker_by_id(name).unwrap().name, "rig");
}

#[test]
fn a_full_queue_refuses_shares_and_nothing_else() {
    let disk = SimDisk::new();
    let options = Options { max_wait: Duration::from_secs(600), queue_items: 2, ..Options::new(FORMAT) };
    let (journal, _) = Journal::open(Arc::new(disk), Path::new(DIR), options).unwrap();
    let _waiting = [journal.share(share(1)), journal.share(share(2))];
    assert!(matches!(journal.share(share(3)).wait(), Err(LogError::Busy { waiting: 2 })));
    let miner = journal.miner(&[1], "a");
    journal.solution(solution(b"block"), None).wait().unwrap();
    drop(journal);
    assert_eq!(miner.wait().unwrap(), MinerId(1));
}

#[test]
fn what_matters_of_dropped_segments_is_carried_over() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    journal.miner(b"payee", "address").wait().unwrap();
    journal.record(policy(0)).wait().unwrap();
    journal.record(job(17)).wait().unwrap();
    journal.record(ExtranonceLease { front_end: 1, from: 0, to: 500, time: UnixMillis(1) }).wait().unwrap();
    let setting = MinerSetting {
        miner: MinerId(1),
        key: "minimum".into(),
        value: "5000".into(),
        by: Authority::Operator("op".into()),
        time: UnixMillis(1),
    };
    journal.record(setting.clone()).wait().unwrap();
    journal.record(income(b"early", 0, false)).wait().unwrap();
    let list = |value, whole| List {
        name: "vip".into(),
        whole,
        rows: vec![ListRow { miner: MinerId(value), value }],
        by: Authority::Operator("op".into()),
        time: UnixMillis(1),
    };
    journal.record(list(1, true)).wait().unwrap();
    fill(&journal, 1, 500);
    journal.record(list(2, false)).wait().unwrap();
    fill(&journal, 501, 600);
    let before = journal.view().log().segments().count();
    let kept = journal.drop_before(ShareSeq(400)).unwrap();
    assert!(kept > 1 && journal.view().log().segments().count() < before);
    let dropped = journal.dropped();
    assert!(dropped.last.0 > 0 && dropped.last.0 < 400);
    drop(journal);
    let (journal, recovered) = open(&disk);
    assert_eq!((recovered.opened.first, recovered.newest), (kept, ShareSeq(600)));
    assert_eq!(journal.miner_by_payee(b"payee"), Some(MinerId(1)));
    assert_eq!(journal.policy_at(ShareSeq(600)), Some(policy(0)));
    assert_eq!(journal.next_job_id(), JobId(18));
    assert_eq!(journal.next_extranonce_slot(), 500);
    assert_eq!(journal.miner_setting(MinerId(1), "minimum"), Some(setting));
    assert_eq!(journal.open_incomes().len(), 1);
    assert_eq!(journal.dropped(), dropped);
    // A list counts behind the share that it was recorded behind, whichever segments are left.
    let (view, both) = (journal.view(), BTreeMap::from([(MinerId(1), 1), (MinerId(2), 2)]));
    assert_eq!(view.list("vip", ShareSeq(500)), BTreeMap::from([(MinerId(1), 1)]));
    assert_eq!((view.list("vip", ShareSeq(501)), view.list("other", ShareSeq(501))), (both, BTreeMap::new()));
    journal.view().verify().unwrap();
    // A window into what was dropped is an error and not a smaller window.
    let end = WindowEnd { seq: ShareSeq(600), ..WindowEnd::default() };
    let window = |n| Window { span: Span::Shares(n), measure: Measure::Work, edge: Edge::Whole };
    assert!(matches!(journal.view().window(&window(599), &end, None), Err(JournalError::Dropped { .. })));
    assert!(journal.view().window(&window(100), &end, None).is_ok());
}

#[test]
fn segments_that_a_followed_block_needs_are_not_dropped() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    fill(&journal, 1, 100);
    journal.solution(solution(b"block"), None).wait().unwrap();
    fill(&journal, 101, 600);
    journal.drop_before(ShareSeq(600)).unwrap();
    assert_eq!(journal.unsubmitted().unwrap().len(), 1);
    journal
        .record(Fate { block: b"block".to_vec(), fate: BlockFate::Final, time: UnixMillis(1) })
        .wait()
        .unwrap();
    let kept = journal.drop_before(ShareSeq(600)).unwrap();
    assert_eq!(journal.view().log().segments().next().unwrap().first, kept);
    assert!(journal.dropped().last.0 > 400);
}

#[test]
fn a_block_whose_place_in_the_chain_is_decided_needs_no_submission() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    for block in [b"a", b"b", b"c"] {
        journal.solution(solution(block), None).wait().unwrap();
    }
    for (block, fate) in [(b"a", BlockFate::Orphan("another".into())), (b"b", BlockFate::Accepted(1))] {
        journal.record(Fate { block: block.to_vec(), fate, time: UnixMillis(1) }).wait().unwrap();
    }
    let left: Vec<_> = journal.unsubmitted().unwrap().into_iter().map(|solution| solution.block).collect();
    assert_eq!(left, [b"c".to_vec()]);
}

#[test]
fn the_work_since_the_start_is_a_running_sum_with_a_mark_at_each_block() {
    let disk = SimDisk::new();
    let units = |numbers: &[u64]| numbers.iter().map(|number| share(*number).units()).sum::<u128>();
    {
        let (journal, _) = open(&disk);
        assert_eq!(journal.progress(ShareSeq(0)), Progress::default());
        fill(&journal, 1, 3);
        journal.solution(solution(b"x"), Some(share(4))).wait().unwrap();
        journal.solution(solution(b"uncredited"), None).wait().unwrap();
        fill(&journal, 5, 6);
        let (sum, then) = (units(&[1, 2, 3, 4, 5, 6]), Some(units(&[1, 2, 3, 4])));
        assert_eq!(journal.progress(ShareSeq(4)), Progress { units: sum, then });
        assert_eq!(journal.progress(ShareSeq(3)), Progress { units: sum, then: None });
    }
    let (journal, _) = open(&disk);
    assert_eq!(journal.progress(ShareSeq(4)), Progress::default(), "what was before the start is not in it");
}

#[test]
fn rounds_are_cut_at_the_ends_of_incomes_in_whatever_order_they_come() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    fill(&journal, 1, 50);
    for block in [b"x", b"y"] {
        journal.solution(solution(block), Some(share(1000))).wait().unwrap();
    }
    // Solutions end at 51 and 52; an income of the later one is seen first, and pays no share of the earlier one's round.
    let (end, _) = journal.end_of_block(b"y").unwrap();
    assert_eq!((end.seq, end.round_after), (ShareSeq(52), ShareSeq(51)));
    journal.record(income_at(b"y", end)).wait().unwrap();
    let (end, _) = journal.end_of_block(b"x").unwrap();
    assert_eq!((end.seq, end.round_after), (ShareSeq(51), ShareSeq(0)));
    journal.record(income_at(b"x", end)).wait().unwrap();
    // A second income of the same block has the same round, and the next one begins after it.
    assert_eq!(journal.end_of_block(b"y").unwrap().0.round_after, ShareSeq(51));
    journal.solution(solution(b"z"), Some(share(1001))).wait().unwrap();
    let (next, _) = journal.end_of_block(b"z").unwrap();
    assert_eq!((next.seq, next.round_after), (ShareSeq(53), ShareSeq(52)));
}

#[test]
fn a_round_begins_behind_no_block_that_the_chain_has_not() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    fill(&journal, 1, 50);
    for block in [b"u", b"v", b"w", b"x"] {
        journal.solution(solution(block), Some(share(1000))).wait().unwrap();
    }
    let round = || journal.end_of_block(b"x").unwrap().0.round_after;
    assert_eq!(round(), ShareSeq(53), "behind the newest block before it");
    let orphan = BlockFate::Orphan("another block".to_owned());
    journal.record(Fate { block: b"w".to_vec(), fate: orphan, time: UnixMillis(0) }).wait().unwrap();
    assert_eq!(round(), ShareSeq(52));
    let refused = |verdict| Submission {
        block: b"v".to_vec(),
        node: "node".to_owned(),
        verdict,
        detail: String::new(),
        time: UnixMillis(0),
    };
    journal.record(refused(Verdict::Rejected)).wait().unwrap();
    assert_eq!(round(), ShareSeq(51), "no node took it so far");
    journal.record(refused(Verdict::Accepted)).wait().unwrap();
    assert_eq!(round(), ShareSeq(52));
}

#[test]
fn the_duplicate_filter_is_reloaded_from_live_coordinates() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    fill(&journal, 1, 500);
    let view = journal.view();
    let since = share(480).coord;
    let expected: Vec<_> = (1..501)
        .map(share)
        .filter(|share| share.coord >= since)
        .map(|share| (share.coord, share.id))
        .collect();
    assert_eq!(view.share_ids_since(since).unwrap(), expected);
    let (seq, newest) = view.newest_at(share(200).coord).unwrap().unwrap();
    assert_eq!(newest.coord, share(200).coord);
    assert!((seq.0 + 1..501).all(|n| share(n).coord > newest.coord));
    assert_eq!(view.newest_at(0).unwrap(), None);
    let end = journal.end_of_coord(share(200).coord, UnixMillis(0)).unwrap();
    assert_eq!((end.seq, end.network_work), (seq, newest.network_work));
    assert_eq!(view.share(ShareSeq(123)).unwrap(), Some(share(123)));
    assert_eq!(view.share(ShareSeq(9999)).unwrap(), None);
}

#[test]
fn after_a_failed_sync_or_on_a_full_disk_nothing_is_acknowledged() {
    for (operation, fault) in
        [(Operation::Sync, Fault::Io), (Operation::Append, Fault::Full), (Operation::Append, Fault::Io)]
    {
        let disk = SimDisk::new();
        let (journal, _) = open(&disk);
        fill(&journal, 1, 20);
        disk.fail(operation, 0, fault, false);
        assert!(journal.share(share(21)).wait().is_err());
        assert!(journal.share(share(22)).wait().is_err());
        assert!(journal.solution(solution(b"block"), None).wait().is_err());
        assert!(journal.record(job(1)).wait().is_err());
        assert!(journal.miner(b"m", "m").wait().is_err());
        assert!(journal.poisoned().is_some());
        assert_eq!(journal.view().newest(), ShareSeq(20), "what was not synced was published");
        drop(journal);
        let (journal, recovered) = open(&disk);
        assert!(recovered.newest >= ShareSeq(20));
        journal.share(share(recovered.newest.0 + 1)).wait().unwrap();
    }
}

#[test]
fn one_flipped_bit_in_an_old_share_is_found() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk);
    fill(&journal, 1, 300);
    drop(journal);
    let names: Vec<_> =
        disk.list(Path::new(DIR)).unwrap().into_iter().filter(|n| n.ends_with(".seg")).collect();
    let path = Path::new(DIR).join(&names[1]);
    let needle = share(150).id;
    let bytes = millpond_disk::read_file(&disk, &path).unwrap();
    let at = bytes.windows(32).position(|window| window == needle);
    let (path, at) = match at {
        Some(at) => (path, at),
        None => names
            .iter()
            .find_map(|name| {
                let path = Path::new(DIR).join(name);
                let bytes = millpond_disk::read_file(&disk, &path).unwrap();
                Some((path, bytes.windows(32).position(|window| window == needle)?))
            })
            .unwrap(),
    };
    disk.flip_bit(&path, at as u64 + 7, 3).unwrap();
    let (view, _) = JournalView::open(Arc::new(disk), Path::new(DIR)).unwrap();
    let error = view.verify().unwrap_err().to_string();
    assert!(error.contains(".seg is damaged at byte"), "{error}");
}

#[test]
fn every_kind_of_record_survives_its_bytes() {
    let decision = Decision {
        subject: b"key".to_vec(),
        contract: "millpond:payout@0.1.0".into(),
        function: "scheme.allocate".into(),
        component: Digest::of(b"c"),
        config: Digest::of(b"s"),
        input: Digest::of(b"i"),
        stored_input: vec![1; 300],
        fuel_limit: 1 << 40,
        fuel_used: 12_345,
        engine: "wasmtime 48.0.0".into(),
        output: Digest::of(b"o"),
        time: UnixMillis(5),
    };
    let records: Vec<Record> = vec![
        Miner { id: MinerId(1), payee: vec![0, 20], address: "bc1q".into() }.into(),
        Worker { id: WorkerId(2), miner: MinerId(1), name: "räg".into() }.into(),
        job(3).into(),
        ShareBlock { first: ShareSeq(1), shares: (1..9).map(share).collect() }.into(),
        solution(b"block").into(),
        Submission {
            block: vec![1],
            node: "n".into(),
            verdict: Verdict::Stale,
            detail: "inconclusive".into(),
            time: UnixMillis(1),
        }
        .into(),
        Fate { block: vec![1], fate: BlockFate::Orphan("x".into()), time: UnixMillis(1) }.into(),
        income(b"key", 9, true).into(),
        IncomeLost { key: vec![1], reason: "r".into(), time: UnixMillis(1) }.into(),
        decision.into(),
        policy(7).into(),
        MinerSetting {
            miner: MinerId(1),
            key: "k".into(),
            value: "v".into(),
            by: Authority::Signature(vec![9; 65]),
            time: UnixMillis(1),
        }
        .into(),
        Admin { who: "op".into(), what: "swap".into(), args: vec!["solo".into()], time: UnixMillis(1) }
            .into(),
        ExtranonceLease { front_end: 1, from: 2, to: 3, time: UnixMillis(4) }.into(),
        Record::CarriedOver(Box::default()),
        Retention { last: ShareSeq(5), time: UnixMillis(6), coord: 7 }.into(),
        Record::CarriedMore(More::default()),
        CoinbasePlan {
            policy: 3,
            end: WindowEnd { seq: ShareSeq(9), round_after: ShareSeq(4), ..WindowEnd::default() },
            gross: Amount(312_500_000),
            ledger: 77,
            fixed: 158,
            limit: 750,
            parent: vec![7; 32],
            recipients: vec![("operator".into(), vec![0x51])],
            outputs: vec![
                PlannedOutput { to: PlannedFor::Finder, payee: Vec::new(), weight: 5 },
                PlannedOutput { to: PlannedFor::Miner(MinerId(1)), payee: vec![0, 20], weight: 1 << 40 },
                PlannedOutput { to: PlannedFor::Fee("operator".into()), payee: vec![0x51], weight: 1 },
            ],
        }
        .into(),
        List {
            name: "vip".into(),
            whole: true,
            rows: vec![ListRow { miner: MinerId(1), value: 50 }],
            by: Authority::Operator("op".into()),
            time: UnixMillis(1),
        }
        .into(),
        Notice {
            policy: Some(policy(0)),
            announced: UnixMillis(1),
            not_before: UnixMillis(2),
            reason: "more for the small".into(),
            by_file: true,
        }
        .into(),
        Promise { before: 300, notice: 70_000, since: UnixMillis(3) }.into(),
    ];
    let kinds: Vec<_> = records.iter().map(Record::kind).collect();
    assert_eq!(kinds, (1..20).chain([21, 22]).collect::<Vec<_>>(), "a kind without a test");
    for record in records {
        let bytes = record.encode();
        assert_eq!(Record::decode(record.kind(), &bytes), Ok(record.clone()));
        assert!(Record::decode(record.kind(), &[bytes.as_slice(), &[0]].concat()).is_err());
        for cut in 0..bytes.len() {
            assert!(Record::decode(record.kind(), &bytes[..cut]).is_err(), "{record:?} cut at {cut}");
        }
        let newer: Vec<u8> = std::iter::once(4).chain(bytes[1..].iter().copied()).collect();
        assert!(matches!(
            Record::decode(record.kind(), &newer),
            Err(DecodeError::Version { version: 4, .. })
        ));
    }
    // A job has version 2 when it tells its subsidy, and bytes of version 1 are none of version 2.
    let told = Record::from(Job { subsidy: Some(Amount(300_000_000)), ..job(3) });
    let (bytes, untold) = (told.encode(), Record::from(job(3)).encode());
    assert_eq!((bytes[0], untold[0]), (2, 1));
    assert_eq!(Record::decode(told.kind(), &bytes), Ok(told.clone()));
    assert!(Record::decode(told.kind(), &[&[2], &untold[1..]].concat()).is_err());
    assert!(Record::decode(told.kind(), &[&[1], &bytes[1..]].concat()).is_err());
    // It has version 3 when its coinbase is planned, with or without a subsidy.
    for subsidy in [None, Some(Amount(300_000_000))] {
        let planned = Record::from(Job { subsidy, plan: Some(700), ..job(3) });
        let bytes = planned.encode();
        assert_eq!(bytes[0], 3);
        assert_eq!(Record::decode(planned.kind(), &bytes), Ok(planned.clone()));
        for other in [1, 2] {
            assert!(Record::decode(planned.kind(), &[&[other], &bytes[1..]].concat()).is_err());
        }
    }
    assert!(matches!(Record::decode(999, &[1]), Err(DecodeError::Kind { kind: 999 })));
}

fn job(id: u64) -> Job {
    Job {
        id: JobId(id),
        coord: 800_000,
        parent: vec![7; 32],
        recipe: 0,
        network_target: Target::BITCOIN_DIFF1,
        network_work: 1 << 32,
        reward: Amount(312_500_000),
        subsidy: None,
        plan: None,
        adapter: Digest::of(b"adapter"),
        time: UnixMillis(1),
    }
}

fn policy(from: u64) -> Policy {
    let plugin = |name: &str| PluginInForce {
        name: name.into(),
        component: Digest::of(name.as_bytes()),
        config: Digest::of(b"config"),
        settings: vec![
            ("flag".into(), Setting::Flag(true)),
            ("n".into(), Setting::Int(-8)),
            ("t".into(), Setting::Text("x".into())),
        ],
    };
    Policy {
        from: ShareSeq(from),
        scheme: plugin("pplns"),
        fees: vec![plugin("flat")],
        reason: "configuration".into(),
        time: UnixMillis(1),
    }
}

fn income(key: &[u8], end: u64, mature: bool) -> Income {
    let end = WindowEnd { seq: ShareSeq(end), ..WindowEnd::default() };
    Income { mature, ..income_at(key, end) }
}

fn income_at(key: &[u8], end: WindowEnd) -> Income {
    Income {
        key: key.to_vec(),
        amount: Amount(312_500_000),
        at: IncomeAt::Block(key.to_vec()),
        mature: false,
        job: Some(JobId(1)),
        finder: Some(MinerId(1)),
        end,
        time: UnixMillis(1),
    }
}
