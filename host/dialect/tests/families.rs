//! What the bundled documents say on the wire, by the tables of what miners were seen to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Session, bytes, family, hex, lines};
use millpond_dialect::{
    Decoded, Dialect, DialectSet, Failure, Intent, JobRef, Push, Request, Rounding, Submit, Suggestion,
    Value, ValueMap,
};
use serde_json::{Value as Json, json};
use std::sync::Arc;

fn decode(dialect: &Dialect, message: &Json, session: &Session) -> Decoded<'static> {
    dialect.decode(message.to_string().as_bytes(), session).into_owned()
}

fn submit(dialect: &Dialect, params: Json, session: &Session) -> Submit<'static> {
    match decode(dialect, &json!({"id": 4, "method": "mining.submit", "params": params}), session).intent {
        Intent::Submit(submit) => submit,
        other => panic!("{other:?}"),
    }
}

fn refused(dialect: &Dialect, params: Json, session: &Session) -> String {
    match decode(dialect, &json!({"id": 4, "method": "mining.submit", "params": params}), session).intent {
        Intent::Malformed { why } => why,
        other => panic!("{other:?}"),
    }
}

fn field(submit: &Submit, name: &str) -> String {
    hex(submit.field(name).unwrap())
}

fn reply(dialect: &Dialect, message: Json, session: &Session, values: &ValueMap) -> Json {
    let decoded = decode(dialect, &message, session);
    let mut out = Vec::new();
    dialect.encode_reply(&decoded.call, values, &mut out).unwrap();
    let mut lines = lines(&out);
    assert_eq!(lines.len(), 1, "{message}");
    lines.remove(0)
}

fn push(dialect: &Dialect, push: Push, values: &ValueMap) -> Vec<Json> {
    let mut out = Vec::new();
    dialect.encode_push(push, values, &mut out).unwrap();
    lines(&out)
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

fn raw(hex: &str) -> Value<'static> {
    Value::Bytes(bytes(hex).into())
}

// ---- Bitcoin

#[test]
fn quirks_of_a_bitcoin_submit_are_tolerated() {
    let dialect = family("bitcoin/v1.dialect");
    let session = Session::ready("08000002", 8);
    let plain = submit(&dialect, json!(["w", "bf", "00000001", "504e86ed", "b2957c02"]), &session);
    assert_eq!(field(&plain, "xn"), "0800000200000001");
    assert_eq!(field(&plain, "vbits"), "00000000");
    assert_eq!(plain.worker.as_deref(), Some("w"));
    // Upper case, a job id as a number, eight zeros as version bits, a nonce that is too long or too short.
    let odd = submit(&dialect, json!([null, 17, "0000000A", "504E86ED", "b2957c02ff", "00000000"]), &session);
    assert_eq!((odd.worker, odd.job), (None, JobRef::Id("17".into())));
    let odd = submit(&dialect, json!(["w", "a", "0a", "504e86ed", "957c02", null]), &session);
    assert_eq!(field(&odd, "xn"), "080000020a000000");
    assert_eq!(field(&odd, "nonce"), "00957c02");
    for (params, why) in [
        (json!(["w", "a", "00000001", "504e86ed"]), "nonce is missing at /params/4"),
        (json!(["w", "a", "0000000g", "504e86ed", "b2957c02"]), "xn has the character 'g', not hex"),
        (json!(["w", "a", "00000001", "504e86", "b2957c02"]), "time has 6 hex digits instead of 8"),
        (json!(["w", null, "00000001", "504e86ed", "b2957c02"]), "the job is missing at /params/1"),
        (json!(["w", "a", 1, "504e86ed", "b2957c02"]), "xn has to be a string of hex digits, not a number"),
        (json!([["w"], "a", "00000001", "504e86ed", "b2957c02"]), "the worker has to be text, not an array"),
        (json!({"worker": "w"}), "the job is missing at /params/1"),
    ] {
        assert_eq!(refused(&dialect, params, &session), why);
    }
}

