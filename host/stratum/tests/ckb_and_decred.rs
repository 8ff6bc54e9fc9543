//! CKB and Decred by the documents in `examples/families`, over a socket: what their miners are told and answer, with the
//! transcript of a CKB miner and with blocks of the real networks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::config;
use common::family::{Family, methods, start_at, up_to_a_job};
use common::miner::{Client, code, is_true};
use millpond_stratum::StratumConfig;
use millpond_types::Target;
use serde_json::{Value, json};

const CKB: &str = include_str!("../../../examples/families/ckb/ckb.recipe");
const CKB_A: &str = include_str!("../../../examples/families/ckb/a.dialect");
const CKB_B: &str = include_str!("../../../examples/families/ckb/b.dialect");
const CKB_C: &str = include_str!("../../../examples/families/ckb/c.dialect");
const CKB_D: &str = include_str!("../../../examples/families/ckb/d.dialect");
const CKB_U64: &str = include_str!("../../../examples/families/ckb-u64/ckb-u64.recipe");
const CKB_E: &str = include_str!("../../../examples/families/ckb-u64/e.dialect");
const DECRED: &str = include_str!("../../../examples/families/decred/decred.recipe");
const DECRED_V1: &str = include_str!("../../../examples/families/decred/v1.dialect");

/// Difficulty 1 where it is 2^32 hashes.
const TWO_TO_224: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[3] = 1;
    bytes
};

/// Mainnet block 20152836: its header without the nonce, the digest that is worked on, and the nonce as it stands behind
/// the header.
const RAW: &str = "000000002b911719f9641ffe9f01000004823301000000009439004102e804007a5795fa0650398506c266a797a384fff35020a6998ca75bac3f19d8a2cd4adc6b203ca06ee40037b7c3e1985107f3e8bffbce495775de0e84df3c8c6ebfb35b13b8e4c6a7887198104aa9561416f4ef2e3cdbd1bce28fbd4e5a49d0c3faf0ffe9dd37a89b1da5c8628aa2624ba07b894dbb03b67c88e1d166163c0eeeac034172e926973ce7745ae4dc581cb4b02a00be1ef060f0bc360a00eda41976ef3707";
const POW_HASH: &str = "bdc74ef6f58f3ce70bccaac040b7131f74a76bcd92c90fc0464246c0400883d0";
const PARENT: &str = "7a5795fa0650398506c266a797a384fff35020a6998ca75bac3f19d8a2cd4adc";
const NONCE: &str = "019ff8f6000000030d00005e309a5693";
const BLOCK: &str = "c95233c188ddb699feb20e4547a7bf5c5d621cfdfb1d9f7684b3526117bc326b";

/// 0x1917912b: a mantissa of three bytes, moved up by 0x19 - 3 bytes.
fn ckb_network() -> Target {
    let mut target = [0; 32];
    target[32 - 0x19..32 - 0x19 + 3].copy_from_slice(&[0x17, 0x91, 0x2b]);
    Target::from_be_bytes(target)
}

fn fixed(difficulty: f64, prefix: Option<usize>) -> StratumConfig {
    let mut config = config();
    config.vardiff.start = difficulty;
    config.extranonce.prefix = prefix;
    config
}

async fn ckb(dialect: &str, prefix: &str, difficulty: f64) -> Family {
    let first = hex::decode(prefix).unwrap();
    let diff1 = Target::from_be_bytes(TWO_TO_224);
    let config = fixed(difficulty, Some(first.len()));
    start_at(CKB, &[dialect], (16, Some(&first)), diff1, config).await.unwrap()
}

/// A session on the real block's job: what the subscription said, what was pushed, and the connection.
async fn on_the_block(family: &Family, agent: &str, pushes: usize) -> (Value, Vec<Value>, Client) {
    family.publish_for(5, &[hex::decode(RAW).unwrap()], ckb_network());
    let mut client = Client::connect(family.server.addresses()[0]).await;
    let hello = client.call("mining.subscribe", json!([agent, null])).await;
    assert_eq!(hello["error"], Value::Null, "{hello}");
    assert!(is_true(&client.call("mining.authorize", json!(["ckb1q.rig", "x"])).await));
    let told = methods(&mut client, pushes).await;
    (hello["result"].clone(), told, client)
}

