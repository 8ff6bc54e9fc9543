//! The vectors in `vectors/`: what every other implementation of the formats can be held against. They are made by this test
//! and compared with the files; `MILLPOND_WRITE_VECTORS=1` writes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use millpond_proofs::*;
use millpond_types::{Digest, PoolName, ShareSeq};
use serde_json::{Value, json};
use std::path::PathBuf;

fn keep(name: &str, made: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    // A case of a list has a line.
    let text = match made {
        Value::Array(cases) => {
            let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
            format!("[\n{}\n]\n", lines.join(",\n"))
        }
        made => serde_json::to_string_pretty(made).unwrap() + "\n",
    };
    if std::env::var_os("MILLPOND_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{} differs from what this version makes: every statement handed out so far would be refused by it. If the format \
         changed on purpose, its version has to; write the vectors with MILLPOND_WRITE_VECTORS=1",
        path.display()
    );
}

fn hashed(what: &impl Encode, hash: Digest) -> Value {
    json!({ "json": null, "bytes": hex::encode(what.encoded()), "hash": hash })
}

fn document<T: Encode + serde::Serialize>(what: &T, hash: Digest) -> Value {
    let mut value = hashed(what, hash);
    value["json"] = serde_json::to_value(what).unwrap();
    value
}

#[test]
fn hashes() {
    let contexts: Vec<Value> = Domain::ALL
        .iter()
        .map(|domain| json!({ "context": domain.context(), "of_nothing": domain.hash(b""), "of_abc": domain.hash(b"abc") }))
        .collect();
    let (mut pool, made) = pool_with_income();
    let payment = pool.pay(7, &parts());
    let name = PoolName::try_from("demo".to_owned()).unwrap();
    let id = made.commitment.tree(TreeKind::Work, 2);
    let salt = pool.salt.leaf(TreeKind::Work, 2, "m1");
    let leaf = Leaf {
        owner: "m1".to_owned(),
        address: "bcrt1qminer1".to_owned(),
        value: 1 << 100,
        more: vec![1, 2, 3],
        salt,
    };
    let undoing = Undoing { of: made.commitment.hash(), reason: "another block".to_owned() };
    let mut commitments = vec![made.commitment.clone(), payment.commitment];
    for what in [What::Reversed, What::Kept, What::Reinstated, What::Undone] {
        commitments.push(Commitment::new(pool.id, SUBJECT.to_vec(), 3, what(undoing.clone())));
    }
    let mut accrued = made.commitment.division().unwrap().clone();
    accrued.windows[0].span = Span::Batch;
    accrued.windows[1].span = Span::State;
    accrued.windows[2].span = Span::Coord(3);
    accrued.windows.push(Window { span: Span::Round, edge: Edge::Cut, ..accrued.windows[0].clone() });
    accrued.windows.push(Window {
        span: Span::Shares(4),
        measure: Measure::Units,
        ..accrued.windows[0].clone()
    });
    let mut sliced = accrued.clone();
    commitments.push(Commitment::new(pool.id, b"shares 1..=9".to_vec(), 0, What::Accrued(accrued)));
    sliced.windows[0].span = Span::Slices(Slices { thousandths: 8_000, step: 5 });
    for (window, measure) in sliced.windows.iter_mut().zip([
        Measure::FeeValue,
        Measure::SubsidyValue,
        Measure::Value,
        Measure::Count,
    ]) {
        window.measure = measure;
    }
    let mut once = sliced.clone();
    commitments.push(Commitment::new(pool.id, SUBJECT.to_vec(), 4, What::Income(sliced)));
    once.windows[0].span = Span::Unpaid(100_000_000);
    commitments.push(Commitment::new(pool.id, SUBJECT.to_vec(), 5, What::Income(once)));
    let mut heads = vec![pool.heads[0].body.clone()];
    for kind in [
        HeadKind::NewKey(NextKey { next: Signer::new(&[7; 32]).key() }),
        HeadKind::Restored(Loss { lost_from: 1, root: Digest::of(b"kept"), reason: "disk".to_owned() }),
    ] {
        heads.push(HeadBody { kind, ..pool.heads[0].body.clone() });
    }
    let receipt = pool.receipt(None, 1_001, 1_500, 5_000);
    let documents =
        |list: &[Commitment]| list.iter().map(|one| document(one, one.hash())).collect::<Vec<_>>();
    keep(
        "hashes.json",
        &json!({
            "contexts": contexts,
            "pool": { "key": pool.key(), "network": "regtest", "name": name, "id": pool.id },
            "tree": {
                "pool": pool.id, "kind": TreeKind::Work as u8, "window": 2, "subject": hex::encode(SUBJECT),
                "division": "0", "id": id.digest(),
            },
            "salt": { "division_salt": pool.salt, "kind": TreeKind::Work as u8, "window": 2, "owner": "m1", "salt": salt },
            "leaf": {
                "id": id.digest(), "salt": salt, "owner": leaf.owner, "address": leaf.address,
                "value": leaf.value.to_string(), "more": hex::encode(&leaf.more), "hash": leaf.node(&id).hash,
            },
            "commitments": documents(&commitments),
            "entry": document(&made.entry, made.entry.leaf()),
            "heads": heads.iter().map(|head| document(head, head.hash())).collect::<Vec<_>>(),
            "receipt": document(&receipt.body, receipt.body.hash()),
            "shares": {
                "ids": [Digest::of(b"a"), Digest::of(b"b")],
                "running": add_share(&add_share(&Digest::default(), &Digest::of(b"a")), &Digest::of(b"b")),
            },
            "signed": { "seed": hex::encode([1; 32]), "head": pool.heads[0], "receipt": receipt },
        }),
    );
}

