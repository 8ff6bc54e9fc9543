//! Families that no native code knows: the documents of the language's reference, and one that was never heard of.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Session, bytes, hex, lines};
use millpond_dialect::{Dialect, Failure, Intent, JobRef, Push, Request, Suggestion, Value, ValueMap};
use serde_json::json;
use std::sync::Arc;

const REFERENCE: &str = include_str!("../../../docs/dialects.md");

/// A whole document of the reference, by its name.
fn documented(name: &str) -> Arc<Dialect> {
    let blocks = REFERENCE.split("```dialect\n").skip(1).map(|block| block.split("```").next().unwrap());
    let text = blocks.into_iter().find(|text| text.starts_with(&format!("dialect 1 \"{name}\""))).unwrap();
    Dialect::compile(name, text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn intent(dialect: &Dialect, message: serde_json::Value, session: &Session) -> Intent<'static> {
    dialect.decode(message.to_string().as_bytes(), session).intent.into_owned()
}

fn repeated(byte: u8, count: usize) -> Value<'static> {
    Value::Bytes(vec![byte; count].into())
}

#[test]
fn every_whole_document_of_the_reference_compiles() {
    let names = ["shortest", "monero", "etc-eth-proxy", "zcash"];
    assert_eq!(REFERENCE.matches("```dialect\n").count(), names.len());
    for name in names {
        assert_eq!(documented(name).name(), name);
    }
}

#[test]
fn the_reference_names_every_value_of_the_host() {
    let values = REFERENCE.split("Values of the host").nth(1).unwrap().split("\n## ").next().unwrap();
    for (name, _) in millpond_dialect::HOST_VALUES {
        let of_envelopes = ["id", "result", "failure", "code"].contains(name);
        let row = if of_envelopes {
            REFERENCE.contains(&format!("{{{name}}}"))
        } else {
            values.contains(&format!("`{name}`"))
        };
        assert!(row, "{name} is not in docs/dialects.md");
    }
}

#[test]
fn monero_is_a_document() {
    let dialect = documented("monero");
    let login = json!({"id": 1, "jsonrpc": "2.0", "method": "login", "params":
        {"login": "4addr.w", "pass": "x", "agent": "XMRig/6", "algo": ["rx/0"]}});
    let decoded = dialect.decode(login.to_string().as_bytes(), &Session::default()).into_owned();
    let agent = Some("XMRig/6".to_owned());
    assert_eq!(
        decoded.intent,
        Intent::Login { user: "4addr.w".to_owned(), password: Some("x".to_owned()), agent }
    );
    assert!(decoded.call.wants_job());
    let mut target = vec![0; 32];
    target[0..4].copy_from_slice(&[0, 0x06, 0x8d, 0xb8]);
    let values = ValueMap::new()
        .with("session", Value::Text("s1".into()))
        .with("blob", repeated(0x10, 76))
        .with("job", Value::Text("j1".into()))
        .with("target", Value::Bytes(target.into()))
        .with("coord", Value::Number(3_000_000))
        .with("seed", repeated(5, 32));
    let mut out = Vec::new();
    dialect.encode_reply(&decoded.call, &values, &mut out).unwrap();
    let job = json!({"blob": "10".repeat(76), "job_id": "j1", "target": "b88d0600", "height": 3_000_000,
        "seed_hash": "05".repeat(32), "algo": "rx/0"});
    let result = json!({"id": "s1", "status": "OK", "extensions": ["keepalive"], "job": job});
    assert_eq!(lines(&out), [json!({"id": 1, "jsonrpc": "2.0", "error": null, "result": result})]);
    out.clear();
    dialect.encode_job(&values).unwrap().write(&(), &mut out).unwrap();
    assert_eq!(lines(&out), [json!({"jsonrpc": "2.0", "method": "job", "params": job})]);
    assert!(!dialect.has_push(Push::Target));
    let share = json!({"id": 2, "method": "submit", "params":
        {"id": "s1", "job_id": "j1", "nonce": "d0030040", "result": "e1".repeat(32)}});
    let Intent::Submit(share) = intent(&dialect, share, &Session::default()) else { panic!() };
    assert_eq!((share.worker.as_ref(), &share.job), (None, &JobRef::Id("j1".into())));
    assert_eq!(
        (share.field("nonce"), share.field("claim")),
        (Some(&bytes("d0030040")[..]), Some(&[0xe1; 32][..]))
    );
    out.clear();
    dialect.encode_error(&decoded.call, Failure::Unauthorized, None, &mut out);
    assert_eq!(lines(&out)[0]["error"], json!({"code": -1, "message": "Unauthenticated"}));
}