fn method<'a>(told: &'a [Value], name: &str) -> &'a Value {
    &told.iter().find(|message| message["method"] == name).unwrap_or_else(|| panic!("{told:?}"))["params"]
}

/// The block's share counts, solves the block under its real name, and counts once.
async fn solves(family: &Family, client: &mut Client, share: Value) {
    let answer = client.call("mining.submit", share.clone()).await;
    assert!(is_true(&answer), "{answer}");
    let accepted = family.pool.last();
    assert!(accepted.credited && accepted.solution.is_some());
    assert_eq!((hex::encode(accepted.id), &*accepted.worker), (BLOCK.to_owned(), "rig"));
    assert_eq!(code(&client.call("mining.submit", share).await), 22);
    assert_eq!(family.pool.credited(), 1);
}

/// The recorded session: its job is known by its digest alone, which the recipe here takes as it is.
#[tokio::test]
async fn a_ckb_miners_transcript_is_said_again() {
    const BY_DIGEST: &str = "recipe 1 \"ckb-by-digest\"\nconst pow_hash:32\nconst parent:32\nshare xn:16\n\
        hash3 = eaglesong (cat pow_hash xn)\njudge be hash3 | id hash3 | out hash3\n";
    let pow_hash = "d5a74fba920ad0d35ec5726f26327547cbc82180e356e5ccf6cf2e6bd75f8a66";
    let first = hex::decode("00c904bd").unwrap();
    let diff1 = Target::from_be_bytes(TWO_TO_224);
    // 2^240, as the transcript's target.
    let config = fixed(1.0 / 65_536.0, Some(4));
    let family = start_at(BY_DIGEST, &[CKB_A], (16, Some(&first)), diff1, config).await.unwrap();
    family.publish(0x1611, &[hex::decode(pow_hash).unwrap(), vec![0xdf; 32]]);
    let mut client = Client::connect(family.server.addresses()[0]).await;
    client
        .send_raw(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"ckbminer-v1.0.0\",null]}\n")
        .await;
    let hello = client.answer(&json!(1)).await;
    assert_eq!((&hello["result"], &hello["error"]), (&json!([null, "00c904bd", 12]), &Value::Null));
    client
        .send_raw(b"{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"ckb1q.worker1\",\"x\"]}\n")
        .await;
    assert!(is_true(&client.answer(&json!(2)).await));
    let told = methods(&mut client, 2).await;
    let order: Vec<_> = told.iter().map(|message| message["method"].as_str().unwrap()).collect();
    assert_eq!(order, ["mining.set_target", "mining.notify"]);
    assert!(told.iter().all(|message| message["id"] == Value::Null));
    assert_eq!(told[0]["params"], json!([format!("0001{}", "0".repeat(60))]));
    let job = told[1]["params"][0].as_str().unwrap();
    assert!(job.len() <= 31, "{job} is too long for hardware");
    assert_eq!(told[1]["params"], json!([job, pow_hash, 7, "df".repeat(32), true]));
    let share = format!(
        "{{\"id\":102,\"method\":\"mining.submit\",\"params\":[\"ckb1q.worker1\",\"{job}\",\"000000000000000000114026\"]}}\n"
    );
    client.send_raw(share.as_bytes()).await;
    assert!(is_true(&client.answer(&json!(102)).await));
    let id = hex::encode(family.pool.last().id);
    assert_eq!(id, "000034965758f32a266558876abba7be3ea343086bf048c9fc3c854e77a2f360");
    assert_eq!(&*family.pool.last().worker, "worker1");
}

