//! Sessions of real miners with ckpool, recorded on regtest: every line of a miner means the right thing, and every
//! line of the pool can be written by our document from its values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Session, bytes, family, hex, lines};
use millpond_dialect::{Call, Dialect, DialectSet, Failure, Intent, JobRef, Push, Request, Value, ValueMap};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

struct Line {
    from_miner: bool,
    text: String,
    json: Json,
}

fn transcript(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let record: Json = serde_json::from_str(line).unwrap();
        let text = record["line"].as_str().unwrap().to_owned();
        Line { from_miner: record["dir"] == ">", json: serde_json::from_str(&text).unwrap(), text }
    };
    text.lines().map(line).collect()
}

const TRANSCRIPTS: [(&str, &str, usize); 3] = [
    ("minerd", include_str!("transcripts/minerd-ckpool.jsonl"), 36),
    ("cpuminer-multi", include_str!("transcripts/cpuminer-multi-ckpool.jsonl"), 32),
    ("para", include_str!("transcripts/para-ckpool.jsonl"), 70),
];

/// The values of a recorded notify, as a recipe's registers have them.
fn job_values(params: &Json) -> ValueMap {
    let register = |index: usize| bytes(params[index].as_str().unwrap());
    // The header's orders: each word of the hash turned round, the bits little-endian.
    let prev =
        register(1).chunks(4).flat_map(|word| word.iter().rev().copied().collect::<Vec<_>>()).collect();
    let bits: Vec<u8> = register(6).into_iter().rev().collect();
    let branch: Vec<u8> =
        params[4].as_array().unwrap().iter().flat_map(|item| bytes(item.as_str().unwrap())).collect();
    ValueMap::new()
        .with("job", Value::Text(params[0].as_str().unwrap().to_owned().into()))
        .with("prev", Value::Bytes(std::borrow::Cow::Owned(prev)))
        .with("head", Value::Bytes(register(2).into()))
        .with("tail", Value::Bytes(register(3).into()))
        .with("branch", Value::Bytes(branch.into()))
        .with("version", Value::Bytes(register(5).into()))
        .with("bits", Value::Bytes(bits.into()))
        .with("first", Value::Bytes(register(7).into()))
        .with("clean", Value::Flag(params[8].as_bool().unwrap()))
}

#[derive(Default)]
struct Replay {
    session: Session,
    values: ValueMap,
    calls: HashMap<String, Vec<Call>>,
    submits: usize,
    pool_lines: usize,
}

impl Replay {
    fn miner(&mut self, dialect: &Dialect, line: &Line) {
        let decoded = dialect.decode(line.text.as_bytes(), &self.session);
        assert_eq!(decoded.call.id(), line.json["id"].to_string());
        let params = &line.json["params"];
        match (line.json["method"].as_str().unwrap(), decoded.intent) {
            ("mining.configure", Intent::Negotiate(requests)) => {
                let wanted = Request::Field { field: "mask".to_owned(), value: bytes("ffffffff") };
                assert_eq!(requests, [wanted]);
                self.session.mask = Some(bytes("1fffe000"));
                self.values.set("mask", Value::Bytes(bytes("1fffe000").into()));
            }
            ("mining.subscribe", Intent::Hello { agent, resume }) => {
                assert_eq!(agent.as_deref(), params[0].as_str());
                assert_eq!(resume, None);
                self.session.agent = agent.unwrap();
            }
            ("mining.authorize", Intent::Login { user, password, agent: None }) => {
                assert_eq!((Some(user.as_str()), password.as_deref()), (params[0].as_str(), Some("x")));
                self.session.authorized = true;
            }
            ("mining.extranonce.subscribe", Intent::ExtranonceUpdates) => {}
            ("mining.submit", Intent::Submit(submit)) => {
                self.submits += 1;
                assert_eq!(submit.worker.as_deref(), params[0].as_str());
                assert_eq!(submit.job, JobRef::Id(params[1].as_str().unwrap().into()));
                let fields: Vec<(&str, String)> =
                    submit.fields().map(|(name, bytes)| (name, hex(bytes))).collect();
                let xn = hex(&self.session.prefix) + params[2].as_str().unwrap();
                let text = |index: usize| params[index].as_str().unwrap().to_owned();
                let vbits = params[5].as_str().unwrap_or("00000000").to_owned();
                assert_eq!(fields, [("xn", xn), ("time", text(3)), ("nonce", text(4)), ("vbits", vbits)]);
            }
            (method, intent) => panic!("{method} became {intent:?}"),
        }
        self.calls.entry(decoded.call.id().to_owned()).or_default().push(decoded.call);
    }

