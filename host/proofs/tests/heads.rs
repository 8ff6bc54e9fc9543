//! Heads: their chain, their keys, and what shows that a pool tells two stories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use millpond_proofs::*;
use millpond_types::Digest;

fn code(result: Result<Proven, StatementError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "good")
}

fn keys(pool: &Pool) -> KeysInForce {
    KeysInForce::new(pool.key(), &pool.id, &pool.heads)
}

/// Two pools with one key that agree on their first entry and then tell different stories.
fn two_faced() -> (Pool, Pool, Made, Made) {
    let make = |credit: u128| {
        let mut pool = Pool::new(1);
        pool.divide(b"the first income", 0, &parts());
        pool.head();
        let mut parts = parts();
        parts[1].credit -= credit;
        parts[4].credit += credit;
        let made = pool.divide(SUBJECT, 0, &parts);
        pool.head();
        (pool, made)
    };
    let ((honest, told), (false_one, also_told)) = (make(0), make(1_000_000));
    (honest, false_one, told, also_told)
}

#[test]
fn two_heads_of_one_number_are_evidence() {
    let (one, other, told, also_told) = two_faced();
    let statement = one.statement(&told, "m1");
    let both = [statement.clone(), other.statement(&also_told, "m1")];
    let codes: Vec<_> = verify_all(&both, &one.against("bcrt1qminer1")).into_iter().map(code).collect();
    assert_eq!(codes, ["two-heads", "two-heads"]);
    let against = Against { heads: &other.heads, ..one.against("bcrt1qminer1") };
    let found = Contradiction::TwoHeads { number: 1 };
    assert_eq!(verify(&statement, &against), Err(StatementError::Heads(found)));

    let mut heads = one.heads.clone();
    assert_eq!(Evidence::among(&heads), None);
    heads.extend(other.heads.clone());
    let evidence = Evidence::among(&heads).unwrap();
    let evidence = Evidence::read(&serde_json::to_vec(&evidence).unwrap()).unwrap();
    assert_eq!(evidence.verify(&keys(&one)), Ok(Shown::Heads(found)));

    // Somebody else's key makes no evidence against this pool, and neither does a changed head.
    let stranger = KeysInForce::new(Pool::new(2).key(), &one.id, &[]);
    assert!(matches!(evidence.verify(&stranger), Err(EvidenceError::Key(_))));
    let mut forged = evidence.clone();
    let Found::Heads(pair) = &mut forged.found else { panic!("two heads") };
    pair[1].body.time.0 += 1;
    assert!(matches!(forged.verify(&keys(&one)), Err(EvidenceError::Signature { number: 1, .. })));
    // One head twice is evidence of nothing.
    let same = Found::Heads(Box::new([one.heads[0].clone(), one.heads[0].clone()]));
    let nothing = Evidence { millpond_evidence: VERSION, found: same };
    assert_eq!(nothing.verify(&keys(&one)), Err(EvidenceError::Nothing));
    let pools = Found::Heads(Box::new([one.heads[0].clone(), pool_of_two().heads[0].clone()]));
    let pools = Evidence { millpond_evidence: VERSION, found: pools };
    assert!(matches!(pools.verify(&keys(&one)), Err(EvidenceError::OtherPools(..))));
}

fn pool_of_two() -> Pool {
    let mut pool = Pool::new(2);
    pool.divide(SUBJECT, 0, &parts());
    pool.head();
    pool
}