#[tokio::test]
async fn the_common_dialect_solves_a_mainnet_block_of_ckb_and_not_with_its_nonce_reversed() {
    let family = ckb(CKB_A, &NONCE[..8], 1.0).await;
    let (hello, told, mut client) = on_the_block(&family, "ckbminer-v1.0.0", 2).await;
    assert_eq!(hello, json!([null, &NONCE[..8], 12]));
    assert_eq!(method(&told, "mining.set_target"), &json!([hex::encode(TWO_TO_224)]));
    let notify = method(&told, "mining.notify");
    assert_eq!(notify.as_array().unwrap()[1..], [json!(POW_HASH), json!(7), json!(PARENT), json!(true)]);
    let job = &notify[0];
    // As the node's JSON has the number: the same bytes the other way round.
    let mut reversed = hex::decode(NONCE).unwrap();
    reversed.reverse();
    let wrong = client.call("mining.submit", json!(["ckb1q.rig", job, hex::encode(&reversed[4..])])).await;
    assert_eq!(code(&wrong), 23, "{wrong}");
    for bad in [&NONCE[8..30], "0x000000030d00005e309a5693", "no hex at all, is it?"] {
        let answer = client.call("mining.submit", json!(["ckb1q.rig", job, bad])).await;
        assert_eq!(code(&answer), 20, "{bad}: {answer}");
    }
    assert_eq!(code(&client.call("mining.submit", json!(["ckb1q.rig", "nojob", &NONCE[8..]])).await), 21);
    solves(&family, &mut client, json!(["ckb1q.rig", job, &NONCE[8..]])).await;
}

#[tokio::test]
async fn hardware_may_log_in_before_it_subscribes_and_use_one_id_for_everything() {
    let family = ckb(CKB_A, &NONCE[..8], 1.0).await;
    family.publish_for(5, &[hex::decode(RAW).unwrap()], ckb_network());
    let mut client = Client::connect(family.server.addresses()[0]).await;
    client.send(&json!({"id": 0, "method": "mining.authorize", "params": ["ckb1q.rig", null]})).await;
    assert!(is_true(&client.message().await));
    client.send(&json!({"id": 0, "method": "mining.subscribe", "params": ["asic", null]})).await;
    let hello = client.message().await;
    assert_eq!((&hello["id"], &hello["result"][1]), (&json!(0), &json!(&NONCE[..8])));
    let told = methods(&mut client, 2).await;
    let job = &method(&told, "mining.notify")[0];
    client
        .send(&json!({"id": 0, "method": "mining.submit", "params": ["ckb1q.rig", job, &NONCE[8..]]}))
        .await;
    assert!(is_true(&client.message().await));
    assert_eq!(family.pool.credited(), 1);
}

#[tokio::test]
async fn an_antminer_k7_rolls_eight_bytes_and_has_the_target_in_the_job() {
    let family = ckb(CKB_B, &NONCE[..16], 1.0).await;
    let (hello, told, mut client) = on_the_block(&family, "Antminer K7/1.0", 2).await;
    assert_eq!(hello, json!([null, &NONCE[..16], 8]));
    let target = hex::encode(TWO_TO_224);
    assert_eq!(method(&told, "mining.set_target"), &json!([target]));
    let notify = method(&told, "mining.notify");
    assert_eq!(notify.as_array().unwrap()[1..], [json!(POW_HASH), json!(7), json!(target), json!(true)]);
    solves(&family, &mut client, json!(["ckb1q.rig", notify[0], &NONCE[16..]])).await;
}

#[tokio::test]
async fn a_goldshell_reads_targets_backwards_and_submits_its_nonce_as_the_fifth_value() {
    // It rolls four bytes, so the pool sets more than a real block's nonce leaves to choose: a share of its own.
    let easy = 1.0 / f64::from(1_u32 << 26);
    let diff1 = Target::from_be_bytes(TWO_TO_224);
    let family = start_at(CKB, &[CKB_C], (16, None), diff1, fixed(easy, None)).await.unwrap();
    let (hello, told, mut client) = on_the_block(&family, "Goldshell CK5", 3).await;
    assert_eq!((&hello[0][0][1], &hello[2]), (&hello[1], &json!(4)));
    let prefix = hex::decode(hello[1].as_str().unwrap()).unwrap();
    assert_eq!(prefix.len(), 12);
    let target = Target::from_difficulty(easy, diff1).unwrap();
    let mut backwards = target.to_be_bytes();
    backwards.reverse();
    let backwards = hex::encode(backwards);
    assert_eq!(method(&told, "mining.set_target"), &json!([backwards]));
    assert_eq!(method(&told, "mining.set_difficulty")[0].as_f64(), Some(easy));
    let notify = method(&told, "mining.notify");
    assert_eq!(notify.as_array().unwrap()[1..], [json!(POW_HASH), json!(7), json!(backwards), json!(true)]);
    let job = family.jobs.current().unwrap();
    let nonce = |number: u64| [prefix.as_slice(), &number.to_be_bytes()[4..]].concat();
    let number = family.find(&job, "ckb-c", easy, |number| vec![nonce(number)]);
    let share = |value: String| json!(["ckb1q.rig", notify[0], "", "", value]);
    let good = share(hex::encode(&nonce(number)[12..]));
    assert!(is_true(&client.call("mining.submit", good.clone()).await));
    assert_eq!(code(&client.call("mining.submit", good).await), 22);
    let third = json!(["ckb1q.rig", notify[0], hex::encode(&nonce(number)[12..])]);
    assert_eq!(code(&client.call("mining.submit", third).await), 20, "the nonce is the fifth");
    assert_eq!(family.pool.credited(), 1);
}