    fn pool(&mut self, dialect: &Dialect, line: &Line) {
        self.pool_lines += 1;
        let mut out = Vec::new();
        let params = &line.json["params"];
        match line.json["method"].as_str() {
            Some("mining.notify") => {
                // The job once for all, and its id and flag as this session's: the same line.
                let rope = dialect.encode_job(&job_values(params)).unwrap();
                assert!(rope.is_whole());
                rope.write(&(), &mut out).unwrap();
            }
            Some("mining.set_difficulty") => {
                let values = ValueMap::new().with("difficulty", Value::Float(params[0].as_f64().unwrap()));
                dialect.encode_push(Push::Target, &values, &mut out).unwrap();
            }
            Some(other) => panic!("the pool sent {other}"),
            None => {
                let id = line.json["id"].to_string();
                let call =
                    self.calls.get_mut(&id).and_then(|calls| (!calls.is_empty()).then(|| calls.remove(0)));
                let call = call.unwrap_or_else(|| panic!("nobody asked {id}"));
                if let Some(prefix) = line.json["result"][1].as_str() {
                    let rest = line.json["result"][2].as_u64().unwrap();
                    self.session.prefix = bytes(prefix);
                    self.session.size = self.session.prefix.len() + usize::try_from(rest).unwrap();
                    self.session.subscribed = true;
                    let session = line.json["result"][0][0][1].as_str().unwrap().to_owned();
                    self.values.set("session", Value::Text(session.into()));
                    self.values.set("xn.prefix", Value::Bytes(bytes(prefix).into()));
                    self.values.set("xn.rest", Value::Number(rest));
                }
                match line.json["error"].as_array() {
                    None => dialect.encode_reply(&call, &self.values, &mut out).unwrap(),
                    Some(error) => {
                        assert_eq!(error[0], 20);
                        dialect.encode_error(&call, Failure::Other, error[1].as_str(), &mut out);
                    }
                }
            }
        }
        assert_eq!(lines(&out), std::slice::from_ref(&line.json));
    }
}

#[test]
fn recorded_sessions_are_understood_and_reproduced_line_by_line() {
    let dialect = family("bitcoin/v1.dialect");
    for (name, text, shares) in TRANSCRIPTS {
        let mut replay = Replay::default();
        for line in &transcript(text) {
            if line.from_miner { replay.miner(&dialect, line) } else { replay.pool(&dialect, line) }
        }
        assert_eq!(replay.submits, shares, "{name}");
        assert!(replay.pool_lines > shares, "{name}");
        assert!(replay.calls.values().all(Vec::is_empty), "{name} has calls without an answer");
    }
}

#[test]
fn the_next_job_differs_from_the_recorded_one_only_in_its_values() {
    let dialect = family("bitcoin/v1.dialect");
    let recorded = transcript(TRANSCRIPTS[0].1);
    let notify = recorded.iter().find(|line| line.json["method"] == "mining.notify").unwrap();
    let mut values = job_values(&notify.json["params"]);
    values.set("branch", Value::Bytes([vec![1; 32], vec![2; 32]].concat().into()));
    let mut out = Vec::new();
    dialect.encode_job(&values).unwrap().write(&(), &mut out).unwrap();
    let branch = &lines(&out)[0]["params"][4];
    assert_eq!(*branch, serde_json::json!(["01".repeat(32), "02".repeat(32)]));
}

#[test]
fn a_set_of_one_keeps_its_dialect_whatever_the_agent() {
    let dialect = family("bitcoin/v1.dialect");
    let set = DialectSet::new(Arc::clone(&dialect), Vec::new());
    let mut current = Arc::clone(set.default_dialect());
    for line in transcript(TRANSCRIPTS[2].1).iter().filter(|line| line.from_miner).take(2) {
        set.decode(&mut current, line.text.as_bytes(), &Session::default());
        assert!(Arc::ptr_eq(&current, &dialect));
    }
}