#[test]
fn two_entries_at_one_place_are_evidence() {
    let (one, mut other, told, also_told) = two_faced();
    // The other story goes on, so that the heads have different numbers and sizes and do not contradict each other alone.
    for income in [b"3", b"4", b"5"] {
        other.divide(income, 0, &parts());
    }
    other.head();
    let (mine, its) = (one.statement(&told, "m1"), other.statement(&also_told, "m2"));
    assert_eq!(mine.head.body.number, 1);
    let later = SignedHead::sign(HeadBody { number: 9, ..its.head.body.clone() }, &other.signer);
    let its = Statement { head: later, ..its };
    let any = Against { address: None, ..one.against("") };
    let codes: Vec<_> = verify_all(&[mine.clone(), its.clone()], &any).into_iter().map(code).collect();
    assert_eq!(codes, ["two-histories", "two-histories"]);

    let evidence = Evidence::between(&mine, &its).unwrap();
    let evidence = Evidence::read(&serde_json::to_vec(&evidence).unwrap()).unwrap();
    assert_eq!(evidence.verify(&keys(&one)), Ok(Shown::Entries { index: 1 }));
    let mut forged = evidence.clone();
    let Found::Entries(entries) = &mut forged.found else { panic!("two entries") };
    entries[0].entry.ledger_seq += 1;
    assert!(matches!(forged.verify(&keys(&one)), Err(EvidenceError::Inclusion { index: 1, .. })));
    assert_eq!(Evidence::between(&mine, &mine), None);
}

#[test]
fn a_history_that_shrinks_or_changes_contradicts_itself() {
    let (mut pool, _) = pool_with_income();
    pool.divide(b"another", 0, &parts());
    pool.head();
    let (before, now) = (pool.heads[0].body.clone(), pool.heads[1].body.clone());
    assert_eq!(contradiction(&before, &now), None);
    assert_eq!(contradiction(&now, &before), None);
    let check = |change: fn(&mut HeadBody)| {
        let mut changed = now.clone();
        change(&mut changed);
        contradiction(&before, &changed)
    };
    let not_continued = Some(Contradiction::NotContinued { from: 0, to: 1 });
    assert_eq!(check(|head| head.size = 0), not_continued);
    assert_eq!(check(|head| head.ledger_seq = 3), not_continued);
    assert_eq!(check(|head| head.size = 1), not_continued, "one size, two roots");
    assert_eq!(check(|head| head.prev = Digest::default()), Some(Contradiction::ChainBroken { number: 1 }));
    let losses = Some(Contradiction::Losses { from: 0, to: 1 });
    assert_eq!(check(|head| head.restarts = 1), losses);
    let kept = before.root;
    let loss = |lost_from| HeadKind::Restored(Loss { lost_from, root: kept, reason: "disk".to_owned() });
    assert_eq!(
        contradiction(&before, &HeadBody { kind: loss(1), ..now.clone() }),
        losses,
        "declared, not counted"
    );
    let declared = |lost_from, restarts| HeadBody { kind: loss(lost_from), restarts, ..now.clone() };
    assert_eq!(contradiction(&before, &declared(1, 1)), None);
    assert_eq!(contradiction(&before, &declared(2, 1)), losses, "more than there was");
    let mut another = declared(1, 1);
    another.kind =
        HeadKind::Restored(Loss { lost_from: 1, root: Digest::default(), reason: "disk".to_owned() });
    assert_eq!(contradiction(&before, &another), losses, "what was kept is not what was published");
    assert_eq!(contradiction(&before, &declared(1, 2)), losses, "two at once");
    assert_eq!(
        contradiction(&HeadBody { restarts: 5, ..before.clone() }, &now),
        Some(Contradiction::ChainBroken { number: 1 })
    );
    let larger = HeadBody { size: 5, ..before.clone() };
    let after_larger = |lost_from| HeadBody { prev: larger.hash(), ..declared(lost_from, 1) };
    assert_eq!(contradiction(&larger, &after_larger(2)), None);
    assert_eq!(contradiction(&larger, &after_larger(3)), losses, "more is kept than there is");
    let far = HeadBody { number: 7, ..now.clone() };
    assert_eq!(
        contradiction(&HeadBody { restarts: 5, ..before.clone() }, &far),
        Some(Contradiction::Losses { from: 0, to: 7 })
    );
    assert_eq!(contradiction(&before, &HeadBody { pool: Digest::default(), ..now.clone() }), None);
}