#[test]
fn trees() {
    let id = TreeId::new(&Digest::of(b"pool"), TreeKind::Credits, 0, b"income", 1);
    let trees: Vec<Value> = [0, 1, 2, 3, 5, 8, 13]
        .into_iter()
        .map(|count: u64| {
            let leaves: Vec<Leaf> = (0..count)
                .map(|number| Leaf {
                    owner: format!("m{number}"),
                    address: format!("address {number}"),
                    value: u128::from(number) * 1_000,
                    more: Vec::new(),
                    salt: Salt([8; 32]).leaf(TreeKind::Credits, 0, &format!("m{number}")),
                })
                .collect();
            let tree = build(&id, &leaves).unwrap();
            let shown: Vec<Value> = leaves
                .iter()
                .map(|leaf| {
                    json!({
                        "owner": leaf.owner, "address": leaf.address, "value": leaf.value.to_string(), "salt": leaf.salt,
                        "path": tree.path(&leaf.node(&id)).unwrap(),
                    })
                })
                .collect();
            json!({ "root": tree.root(), "leaves": shown })
        })
        .collect();
    keep("trees.json", &json!({ "id": id.digest(), "trees": trees }));
}

#[test]
fn histories() {
    let leaves: Vec<Digest> = (0..13_u8).map(|leaf| Entries::leaf(&[leaf])).collect();
    let history: History = leaves.iter().copied().collect();
    let roots: Vec<_> = (0..=13).map(|size| history.root_of(size).unwrap()).collect();
    let mut inclusion = Vec::new();
    let mut consistency = Vec::new();
    for size in 1..=13 {
        for index in 0..size {
            let path = history.inclusion(index, size).unwrap();
            inclusion.push(json!({ "index": index, "size": size, "path": path }));
        }
        for from in 1..=size {
            consistency.push(Consistency { from, to: size, path: history.consistency(from, size).unwrap() });
        }
    }
    keep(
        "histories.json",
        &json!({ "leaves": leaves, "roots": roots, "inclusion": inclusion, "consistency": consistency }),
    );
}

/// What a case of `statements.json` is held against.
#[derive(Default)]
struct Held {
    key: Option<PublicKey>,
    pool: Option<Digest>,
    address: Option<String>,
    heads: Vec<SignedHead>,
    receipts: Vec<SignedReceipt>,
}

/// Name, code, and what the pool itself commits falsely.
type Falsified = (&'static str, &'static str, fn(&mut Division));

struct Cases(Vec<Value>);

impl Cases {
    fn add(&mut self, name: &str, statement: &Statement, held: &Held, expected: &str) {
        self.add_json(name, &serde_json::to_value(statement).unwrap(), held, expected);
    }

