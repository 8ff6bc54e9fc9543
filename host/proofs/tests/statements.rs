//! Statements as miners get them, good ones and forged ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use millpond_proofs::*;
use millpond_types::{Amount, Digest, ShareSeq};
use proptest::prelude::*;
use serde_json::Value;

fn code(result: Result<Proven, StatementError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "good")
}

#[test]
fn every_owner_is_shown_his_part_of_the_reward() {
    let (pool, made) = pool_with_income();
    for part in parts() {
        let statement = through_json(&pool.statement(&made, &part.owner));
        let proven = verify(&statement, &pool.against(&part.address)).unwrap();
        let credit = proven.parts[0];
        assert_eq!((credit.tree, credit.value, credit.owners), (TreeName::Credits, part.credit, 5));
        assert_eq!(credit.sum, u128::from(AMOUNT + CARRY_IN));
        let work: Vec<u128> = proven.parts[1..].iter().map(|part| part.value).collect();
        let expected = if part.address.is_empty() { Vec::new() } else { part.work.to_vec() };
        assert_eq!(work, expected, "{}", part.owner);
        assert_eq!((proven.key, proven.head), (pool.key(), 0));
        let ask = AskNode::Income { subject: hex::encode(SUBJECT), amount: AMOUNT };
        assert_eq!(proven.ask_a_node, [ask]);
    }
}

#[test]
fn what_was_not_looked_at_is_said() {
    let (pool, made) = pool_with_income();
    let statement = pool.statement(&made, "m1");
    let nothing = verify(&statement, &Against::default()).unwrap();
    let expected =
        [NotLookedAt::Receipts, NotLookedAt::Key(pool.key()), NotLookedAt::Address, NotLookedAt::Heads];
    assert_eq!(nothing.not_looked_at, expected);
    let receipts = [pool.receipt(None, 1_100, 1_200, 10)];
    let against = Against { heads: &pool.heads, receipts: &receipts, ..pool.against("bcrt1qminer1") };
    let everything = verify(&statement, &against).unwrap();
    assert_eq!(everything.not_looked_at, [NotLookedAt::Incomparable { window: 2 }]);
}

#[test]
fn a_payment_shows_what_arrives_where() {
    let mut pool = Pool::new(1);
    let made = pool.pay(7, &parts());
    pool.head();
    let statement = through_json(&pool.statement(&made, "m2"));
    let proven = verify(&statement, &pool.against("bcrt1qminer2")).unwrap();
    assert_eq!(proven.parts[0].value, 103_125_001);
    assert_eq!(proven.parts[0].sum, 309_375_004);
    let ask =
        AskNode::Payment { txid: "b1".repeat(32), address: "bcrt1qpaidm2".to_owned(), amount: 103_125_000 };
    assert_eq!(proven.ask_a_node, [ask]);

    let mut elsewhere = statement.clone();
    elsewhere.credit.as_mut().unwrap().paid.as_mut().unwrap().address = "bcrt1qother".to_owned();
    assert_eq!(code(verify(&elsewhere, &Against::default())), "path");
    let mut charged = statement.clone();
    charged.credit.as_mut().unwrap().paid.as_mut().unwrap().charged = Amount(103_125_002);
    assert_eq!(code(verify(&charged, &Against::default())), "payee");
    let (other, income) = pool_with_income();
    let worked = Statement { work: other.statement(&income, "m2").work, ..statement.clone() };
    assert_eq!(code(verify(&worked, &Against::default())), "surplus");
    let mut taking_more = Pool::new(1);
    let made = taking_more.pay_as(7, &parts(), |payment| payment.amount.0 += 1);
    taking_more.head();
    assert_eq!(
        verify(&taking_more.statement(&made, "m2"), &Against::default()),
        Err(StatementError::NotTheReward { credits: 309_375_004, amount: 309_375_005, drawn: 0 })
    );
    let mut nowhere = statement;
    nowhere.credit.as_mut().unwrap().paid = None;
    assert_eq!(code(verify(&nowhere, &Against::default())), "payee");
}

/// Every value in a document, by its path.
fn leaves(value: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| {
            at.push(name.clone());
            leaves(field, at, found);
            at.pop();
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
            at.push(index.to_string());
            leaves(item, at, found);
            at.pop();
        }),
        _ => found.push(at.clone()),
    }
}

