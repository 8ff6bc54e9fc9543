//! The actor against nodes that come, go, disagree and lie.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use millpond_sdk::chain::{
    Action, CallError, ErrorKind, Fate, Happening, Output, Push, Setting, Start, Watched,
};
use millpond_sdk::hex;
use serde_json::{Value, json};
use support::*;

/// An empty template at this height on a parent of this byte.
fn template(height: u64, parent: u8, value: u64) -> Value {
    json!({
        "version": 0x2000_0000, "rules": ["!segwit"], "previousblockhash": hex::encode(&[parent; 32]),
        "transactions": [], "coinbaseaux": {"flags": "6162"}, "coinbasevalue": value, "longpollid": format!("{parent}"),
        "curtime": 1_700_000_000, "bits": "207fffff", "height": height,
    })
}

fn failed(kind: ErrorKind, code: i64) -> CallError {
    CallError { kind, code, message: "it says no".into() }
}

fn push(body: u64) -> Happening {
    Happening::Push(Push { link: 0, transport: 1, topic: "hashblock".into(), data: vec![1; 32], body })
}

/// A template of a node that has no longpoll.
fn without_longpoll(height: u64, parent: u8) -> serde_json::Value {
    let mut template = template(height, parent, 100);
    template.as_object_mut().unwrap().remove("longpollid");
    template
}

fn tips(facts: &[Action]) -> Vec<u64> {
    facts
        .iter()
        .filter_map(|fact| if let Action::Tip((_, coord)) = fact { Some(*coord) } else { None })
        .collect()
}