#[test]
fn a_restored_pool_declares_its_loss() {
    let (mut pool, made) = pool_with_income();
    let old = pool.statement(&made, "m1");
    let lost = pool.divide(b"lost", 0, &parts());
    pool.head();
    let lost = pool.statement(&lost, "m1");
    let lost_head = pool.heads[1].clone();
    // Back to the first entry; the ledger's numbers come again.
    pool.history = [made.entry.leaf()].into_iter().collect();
    (pool.seq, pool.restarts) = (made.entry.ledger_seq, 1);
    let again = pool.divide(b"divided again", 0, &parts());
    let root = pool.heads[0].body.root;
    pool.head_as(|body| {
        body.kind = HeadKind::Restored(Loss { lost_from: 1, root, reason: "disk".to_owned() });
    });
    assert_eq!(again.entry.ledger_seq, 42);
    let against = Against { heads: &pool.heads, ..pool.against("bcrt1qminer1") };
    assert_eq!(code(verify(&old, &against)), "good");
    assert_eq!(code(verify(&pool.statement(&made, "m1"), &against)), "good");
    assert_eq!(code(verify(&pool.statement(&again, "m1"), &against)), "good");
    assert_eq!(compare(&lost_head, &pool.heads[2], None), Ok(Compared::LossDeclared));
    // The place of a lost entry may hold another one since: that is what was declared.
    let since = pool.statement(&again, "m1");
    assert_eq!((lost.entry.index, since.entry.index), (1, 1));
    assert_eq!(Evidence::between(&lost, &since), None);
    let placed = |statement: &Statement| Placed {
        entry: statement.entry(),
        index: 1,
        inclusion: statement.entry.inclusion.clone(),
        head: statement.head.clone(),
    };
    let found = Found::Entries(Box::new([placed(&lost), placed(&since)]));
    let nothing = Evidence { millpond_evidence: VERSION, found };
    assert_eq!(nothing.verify(&keys(&pool)), Err(EvidenceError::Nothing));
    let codes: Vec<_> = verify_all(&[lost, since], &against).into_iter().map(code).collect();
    assert_eq!(codes, ["good", "good"]);
    // An entry from after the loss is not in a head from before it.
    let mut early = pool.statement(&again, "m1");
    early.head = lost_head;
    assert_eq!(code(verify(&early, &pool.against("bcrt1qminer1"))), "entry-after-head");
}

#[test]
fn a_key_is_followed_by_the_keys_it_announces() {
    let (mut pool, made) = pool_with_income();
    let (first, next) = (pool.key(), Signer::new(&[77; 32]));
    let new_key = next.key();
    pool.head_as(move |body| body.kind = HeadKind::NewKey(NextKey { next: new_key }));
    let old_signer = std::mem::replace(&mut pool.signer, next);
    pool.head();
    let statement = pool.statement(&made, "m1");
    assert_eq!((statement.head.body.key, statement.head.body.number), (new_key, 2));
    let against = |heads| Against { key: Some(first), heads, ..pool.against("bcrt1qminer1") };
    assert_eq!(code(verify(&statement, &against(&[]))), "key-unknown");
    assert_eq!(code(verify(&statement, &against(&pool.heads))), "good");

    // The new key signs nothing before its time, and the old one nothing after.
    let early = SignedHead::sign(HeadBody { number: 1, ..statement.head.body.clone() }, &pool.signer);
    let early = Statement { head: early, ..statement.clone() };
    assert_eq!(code(verify(&early, &against(&pool.heads[..2]))), "key-not-yet");
    let late = SignedHead::sign(statement.head.body.clone(), &old_signer);
    let late = Statement { head: late, ..statement.clone() };
    assert_eq!(code(verify(&late, &against(&pool.heads[..2]))), "key-replaced");

    // An announcement that the old key did not sign announces nothing.
    let thief = Signer::new(&[99; 32]);
    let mut forged = pool.heads[1].clone();
    forged.body.kind = HeadKind::NewKey(NextKey { next: thief.key() });
    let in_force = KeysInForce::new(first, &pool.id, &[forged]);
    assert!(in_force.check(&thief.key(), 2).is_err());
    assert_eq!(in_force.check(&first, 2), Ok(()));
    let own = SignedHead::sign(
        HeadBody { kind: HeadKind::NewKey(NextKey { next: thief.key() }), ..pool.heads[1].body.clone() },
        &thief,
    );
    assert!(KeysInForce::new(first, &pool.id, &[own]).check(&thief.key(), 2).is_err());
}