    fn add_json(&mut self, name: &str, document: &Value, held: &Held, expected: &str) {
        let against = Against {
            key: held.key,
            pool: held.pool,
            address: held.address.as_deref(),
            heads: &held.heads,
            receipts: &held.receipts,
        };
        let read = Statement::read(document.to_string().as_bytes()).map_err(StatementError::from);
        let result = read.and_then(|statement| verify(&statement, &against));
        let code = result.as_ref().map_or_else(StatementError::code, |_| "good");
        assert_eq!(code, expected, "{name}: {result:?}");
        let parts: Vec<Value> = result
            .map(|proven| proven.parts)
            .unwrap_or_default()
            .iter()
            .map(|part| json!({ "value": part.value.to_string(), "sum": part.sum.to_string(), "owners": part.owners.to_string() }))
            .collect();
        self.0.push(json!({
            "name": name, "statement": document, "key": held.key, "pool": held.pool, "address": held.address,
            "heads": held.heads, "receipts": held.receipts, "expected": expected, "parts": parts,
        }));
    }
}

#[test]
fn statements() {
    let mut cases = Cases(Vec::new());
    let mut pool = Pool::new(1);
    let first = pool.divide(b"first", 0, &parts());
    pool.head();
    let made = pool.divide(SUBJECT, 0, &parts());
    let payment = pool.pay(7, &parts());
    pool.head();
    let undoing = Undoing { of: first.commitment.hash(), reason: "another block".to_owned() };
    let reversed = pool.write(Commitment::new(pool.id, b"first".to_vec(), 0, What::Reversed(undoing)));
    pool.head();
    let key = Some(pool.key());
    let held = |owner: &str| {
        let address = parts().into_iter().find(|part| part.owner == owner).map(|part| part.address);
        Held { key, pool: Some(pool.id), address, heads: Vec::new(), receipts: Vec::new() }
    };
    for part in parts() {
        let statement = pool.statement(&made, &part.owner);
        cases.add(&format!("the income of {}", part.owner), &statement, &held(&part.owner), "good");
    }
    let good = pool.statement(&made, "m1");
    let mine = held("m1");
    cases.add("nothing to compare with", &good, &Held::default(), "good");
    cases.add("every head so far", &good, &Held { heads: pool.heads.clone(), ..held("m1") }, "good");
    cases.add("a payment", &pool.statement(&payment, "m2"), &held("m2"), "good");
    cases.add("a reversal", &pool.statement(&reversed, "nobody"), &Held { key, ..Held::default() }, "good");

    let mut forge = |name: &str, expected: &str, change: &dyn Fn(&mut Statement)| {
        let mut forged = good.clone();
        change(&mut forged);
        cases.add(name, &forged, &mine, expected);
    };
    forge("another address", "other-address", &|forged| forged.address = "bcrt1qminer2".to_owned());
    forge("another owner", "path", &|forged| forged.owner = "m2".to_owned());
    forge("more credit", "path", &|forged| forged.credit.as_mut().unwrap().value += 1);
    forge("another salt", "path", &|forged| forged.credit.as_mut().unwrap().salt.0[0] ^= 1);
    forge("a sibling of minus five", "sum-overflow", &|forged| {
        forged.credit.as_mut().unwrap().path.siblings[0].sum = u128::MAX - 4;
    });
    forge("a value above the sum", "value-above", &|forged| forged.work[0].value = u128::MAX);
    forge("a sibling too many", "shape", &|forged| {
        forged.work[0].path.siblings.push(Sum { hash: Digest::default(), sum: 0 });
    });
    forge("a sibling too few", "shape", &|forged| forged.work[0].path.siblings.truncate(0));
    forge("a place outside", "shape", &|forged| forged.work[0].path.index = 4);
    forge("a window hidden", "window-missing", &|forged| forged.work.truncate(1));
    forge("a window twice", "surplus", &|forged| forged.work[1] = forged.work[0].clone());
    forge("no credit", "credit-missing", &|forged| forged.credit = None);
    forge("a payee of a credit", "payee", &|forged| {
        let paid = Paid { address: "x".to_owned(), charged: millpond_types::Amount(0) };
        forged.credit.as_mut().unwrap().paid = Some(paid);
    });
    forge("another division", "inclusion", &|forged| forged.commitment.division = 1);
    forge("another setting", "inclusion", &|forged| {
        if let What::Income(division) = &mut forged.commitment.what {
            division.scheme.settings[2].value = Setting::Int(2);
        }
    });
    forge("another place in the history", "inclusion", &|forged| forged.entry.index = 0);
    forge("an entry after the head", "entry-after-head", &|forged| forged.entry.ledger_seq = 99);
    forge("another head", "signature", &|forged| forged.head.body.time.0 += 1);
    let mut renamed = pool.heads[2].body.clone();
    renamed.origin.network = "main".to_owned();
    let renamed = SignedHead::sign(renamed, &pool.signer);
    forge("a pool's id that is not its origin's", "origin", &|forged| forged.head = renamed.clone());
    forge("a version that is not known", "version", &|forged| forged.commitment.version = 2);
    forge("a commitment of another pool", "other-pool", &|forged| forged.commitment.pool = Digest::default());
    forge("a key of the forger's", "key-unknown", &|forged| {
        forged.head = SignedHead::sign(forged.head.body.clone(), &Signer::new(&[9; 32]));
    });

    let mut edit = |name: &str, expected: &str, change: &dyn Fn(&mut Value)| {
        let mut document = serde_json::to_value(&good).unwrap();
        change(&mut document);
        cases.add_json(name, &document, &mine, expected);
    };
    edit("a negative credit", "form", &|document| document["credit"]["value"] = json!("-5"));
    edit("a number that is no text", "form", &|document| document["credit"]["value"] = json!(5));
    edit("a fraction", "form", &|document| document["credit"]["value"] = json!("5.5"));
    edit("zeros in front", "form", &|document| document["credit"]["value"] = json!("05"));
    edit("more than 128 bits", "form", &|document| {
        document["credit"]["value"] = json!("340282366920938463463374607431768211456");
    });
    edit("a field more", "form", &|document| document["head"]["body"]["comment"] = json!(""));
    edit("a field less", "form", &|document| {
        document["entry"].as_object_mut().unwrap().remove("index");
    });
    edit("a hash that is too short", "form", &|document| document["credit"]["salt"] = json!("00"));
    edit("another version of the document", "version", &|document| document["millpond_statement"] = json!(2));

    let falsified: [Falsified; 3] = [
        ("credits that are not the reward", "not-the-reward", |division| division.amount.0 += 1),
        ("a sum in the root alone", "path", |division| {
            division.amount.0 += 1;
            division.credits.sum += 1;
        }),
        ("a window without its tree", "window", |division| division.windows[0].counted = None),
    ];
    for (name, expected, change) in falsified {
        let mut pool = Pool::new(1);
        let made = pool.divide_as(SUBJECT, 0, &parts(), AMOUNT, change);
        pool.head();
        cases.add(name, &pool.statement(&made, "m1"), &Held { key, ..Held::default() }, expected);
    }

    let one = pool.receipt(None, 1_001, 1_500, 5_000);
    let two = pool.receipt(Some(&one), 1_501, 2_000, 3_000);
    let more = pool.receipt(Some(&one), 1_501, 2_000, 3_001);
    let edge = pool.receipt(Some(&one), 1_501, 2_001, 9_000);
    let twice = pool.receipt_as(None, 1_001, 1_500, 5_001, |body| body.last = ShareSeq(1_500));
    let lost = pool.receipt_as(None, 1_001, 1_500, 9_000, |body| body.restarts = 1);
    let mut forged = one.clone();
    forged.body.work += 1;
    for (name, receipts, expected) in [
        ("receipts up to the work", vec![one.clone(), two, one.clone()], "good"),
        ("receipts above the work", vec![one.clone(), more], "receipts-exceed-work"),
        ("a receipt on the edge", vec![one.clone(), edge], "good"),
        ("two receipts of one number", vec![one, twice], "receipt"),
        ("a receipt of behind a loss", vec![lost], "good"),
        ("a forged receipt", vec![forged], "receipt"),
    ] {
        cases.add(name, &good, &Held { receipts, ..held("m1") }, expected);
    }

    let mut other = pool.heads[2].body.clone();
    other.time.0 += 1;
    let heads = vec![SignedHead::sign(other, &pool.signer)];
    cases.add("two heads of one number", &good, &Held { heads, ..held("m1") }, "two-heads");
    let heads = vec![SignedHead::sign(
        HeadBody { number: 3, prev: Digest::default(), ..pool.heads[2].body.clone() },
        &pool.signer,
    )];
    cases.add("a broken chain", &good, &Held { heads, ..held("m1") }, "chain-broken");
    let heads =
        vec![SignedHead::sign(HeadBody { number: 9, size: 1, ..pool.heads[2].body.clone() }, &pool.signer)];
    cases.add("a history that shrank", &good, &Held { heads, ..held("m1") }, "not-continued");
    let heads = vec![SignedHead::sign(
        HeadBody {
            number: 9,
            restarts: 0,
            kind: HeadKind::Restored(Loss { lost_from: 0, root: Digest::default(), reason: String::new() }),
            ..pool.heads[2].body.clone()
        },
        &pool.signer,
    )];
    cases.add("a loss that is not counted", &good, &Held { heads, ..held("m1") }, "losses");

    let next = Signer::new(&[77; 32]);
    let new_key = next.key();
    pool.head_as(|body| body.kind = HeadKind::NewKey(NextKey { next: new_key }));
    let old = std::mem::replace(&mut pool.signer, next);
    pool.head();
    let later = pool.statement(&made, "m1");
    let heads = pool.heads.clone();
    let address = Some("bcrt1qminer1".to_owned());
    let held = |heads: &[SignedHead]| Held {
        key,
        pool: Some(pool.id),
        address: address.clone(),
        heads: heads.to_vec(),
        receipts: Vec::new(),
    };
    cases.add("a key that was announced", &later, &held(&heads), "good");
    cases.add("a key whose announcement is not given", &later, &held(&[]), "key-unknown");
    let late = Statement { head: SignedHead::sign(later.head.body.clone(), &old), ..later.clone() };
    cases.add("a key after its time", &late, &held(&heads[..4]), "key-replaced");
    let early = SignedHead::sign(HeadBody { number: 2, ..later.head.body.clone() }, &pool.signer);
    let early = Statement { head: early, ..later };
    cases.add("a key before its time", &early, &held(&heads[..4]), "key-not-yet");

    keep("statements.json", &Value::from(cases.0));
}

