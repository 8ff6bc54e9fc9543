//! Held against hsd: coinbases and roots that its code made (tests/data), and the recipe's header.

use super::*;
use millpond_sdk::chain::{Action, Adapter as _, CallError, Chunk, Event, Happening, Job, Setting, host};
use millpond_sdk::chain::{Reply, Solution, Start, Verdict};
use millpond_sdk::hex;
use serde_json::{Value, json};
use std::sync::Arc;

/// The pool's own address: version 0 and 20 bytes of 0x11.
const POOL: [u8; 22] = {
    let mut payee = [0x11; 22];
    (payee[0], payee[1]) = (0, 20);
    payee
};
const FEES: [u8; 34] = {
    let mut payee = [0x22; 34];
    (payee[0], payee[1]) = (0, 32);
    payee
};

fn data() -> Value {
    serde_json::from_str(include_str!("../tests/data/coinbase.json")).unwrap()
}

/// An instance on regtest with the host's hash at hand.
fn regtest(proposal: bool) -> (Adapter, Description) {
    host::add_native_algorithm("blake2b-256", |data| {
        millpond_algorithms::Algorithms::native().hash("blake2b-256", data).unwrap()
    });
    let text = |value: &str| Setting::Text(value.into());
    let settings = vec![
        ("network".into(), text("regtest")),
        ("proposal".into(), Setting::Flag(proposal)),
        ("tag".into(), text("/t/")),
    ];
    Adapter::new(settings).unwrap()
}

fn coin() -> Handshake {
    regtest(true);
    let text = |value: &str| Setting::Text(value.into());
    let settings = vec![("network".into(), text("regtest")), ("tag".into(), text("/t/"))];
    Handshake::new(&settings).unwrap().0
}

/// What hsd would answer, with so many transactions.
fn template(transactions: usize, proven: bool) -> Value {
    let data = data();
    let listed = |key: &str| if proven { vec![data[key].clone()] } else { Vec::new() };
    json!({
        "capabilities": ["proposal"], "version": 0, "rules": ["hardening"], "vbavailable": {"testdummy": 28},
        "height": data["height"], "previousblockhash": "01".repeat(32),
        "treeroot": "02".repeat(32), "reservedroot": "00".repeat(32), "mask": "00".repeat(32),
        "target": format!("7fffff{}", "0".repeat(58)), "bits": "207fffff", "curtime": 1_600_000_000,
        "longpollid": "0100000000", "coinbaseaux": {"flags": "6d"}, "coinbasevalue": data["reward"],
        "claims": listed("claim"), "airdrops": listed("airdrop"),
        "transactions": data["transactions"].as_array().unwrap()[..transactions],
    })
}

fn work(template: &Value, outputs: &[(&[u8], u64)]) -> Result<Work, String> {
    let coin = coin();
    let outputs: Vec<Output> =
        outputs.iter().map(|(payee, weight)| Output { payee: payee.to_vec(), weight: *weight }).collect();
    coin.work(&Template::read(&coin, template.to_string().as_bytes())?, &outputs)
}

#[test]
fn claims_and_airdrops_stand_in_the_coinbase_as_hsd_puts_them_and_both_roots_commit_to_it() {
    let data = data();
    for case in data["cases"].as_array().unwrap() {
        let transactions = case["transactions"].as_u64().unwrap() as usize;
        let work = work(&template(transactions, true), &[(&POOL, 98), (&FEES, 2)]).unwrap();
        assert_eq!(
            hex::encode(&work.more),
            case["coinbase"].as_str().unwrap(),
            "{transactions} transactions"
        );
        let [_, _, merkle, witness, ..] = work.consts.as_slice() else { panic!("{work:?}") };
        assert_eq!(hex::encode(merkle), case["merkle"].as_str().unwrap(), "{transactions} transactions");
        assert_eq!(hex::encode(witness), case["witness"].as_str().unwrap(), "{transactions} transactions");
        assert_eq!(work.paid.iter().map(|(amount, _)| amount).sum::<u64>(), data["reward"].as_u64().unwrap());
    }
    let plain = work(&template(3, false), &[(&POOL, 1)]).unwrap();
    assert_eq!(hex::encode(&plain.more), data["plain"]["coinbase"].as_str().unwrap());
    assert_eq!(hex::encode(&plain.consts[2]), data["plain"]["merkle"].as_str().unwrap());
}

#[test]
fn a_claim_or_airdrop_that_cannot_be_carried_makes_no_job() {
    for (list, key, value, why) in [
        ("claims", "data", json!(""), "no proof"),
        ("claims", "data", json!("00".repeat(10_001)), "no proof"),
        ("claims", "commitHash", json!("00"), "not a hash"),
        ("claims", "name", json!(""), "lacks name"),
        ("claims", "fee", json!(u32::MAX), "exceeds its value"),
        ("airdrops", "address", json!("00".repeat(41)), "no address"),
        ("airdrops", "version", json!(256), "no such version"),
        ("airdrops", "fee", json!(9_000_000_000_u64), "exceeds its value"),
    ] {
        let mut template = template(0, true);
        template[list][0][key] = value;
        let refused = work(&template, &[(&POOL, 1)]).unwrap_err();
        assert!(refused.contains(why), "{list}.{key}: {refused}");
    }
    let refused = work(&template(0, false), &[(&[], 1)]).unwrap_err();
    assert!(refused.contains("session's own payee"), "{refused}");
    let mut bitcoins = template(0, false);
    bitcoins.as_object_mut().unwrap().remove("treeroot");
    assert!(work(&bitcoins, &[(&POOL, 1)]).unwrap_err().contains("is the node hsd?"));
}