fn at<'a>(document: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(document, |value, step| match value {
        Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
        value => &mut value[step.as_str()],
    })
}

/// Other values of the same kind, so that a refusal is one of the proof's and not of the form's where that is possible.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(said) => vec![Value::Bool(!said)],
        Value::Number(number) => vec![Value::from(number.as_u64().unwrap() + 1)],
        Value::Null => vec![Value::Bool(true)],
        Value::String(text) if ["whole", "split", "cut"].contains(&text.as_str()) => {
            ["whole", "split", "cut"]
                .iter()
                .filter(|other| *other != text)
                .map(|other| Value::from(*other))
                .collect()
        }
        Value::String(text) if text == "work" => vec![Value::from("units")],
        Value::String(text) if text.parse::<u128>().is_ok() => {
            let number: u128 = text.parse().unwrap();
            vec![Value::from((number + 1).to_string()), Value::from((number ^ (1 << 40)).to_string())]
        }
        Value::String(text) => {
            let mut flipped = Vec::new();
            for (at, byte) in text.bytes().enumerate() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = if byte == b'0' { b'1' } else { b'0' };
                flipped.push(Value::from(String::from_utf8(bytes).unwrap()));
            }
            flipped
        }
        _ => unreachable!("a leaf"),
    }
}

#[test]
fn a_change_anywhere_in_a_statement_is_refused() {
    let mut pool = Pool::new(1);
    pool.divide(b"an earlier income", 0, &parts());
    let made = pool.divide(SUBJECT, 0, &parts());
    pool.divide(b"a later income", 0, &parts());
    pool.head();
    let good = serde_json::to_value(pool.statement(&made, "m2")).unwrap();
    let against = pool.against("bcrt1qminer2");
    let check = |document: &Value| {
        let read = Statement::read(document.to_string().as_bytes()).map_err(StatementError::from);
        code(read.and_then(|statement| verify(&statement, &against)))
    };
    assert_eq!(check(&good), "good");

    let mut paths = Vec::new();
    leaves(&good, &mut Vec::new(), &mut paths);
    assert!(paths.len() > 80, "{}", paths.len());
    let mut changes = 0;
    for path in &paths {
        for other in others(at(&mut good.clone(), path)) {
            let mut changed = good.clone();
            *at(&mut changed, path) = other.clone();
            assert_ne!(check(&changed), "good", "{path:?} = {other}");
            changes += 1;
        }
    }
    assert!(changes > 1_000, "{changes}");
}

#[test]
fn a_statement_has_its_fields_and_no_other() {
    let (pool, made) = pool_with_income();
    let good = serde_json::to_value(pool.statement(&made, "m2")).unwrap();
    let against = pool.against("bcrt1qminer2");
    let check = |document: &Value| {
        let read = Statement::read(document.to_string().as_bytes()).map_err(StatementError::from);
        code(read.and_then(|statement| verify(&statement, &against)))
    };
    let mut paths = Vec::new();
    leaves(&good, &mut Vec::new(), &mut paths);
    let mut objects: Vec<Vec<String>> = Vec::new();
    for path in &paths {
        for end in 0..path.len() {
            let front = path[..end].to_vec();
            if at(&mut good.clone(), &front).is_object() && !objects.contains(&front) {
                objects.push(front);
            }
        }
    }
    assert!(objects.len() > 20, "{}", objects.len());
    for object in &objects {
        let mut more = good.clone();
        at(&mut more, object)["comment"] = Value::from("1");
        assert_eq!(check(&more), "form", "{object:?} with a field more");
        let names: Vec<String> = at(&mut good.clone(), object).as_object().unwrap().keys().cloned().collect();
        for name in names {
            let mut less = good.clone();
            at(&mut less, object).as_object_mut().unwrap().remove(&name);
            assert_ne!(check(&less), "good", "{object:?} without {name}");
        }
    }
    let text = good.to_string();
    let twice = text.replacen("\"owner\":\"m2\"", "\"owner\":\"m2\",\"owner\":\"m2\"", 1);
    assert_eq!(
        Statement::read(twice.as_bytes()).map_err(|error| StatementError::from(error).code()),
        Err("form")
    );
    let trailing = format!("{text} {{}}");
    assert!(Statement::read(trailing.as_bytes()).is_err());
}