#[tokio::test]
async fn a_nerdminer_may_send_the_whole_nonce_or_its_own_part_of_it() {
    for share in [NONCE, &NONCE[8..]] {
        let family = ckb(CKB_D, &NONCE[..8], 1.0).await;
        let (hello, told, mut client) = on_the_block(&family, "NerdMiner/2", 2).await;
        assert_eq!((&hello[1], &hello[2]), (&json!(&NONCE[..8]), &json!(12)));
        assert_eq!(method(&told, "mining.set_difficulty")[0].as_f64(), Some(1.0));
        let notify = method(&told, "mining.notify");
        let target = hex::encode(TWO_TO_224);
        assert_eq!(notify.as_array().unwrap()[1..], [json!(POW_HASH), json!(target), json!(true)]);
        solves(&family, &mut client, json!(["ckb1q.rig", notify[0], share])).await;
    }
}

/// What is pushed of a job, which has no name but its hash; nothing else has the id 0.
async fn pushed_work(client: &mut Client) -> Value {
    let told = methods(client, 1).await.remove(0);
    assert_eq!(told["id"], json!(0), "{told}");
    told["result"].clone()
}

#[tokio::test]
async fn the_protocol_of_the_first_pools_names_work_by_its_hash_and_writes_nonces_as_numbers() {
    /// One hash in 64.
    const EASY: f64 = 1.0 / (1_u64 << 26) as f64;
    let diff1 = Target::from_be_bytes(TWO_TO_224);
    let family = start_at(CKB_U64, &[CKB_E], (0, None), diff1, fixed(EASY, None)).await.unwrap();
    let job = family.publish_for(5, &[hex::decode(RAW).unwrap()], ckb_network());
    let mut client = Client::connect(family.server.addresses()[0]).await;
    let login = json!({"login": "ckt1qyqgs3rhm2tfefh6laxckaglmsc0ae42c9aqekjfap", "agent": "MinerName/v1", "worker": "worker_name"});
    assert!(is_true(&client.call("ckb_submitLogin", login).await));
    let work = pushed_work(&mut client).await;
    assert_eq!(work["pow_hash"], json!(format!("0x{POW_HASH}")));
    let target = work["target"].as_str().unwrap().to_owned();
    assert!(target.starts_with("0x03ff") || target.starts_with("0x0400"), "{target}");
    assert_eq!(client.call("ckb_getWork", Value::Null).await["result"], work, "and to whoever asks");
    assert!(is_true(&client.call("ckb_submitHashrate", json!("0x123")).await));

    let nonce = family.find(&job, "ckb-e", EASY, |number| vec![number.to_le_bytes().to_vec()]);
    let share =
        |hash: &str, nonce: u64| json!({"pow_hash": format!("0x{hash}"), "nonce": format!("0x{nonce:x}")});
    assert!(is_true(&client.call("ckb_submitWork", share(POW_HASH, nonce)).await));
    assert_eq!(family.pool.credited(), 1);
    let refused = |answer: Value| answer["error"]["code"].as_str().map(str::to_owned);
    let again = client.call("ckb_submitWork", share(POW_HASH, nonce)).await;
    assert_eq!(refused(again).as_deref(), Some("22"));
    let unknown = client.call("ckb_submitWork", share(&"ab".repeat(32), nonce)).await;
    assert_eq!(refused(unknown).as_deref(), Some("21"));
    let wide = json!({"pow_hash": format!("0x{POW_HASH}"), "nonce": "0x019ff8f6000000030d00005e309a5693"});
    assert_eq!(
        refused(client.call("ckb_submitWork", wide).await).as_deref(),
        Some("20"),
        "no number of 64 bits"
    );
    assert_eq!(family.pool.credited(), 1);
}