#[test]
fn addresses_are_checked_and_have_one_spelling() {
    let coin = coin();
    let payee = coin.resolve("RS1Q2CT77YMUDLCVTVQQ5YHVNDLAGAJRMPYZ37T42L.rig.1").unwrap();
    assert_eq!(payee.address, "rs1q2ct77ymudlcvtvqq5yhvndlagajrmpyz37t42l");
    assert_eq!(payee.worker, "rig.1");
    assert!(payee.payee.starts_with(&[0, 20]) && payee.payee.len() == 22);
    for bad in
        ["rs1q2ct77ymudlcvtvqq5yhvndlagajrmpyz37t42m", "hs1q2ct77ymudlcvtvqq5yhvndlagajrmpyz37t42l", ""]
    {
        assert!(coin.resolve(bad).unwrap_err().contains("typing errors"), "{bad}");
    }
}

/// An instance that has a template, and what it did then.
fn at_work(template: &Value, proposal: bool) -> (Adapter, String, Vec<Action>) {
    let (mut adapter, description) = regtest(proposal);
    let mut seq = 0;
    let mut event = |what| {
        seq += 1;
        adapter.handle(Event { seq, now_ms: 1_700_000_000_000 + seq, what }).unwrap()
    };
    let outputs = vec![Output { payee: POOL.to_vec(), weight: 1 }];
    event(Happening::Start(Start { saved: vec![], watching: vec![], revision: 3, outputs, aux: vec![] }));
    let mut actions = event(Happening::Link((0, true)));
    for answer in [json!({"chain": "regtest", "blocks": 3}), template.clone()] {
        let call = actions.iter().find_map(|action| match action {
            Action::Call(call) => Some(call.id),
            _ => None,
        });
        let outcome: Result<_, CallError> = Ok(answer.to_string().into_bytes());
        actions = event(Happening::Reply(Reply { id: call.unwrap(), link: 0, outcome, body: 9 }));
    }
    (adapter, description.recipes[0].clone(), actions)
}

fn job(actions: &[Action]) -> &Job {
    let job = actions.iter().find_map(|action| match action {
        Action::Publish(job) => Some(job),
        _ => None,
    });
    job.unwrap_or_else(|| panic!("no job: {actions:?}"))
}

/// The text of a request as the host puts it together.
fn request(chunks: &[Chunk], body: &str) -> String {
    let text = chunks.iter().map(|chunk| match chunk {
        Chunk::Literal(text) => String::from_utf8(text.clone()).unwrap(),
        Chunk::Body((at, length)) => body[*at as usize..(*at + *length) as usize].to_owned(),
    });
    text.collect()
}

#[test]
fn a_template_becomes_a_job_and_its_solution_the_block_that_the_recipe_hashed() {
    let template = template(2, true);
    let (adapter, recipe, actions) = at_work(&template, true);
    let job = job(&actions);
    assert_eq!((job.coord, job.outputs_rev, job.body), (70_000, 3, Some(9)));
    assert_eq!((job.parent.as_slice(), Some(job.reward)), ([1; 32].as_slice(), data()["reward"].as_u64()));

    let algorithms = millpond_algorithms::Algorithms::native();
    let recipe = millpond_recipe::Recipe::compile("handshake", &recipe, &algorithms).unwrap();
    let stage = recipe.job(&job.consts).unwrap();
    assert_eq!(stage.network_target().unwrap().to_be_bytes().to_vec(), job.network_target);
    let session = Arc::new(stage.session(&[] as &[Vec<u8>]).unwrap());
    let share = [vec![0; 8], job.consts[7].clone(), vec![0; 4]];
    let mut scratch = millpond_recipe::Scratch::default();
    let judged = session.judge(&share, &mut scratch).unwrap();
    let results = judged.results();
    let solution =
        Solution { private: job.private.clone(), fields: session.fields(&share), results, proof: None };
    let pow = judged.pow;
    let assembled = adapter.assemble(solution).unwrap();
    assert_eq!((assembled.block.as_slice(), assembled.method.as_str()), (pow.as_slice(), "submitblock"));

    // The node was shown the same block, whose nonces are zero as well.
    let block = request(&assembled.request, &template.to_string());
    let block = block.strip_prefix("[\"").unwrap().strip_suffix("\"]").unwrap();
    let shown = actions.iter().find_map(|action| match action {
        Action::Call(call) if call.body.starts_with(b"[{\"mode\":\"proposal\"") => Some(call.body.clone()),
        _ => None,
    });
    let shown = String::from_utf8(shown.unwrap()).unwrap();
    assert!(shown.contains(&format!("\"data\":\"{block}\"")), "{shown}\n{block}");

    // Header of 236 bytes, count, coinbase, transactions.
    let (data, coinbase) = (data(), work(&template, &[(&POOL, 1)]).unwrap().more);
    let transactions = [0, 1].map(|at| data["transactions"][at]["data"].as_str().unwrap().to_owned());
    assert_eq!(block[472..], format!("03{}{}", hex::encode(&coinbase), transactions.concat()));
}

#[test]
fn hsds_answers_to_a_block_become_verdicts() {
    let (adapter, _) = regtest(false);
    for (reply, verdict) in [
        ("null", Verdict::Accepted),
        ("\"rejected: duplicate\"", Verdict::Duplicate),
        ("\"rejected: bad-prevblk\"", Verdict::Stale),
        ("\"rejected: bad-cb-amount\"", Verdict::Rejected),
        (r#"{"message":"Out of bounds read (offset=0).","code":-22}"#, Verdict::Rejected),
    ] {
        assert_eq!(adapter.read_reply("submitblock", reply.as_bytes()).0, verdict, "{reply}");
    }
}
