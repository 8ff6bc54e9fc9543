//! What the log says of shares that could not be judged. A test of its own: the log is the process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::BLOCK;
use common::miner::{Client, code};
use common::moody::{FOR_GOOD, hashing};
use millpond_algorithms::Cost;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_share_that_could_not_be_judged_is_in_the_log_with_all_that_it_was_made_of() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let (pool, failing) = hashing(Cost::Light).await;
    let mut client = Client::ready(pool.address(), "alice.rig").await;
    let job = client.notify().await;
    // A block: nobody can know it while the algorithm is down.
    let share = client.find_where(&job, 1, |hash| common::target(BLOCK).is_met_by(hash));
    failing.store(FOR_GOOD, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(code(&client.submit("alice.rig", &share).await), 20);
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |what: &str| -> Vec<&Value> {
        let fields = lines.iter().map(|line| &line["fields"]);
        fields.filter(|fields| fields["message"].as_str().unwrap().contains(what)).collect()
    };
    let shares = said("it may be a block");
    assert_eq!(shares.len(), 2);
    assert_eq!((&shares[0]["address"], &shares[0]["worker"]), (&json!("alice"), &json!("rig")));
    // The values as the recipe takes them, from which the hash can be computed again.
    let written = |fields: &Value, name: &str| {
        let each = fields.as_str().unwrap().split(", ");
        let found = each.filter_map(|field| field.split_once(" = ")).find(|(known, _)| *known == name);
        hex::decode(found.unwrap_or_else(|| panic!("{name} in {fields}")).1.trim_matches('"')).unwrap()
    };
    let jobs = said("a job whose shares");
    assert_eq!(jobs.len(), 1, "a job's constants are written once");
    let recipe = &pool.recipes[0];
    let values = |of: &Value, fields: &[millpond_recipe::Field]| -> Vec<Vec<u8>> {
        fields.iter().map(|field| written(of, &field.name)).collect()
    };
    let stage = recipe.job(&values(&jobs[0]["consts"], recipe.consts())).unwrap();
    let stage = stage.session(&values(&shares[0]["session"], recipe.session_fields())).unwrap();
    failing.store(0, Ordering::SeqCst);
    let values = values(&shares[0]["share"], recipe.share_fields());
    let mut scratch = millpond_recipe::Scratch::default();
    assert_eq!(stage.judge(&values, &mut scratch).unwrap().pow, share.hash);
}