/// Testnet block 1170050 of Decred (DCP-0011's vectors); its name is in the block after it.
struct DecredBlock;

impl DecredBlock {
    const START: &str = "0b00000032e2bd1455464e926cf0b20a408ffbeeb05c738752467555d777e592407dace098079f364db6da4dd34cb242fa757bdad65dcdf6281f46035f6374f97ca65e1f3137cf38b68b7882ccb254e4df11d92a7cfb9aab897ce9ae5b942491e6d19ace0100a351eaabd26d04000401d2130000bdcf001e9d7152e80000000082da11007e110000";
    const TIME: &str = "1b5fb464";
    const EXTRA: &str = "0000000000000000000000000000000000000000000000000b000000";
    const XN: &str = "e402beb6fe6c04e7";
    const NONCE: &str = "e6fa0100";
    const ID: &str = "70768bdc08491089f7d83dba0f4db584cc1abdbc437a219fca80d83e5dfa6dd1";

    /// 0x1e00cfbd, from the header.
    fn target() -> Target {
        let mut target = [0; 32];
        target[32 - 0x1e..32 - 0x1e + 3].copy_from_slice(&[0x00, 0xcf, 0xbd]);
        Target::from_be_bytes(target)
    }
}

#[tokio::test]
async fn decred_is_told_slices_of_its_header_and_solves_a_testnet_block() {
    let first = hex::decode(&DecredBlock::XN[..8]).unwrap();
    // Difficulty 1 is what this network asks for at least.
    let diff1 = DecredBlock::target();
    let family = start_at(DECRED, &[DECRED_V1], (8, Some(&first)), diff1, fixed(1.0, None)).await.unwrap();
    let consts = [DecredBlock::START, DecredBlock::TIME, DecredBlock::EXTRA];
    family.publish_for(5, &consts.map(|value| hex::decode(value).unwrap()), diff1);
    let mut client = Client::connect(family.server.addresses()[0]).await;
    let hello = client.call("mining.subscribe", json!(["gominer/2.0.0"])).await;
    let result = &hello["result"];
    assert_eq!((&result[1], &result[2]), (&json!(&DecredBlock::XN[..8]), &json!(4)), "{hello}");
    let names: Vec<_> = result[0].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap()).collect();
    assert_eq!(names, ["mining.set_difficulty", "mining.notify"]);
    assert!(is_true(&client.call("mining.authorize", json!(["Tsaddress.rig", "x"])).await));
    let told = up_to_a_job(&mut client).await;
    assert_eq!(method(&told, "mining.set_difficulty"), &json!([1]));
    let notify = method(&told, "mining.notify").as_array().unwrap();
    let header = [DecredBlock::START, DecredBlock::TIME, &"00".repeat(12), DecredBlock::EXTRA].concat();
    assert_eq!(header.len(), 360);
    assert_eq!(
        notify[1..],
        [
            json!(header[8..72]),
            json!(header[72..]),
            json!(""),
            json!([]),
            json!(header[..8]),
            json!("bdcf001e"),
            json!(DecredBlock::TIME),
            json!(true)
        ]
    );
    let share =
        |time: &str, nonce: &str| json!(["Tsaddress.rig", notify[0], &DecredBlock::XN[8..], time, nonce]);
    for (time, nonce, expected) in [
        // A second before the job, as the header has numbers: little-endian.
        ("1a5fb464", DecredBlock::NONCE, 20),
        // Numbers the other way round are another share.
        (DecredBlock::TIME, "0001fae6", 23),
        (DecredBlock::TIME, "e6fa01", 20),
    ] {
        let answer = client.call("mining.submit", share(time, nonce)).await;
        assert_eq!(code(&answer), expected, "{time} {nonce}: {answer}");
    }
    let good = share(DecredBlock::TIME, DecredBlock::NONCE);
    let answer = client.call("mining.submit", good.clone()).await;
    assert!(is_true(&answer), "{answer}");
    let accepted = family.pool.last();
    assert!(accepted.credited && accepted.solution.is_some());
    assert_eq!((hex::encode(accepted.id), &*accepted.worker), (DecredBlock::ID.to_owned(), "rig"));
    assert_eq!(code(&client.call("mining.submit", good).await), 22);
    assert_eq!(family.pool.credited(), 1);
}
