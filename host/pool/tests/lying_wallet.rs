//! A wallet that signs a payment to somebody else and tells of the right one: the pool reads the bytes, sends nothing,
//! and says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_ledger::{IncomeStatus, PaymentStatus};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use support::between::Between;
use support::client::{Client, Want};
use support::rig::{OnDevChain, dev_chain};
use support::{process, start, stranger, until};

/// Signs for the thief, and decodes for the miner.
fn lie(method: &str, _: &Value, answer: Option<&mut Value>) -> Option<Value> {
    let ((miner, owed), (thief, stolen)) = (stranger("bcrt", 1), stranger("bcrt", 9));
    let answer = answer?;
    match method {
        "signrawtransactionwithwallet" => {
            let honest = answer["hex"].as_str().unwrap();
            let signed = honest.replace(&hex::encode(owed.as_bytes()), &hex::encode(stolen.as_bytes()));
            assert_ne!(signed, honest);
            answer["hex"] = json!(signed);
        }
        "decoderawtransaction" => {
            *answer = serde_json::from_str(&answer.to_string().replace(&thief, &miner)).unwrap();
        }
        _ => {}
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_signed_to_a_thief_is_not_sent_and_alarms_and_goes_out_when_the_wallet_is_honest() {
    let chain = dev_chain(millpond_devchain::EASIEST).await;
    let (wallet, between) = Between::start(&chain, lie).await;
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    let rest = format!(
        "[pool.payout]\nscheme = \"solo\"\nminimum = 1000\n[pool.wallet]\nurl = \"http://{wallet}\"\n[pool.settlement]\nschedule = \"manual\""
    );
    let text = OnDevChain { pays_to: None, difficulty: "0.000001", chain: "", rest: &rest }.on(&chain);
    let pool = start(&process, &text).await;
    let (miner, _) = stranger("bcrt", 1);
    let mut client = Client::connect(pool.addresses()[0], &miner, "sha256d").await.unwrap();
    let job = client.job_on(&chain.tip()).await;
    let share = client.find(&job, 0, Want::Block);
    assert_eq!(client.submit(&share).await["result"], json!(true));
    let statuses =
        || -> Vec<IncomeStatus> { pool.ledger().book().incomes().map(|(_, income)| income.status).collect() };
    until(&pool, "the income", || statuses() == [IncomeStatus::Immature]).await;
    chain.generate(6).unwrap();
    until(&pool, "maturity", || statuses() == [IncomeStatus::Matured]).await;
    let owed = pool.ledger().totals().payable;
    assert!(owed > 0);

    between.lies.store(true, Ordering::SeqCst);
    let why = tokio::task::block_in_place(|| pool.payments_run("operator")).unwrap_err();
    assert!(why.contains("which is neither an intent nor our change"), "{why}");
    let told = pool.alarms().into_iter().find(|alarm| alarm.about == "wallet").unwrap();
    assert!(told.text.contains("signed something else than it was asked for; it was not sent"), "{told:?}");
    let payments = || -> Vec<_> {
        pool.ledger()
            .book()
            .payments()
            .map(|payment| (payment.status.clone(), payment.txid.clone()))
            .collect()
    };
    assert!(matches!(payments().as_slice(), [(PaymentStatus::Released(_), None)]), "{:?}", payments());
    assert_eq!(pool.ledger().totals().payable, owed);

    between.lies.store(false, Ordering::SeqCst);
    tokio::task::block_in_place(|| pool.payments_run("operator")).unwrap();
    assert!(matches!(payments().as_slice(), [_, (PaymentStatus::Sent, Some(_))]), "{:?}", payments());
    pool.stop().await;
}
