//! Whatever stands on the wire, the engine says what it is; it neither fails nor panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Session, family, lines};
use millpond_dialect::{
    Call, Decoded, Dialect, EncodeError, Failure, Intent, MAX_LINE_BYTES, Push, Value, ValueMap,
};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

static DIALECTS: LazyLock<Vec<Arc<Dialect>>> = LazyLock::new(|| {
    [
        "bitcoin/v1.dialect",
        "kaspa/default.dialect",
        "kaspa/iceriver.dialect",
        "kaspa/bitmain.dialect",
        "ckb/a.dialect",
        "ckb/c.dialect",
        "decred/v1.dialect",
    ]
    .map(family)
    .to_vec()
});

/// The reason why a line is malformed.
fn why(line: &[u8]) -> String {
    match DIALECTS[0].decode(line, &Session::default()).intent {
        Intent::Malformed { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_line_is_told_what_is_wrong_with_it() {
    for (line, message) in [
        (&b"\x16\x03\x01\x02\x00"[..], "a TLS handshake on a port without TLS"),
        (b"GET / HTTP/1.1\r\n", "an HTTP request on a Stratum port"),
        (b"{\"id\":1,\"method\":\"\xff\"}", "byte 18 of the line is not UTF-8"),
        (b"hello", "not JSON at byte 0: not a JSON value"),
        (b"{\"id\":1,", "not JSON at byte 8: an object needs a name in quotes here"),
        (b"{\"id\":1}{", "not JSON at byte 8: text after the message"),
        (b"[]", "a message is a JSON object, not an array"),
        (b"{\"id\":1}", "the message has no method"),
        (b"{\"id\":1,\"method\":7}", "method has to be a string, not a number"),
        (b"{\"id\":[1],\"method\":\"mining.ping\"}", "an id is a number, a string or null, not an array"),
        (b"{\"id\":1,\"method\":\"mining.authorize\",\"params\":[]}", "the user is missing at /params/0"),
        (b"{\"id\":1,\"method\":\"mining.authorize\",\"params\":[\"\"]}", "the user is missing at /params/0"),
        (
            b"{\"id\":1,\"method\":\"mining.authorize\",\"params\":[{}]}",
            "the user has to be text, not an object",
        ),
        (b"{\"id\":1,\"method\":\"mining.configure\",\"params\":{}}", "the options are missing at /params/0"),
        (
            b"{\"id\":1,\"method\":\"mining.configure\",\"params\":[[1]]}",
            "an option has to be a string, not a number",
        ),
        (b"\0{\"id\":1}", "not JSON at byte 0: not a JSON value"),
    ] {
        assert_eq!(why(line), message, "{}", String::from_utf8_lossy(line));
    }
    assert_eq!(why(&b"[".repeat(1000)), "not JSON at byte 16: nested deeper than 16 levels");
    assert_eq!(why(&vec![b' '; MAX_LINE_BYTES + 1]), "the line is longer than 65536 bytes");
    let long = format!("{{\"id\":\"{}\",\"method\":\"mining.ping\"}}", "x".repeat(200));
    assert_eq!(why(long.as_bytes()), "the id is longer than 128 bytes");
    let long = format!("{{\"id\":1,\"method\":\"mining.authorize\",\"params\":[\"{}\"]}}", "x".repeat(513));
    assert_eq!(why(long.as_bytes()), "the user is longer than 512 bytes");
}

#[test]
fn a_refusal_keeps_the_id_even_when_the_rest_makes_no_sense() {
    let decoded = DIALECTS[0].decode(br#"{"params":5,"id":"a\"b","method":false}"#, &Session::default());
    let Intent::Malformed { why } = &decoded.intent else { panic!() };
    let mut out = Vec::new();
    DIALECTS[0].encode_error(&decoded.call, Failure::Other, Some(why), &mut out);
    assert_eq!(lines(&out)[0]["id"], "a\"b");
}

#[test]
fn empty_lines_keep_a_connection_and_say_nothing() {
    for line in [&b""[..], b"\r\n", b"   "] {
        let decoded = DIALECTS[0].decode(line, &Session::default());
        assert_eq!((decoded.intent, decoded.call.is_silent()), (Intent::Ignored, true));
    }
}

#[test]
fn control_characters_do_not_get_into_names() {
    let line = br#"{"id":1,"method":"mining.authorize","params":["bc1q\u0000.w\u001b[2J\n","d=5"]}"#;
    let Intent::Login { user, .. } = DIALECTS[0].decode(line, &Session::default()).intent else { panic!() };
    assert_eq!(user, "bc1q.w[2J");
}

#[test]
fn a_miner_cannot_pretend_to_the_argument_of_a_method() {
    let line = br#"{"id":1,"method":"mining.suggest_difficulty","argument":"5","params":[]}"#;
    assert!(matches!(DIALECTS[0].decode(line, &Session::default()).intent, Intent::Malformed { .. }));
}

#[test]
fn values_that_do_not_fit_are_named_and_nothing_is_written() {
    let mut out = b"before".to_vec();
    let missing = DIALECTS[0].encode_push(Push::Target, &(), &mut out).unwrap_err();
    assert_eq!(missing, EncodeError::Missing("difficulty".to_owned()));
    let values = ValueMap::new().with("difficulty", Value::Float(f64::NAN));
    let wrong = DIALECTS[0].encode_push(Push::Target, &values, &mut out).unwrap_err();
    assert_eq!(wrong.to_string(), "{difficulty}: not a finite number");
    let values = ValueMap::new().with("branch", Value::Bytes(vec![0; 33].into()));
    let wrong = DIALECTS[0].encode_job(&values).unwrap_err();
    assert_eq!(wrong.to_string(), "{branch:each32:hex}: 33 bytes are not whole items of 32 bytes");
    assert_eq!(out, b"before");
}

fn session() -> impl Strategy<Value = Session> {
    (any::<[bool; 3]>(), prop::collection::vec(any::<u8>(), 0..12), 0_usize..20, "[a-zA-Z]{0,8}").prop_map(
        |([subscribed, authorized, extranonce_updates], prefix, size, agent)| Session {
            subscribed,
            authorized,
            extranonce_updates,
            agent,
            prefix,
            size,
            mask: None,
        },
    )
}

/// What a share comes to does not depend on which of the two readers read it.
fn same(one: &Decoded<'_>, other: &Decoded<'_>) -> Result<(), TestCaseError> {
    prop_assert_eq!(&one.intent, &other.intent);
    let call = |call: &Call| (call.id().to_owned(), call.is_silent(), call.is_request(), call.wants_job());
    prop_assert_eq!(call(&one.call), call(&other.call));
    Ok(())
}

/// Decodes in every dialect and answers both ways.
fn survives(line: &[u8], session: &Session) -> Result<(), TestCaseError> {
    for dialect in DIALECTS.iter() {
        let decoded = dialect.decode(line, session);
        same(&decoded, &dialect.decode_any(line, session))?;
        prop_assert!(
            serde_json::from_str::<serde_json::Value>(decoded.call.id()).is_ok()
                || decoded.call.id().len() > 15
        );
        let mut out = Vec::new();
        let _ = dialect.encode_reply(&decoded.call, &(), &mut out);
        dialect.encode_error(&decoded.call, Failure::Other, Some("why"), &mut out);
        prop_assert!(out.is_empty() || out.ends_with(b"\n"));
        prop_assert!(dialect.pushes_after(&decoded.call, session).len() <= 3);
        if let Intent::Submit(submit) = &decoded.intent
            && let Some(xn) = submit.field("xn")
        {
            prop_assert!(xn.len() == session.size || session.prefix.len() >= session.size);
        }
    }
    Ok(())
}

const VALID: [&str; 9] = [
    r#"{"id":4,"method":"mining.submit","params":["bcrt1q.w","6b0143a5","0000000000000000","6b0143dc","7fa00800","07dd4000"]}"#,
    r#"{"id":0,"method":"mining.configure","params":[["version-rolling","minimum-difficulty"],{"version-rolling.mask":"ffffffff"}]}"#,
    r#"{"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1", "6b0143a6"]}"#,
    r#"{"id": 2, "method": "mining.authorize", "params": ["bcrt1q.minerd", "d=0.5"]}"#,
    r#"{"id":3,"method":"mining.suggest_difficulty(1024","params":[]}"#,
    r#"{"id":3,"method":"mining.suggest_target","params":["00ff"]}"#,
    r#"{"id":"x","method":"mining.submit","params":["kaspa:q.w",17,"0x00ff"]}"#,
    r#"{"id":9,"method":"mining.submit","params":["ckb1.w","1611","000000000000000000114026"]}"#,
    r#"{"id":null,"result":true,"error":null}"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes(line in prop::collection::vec(any::<u8>(), 0..300), session in session()) {
        survives(&line, &session)?;
    }

    #[test]
    fn a_valid_line_with_anything_done_to_it(
        line in prop::sample::select(&VALID[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..6, any::<[u8; 3]>(), 0_usize..4), 0..4),
        session in session(),
    ) {
        let mut line = line.as_bytes().to_vec();
        for (at, remove, put, count) in changes {
            let from = at.index(line.len() + 1);
            let to = (from + remove).min(line.len());
            line.splice(from..to, put.into_iter().take(count));
        }
        survives(&line, &session)?;
    }

    #[test]
    fn a_share_written_in_any_way_is_read_the_same_by_both_readers(
        id in prop::sample::select(&["4", "null", "\"a\"", "-0", "01", "1e2", "1.5", "true", "\"\\u0041\"", "[]",
            "18446744073709551616", "\"é\"", ""][..]),
        method in prop::sample::select(&["mining.submit", "mining.submit", "mining.submit", "mining.submit ",
            "mining\\u002esubmit", "mining.submit(1", "mining.authorize"][..]),
        params in prop::collection::vec(prop::sample::select(&["\"w\"", "\"w\"", "\"6b0143a5\"", "\"0000000a\"",
            "\"0000000A\"", "\"504e86ed\"", "\"0x504e86ed\"", "\"00\"", "\"\"", "null", "17", "-1", "007", "\"g0000000\"",
            "\"000000\\u0030a\"", "\"\u{7f}\"", "\"é\"", "[]", "\"0123456789abcdef\"", "true", "1.0",
            "\"0123456789abcdef01234567\""][..]), 0..10),
        order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(),
        spaces in prop::collection::vec(prop::sample::select(&["", "", " ", "\t", "\r\n", "\u{c}", "\0"][..]), 6),
        extra in prop::sample::select(&["", "\"jsonrpc\":\"2.0\"", "\"jsonrpc\":2", "\"worker\":\"rig\"", "\"id\":5",
            "\"argument\":\"1\"", "\"result\":true"][..]),
        session in session(),
    ) {
        let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|i| spaces[i]);
        let members = [
            format!("\"id\"{a}:{b}{id}"),
            format!("\"method\":{a}\"{method}\""),
            format!("\"params\":[{c}{}{d}]", params.join(&format!("{d},{c}"))),
            extra.to_owned(),
        ];
        let members: Vec<&str> =
            order.iter().map(|i| members[*i].as_str()).filter(|member| !member.is_empty()).collect();
        let line = format!("{e}{{{f}{}{f}}}{e}", members.join(","));
        survives(line.as_bytes(), &session)?;
    }

    #[test]
    fn a_valid_line_with_other_parameters(
        method in prop::sample::select(&["mining.submit", "mining.authorize", "mining.subscribe", "mining.configure",
            "mining.suggest_difficulty", "mining.suggest_target"][..]),
        params in prop::collection::vec(prop::sample::select(&["null", "1", "-1e400", "\"\"", "\"0x\"", "\"ff\"", "\"f\"",
            "[]", "[\"version-rolling\"]", "{}", "true", "\"\\u0000\"", "\"0123456789abcdef0123456789abcdef\"", "99999999999999999999"][..]), 0..7),
        session in session(),
    ) {
        let line = format!("{{\"id\":1,\"method\":\"{method}\",\"params\":[{}]}}", params.join(","));
        survives(line.as_bytes(), &session)?;
    }
}