#[test]
fn evidence() {
    let mut one = Pool::new(1);
    let mut other = Pool::new(1);
    for pool in [&mut one, &mut other] {
        pool.divide(b"first", 0, &parts());
        pool.head();
    }
    let told = one.divide(b"one story", 0, &parts());
    let also_told = other.divide(b"another", 0, &parts());
    one.head();
    other.head();
    other.divide(b"more", 0, &parts());
    let heads = Evidence::among(&[one.heads[1].clone(), other.heads[1].clone()]).unwrap();
    let far = SignedHead::sign(HeadBody { number: 9, ..other.body() }, &other.signer);
    other.heads.push(far);
    let entries = Evidence::between(&one.statement(&told, "m1"), &other.statement(&also_told, "m1")).unwrap();
    let mut forged = heads.clone();
    if let Found::Heads(pair) = &mut forged.found {
        pair[0].body.time.0 += 1;
    }
    let same = Evidence {
        millpond_evidence: VERSION,
        found: Found::Heads(Box::new([one.heads[0].clone(), one.heads[1].clone()])),
    };
    let keys = KeysInForce::new(one.key(), &one.id, &[]);
    let cases: Vec<Value> = [
        ("two heads", heads, true),
        ("two entries", entries, true),
        ("a forged head", forged, false),
        ("two heads that are both true", same, false),
    ]
    .into_iter()
    .map(|(name, evidence, holds)| {
        assert_eq!(evidence.verify(&keys).is_ok(), holds, "{name}");
        json!({ "name": name, "key": one.key(), "evidence": evidence, "holds": holds })
    })
    .collect();
    keep("evidence.json", &Value::from(cases));
}