#[test]
fn order_and_spelling_of_a_document_do_not_matter() {
    let (pool, made) = pool_with_income();
    let statement = pool.statement(&made, "m2");
    let pretty = serde_json::to_string_pretty(&serde_json::to_value(&statement).unwrap()).unwrap();
    assert_eq!(Statement::read(pretty.as_bytes()).unwrap(), statement);
}

#[test]
fn a_form_error_names_the_field() {
    let (pool, made) = pool_with_income();
    let good = serde_json::to_string(&pool.statement(&made, "m2")).unwrap();
    let why = |from: &str, to: &str| {
        assert!(good.contains(from));
        Statement::read(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    };
    let negative = why("\"value\":\"103125001\"", "\"value\":\"-5\"");
    assert_eq!(
        negative.split(" at line").next().unwrap(),
        "credit.value: a value is a whole number from 0 on: -5"
    );
    let number = why("\"value\":\"103125001\"", "\"value\":-5");
    assert!(number.starts_with("credit.value: a value is a whole number from 0 on: -5"), "{number}");
    let huge = why("\"value\":\"103125001\"", "\"value\":\"340282366920938463463374607431768211456\"");
    assert!(huge.starts_with("credit.value: 340282366920938463463374607431768211456 does not fit 128 bits"));
    let sibling = why("\"sum\":\"", "\"sum\":\"-");
    assert!(sibling.contains("sum: a value is a whole number from 0 on"), "{sibling}");
    assert_eq!(
        why("\"millpond_statement\":1", "\"millpond_statement\":2"),
        "the document has version 2; this program knows version 1: take a newer one"
    );
    assert!(Statement::read(b"[]").is_err() && Statement::read(b"").is_err());
}

#[test]
fn a_dropped_miner_is_in_no_tree() {
    let mut pool = Pool::new(1);
    let with = pool.divide(SUBJECT, 0, &parts());
    let without: Vec<Owned> = parts().into_iter().filter(|part| part.owner != "m2").collect();
    // His part goes to the operator, so that the sum is right.
    let mut richer = without.clone();
    richer.last_mut().unwrap().credit += 103_125_001;
    let mut dropping = Pool::new(1);
    let dropped = dropping.divide(SUBJECT, 0, &richer);
    pool.head();
    dropping.head();
    let good = pool.statement(&with, "m2");
    assert_eq!(code(verify(&good, &pool.against("bcrt1qminer2"))), "good");

    // The pool that dropped him shows him the leaf he would have had, under its own commitment.
    let mut forged = dropping.statement(&dropped, "m1");
    forged.owner.clone_from(&good.owner);
    forged.address.clone_from(&good.address);
    forged.credit.clone_from(&good.credit);
    forged.work.clone_from(&good.work);
    assert!(matches!(
        verify(&forged, &dropping.against("bcrt1qminer2")),
        Err(StatementError::Shape { tree: TreeName::Credits, .. }
            | StatementError::Path { tree: TreeName::Credits, .. })
    ));
    let (full, short) = (with.commitment.division().unwrap(), dropped.commitment.division().unwrap());
    assert_eq!((full.credits.count, short.credits.count), (5, 4));
    let sums = |division: &Division| division.windows[0].counted.as_ref().unwrap().work.sum;
    assert_eq!((sums(full), sums(short)), (12_001, 8_001));

    // It shows him the commitment in which he was, under a head whose history has the other one.
    let mut swapped = good.clone();
    swapped.head = dropping.heads[0].clone();
    swapped.entry = dropping.statement(&dropped, "m1").entry;
    assert_eq!(code(verify(&swapped, &dropping.against("bcrt1qminer2"))), "inclusion");

    // A pool that keeps his part without giving it to anybody does not divide the reward.
    let mut keeping = Pool::new(1);
    let kept = keeping.divide(SUBJECT, 0, &without);
    keeping.head();
    assert_eq!(
        verify(&keeping.statement(&kept, "m1"), &keeping.against("bcrt1qminer1")),
        Err(StatementError::NotTheReward { credits: 209_375_002, amount: AMOUNT, drawn: CARRY_IN.into() })
    );
}

#[test]
fn two_miners_of_equal_value_cannot_be_shown_one_leaf() {
    let mut pool = Pool::new(1);
    let parts = vec![miner(1, 5, [1, 1]), miner(2, 5, [1, 1])];
    let made = pool.divide_as(SUBJECT, 0, &parts, 7, |_| {});
    pool.head();
    let mine = pool.statement(&made, "m1");
    assert_eq!(code(verify(&mine, &pool.against("bcrt1qminer1"))), "good");
    assert_eq!(code(verify(&mine, &pool.against("bcrt1qminer2"))), "other-address");
    let renamed = Statement { address: "bcrt1qminer2".to_owned(), ..mine };
    assert_eq!(code(verify(&renamed, &pool.against("bcrt1qminer2"))), "path");
}

#[test]
fn a_leaf_that_would_be_negative_is_refused_in_every_disguise() {
    // A forger takes 5 from somebody who is not there, by a sibling of "-5" in two's complement.
    let (pool, made) = pool_with_income();
    let good = pool.statement(&made, "m1");
    let mut forged = good.clone();
    forged.credit.as_mut().unwrap().path.siblings[0].sum = u128::MAX - 4;
    assert_eq!(code(verify(&forged, &pool.against("bcrt1qminer1"))), "sum-overflow");
    let mut above = good;
    above.credit.as_mut().unwrap().value = u128::MAX;
    assert_eq!(code(verify(&above, &pool.against("bcrt1qminer1"))), "value-above");
}

#[test]
fn a_moved_leaf_and_a_sibling_too_many_are_refused() {
    let (pool, made) = pool_with_income();
    let good = pool.statement(&made, "m1");
    let against = pool.against("bcrt1qminer1");
    for index in (0..9).filter(|index| *index != good.work[0].path.index) {
        let mut moved = good.clone();
        moved.work[0].path.index = index;
        let code = code(verify(&moved, &against));
        assert!(["shape", "path"].contains(&code), "{index}: {code}");
    }
    let mut more = good.clone();
    let sibling = more.credit.as_ref().unwrap().path.siblings[0];
    more.credit.as_mut().unwrap().path.siblings.push(sibling);
    let shape = StatementError::Shape { tree: TreeName::Credits, why: PathError::TooMany { left: 1 } };
    assert_eq!(verify(&more, &against), Err(shape));
    let mut less = good.clone();
    less.work[1].path.siblings.pop();
    assert!(matches!(
        verify(&less, &against),
        Err(StatementError::Shape { tree: TreeName::Work(2), why: PathError::TooFew { .. } })
    ));
    let mut inclusion = good;
    inclusion.entry.inclusion.push(Digest::default());
    assert_eq!(code(verify(&inclusion, &against)), "inclusion");
}

#[test]
fn sums_that_the_pool_itself_falsified_are_seen() {
    let against_of = |change: fn(&mut Division)| {
        let mut pool = Pool::new(1);
        let made = pool.divide_as(SUBJECT, 0, &parts(), AMOUNT, change);
        pool.head();
        code(verify(&pool.statement(&made, "m1"), &pool.against("bcrt1qminer1")))
    };
    assert_eq!(against_of(|_| {}), "good");
    assert_eq!(against_of(|division| division.amount = Amount(AMOUNT + 1)), "not-the-reward");
    // A root that says the sum without having it.
    let false_sum = |division: &mut Division| {
        division.amount = Amount(AMOUNT + 1);
        division.credits.sum += 1;
    };
    assert_eq!(against_of(false_sum), "path");
    assert_eq!(against_of(|division| division.credits.count = 500), "shape");
    assert_eq!(against_of(|division| division.windows[0].counted = None), "window");
    let finder = |division: &mut Division| division.windows[1].counted = division.windows[0].counted.clone();
    assert_eq!(against_of(finder), "window");
    assert_eq!(against_of(|division| division.windows.truncate(1)), "surplus");
}

#[test]
fn work_that_is_not_shown_is_missed() {
    let (pool, made) = pool_with_income();
    let good = pool.statement(&made, "m1");
    let mut less = good.clone();
    less.work.remove(1);
    assert_eq!(verify(&less, &pool.against("bcrt1qminer1")), Err(StatementError::WindowMissing(2)));
    let mut twice = good.clone();
    twice.work.push(good.work[0].clone());
    assert_eq!(code(verify(&twice, &pool.against("bcrt1qminer1"))), "surplus");
    let mut bare = good;
    bare.credit = None;
    assert_eq!(code(verify(&bare, &pool.against("bcrt1qminer1"))), "credit-missing");
}

#[test]
fn a_statement_of_an_older_division_does_not_pass_for_the_newer() {
    let mut pool = Pool::new(1);
    let first = pool.divide(SUBJECT, 0, &parts());
    pool.head();
    let older = pool.statement(&first, "m1");
    let undoing =
        Undoing { of: first.commitment.hash(), reason: "another block at height 900123".to_owned() };
    let reversed = pool.write(Commitment::new(pool.id, SUBJECT.to_vec(), 0, What::Reversed(undoing)));
    let mut fewer = parts();
    fewer[0].credit -= 1_000;
    fewer[4].credit += 1_000;
    let second = pool.divide(SUBJECT, 1, &fewer);
    pool.head();
    let newer = pool.statement(&second, "m1");
    let against = pool.against("bcrt1qminer1");
    assert_eq!(code(verify(&older, &against)), "good");
    assert_eq!(code(verify(&newer, &against)), "good");

    let mut mixed = newer.clone();
    mixed.credit.clone_from(&older.credit);
    assert_eq!(code(verify(&mixed, &against)), "path");

    let both = verify_all(&[older.clone(), newer.clone()], &against);
    assert_eq!(both.into_iter().map(code).collect::<Vec<_>>(), ["superseded", "good"]);
    let taken = pool.statement(&reversed, "m1");
    let any = Against { address: None, ..against };
    let error = verify_all(&[taken.clone(), older.clone()], &any).remove(1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "entry 42 of the ledger took this one back: another block at height 900123"
    );

    let undoing = Undoing { of: first.commitment.hash(), reason: "the block is back".to_owned() };
    let back = pool.write(Commitment::new(pool.id, SUBJECT.to_vec(), 0, What::Reinstated(undoing)));
    pool.head();
    let restored = pool.statement(&back, "m1");
    let all = verify_all(&[taken, restored.clone(), older.clone()], &any);
    assert_eq!(all.into_iter().map(code).collect::<Vec<_>>(), ["good", "good", "good"]);
    // The order is the ledger's, not that of the heads that the statements end in.
    pool.restarts = 1;
    let (lost_from, root) = (pool.history.size(), pool.history.root());
    pool.head_as(|body| {
        body.kind = HeadKind::Restored(Loss { lost_from, root, reason: "disk".to_owned() });
    });
    let all = verify_all(&[restored, pool.statement(&reversed, "m1"), older], &any);
    assert_eq!(all.into_iter().map(code).collect::<Vec<_>>(), ["good", "good", "good"]);
}

#[test]
fn what_is_drawn_on_the_reserve_is_divided_too() {
    let draws: [(u64, &str); 3] = [(5, "good"), (4, "not-the-reward"), (0, "not-the-reward")];
    for (said, expected) in draws {
        let mut pool = Pool::new(1);
        let made = pool.divide_as(SUBJECT, 0, &parts(), AMOUNT - 5, |division| {
            division.reserve_in = Amount(said);
        });
        pool.head();
        let statement = through_json(&pool.statement(&made, "m1"));
        assert_eq!(code(verify(&statement, &pool.against("bcrt1qminer1"))), expected, "{said}");
    }
}

#[test]
fn an_entry_that_divides_nothing_shows_no_part() {
    let (mut pool, made) = pool_with_income();
    let mine = pool.statement(&made, "m1");
    let undoing = Undoing { of: made.commitment.hash(), reason: "lost".to_owned() };
    let kept = pool.write(Commitment::new(pool.id, SUBJECT.to_vec(), 0, What::Kept(undoing)));
    pool.head();
    let any = Against { address: None, ..pool.against("") };
    let statement = through_json(&pool.statement(&kept, "m1"));
    let proven = verify(&statement, &any).unwrap();
    assert!(proven.not_looked_at.contains(&NotLookedAt::Nobody), "its address is bound to nothing");
    assert_eq!((proven.address, proven.owner), (String::new(), String::new()));
    let credited = Statement { credit: mine.credit.clone(), ..statement.clone() };
    assert_eq!(code(verify(&credited, &any)), "surplus");
    let worked = Statement { work: mine.work, ..statement };
    assert_eq!(code(verify(&worked, &any)), "surplus");
}

#[test]
fn one_division_committed_twice_is_evidence() {
    let mut pool = Pool::new(1);
    let first = pool.divide(SUBJECT, 0, &parts());
    let mut other = parts();
    other[1].credit -= 1;
    other[4].credit += 1;
    let second = pool.divide(SUBJECT, 0, &other);
    pool.head();
    let statements = [pool.statement(&first, "m1"), pool.statement(&second, "m2")];
    let any = Against { address: None, ..pool.against("") };
    let codes: Vec<_> = verify_all(&statements, &any).into_iter().map(code).collect();
    assert_eq!(codes, ["two-divisions", "two-divisions"]);
}

#[test]
fn a_wrong_key_and_a_wrong_pool_are_refused() {
    let (pool, made) = pool_with_income();
    let statement = pool.statement(&made, "m1");
    let other = Pool::new(2);
    let against = Against { key: Some(other.key()), ..pool.against("bcrt1qminer1") };
    let error = KeyError::Unknown { found: pool.key(), known: other.key() };
    assert_eq!(verify(&statement, &against), Err(StatementError::Key(error)));
    let against = Against { pool: Some(other.id), ..pool.against("bcrt1qminer1") };
    assert_eq!(code(verify(&statement, &against)), "other-pool");
    // A forger signs the head with a key of his own and names it.
    let mut forged = statement.clone();
    forged.head = SignedHead::sign(forged.head.body.clone(), &other.signer);
    assert_eq!(code(verify(&forged, &pool.against("bcrt1qminer1"))), "key-unknown");
    // Or leaves the pool's name on it.
    forged.head.body.key = pool.key();
    assert_eq!(code(verify(&forged, &pool.against("bcrt1qminer1"))), "signature");
    assert_eq!(code(verify(&forged, &Against::default())), "signature");
}

#[test]
fn a_head_with_another_body_is_refused() {
    let (pool, made) = pool_with_income();
    let good = pool.statement(&made, "m1");
    let changes: [fn(&mut HeadBody); 6] = [
        |body| body.number += 1,
        |body| body.root = Digest::default(),
        |body| body.size += 1,
        |body| body.time.0 += 1,
        |body| body.journal_share = ShareSeq(1),
        |body| {
            body.kind =
                HeadKind::Restored(Loss { lost_from: 0, root: Digest::default(), reason: String::new() });
        },
    ];
    for change in changes {
        let mut changed = good.clone();
        change(&mut changed.head.body);
        assert_eq!(code(verify(&changed, &pool.against("bcrt1qminer1"))), "signature");
    }
    // Signed by the pool's own key, under an id that another name makes.
    let mut renamed = pool.body();
    renamed.origin.name = "another".to_owned();
    let renamed = Statement { head: SignedHead::sign(renamed, &pool.signer), ..good.clone() };
    assert_eq!(code(verify(&renamed, &pool.against("bcrt1qminer1"))), "origin");
    let mut versions = good.clone();
    versions.head.body.version = 2;
    assert_eq!(code(verify(&versions, &pool.against("bcrt1qminer1"))), "version");
    let mut later = good;
    later.entry.ledger_seq += 1;
    assert_eq!(code(verify(&later, &pool.against("bcrt1qminer1"))), "entry-after-head");
}

proptest! {
    /// Nothing that is read panics, and nothing passes but what the pool signed.
    #[test]
    fn damaged_documents_are_refused(places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
                                     cut: Option<prop::sample::Index>) {
        let (pool, made) = pool_with_income();
        let good = pool.statement(&made, "m1");
        let mut json = serde_json::to_vec(&good).unwrap();
        for (place, byte) in places {
            let place = place.index(json.len());
            json[place] = byte;
        }
        if let Some(cut) = cut {
            json.truncate(cut.index(json.len()));
        }
        if let Ok(read) = Statement::read(&json)
            && verify(&read, &pool.against("bcrt1qminer1")).is_ok()
        {
            prop_assert_eq!(read, good);
        }
    }
}