#[test]
fn a_new_tip_is_told_before_its_job_and_a_longpoll_is_kept_open() {
    let mut host = Host::up(&[], to_pool(), 1);
    host.answer("getblocktemplate", 0, &template(5, 1, 100));
    assert_eq!(tips(&host.facts()), [5]);
    assert_eq!(host.jobs.len(), 1);
    let longpoll = host.take("getblocktemplate", 0);
    assert!(String::from_utf8_lossy(&longpoll.body).contains(r#""longpollid":"1""#));
    assert!(longpoll.timeout_ms > 60_000);

    host.reply(&longpoll, Ok(template(6, 2, 100).to_string().into_bytes()));
    assert_eq!(tips(&host.facts()), [6]);
    assert_eq!((host.jobs.len(), host.jobs[1].coord), (2, 6));
    assert!(String::from_utf8_lossy(&host.take("getblocktemplate", 0).body).contains(r#""longpollid":"2""#));
}

#[test]
fn the_same_template_again_is_no_new_job_until_its_time_is_old() {
    let mut host = Host::up(&[], to_pool(), 1);
    host.answer("getblocktemplate", 0, &template(5, 1, 100));
    host.calls.clear();
    let mut again = |ms, value| {
        host.pass(ms);
        host.event(Happening::Timer(0));
        host.answer("getblocktemplate", 0, &template(5, 1, value));
        host.jobs.len()
    };
    assert_eq!(again(1_000, 100), 1);
    assert_eq!(again(1_000, 200), 1, "more fees wait for the refresh");
    assert_eq!(again(9_000, 200), 2);
    assert_eq!(again(11_000, 200), 2);
    assert_eq!(again(50_000, 200), 3);
}

#[test]
fn a_push_wakes_and_a_failed_longpoll_is_replaced() {
    let mut host = Host::up(&[], to_pool(), 1);
    host.answer("getblocktemplate", 0, &template(5, 1, 100));
    let longpoll = host.take("getblocktemplate", 0);
    host.reply(&longpoll, Err(failed(ErrorKind::Timeout, 0)));
    assert!(host.calls.is_empty());
    host.event(push(1));
    host.event(push(2));
    assert_eq!(host.calls.len(), 1, "one question is enough");
    host.answer("getblocktemplate", 0, &template(6, 2, 100));
    assert_eq!(host.jobs.len(), 2);
    assert!(String::from_utf8_lossy(&host.take("getblocktemplate", 0).body).contains("longpollid"));
}

#[test]
fn news_that_come_while_a_node_is_asked_are_asked_for_when_it_has_answered() {
    let mut host = Host::up(&[], to_pool(), 1);
    host.answer("getblocktemplate", 0, &without_longpoll(5, 1));
    host.event(push(1));
    // The node answers of before its own next block, and does not say so again.
    host.event(push(2));
    host.answer("getblocktemplate", 0, &without_longpoll(6, 2));
    host.answer("getblocktemplate", 0, &without_longpoll(7, 3));
    assert_eq!(host.jobs.last().unwrap().coord, 7);
    assert!(host.calls.is_empty(), "nobody told of more");
}

#[test]
fn the_better_node_leads_and_the_other_takes_over() {
    let mut host = Host::up(&[], to_pool(), 2);
    host.answer("getblocktemplate", 0, &template(5, 1, 100));
    host.answer("getblocktemplate", 1, &template(5, 1, 90));
    assert_eq!(host.jobs.len(), 1, "less fees on the same tip");
    host.calls.retain(|call| !String::from_utf8_lossy(&call.body).contains("longpollid"));
    host.event(Happening::Timer(1));
    host.answer("getblocktemplate", 1, &template(6, 2, 90));
    assert_eq!(host.jobs.len(), 2, "a higher tip");
    host.event(Happening::Timer(0));
    host.answer("getblocktemplate", 0, &template(6, 3, 500));
    assert_eq!(host.jobs.len(), 2, "a rival at equal height does not move the miners");

    host.event(Happening::Link((1, false)));
    host.answer("getblocktemplate", 0, &template(6, 3, 500));
    assert_eq!((host.jobs.len(), host.jobs[2].parent.clone()), (3, vec![3; 32]), "failover");
}

/// Two nodes on one tip, of which the first was worked on and now answers errors; without its longpolls.
fn with_a_broken_node() -> Host {
    let mut host = Host::up(&[], to_pool(), 2);
    host.answer("getblocktemplate", 0, &without_longpoll(5, 1));
    host.answer("getblocktemplate", 1, &without_longpoll(5, 1));
    host.facts();
    assert_eq!(host.jobs.len(), 1);
    host.event(Happening::Timer(0));
    let call = host.take("getblocktemplate", 0);
    host.reply(&call, Err(failed(ErrorKind::Rpc, -10)));
    host
}

#[test]
fn a_node_that_answers_errors_does_not_hold_the_pool_while_another_gives_templates() {
    let mut host = with_a_broken_node();
    // The other one is asked at once, and renews the work from then on.
    host.pass(61_000);
    host.answer("getblocktemplate", 1, &without_longpoll(5, 1));
    assert_eq!(host.jobs.len(), 2);
    host.pass(61_000);
    host.event(Happening::Timer(1));
    host.answer("getblocktemplate", 1, &without_longpoll(5, 1));
    assert_eq!(host.jobs.len(), 3);
    assert_eq!(host.facts(), [], "one error is no news for the operator");
    host.event(Happening::Timer(0));
    let call = host.take("getblocktemplate", 0);
    host.reply(&call, Err(failed(ErrorKind::Refused, 503)));
    assert!(matches!(host.facts().as_slice(), [Action::Unfit((0, why))] if why.contains("no template")));
    // Blocks of ours are looked at where answers come from.
    let saved = host.jobs[0].private.clone();
    host.event(Happening::Watch(Watched { block: vec![9; 32], coord: 5, since_ms: 0, saved }));
    host.event(Happening::Timer(1 << 16));
    host.answer("getblockhash", 1, &json!(hex::encode(&[9; 32])));
    // It is worked on again when it is mended and best.
    host.event(Happening::Timer(0));
    host.answer("getblocktemplate", 0, &without_longpoll(6, 2));
    assert_eq!(host.jobs.last().unwrap().coord, 6);
}

#[test]
fn a_node_that_does_not_answer_in_time_has_no_say_either() {
    let mut host = Host::up(&[], to_pool(), 2);
    host.answer("getblocktemplate", 0, &without_longpoll(5, 1));
    host.answer("getblocktemplate", 1, &without_longpoll(5, 1));
    host.event(Happening::Timer(0));
    let call = host.take("getblocktemplate", 0);
    host.reply(&call, Err(failed(ErrorKind::Timeout, 0)));
    host.pass(61_000);
    host.answer("getblocktemplate", 1, &without_longpoll(5, 1));
    assert_eq!(host.jobs.len(), 2);
}

#[test]
fn a_hiccup_of_the_best_node_sends_no_miner_back_to_the_block_before() {
    let mut host = Host::up(&[], to_pool(), 2);
    host.answer("getblocktemplate", 0, &without_longpoll(6, 2));
    host.answer("getblocktemplate", 1, &without_longpoll(5, 1));
    host.facts();
    host.event(Happening::Timer(0));
    let call = host.take("getblocktemplate", 0);
    host.reply(&call, Err(failed(ErrorKind::Rpc, -28)));
    host.answer("getblocktemplate", 1, &without_longpoll(5, 1));
    assert_eq!((host.jobs.len(), host.facts()), (1, vec![]));
    // One that stays away leaves what the other has.
    host.pass(61_000);
    host.event(Happening::Timer(1));
    host.answer("getblocktemplate", 1, &without_longpoll(5, 1));
    assert_eq!(host.jobs.last().unwrap().coord, 5);
}

#[test]
fn a_node_on_another_network_or_behind_is_named() {
    let mut host = Host::new(&[("network", Setting::Text("regtest".into()))]);
    let start = Start { saved: vec![], watching: vec![], revision: 1, outputs: to_pool(), aux: vec![] };
    host.event(Happening::Start(start));
    host.event(Happening::Link((0, true)));
    host.answer("getblockchaininfo", 0, &json!({"chain": "main", "initialblockdownload": false}));
    assert!(matches!(host.facts().as_slice(), [Action::Unfit((0, why))] if why.contains("\"main\"")));
    assert!(host.calls.is_empty());
    host.event(Happening::Timer(0));
    host.answer("getblockchaininfo", 0, &json!({"chain": "regtest"}));
    host.answer("getblocktemplate", 0, &template(5, 1, 100));
    assert_eq!(host.jobs.len(), 1, "it was mended");

    host.event(Happening::Link((1, true)));
    host.answer("getblockchaininfo", 1, &json!({"chain": "regtest"}));
    host.answer("getblocktemplate", 1, &template(9, 4, 100));
    assert!(
        host.facts()
            .iter()
            .any(|fact| matches!(fact, Action::Unfit((0, why)) if why.contains("4 blocks behind")))
    );
}

#[test]
fn what_cannot_be_read_or_is_not_known_gives_no_job() {
    let mut host = Host::up(&[], to_pool(), 1);
    let call = host.take("getblocktemplate", 0);
    host.reply(&call, Ok(b"{\"height\": 1".to_vec()));
    host.event(Happening::Timer(0));
    let call = host.take("getblocktemplate", 0);
    host.reply(&call, Err(failed(ErrorKind::Rpc, -10)));
    assert!(host.jobs.is_empty() && host.timers.contains(&(0, 3_000)));
    assert!(matches!(host.facts().as_slice(), [Action::Unfit((0, why))] if why.ends_with("it says no")));
    host.event(Happening::Timer(0));
    let mut unknown = template(5, 1, 100);
    unknown["rules"] = json!(["!segwit", "!newrule"]);
    host.answer("getblocktemplate", 0, &unknown);
    assert!(host.jobs.is_empty());
    assert!(matches!(host.facts().as_slice(), [Action::Alarm((true, text))] if text.contains("newrule")));
}

#[test]
fn a_pool_that_pays_nobody_says_so_and_recovers() {
    let mut host = Host::up(&[], vec![], 1);
    host.answer("getblocktemplate", 0, &template(5, 1, 100));
    assert!(host.jobs.is_empty());
    assert!(
        matches!(host.facts().as_slice(), [Action::Alarm((false, text))] if text.contains("whom to pay"))
    );
    host.event(Happening::Outputs((2, vec![Output { payee: POOL.to_vec(), weight: 1 }])));
    host.calls.retain(|call| !String::from_utf8_lossy(&call.body).contains("longpollid"));
    host.answer("getblocktemplate", 0, &template(5, 1, 100));
    assert_eq!((host.jobs.len(), host.jobs[0].outputs_rev), (1, 2));
}

/// A host with a job at height 5 whose block, named by 9s, is watched.
fn with_a_block() -> Host {
    let mut host = Host::up(&[("orphan_after", Setting::Int(2))], to_pool(), 1);
    host.answer("getblocktemplate", 0, &template(5, 1, 100));
    let saved = host.jobs[0].private.clone();
    host.event(Happening::Watch(Watched { block: vec![9; 32], coord: 5, since_ms: 0, saved }));
    host.facts();
    host
}

fn see(host: &mut Host, there: u8, confirmations: i64) -> Vec<Action> {
    host.event(Happening::Timer(1 << 16));
    host.answer("getblockhash", 0, &json!(hex::encode(&[there; 32])));
    host.answer(
        "getblockheader",
        0,
        &json!({"hash": "x", "confirmations": confirmations, "difficulty": 1e-9}),
    );
    host.facts()
}

#[test]
fn a_block_of_ours_is_followed_to_maturity() {
    let mut host = with_a_block();
    let facts = see(&mut host, 9, 1);
    assert!(matches!(&facts[0], Action::Fate((block, Fate::Accepted(1))) if *block == vec![9; 32]));
    let Action::Income(income) = &facts[1] else { panic!("{facts:?}") };
    assert_eq!((income.amount, income.mature), (100, false));
    assert_eq!(income.key, [[9; 32].as_slice(), &[0; 4]].concat());
    assert_eq!(see(&mut host, 9, 99).len(), 1);
    let facts = see(&mut host, 9, 100);
    assert!(matches!(&facts[0], Action::Fate((_, Fate::Final))));
    assert!(matches!(&facts[1], Action::Income(income) if income.mature));
    host.event(Happening::Timer(1 << 16));
    assert!(!host.calls.iter().any(|call| call.method == "getblockhash"), "nothing more to ask");
}

#[test]
fn one_missing_answer_orphans_nothing() {
    let mut host = with_a_block();
    see(&mut host, 9, 1);
    for code in [-5, -28] {
        host.event(Happening::Timer(1 << 16));
        let call = host.take("getblockhash", 0);
        host.reply(&call, Err(failed(ErrorKind::Rpc, code)));
    }
    host.event(Happening::Timer(1 << 16));
    host.answer("getblockhash", 0, &json!(hex::encode(&[9; 32])));
    let call = host.take("getblockheader", 0);
    host.reply(&call, Err(failed(ErrorKind::Rpc, -5)));
    assert_eq!(host.facts(), []);
}

#[test]
fn another_block_at_our_height_must_be_deep_and_can_be_undone() {
    let mut host = with_a_block();
    see(&mut host, 9, 1);
    assert!(matches!(see(&mut host, 8, 1).as_slice(), [Action::Fate((_, Fate::Pending(0)))]));
    assert!(matches!(
        see(&mut host, 8, 2).as_slice(),
        [Action::Fate((_, Fate::Orphan(_))), Action::IncomeLost(_)]
    ));
    assert!(matches!(
        see(&mut host, 9, 3).as_slice(),
        [Action::Fate((_, Fate::Accepted(3))), Action::Income(_)]
    ));
}

#[test]
fn an_instance_made_anew_follows_the_same_blocks_and_makes_the_same_job() {
    let mut first = with_a_block();
    let job = first.jobs[0].clone();
    let watched = Watched { block: vec![9; 32], coord: 5, since_ms: 0, saved: job.private.clone() };
    let mut second =
        Host::new(&[("network", Setting::Text("regtest".into())), ("orphan_after", Setting::Int(2))]);
    second.event(Happening::Start(Start {
        saved: vec![],
        watching: vec![watched],
        revision: 1,
        outputs: to_pool(),
        aux: vec![],
    }));
    second.event(Happening::Link((0, true)));
    second.answer("getblockchaininfo", 0, &json!({"chain": "regtest"}));
    second.answer("getblocktemplate", 0, &template(5, 1, 100));
    assert_eq!(second.jobs[0], job);
    second.facts();
    second.answer("getblockhash", 0, &json!(hex::encode(&[9; 32])));
    second.answer("getblockheader", 0, &json!({"confirmations": 2}));
    assert_eq!(second.facts(), see(&mut first, 9, 2));
}

/// A host with this many nodes, which are shown the blocks of their templates.
fn with_proposals(links: u16) -> Host {
    Host::up(&[("proposal", Setting::Flag(true))], to_pool(), links)
}

/// A template without longpoll at height 5, that earns so much.
fn worth(value: u64) -> Value {
    let mut template = without_longpoll(5, 1);
    template["coinbasevalue"] = json!(value);
    template
}

fn took(host: &mut Host, link: u16) {
    let call = host.take_proposal(link).expect("a block shown to the node");
    host.reply(&call, Ok(b"null".to_vec()));
}

fn refused(host: &mut Host, link: u16) {
    let call = host.take_proposal(link).expect("a block shown to the node");
    host.reply(&call, Ok(br#""bad-cb-amount""#.to_vec()));
}

fn alarms(host: &mut Host) -> Vec<(bool, String)> {
    let alarm = |fact| if let Action::Alarm(alarm) = fact { Some(alarm) } else { None };
    host.facts().into_iter().filter_map(alarm).collect()
}

#[test]
fn the_block_of_each_template_that_miners_get_is_shown_to_its_node() {
    let mut host = with_proposals(1);
    let mut again = |ms, value| {
        host.pass(ms);
        if ms > 0 {
            host.event(Happening::Timer(0));
        }
        host.answer("getblocktemplate", 0, &worth(value));
        (host.jobs.len(), host.take_proposal(0).is_some())
    };
    assert_eq!(again(0, 100), (1, true));
    assert_eq!(again(10_000, 200), (2, true), "other transactions on the same tip");
    assert_eq!(again(60_000, 200), (3, false), "a later time is the same block");
    assert_eq!(again(60_000, 300), (4, true));
}

#[test]
fn a_node_that_refused_a_block_of_its_own_has_no_template_published_until_it_takes_one() {
    let mut host = with_proposals(1);
    host.answer("getblocktemplate", 0, &worth(100));
    host.facts();
    refused(&mut host, 0);
    let told = alarms(&mut host);
    assert!(
        matches!(told.as_slice(), [(true, text)] if text.contains("node 0 refuses") && text.contains("bad-cb-amount"))
    );
    // It is asked for another at once, and then again and again: the same one, one that is worth more, one much later.
    for (ms, value) in [(0, 100), (3_000, 100), (20_000, 500), (90_000, 500)] {
        host.pass(ms);
        if ms > 0 {
            assert_eq!(host.timers.last(), Some(&(0, 3_000)));
            host.event(Happening::Timer(0));
        }
        host.answer("getblocktemplate", 0, &worth(value));
        assert_eq!(host.jobs.len(), 1, "published unasked after {ms} ms");
        refused(&mut host, 0);
        assert_eq!(host.jobs.len(), 1);
        assert_eq!(alarms(&mut host), [], "it stays the same trouble");
    }
    // Without an answer nothing changes.
    host.event(Happening::Timer(0));
    host.answer("getblocktemplate", 0, &worth(500));
    let call = host.take_proposal(0).unwrap();
    host.reply(&call, Err(failed(ErrorKind::Timeout, 0)));
    host.event(Happening::Timer(0));
    host.answer("getblocktemplate", 0, &worth(500));
    assert_eq!(host.jobs.len(), 1);

    took(&mut host, 0);
    host.answer("getblocktemplate", 0, &worth(500));
    assert_eq!(host.jobs.len(), 2, "on the same tip, with no time to wait for");
    took(&mut host, 0);
    assert!(host.calls.is_empty() && alarms(&mut host).is_empty());
}

#[test]
fn where_one_node_refuses_its_own_template_anothers_is_worked_on() {
    let mut host = with_proposals(2);
    host.answer("getblocktemplate", 0, &worth(100));
    host.answer("getblocktemplate", 1, &worth(90));
    assert_eq!(host.jobs.len(), 1, "less fees on the same tip");
    refused(&mut host, 0);
    assert!(matches!(alarms(&mut host).as_slice(), [(true, _)]));
    host.answer("getblocktemplate", 1, &worth(90));
    assert_eq!((host.jobs.len(), host.jobs[1].reward), (2, 90));
    took(&mut host, 1);

    // The first goes on to refuse what it makes, and miners keep the work that they have.
    host.pass(30_000);
    host.event(Happening::Timer(0));
    host.answer("getblocktemplate", 0, &worth(200));
    assert_eq!(host.jobs.len(), 2);
    refused(&mut host, 0);
    assert!(alarms(&mut host).iter().all(|(stop, _)| !stop), "nothing of it is to be taken back");
    // Until it takes one.
    host.event(Happening::Timer(0));
    host.answer("getblocktemplate", 0, &worth(200));
    took(&mut host, 0);
    host.answer("getblocktemplate", 0, &worth(200));
    assert_eq!((host.jobs.len(), host.jobs[2].reward), (3, 200));
}

#[test]
fn a_signet_that_asks_for_signatures_gets_no_work_and_one_that_asks_for_nothing_does() {
    let mut host = Host::up(&[], to_pool(), 1);
    let mut signet = worth(100);
    signet["signet_challenge"] = json!(format!("5121{}51ae", "02".repeat(33)));
    host.answer("getblocktemplate", 0, &signet);
    assert!(host.jobs.is_empty());
    assert!(matches!(alarms(&mut host).as_slice(), [(false, text)] if text.contains("BIP 325")));
    host.event(Happening::Timer(0));
    signet["signet_challenge"] = json!("51");
    host.answer("getblocktemplate", 0, &signet);
    assert_eq!(host.jobs.len(), 1);
}