#[test]
fn a_head_of_a_stranger_among_those_given_is_named() {
    let (pool, made) = pool_with_income();
    let statement = pool.statement(&made, "m1");
    let mut body = pool.heads[0].body.clone();
    body.number = 5;
    let strange = [SignedHead::sign(body, &Signer::new(&[9; 32]))];
    let against = Against { heads: &strange, ..pool.against("bcrt1qminer1") };
    assert_eq!(code(verify(&statement, &against)), "key-unknown");
    let other = pool_of_two().heads;
    let against = Against { heads: &other, ..pool.against("bcrt1qminer1") };
    assert_eq!(code(verify(&statement, &against)), "other-pool");
}

#[test]
fn a_later_head_continues_an_earlier_one_by_a_proof() {
    let mut pool = Pool::new(1);
    for size in 0..9_u8 {
        pool.head();
        pool.divide(&[size + 1], 0, &parts());
    }
    for before in 0..9_usize {
        for after in before..9 {
            let (from, to) = (before as u64, after as u64);
            let path = pool.history.consistency(from, to).unwrap();
            let proof = Consistency { from, to, path: path.clone() };
            let (one, other) = (&pool.heads[before], &pool.heads[after]);
            let expected = if before == after { Compared::Same } else { Compared::Continues };
            assert_eq!(compare(one, other, Some(&proof)), Ok(expected));
            assert_eq!(compare(other, one, Some(&proof)), Ok(expected));
            if from == 0 || from == to {
                continue;
            }
            assert_eq!(compare(one, other, None), Ok(Compared::NeedsProof { from, to }));
            let refused = Ok(Compared::NotShown { from, to });
            for at in 0..path.len() {
                let mut changed = proof.clone();
                changed.path[at].0[7] ^= 1;
                assert_eq!(compare(one, other, Some(&changed)), refused);
            }
            let mut more = proof.clone();
            more.path.push(Digest::default());
            assert_eq!(compare(one, other, Some(&more)), refused);
            let mut less = proof.clone();
            less.path.pop();
            assert_eq!(compare(one, other, Some(&less)), refused);
            assert_eq!(compare(one, other, Some(&Consistency { from: from + 1, ..proof })), refused);
        }
    }
    let mut forged = pool.heads[3].clone();
    forged.body.size += 1;
    assert!(matches!(
        compare(&pool.heads[2], &forged, None),
        Err(EvidenceError::Signature { number: 3, .. })
    ));
}

#[test]
fn a_smaller_tree_that_is_no_prefix_cannot_be_shown_to_be_one() {
    let (one, mut other, ..) = two_faced();
    other.divide(b"3", 0, &parts());
    other.head();
    let (short, long) = (&one.heads[1], &other.heads[2]);
    let later = SignedHead::sign(HeadBody { number: 9, ..long.body.clone() }, &other.signer);
    for path in [other.history.consistency(2, 3).unwrap(), one.history.consistency(1, 2).unwrap(), Vec::new()]
    {
        let proof = Consistency { from: 2, to: 3, path };
        assert_eq!(compare(short, &later, Some(&proof)), Ok(Compared::NotShown { from: 2, to: 3 }));
    }
    assert_eq!(
        compare(short, long, None),
        Ok(Compared::Contradict(Contradiction::ChainBroken { number: 2 })),
        "the next head names the other story's head"
    );
}
