//! A miner's settings by a signature of the address that he is paid to, on the development chain and with a wallet's own
//! signatures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use bitcoin::secp256k1::{Message, Secp256k1, SecretKey};
use bitcoin::{Address, CompressedPublicKey, KnownHrp, sign_message};
use millpond_devchain::peers::{Bcoin, real_nodes_wanted};
use millpond_devchain::{DevChain, Options};
use millpond_journal::{Authority, JournalView, Record};
use millpond_pool::Pool;
use millpond_pool::settings::SettingRefused;
use millpond_pool::view::{SettingChange, SettingText};
use millpond_types::{Amount, UnixMillis};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use support::client::{Client, Want};
use support::{process, start};

fn base64(bytes: &[u8]) -> String {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let digits = |group: &[u8]| {
        let word = group.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        let word = word << (8 * (3 - group.len()));
        let digit = |at: usize| if at <= group.len() { alphabet[word >> (18 - 6 * at) & 63] } else { '=' };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}

/// A miner with the key of his address.
struct Miner {
    key: SecretKey,
    address: String,
}

impl Miner {
    fn new(number: u8) -> Self {
        let key = SecretKey::from_slice(&[number; 32]).unwrap();
        let public = CompressedPublicKey(key.public_key(&Secp256k1::new()));
        Self { key, address: Address::p2wpkh(&public, KnownHrp::Regtest).to_string() }
    }

    /// As a wallet's `signmessage` does it.
    fn signs(&self, message: &str) -> String {
        let digest = sign_message::signed_msg_hash(message);
        let digest = Message::from_digest(*bitcoin::hashes::Hash::as_byte_array(&digest));
        let signature = Secp256k1::new().sign_ecdsa_recoverable(&digest, &self.key);
        base64(&sign_message::MessageSignature::new(signature, true).serialize())
    }

    fn change(&self, text: &SettingText) -> SettingChange {
        let signature = self.signs(&text.message);
        SettingChange { minimum_payout: text.minimum_payout, issued: text.issued, signature }
    }
}

fn config(name: &str, node: [&str; 3], chain: &str) -> String {
    let [url, user, password] = node;
    format!(
        r#"
[host]
[[pool]]
name = "{name}"
[pool.chain]
confirmations = 3
{chain}
[[pool.node]]
url = "{url}"
user = "{user}"
password = "{password}"
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 0.000001
fixed = true
[pool.payout]
scheme = "solo"
minimum = 1000
own_minimum_most = 1000000
[pool.settlement]
schedule = "manual"
"#
    )
}

/// A miner is known by his first share.
async fn mine_one(pool: &Pool, login: &str) {
    let mut client = Client::connect(pool.addresses()[0], login, "sha256d").await.unwrap();
    let job = client.job.clone().unwrap();
    let share = client.find(&job, 0, Want::Share);
    let reply = client.submit(&share).await;
    assert_eq!(reply["result"], json!(true), "{reply}");
}

/// A pool that these have mined at.
async fn pool_of(folder: &Path, name: &str, chain: &DevChain, miners: &[&Miner]) -> Pool {
    let own = chain.new_address();
    let about = format!("payout_address = \"{own}\"\nsettings = {{ network = \"regtest\", maturity = 3 }}");
    let url = chain.url();
    let text = config(name, [&url, chain.user(), chain.password()], &about);
    let pool = start(&process(folder), &text).await;
    for miner in miners {
        let login = format!("{}.rig", miner.address);
        mine_one(&pool, &login).await;
    }
    pool
}

fn minimum(pool: &Pool, miner: &Miner) -> u64 {
    pool.miner(&miner.address).unwrap().minimum_payout.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_signature_of_his_address_changes_a_miners_minimum_once_and_here_alone() {
    // No share of a miner is a block by chance, after which another's would be stale.
    let options = Options { bits: 0x1d00_ffff, prologue: 10, ..Options::default() };
    let chain = DevChain::start(options).await.unwrap();
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (alice, bob) = (Miner::new(1), Miner::new(2));
    let pool = pool_of(folder.path(), "dev", &chain, &[&alice, &bob]).await;
    let text = pool.setting_text(&alice.address, Some(Amount(250_000))).unwrap();
    for part in ["dev", "regtest", &alice.address, "250000 base units", &text.expires.0.to_string()] {
        assert!(text.message.contains(part), "{}", text.message);
    }
    assert_eq!((text.least, text.most), (Amount(1_000), Some(Amount(1_000_000))));
    let refused = |address: &str, change: &SettingChange| pool.change_setting(address, change).unwrap_err();
    let good = alice.change(&text);

    // Signed by another, for another, or not as it was given.
    let signature = |why: &SettingRefused| matches!(why, SettingRefused::Signature(_));
    assert!(signature(&refused(&alice.address, &bob.change(&text))), "another miner's signature");
    assert!(signature(&refused(&bob.address, &good)), "his signature for another miner");
    let worker = format!("{}.rig", alice.address);
    assert_eq!(refused(&worker, &good), SettingRefused::NoMiner, "a worker has no settings");
    let altered = SettingChange { minimum_payout: Some(Amount(250_001)), ..good.clone() };
    assert!(signature(&refused(&alice.address, &altered)), "another value");
    let later = SettingChange { issued: UnixMillis(text.issued.0 + 1), ..good.clone() };
    assert!(signature(&refused(&alice.address, &later)), "another time");
    let by_hand = text.message.replace("250000", "300000");
    let by_hand = SettingChange {
        minimum_payout: Some(Amount(300_000)),
        signature: alice.signs(&by_hand),
        ..good.clone()
    };
    assert!(signature(&refused(&alice.address, &by_hand)), "a text of his own making, without our code");
    let old = SettingChange { issued: UnixMillis(text.issued.0 - 3_700_000), ..good.clone() };
    assert!(matches!(refused(&alice.address, &old), SettingRefused::Expired(_)));
    for (asked, least) in [(999, 1_000), (1_000_001, 1_000)] {
        let bounds = SettingRefused::Bounds {
            asked: Amount(asked),
            least: Amount(least),
            most: Some(Amount(1_000_000)),
        };
        assert_eq!(pool.setting_text(&alice.address, Some(Amount(asked))), Err(bounds.clone()));
        let change = SettingChange { minimum_payout: Some(Amount(asked)), ..good.clone() };
        assert_eq!(refused(&alice.address, &change), bounds);
    }
    assert_eq!(minimum(&pool, &alice), 1_000, "nothing of that changed anything");

    // Another pool on the same chain gives the same address another text.
    let other = pool_of(elsewhere.path(), "dev", &chain, &[&alice]).await;
    assert!(signature(&other.change_setting(&alice.address, &good).unwrap_err()));
    other.stop().await;

    // The right one, once; and the operator's word is newer than a text of before.
    let second = pool.setting_text(&alice.address, Some(Amount(500_000))).unwrap();
    let done = pool.change_setting(&alice.address, &good).unwrap();
    assert_eq!((done.minimum_payout, minimum(&pool, &alice)), (Amount(250_000), 250_000));
    assert_eq!(refused(&alice.address, &good), SettingRefused::Used, "a replay");
    assert_eq!(refused(&alice.address, &alice.change(&second)), SettingRefused::Used, "overtaken");
    let reset = pool.setting_text(&alice.address, None).unwrap();
    pool.change_setting(&alice.address, &alice.change(&reset)).unwrap();
    assert_eq!((minimum(&pool, &alice), minimum(&pool, &bob)), (1_000, 1_000));
    let last = pool.setting_text(&alice.address, Some(Amount(2_000))).unwrap();
    tokio::task::block_in_place(|| pool.set_minimum(&alice.address, Some(Amount(7_000)), "op").unwrap());
    assert_eq!(refused(&alice.address, &alice.change(&last)), SettingRefused::Used);
    assert_eq!(minimum(&pool, &alice), 7_000);
    // What the operator holds back is not let go by a signature.
    for asked in [Some(Amount(6_999)), None] {
        let lower = pool.setting_text(&alice.address, asked).unwrap();
        assert_eq!(refused(&alice.address, &alice.change(&lower)), SettingRefused::Held(Amount(7_000)));
    }
    assert_eq!(minimum(&pool, &alice), 7_000);
    pool.stop().await;

    // What was signed is in the hash chain.
    let disk = Arc::clone(&process(folder.path()).disk);
    let (view, _) = JournalView::open(disk, &folder.path().join("dev/journal")).unwrap();
    view.verify().unwrap();
    let signed: Vec<String> = view
        .records(1)
        .filter_map(|entry| match entry.unwrap().record {
            Record::MinerSetting(setting) => match setting.by {
                Authority::Signature(signed) => Some(String::from_utf8(signed).unwrap()),
                Authority::Operator(_) => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(signed.len(), 2);
    assert_eq!(signed[0], format!("{}\n{}", text.message, good.signature));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_signed_by_bcoins_wallet_changes_its_miners_minimum() {
    if !real_nodes_wanted() {
        return;
    }
    let node = Bcoin::start().await.unwrap();
    let (own, miner) = (node.new_address().await.unwrap(), node.new_address().await.unwrap());
    node.generate(1, &own).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let chain = format!(
        "payout_address = \"{own}\"\nsettings = {{ network = \"bcoin\", chain = \"regtest\", hrp = \"rb\", p2pkh = 60, \
         p2sh = 38 }}"
    );
    let text = config("real", [&node.rpc_url(), node.user(), node.api_key()], &chain);
    let pool = start(&process(folder.path()), &text).await;
    mine_one(&pool, &miner).await;
    let text = pool.setting_text(&miner, Some(Amount(123_456))).unwrap();
    let signed = |message: String| node.wallet_rpc("signmessage", json!([miner.clone(), message]));
    let change = |signature: serde_json::Value| SettingChange {
        minimum_payout: text.minimum_payout,
        issued: text.issued,
        signature: signature.as_str().unwrap().to_owned(),
    };
    let other = signed(format!("{} ", text.message)).await.unwrap();
    let refused = pool.change_setting(&miner, &change(other)).unwrap_err();
    assert!(matches!(refused, SettingRefused::Signature(_)), "{refused}");
    let good = signed(text.message.clone()).await.unwrap();
    assert_eq!(pool.change_setting(&miner, &change(good)).unwrap().minimum_payout, Amount(123_456));
    pool.stop().await;
}