#[test]
fn configure_answers_only_what_was_asked_for() {
    let dialect = family("bitcoin/v1.dialect");
    let session = Session::default();
    let granted = ValueMap::new().with("mask", raw("1fffe000"));
    let ask = |options: Json, values: Json| json!({"id": "c", "method": "mining.configure", "params": [options, values]});
    let rolling = ask(
        json!(["version-rolling"]),
        json!({"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2}),
    );
    assert_eq!(
        reply(&dialect, rolling.clone(), &session, &granted)["result"],
        json!({"version-rolling": true, "version-rolling.mask": "1fffe000"})
    );
    assert_eq!(
        reply(&dialect, rolling, &session, &ValueMap::new())["result"],
        json!({"version-rolling": false})
    );
    let all = ask(
        json!(["minimum-difficulty", "version-rolling", "subscribe-extranonce", "info", "x-other", "info"]),
        json!({"minimum-difficulty.value": 2048, "version-rolling.mask": "ffffffff"}),
    );
    let Intent::Negotiate(requests) = decode(&dialect, &all, &session).intent else { panic!() };
    assert_eq!(
        requests,
        [
            Request::Least(Suggestion::Difficulty(2048.0)),
            Request::Field { field: "mask".to_owned(), value: bytes("ffffffff") },
            Request::ExtranonceUpdates,
        ]
    );
    assert_eq!(
        reply(&dialect, all, &session, &granted),
        json!({"id": "c", "error": null, "result": {
            "minimum-difficulty": true, "version-rolling": true, "version-rolling.mask": "1fffe000",
            "subscribe-extranonce": true, "info": true, "x-other": false}})
    );
    // An option whose value is missing is denied; the others go on.
    let half = ask(json!(["minimum-difficulty", "info"]), json!({}));
    assert_eq!(
        reply(&dialect, half, &session, &granted)["result"],
        json!({"minimum-difficulty": false, "info": true})
    );
    // No mask in the request: the miner can roll whatever it is given.
    let bare = ask(json!(["version-rolling"]), Json::Null);
    let Intent::Negotiate(requests) = decode(&dialect, &bare, &session).intent else { panic!() };
    assert_eq!(requests, [Request::Field { field: "mask".to_owned(), value: bytes("ffffffff") }]);
}

#[test]
fn ids_are_echoed_as_they_were_written() {
    let dialect = family("bitcoin/v1.dialect");
    for id in ["0", "1e2", "18446744073709551616", "\"abc\"", "\"\\u00e9\"", "null", "-1.50"] {
        let line = format!(r#"{{"id":{id},"method":"mining.ping"}}"#);
        let decoded = dialect.decode(line.as_bytes(), &Session::default());
        let mut out = Vec::new();
        dialect.encode_reply(&decoded.call, &(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("{{\"id\":{id},\"result\":\"pong\",\"error\":null}}\n")
        );
    }
    let decoded = dialect.decode(br#"{"method":"mining.ping"}"#, &Session::default());
    assert_eq!(decoded.call.id(), "null");
}

#[test]
fn subscribe_takes_every_form_that_miners_send() {
    let dialect = family("bitcoin/v1.dialect");
    for (params, agent, resume) in [
        (json!([]), None, None),
        (json!(["ua"]), Some("ua"), None),
        (json!(["ua", null]), Some("ua"), None),
        (json!(["ua", "6b0143a6", "pool.example", 3333]), Some("ua"), Some("6b0143a6")),
        (json!(["ua", {"odd": 1}]), Some("ua"), None),
        (Json::Null, None, None),
    ] {
        let line = json!({"id": 1, "method": "mining.subscribe", "params": params});
        let Intent::Hello { agent: a, resume: r } = decode(&dialect, &line, &Session::default()).intent
        else {
            panic!("{line}")
        };
        assert_eq!((a.as_deref(), r.as_deref()), (agent, resume));
    }
}

#[test]
fn nothing_is_pushed_before_its_time() {
    let dialect = family("bitcoin/v1.dialect");
    let mut session = Session::default();
    for early in [Push::Target, Push::Job, Push::Mask, Push::Extranonce] {
        assert!(!dialect.may_push(early, &session), "{early:?}");
    }
    let configure = json!({"id": 1, "method": "mining.configure", "params": [["version-rolling"], {}]});
    session.mask = Some(bytes("1fffe000"));
    let call = decode(&dialect, &configure, &session).call;
    assert_eq!(dialect.pushes_after(&call, &session), []);
    assert!(!dialect.may_push(Push::Mask, &session), "a mask between configure and subscribe");
    let subscribe =
        decode(&dialect, &json!({"id": 2, "method": "mining.subscribe", "params": []}), &session).call;
    session.subscribed = true;
    assert_eq!(dialect.pushes_after(&subscribe, &session), [Push::Target]);
    let authorize =
        decode(&dialect, &json!({"id": 3, "method": "mining.authorize", "params": ["a.b"]}), &session).call;
    session.authorized = true;
    assert_eq!(dialect.pushes_after(&authorize, &session), [Push::Target, Push::Job]);
    assert!(dialect.may_push(Push::Mask, &session));
    assert!(!dialect.may_push(Push::Extranonce, &session));
    // The other way round: the job waits for the subscription.
    let early = Session { authorized: true, ..Session::default() };
    assert_eq!(dialect.pushes_after(&authorize, &early), []);
    assert_eq!(dialect.pushes_after(&subscribe, &session), [Push::Target, Push::Job]);
}

#[test]
fn refusals_carry_the_codes_that_miners_know() {
    let dialect = family("bitcoin/v1.dialect");
    let call =
        decode(&dialect, &json!({"id": 9, "method": "mining.submit", "params": []}), &Session::default())
            .call;
    for (failure, code, text) in [
        (Failure::Other, 20, "Other"),
        (Failure::Stale, 21, "Stale job"),
        (Failure::UnknownJob, 21, "Job not found"),
        (Failure::Duplicate, 22, "Duplicate share"),
        (Failure::LowDifficulty, 23, "Low difficulty share"),
        (Failure::Unauthorized, 24, "Unauthorized worker"),
        (Failure::NotSubscribed, 25, "Not subscribed"),
        (Failure::UnknownMethod, -3, "Method not found"),
    ] {
        let mut out = Vec::new();
        dialect.encode_error(&call, failure, None, &mut out);
        assert_eq!(lines(&out), [json!({"id": 9, "result": null, "error": [code, text, null]})]);
    }
    let mut out = Vec::new();
    dialect.encode_error(&call, Failure::Other, Some("say \"no\"\n"), &mut out);
    assert_eq!(lines(&out)[0]["error"][1], "say \"no\"\n");
}

#[test]
fn suggestions_come_in_several_forms() {
    let dialect = family("bitcoin/v1.dialect");
    for line in [
        json!({"id": 1, "method": "mining.suggest_difficulty", "params": [1024]}),
        json!({"id": 1, "method": "mining.suggest_difficulty", "params": ["1024.0"]}),
        json!({"id": 1, "method": "mining.suggest_difficulty(1024"}),
        json!({"id": 1, "method": "mining.suggest_difficulty(1024)", "params": []}),
    ] {
        let intent = decode(&dialect, &line, &Session::default()).intent;
        assert_eq!(intent, Intent::Suggest(Suggestion::Difficulty(1024.0)), "{line}");
    }
    for bad in [json!([0]), json!([-1]), json!(["1e999"]), json!(["x"]), json!([]), json!([true])] {
        let line = json!({"id": 1, "method": "mining.suggest_difficulty", "params": bad});
        let intent = decode(&dialect, &line, &Session::default()).intent;
        assert!(matches!(intent, Intent::Malformed { .. }), "{line}");
    }
    let mut target = [0; 32];
    target[30] = 0xff;
    let line = json!({"id": 1, "method": "mining.suggest_target", "params": ["0xff00"]});
    let intent = decode(&dialect, &line, &Session::default()).intent;
    assert_eq!(intent, Intent::Suggest(Suggestion::Target(target)));
}

#[test]
fn a_method_that_nobody_knows_is_named() {
    let dialect = family("bitcoin/v1.dialect");
    let intent = decode(&dialect, &json!({"id": 1, "method": "mining.dance(1)"}), &Session::default()).intent;
    assert_eq!(intent, Intent::Unknown { method: "mining.dance(1)".to_owned() });
}

#[test]
fn answers_to_our_own_requests_are_left_alone() {
    let dialect = family("bitcoin/v1.dialect");
    for line in
        [json!({"id": 0, "result": "cgminer/4.10", "error": null}), json!({"id": null, "result": true})]
    {
        let decoded = decode(&dialect, &line, &Session::default());
        let Intent::Answer { text } = decoded.intent else { panic!("{:?}", decoded.intent) };
        assert_eq!(text.as_deref(), line["result"].as_str());
        let mut out = Vec::new();
        dialect.encode_reply(&decoded.call, &(), &mut out).unwrap();
        dialect.encode_error(&decoded.call, Failure::Other, None, &mut out);
        assert!(out.is_empty());
    }
}

#[test]
fn pushes_of_bitcoin() {
    let dialect = family("bitcoin/v1.dialect");
    let values = ValueMap::new()
        .with("difficulty", Value::Float(512.0))
        .with("mask", raw("1fffe000"))
        .with("xn.prefix", raw("0a0b"))
        .with("xn.rest", Value::Number(6))
        .with("host", text("pool.example"))
        .with("port", Value::Number(3333))
        .with("wait", Value::Number(5))
        .with("text", text("back at \"noon\""));
    let params = |kind| push(&dialect, kind, &values)[0]["params"].clone();
    assert_eq!(params(Push::Target).to_string(), "[512]");
    assert_eq!(params(Push::Mask), json!(["1fffe000"]));
    assert_eq!(params(Push::Extranonce), json!(["0a0b", 6]));
    assert_eq!(params(Push::Reconnect), json!(["pool.example", 3333, 5]));
    assert_eq!(params(Push::Message), json!(["back at \"noon\""]));
    assert_eq!(dialect.rounding(), Rounding::Integers);
}

// ---- Kaspa

fn kaspa() -> DialectSet {
    let all = ["kaspa/default.dialect", "kaspa/iceriver.dialect", "kaspa/bitmain.dialect"].map(family);
    DialectSet::from_documents(&all).unwrap()
}

fn kaspa_job() -> ValueMap {
    // A recipe's registers: the hash as computed, the time little-endian.
    ValueMap::new()
        .with("job", text("1"))
        .with("prepow", Value::Bytes((0..32).collect::<Vec<u8>>().into()))
        .with("time", Value::Bytes(5_435_345_234_u64.to_le_bytes().to_vec().into()))
}

#[test]
fn kaspa_miners_are_told_apart_by_their_agent() {
    let set = kaspa();
    for (agent, dialect) in [
        ("IceRiverMiner-v1.1", "kaspa-iceriver"),
        ("BzMiner-v15", "kaspa-iceriver"),
        ("GodMiner/2.0.0", "kaspa-bitmain"),
        ("bmminer antminer KS5", "kaspa-bitmain"),
        ("lolMiner 1.76", "kaspa-default"),
        ("SRBMiner-MULTI", "kaspa-default"),
    ] {
        let mut current = Arc::clone(set.default_dialect());
        let line = json!({"id": 1, "method": "mining.subscribe", "params": [agent]}).to_string();
        let decoded = set.decode(&mut current, line.as_bytes(), &Session::default());
        assert_eq!(current.name(), dialect, "{agent}");
        assert!(matches!(decoded.intent, Intent::Hello { .. }));
    }
    // A port of Goldshells can be fixed to one of them.
    assert_eq!(set.fixed("kaspa-iceriver").unwrap().for_agent("GodMiner").name(), "kaspa-iceriver");
    assert!(set.fixed("kaspa-none").is_none());
}

#[test]
fn kaspa_jobs_are_a_big_string_or_four_numbers() {
    let job = |path: &str| {
        let mut out = Vec::new();
        family(path).encode_job(&kaspa_job()).unwrap().write(&(), &mut out).unwrap();
        lines(&out).remove(0)
    };
    let hash: Vec<u8> = (0..32).collect();
    let string = hex(&hash) + &hex(&5_435_345_234_u64.to_le_bytes());
    assert_eq!(string.len(), 80);
    assert_eq!(job("kaspa/iceriver.dialect"), json!({"method": "mining.notify", "params": ["1", string]}));
    let words: Vec<u64> = hash.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    for path in ["kaspa/bitmain.dialect", "kaspa/default.dialect"] {
        assert_eq!(job(path)["params"], json!(["1", words, 5_435_345_234_u64]));
    }
}

#[test]
fn kaspa_subscriptions_and_extranonces() {
    let values = ValueMap::new().with("xn.prefix", raw("0001")).with("xn.rest", Value::Number(6));
    for (path, result, extranonce) in [
        ("kaspa/iceriver.dialect", json!([true, "EthereumStratum/1.0.0"]), json!(["0001"])),
        ("kaspa/default.dialect", json!([true, "EthereumStratum/1.0.0"]), json!(["0001"])),
        ("kaspa/bitmain.dialect", json!([null, "0001", 6]), json!(["0001", 6])),
    ] {
        let dialect = family(path);
        let subscribe = json!({"id": 1, "method": "mining.subscribe", "params": ["x"]});
        assert_eq!(reply(&dialect, subscribe, &Session::default(), &values)["result"], result);
        let pushed = push(&dialect, Push::Extranonce, &values).remove(0);
        assert_eq!(pushed, json!({"method": "mining.set_extranonce", "params": extranonce}));
        // After the login: extranonce, difficulty, job.
        let session = Session::ready("0001", 8);
        let login = json!({"id": 2, "method": "mining.authorize", "params": ["kaspa:q.w", "x"]});
        let call = decode(&dialect, &login, &session).call;
        assert_eq!(dialect.pushes_after(&call, &session), [Push::Extranonce, Push::Target, Push::Job]);
    }
}

#[test]
fn a_short_kaspa_nonce_is_the_miners_part() {
    let session = Session::ready("0001", 8);
    for path in ["kaspa/iceriver.dialect", "kaspa/default.dialect", "kaspa/bitmain.dialect"] {
        let dialect = family(path);
        let nonce = |params: Json| field(&submit(&dialect, params, &session), "xn");
        assert_eq!(nonce(json!(["kaspa:q.w", "7", "00010203040506ff"])), "00010203040506ff");
        assert_eq!(nonce(json!(["kaspa:q.w", "7", "0x00010203040506ff"])), "00010203040506ff");
        assert_eq!(nonce(json!(["kaspa:q.w", 7, "203040506ff"])), "00010203040506ff");
        assert_eq!(nonce(json!(["kaspa:q.w", 7, "10203040506ff"])), "00010203040506ff");
        assert_eq!(submit(&dialect, json!(["a", 7, "ff"]), &session).job, JobRef::Id("7".into()));
        assert!(refused(&dialect, json!(["a", 7, "000102030405060708"]), &session).contains("18 hex digits"));
    }
    let five = submit(&family("kaspa/default.dialect"), json!(["a", "7", "0", "0", "0xff"]), &session);
    assert_eq!(field(&five, "xn"), "00010000000000ff");
}

#[test]
fn nul_bytes_of_iceriver_are_stripped() {
    let dialect = family("kaspa/iceriver.dialect");
    let line = b"{\"id\":1,\"method\":\"mining.submit\",\"params\":[\"a\",\"7\",\"ff\"]}\0\0\n";
    let decoded = dialect.decode(line, &Session::ready("0001", 8));
    assert!(matches!(decoded.intent, Intent::Submit(_)), "{:?}", decoded.intent);
    let elsewhere = family("bitcoin/v1.dialect").decode(line, &Session::default());
    assert!(matches!(elsewhere.intent, Intent::Malformed { .. }));
}

#[test]
fn kaspa_difficulties_are_powers_of_two_above_the_easier_difficulty_1() {
    let dialect = family("kaspa/default.dialect");
    let chain = millpond_types::Target::BITCOIN_DIFF1;
    let (difficulty, target) = dialect.share_target(5000.0, chain).unwrap();
    assert_eq!(difficulty, 4096.0);
    assert!(target > millpond_types::Target::from_difficulty(4096.0, chain).unwrap());
    let pushed = push(&dialect, Push::Target, &ValueMap::new().with("difficulty", Value::Float(difficulty)));
    assert_eq!(pushed[0]["params"].to_string(), "[4096]");
}

// ---- CKB

const POW_HASH: &str = "d5a74fba920ad0d35ec5726f26327547cbc82180e356e5ccf6cf2e6bd75f8a66";
const PARENT: &str = "df4f270000000000000000000000000000000000000000000000000000fe1200";

fn ckb_job(dialect: &Dialect, clean: bool) -> Json {
    let job = ValueMap::new()
        .with("job", text("1611"))
        .with("pow_hash", raw(POW_HASH))
        .with("coord", Value::Number(1))
        .with("parent", raw(PARENT))
        .with("clean", Value::Flag(clean));
    let session = ckb_session();
    let mut out = Vec::new();
    dialect.encode_job(&job).unwrap().write(&session, &mut out).unwrap();
    lines(&out).remove(0)
}

fn target_be() -> String {
    format!("0001{}", "00".repeat(30))
}

fn ckb_session() -> ValueMap {
    ValueMap::new()
        .with("target", raw(&target_be()))
        .with("difficulty", Value::Float(65536.0))
        .with("session", text("s1"))
        .with("xn.prefix", raw("00c904bd"))
        .with("xn.rest", Value::Number(12))
}

/// The recorded session of the common dialect.
#[test]
fn ckb_a_speaks_as_recorded() {
    let dialect = family("ckb/a.dialect");
    let session = Session::ready("00c904bd", 16);
    let subscribe = json!({"id": 1, "method": "mining.subscribe", "params": ["ckbminer-v1.0.0", null]});
    assert_eq!(
        reply(&dialect, subscribe, &session, &ckb_session()),
        json!({"id": 1, "result": [null, "00c904bd", 12], "error": null})
    );
    assert_eq!(
        push(&dialect, Push::Target, &ckb_session()),
        [json!({"id": null, "method": "mining.set_target", "params": [target_be()]})]
    );
    assert_eq!(
        ckb_job(&dialect, true),
        json!({"id": null, "method": "mining.notify", "params": ["1611", POW_HASH, 1, PARENT, true]})
    );
    let share = submit(&dialect, json!(["ckb1q.worker1", "1611", "000000000000000000114026"]), &session);
    assert_eq!(field(&share, "xn"), "00c904bd000000000000000000114026");
    assert!(
        refused(&dialect, json!(["a", "1611", "0000000000000000114026"]), &session).contains("instead of 24")
    );
    let zero_x = json!(["a", "1611", "0x0000000000000000001140"]);
    assert_eq!(refused(&dialect, zero_x, &session), "xn has the character 'x', not hex");
}

#[test]
fn ckb_dialects_differ_where_the_table_says() {
    let [b, c, d] = ["ckb/b.dialect", "ckb/c.dialect", "ckb/d.dialect"].map(family);
    let little: String = hex(&bytes(&target_be()).into_iter().rev().collect::<Vec<_>>());
    assert_eq!(ckb_job(&b, false)["params"], json!(["1611", POW_HASH, 1, target_be(), false]));
    assert_eq!(ckb_job(&c, true)["params"], json!(["1611", POW_HASH, 1, little, true]));
    assert_eq!(ckb_job(&d, true)["params"], json!(["1611", POW_HASH, target_be(), true]));
    let targets = push(&c, Push::Target, &ckb_session());
    assert_eq!(targets[0]["params"], json!([little]));
    assert_eq!(
        (&targets[1]["method"], &targets[1]["params"]),
        (&json!("mining.set_difficulty"), &json!([65536]))
    );
    let subscribe = json!({"id": 0, "method": "mining.subscribe", "params": []});
    assert_eq!(
        reply(&c, subscribe.clone(), &Session::default(), &ckb_session())["result"],
        json!([[["mining.set_difficulty", "00c904bd"], ["mining.notify", "00c904bd"]], "00c904bd", 12])
    );
    assert_eq!(
        reply(&b, subscribe, &Session::default(), &ckb_session())["result"],
        json!([null, "00c904bd", 12])
    );
    let share = submit(&c, json!(["w", "j", "", "", "01020304"]), &Session::ready(&"0a".repeat(12), 16));
    assert_eq!(field(&share, "xn"), "0a".repeat(12) + "01020304");
    let whole = "000102030405060708090a0b0c0d0e0f";
    assert_eq!(field(&submit(&d, json!(["w", "j", whole]), &Session::ready("0001", 16)), "xn"), whole);
    assert_eq!(b.extranonce_rest(), Some(8..=8));
    let (_, target) = c.share_target(65536.0, millpond_types::Target::BITCOIN_DIFF1).unwrap();
    assert_eq!(hex(&target.to_be_bytes()), format!("000000000001{}", "00".repeat(26)));
}

#[test]
fn a_ckb_job_is_encoded_once_and_its_target_per_session() {
    let dialect = family("ckb/b.dialect");
    let job = ValueMap::new()
        .with("job", text("1"))
        .with("pow_hash", raw(POW_HASH))
        .with("coord", Value::Number(1))
        .with("clean", Value::Flag(false));
    let rope = dialect.encode_job(&job).unwrap();
    assert!(!rope.is_whole());
    let write = |target: &str| {
        let mut out = Vec::new();
        rope.write(&ValueMap::new().with("target", raw(target)), &mut out).unwrap();
        lines(&out)[0]["params"][3].clone()
    };
    assert_eq!((write("aa"), write("bb")), (json!("aa"), json!("bb")));
    let mut out = b"kept".to_vec();
    assert!(rope.write(&(), &mut out).is_err());
    assert_eq!(out, b"kept");
}

#[test]
fn an_asic_that_logs_in_first_and_reuses_its_id_gets_its_job_after_the_subscription() {
    let dialect = family("ckb/a.dialect");
    let mut session = Session::default();
    let login = decode(
        &dialect,
        &json!({"id": 0, "method": "mining.authorize", "params": ["ckb1q", null]}),
        &session,
    );
    assert_eq!(login.intent, Intent::Login { user: "ckb1q".to_owned(), password: None, agent: None });
    session.authorized = true;
    assert_eq!(dialect.pushes_after(&login.call, &session), []);
    let hello = decode(&dialect, &json!({"id": 0, "method": "mining.subscribe", "params": []}), &session);
    session.subscribed = true;
    assert_eq!(dialect.pushes_after(&hello.call, &session), [Push::Target, Push::Job]);
}

// ---- Decred

#[test]
fn decred_speaks_in_slices_of_the_header() {
    let dialect = family("decred/v1.dialect");
    let mut header: Vec<u8> = (0..180).collect();
    header[144..152].fill(0);
    let text_of = |from: usize, to: usize| hex(&header)[from..to].to_owned();
    let values = ValueMap::new()
        .with("job", text("1a"))
        .with("header", Value::Bytes(header.clone().into()))
        .with("clean", Value::Flag(true))
        .with("session", text("s"))
        .with("xn.prefix", raw("01020304"))
        .with("xn.rest", Value::Number(4));
    let mut out = Vec::new();
    dialect.encode_job(&values).unwrap().write(&(), &mut out).unwrap();
    // Positions in hex digits, as dcrpool has them.
    assert_eq!(
        lines(&out)[0]["params"],
        json!([
            "1a",
            text_of(8, 72),
            text_of(72, 360),
            "",
            [],
            text_of(0, 8),
            text_of(232, 240),
            text_of(272, 280),
            true
        ])
    );
    let subscribe = json!({"id": 1, "method": "mining.subscribe", "params": ["gominer/2.0"]});
    assert_eq!(
        reply(&dialect, subscribe, &Session::default(), &values)["result"],
        json!([[["mining.set_difficulty", "s"], ["mining.notify", "s"]], "01020304", 4])
    );
    let share = submit(
        &dialect,
        json!(["w", "1a", "0a0b0c0d", "5f5e1000", "deadbeef"]),
        &Session::ready("01020304", 8),
    );
    assert_eq!(field(&share, "xn"), "010203040a0b0c0d");
    assert_eq!(
        (field(&share, "time"), field(&share, "nonce")),
        ("5f5e1000".to_owned(), "deadbeef".to_owned())
    );
}