#[test]
fn eth_proxy_finds_its_job_by_the_hash_mined_on() {
    let dialect = documented("etc-eth-proxy");
    let hash = "ab".repeat(32);
    let share = json!({"id": 4, "worker": "rig1", "method": "eth_submitWork", "params":
        ["0x00000000deadbeef", format!("0x{hash}"), format!("0x{}", "cd".repeat(32))]});
    let Intent::Submit(share) = intent(&dialect, share, &Session::default()) else { panic!() };
    assert_eq!(share.worker.as_deref(), Some("rig1"));
    assert_eq!(share.job, JobRef::Register { name: "powhash".into(), value: bytes(&hash) });
    assert_eq!(share.field("nonce").unwrap(), bytes("00000000deadbeef"));
    let bare = json!({"id": 4, "method": "eth_submitWork", "params": ["00000000deadbeef", hash, hash]});
    let Intent::Malformed { why } = intent(&dialect, bare, &Session::default()) else { panic!() };
    assert_eq!(why, "powhash has to begin with 0x");
    let poll = dialect.decode(br#"{"id":3,"method":"eth_getWork","params":[]}"#, &Session::default());
    assert_eq!(poll.intent, Intent::GetJob);
    assert!(poll.call.wants_job());
    let values = ValueMap::new()
        .with("powhash", repeated(0xab, 32))
        .with("seed", repeated(0, 32))
        .with("target", repeated(0x0f, 32))
        .with("coord", Value::Number(0x12_3456));
    let work = json!([
        format!("0x{hash}"),
        format!("0x{}", "00".repeat(32)),
        format!("0x{}", "0f".repeat(32)),
        "0x123456"
    ]);
    let mut out = Vec::new();
    dialect.encode_reply(&poll.call, &values, &mut out).unwrap();
    dialect.encode_job(&values).unwrap().write(&(), &mut out).unwrap();
    assert_eq!(
        lines(&out),
        [
            json!({"id": 3, "jsonrpc": "2.0", "result": work}),
            json!({"id": 0, "jsonrpc": "2.0", "result": work})
        ]
    );
}

#[test]
fn zcash_carries_its_solution_as_a_field() {
    let dialect = documented("zcash");
    let session = Session::ready("0a0b0c0d", 32);
    let solution = format!("fd4005{}", "77".repeat(1344));
    let share = json!({"id": 4, "method": "mining.submit", "params": ["t1.w", "j", "5f5e1000", "01".repeat(28), solution]});
    let Intent::Submit(share) = intent(&dialect, share, &session) else { panic!() };
    assert_eq!(hex(share.field("xn").unwrap()), format!("0a0b0c0d{}", "01".repeat(28)));
    assert_eq!(share.field("solution").unwrap().len(), 1347);
    let target = json!({"id": 5, "method": "mining.suggest_target", "params": ["01".repeat(32)]});
    assert_eq!(intent(&dialect, target, &session), Intent::Suggest(Suggestion::Target([1; 32])));
}

/// A family made up for this test, with every oddity at once: nested parameters, decimal little-endian nonces, ids in
/// another place, a feature to be negotiated alone, two lines a job, and methods told apart by their parameters.
const ORCHARD: &str = r#"
dialect 1 "orchard"
match agent "Cider*" "perry-*"
diff1 00000000ffff0000000000000000000000000000000000000000000000000000
difficulty powers-of-two
extranonce rest 2
envelope ok    {"re": {id}, "ok": {result}}
envelope error {"re": {id}, "no": {failure}}
failure        {"why": "{text} ({code})"}
code stale 410 "gone sour"

on pip when /seed/variety is string and not /seed/graft
  hello agent /seed/variety
  reply {"row": "{session}", "depth": {xn.rest}}
on pip
  login user /seed/graft/name
  reply "planted"
  then target job
on ladder
  negotiate reach /rungs num len 2
  reply {"reach": {reach:num-be}}
  then mask
on pick when /basket/0 is array
  submit
  worker /by
  job /basket/0/0
  field xn.suffix /basket/0/1 hexany pad-left
  field nonce /basket/0/2 num len 4 rev
  field stem /basket/0/3 text default 6e6f6e65
  reply {"ripe": true}
on pick refuse other "bring a basket"
on wind ignore

push target needs authorized {"sugar": {difficulty}, "acid": {target:diff}}
push mask needs reach {"reach": {reach:num-be}}
push job needs subscribed authorized
  {"tree": "{job}", "trunk": "{trunk[1..3]:hex}{{}", "leaves": {leaves:each2:rev:hex0x}, "late": {late?:hex}}
  {"rings": {rings:u64be}, "age": {coord:quantity}, "clean": {clean}}
"#;

#[test]
fn an_eighth_family_needs_no_rebuild() {
    let dialect = Dialect::compile("orchard", ORCHARD).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(
        dialect.matches_agent("perry-2")
            && dialect.matches_agent("ciderpress")
            && !dialect.matches_agent("mead")
    );
    let mut session = Session { subscribed: true, ..Session::with_prefix("aabb", 4) };
    let hello = json!({"method": "pip", "id": "α", "seed": {"variety": "Cider 3"}});
    let hello = dialect.decode(hello.to_string().as_bytes(), &session).into_owned();
    assert_eq!(hello.intent, Intent::Hello { agent: Some("Cider 3".to_owned()), resume: None });
    let values = ValueMap::new()
        .with("session", Value::Text("r\"1".into()))
        .with("xn.rest", Value::Number(2))
        .with("reach", Value::Bytes(vec![1, 4].into()))
        .with("difficulty", Value::Float(0.25))
        .with("target", Value::Bytes(bytes(&format!("00000003fffc{}", "00".repeat(26))).into()))
        .with("trunk", Value::Bytes(vec![9, 8, 7, 6].into()))
        .with("leaves", Value::Bytes(vec![1, 2, 3, 4].into()))
        .with("rings", Value::Bytes([1_u64.to_be_bytes(), u64::MAX.to_be_bytes()].concat().into()))
        .with("coord", Value::Number(255))
        .with("clean", Value::Flag(true));
    let mut out = Vec::new();
    dialect.encode_reply(&hello.call, &values, &mut out).unwrap();
    let login =
        dialect.decode(br#"{"method":"pip","id":2,"seed":{"variety":"x","graft":{"name":"ann"}}}"#, &session);
    assert_eq!(login.intent, Intent::Login { user: "ann".to_owned(), password: None, agent: None });
    session.authorized = true;
    assert_eq!(dialect.pushes_after(&login.call, &session), [Push::Target, Push::Job]);
    let ladder = dialect.decode(br#"{"method":"ladder","id":3,"rungs":260}"#, &session);
    assert_eq!(
        ladder.intent,
        Intent::Negotiate(vec![Request::Field { field: "reach".to_owned(), value: vec![1, 4] }])
    );
    dialect.encode_reply(&ladder.call, &values, &mut out).unwrap();
    dialect.encode_error(&ladder.call, Failure::Stale, None, &mut out);
    dialect.encode_push(Push::Target, &values, &mut out).unwrap();
    let rope = dialect.encode_job(&values).unwrap();
    rope.write(&ValueMap::new().with("job", Value::Text("t9".into())), &mut out).unwrap();
    assert_eq!(
        lines(&out),
        [
            json!({"re": "α", "ok": {"row": "r\"1", "depth": 2}}),
            json!({"re": 3, "ok": {"reach": 260}}),
            json!({"re": 3, "no": {"why": "gone sour (410)"}}),
            json!({"sugar": 0.25, "acid": 0.25}),
            json!({"tree": "t9", "trunk": "0807{}", "leaves": ["0x0201", "0x0403"], "late": null}),
            json!({"rings": [1, u64::MAX], "age": "0xff", "clean": true}),
        ]
    );
    let share = br#"{"method":"pick","id":4,"by":"bob","basket":[["t9","0x7",258]]}"#;
    let Intent::Submit(share) = dialect.decode(share, &session).intent else { panic!() };
    let fields: Vec<_> = share.fields().map(|(name, bytes)| (name, hex(bytes))).collect();
    assert_eq!(
        fields,
        [("xn", "aabb0007".to_owned()), ("nonce", "02010000".to_owned()), ("stem", hex(b"none"))]
    );
    let empty = dialect.decode(br#"{"method":"pick","id":5}"#, &session);
    assert_eq!(empty.intent, Intent::Static);
    out.clear();
    dialect.encode_reply(&empty.call, &(), &mut out).unwrap();
    assert_eq!(lines(&out), [json!({"re": 5, "no": {"why": "bring a basket (20)"}})]);
    let wind = dialect.decode(br#"{"method":"wind","id":6}"#, &session);
    assert_eq!((wind.intent, wind.call.is_silent()), (Intent::Ignored, true));
}
