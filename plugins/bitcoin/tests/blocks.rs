//! From a node's template to a block, by the adapter and the recipe engine, held against another implementation of the
//! block format.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bitcoin::Block;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash;
use millpond_sdk::chain::{Adapter, Output, Setting};
use millpond_sdk::hex;
use serde_json::json;
use support::*;

#[test]
fn an_assembled_block_is_whole_and_has_the_recipes_hash() {
    let (mut host, real) = (Host::up(&[], to_pool(), 1), block_482683());
    host.answer("getblocktemplate", 0, &template_of(&real, 482_683));
    let job = host.jobs.pop().expect("a job");
    assert_eq!((job.coord, job.recipe, job.body), (482_683, 0, Some(77)));
    assert_eq!(hex::encode(&job.parent), real.header.prev_blockhash.to_string());

    let (solution, id) = solve(&host, &job, None);
    let assembled = host.adapter.assemble(solution).unwrap();
    let block: Block = deserialize(&submitted(&assembled, &host.body)).unwrap();
    assert!(block.check_merkle_root() && block.check_witness_commitment());
    assert_eq!(block.txdata[1..], real.txdata[1..]);
    assert_eq!(block.bip34_block_height(), Ok(482_683));
    assert_eq!(hex::encode(&assembled.block), block.block_hash().to_string());
    assert_eq!(block.block_hash().to_byte_array(), id);
    assert_eq!(block.header.version.to_consensus(), 0x2040_0000, "rolled bits in, testdummy's bit out");
}

#[test]
fn a_job_tells_what_of_its_reward_is_no_fee_where_the_node_tells_every_fee() {
    let real = block_482683();
    let told = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut host = Host::up(&[], to_pool(), 1);
        let mut template = template_of(&real, 482_683);
        change(&mut template);
        host.answer("getblocktemplate", 0, &template);
        let job = host.jobs.pop().expect("a job");
        let pair = job.extra.iter().find(|(key, _)| key == "subsidy");
        (job.reward, pair.map(|(_, bytes)| u64::from_le_bytes(bytes.as_slice().try_into().unwrap())))
    };
    let fees = 100 * (real.txdata.len() as u64 - 1);
    let (reward, subsidy) = told(&|_| {});
    assert!(fees > 0 && reward > fees);
    assert_eq!(subsidy, Some(reward - fees));
    // A fee that is not told is not known (BIP 22), and fees above the block's value are nonsense.
    assert_eq!(told(&|it| _ = it["transactions"][3].as_object_mut().unwrap().remove("fee")).1, None);
    for odd in [json!(u64::MAX), json!(i64::MAX), json!(-1), json!(0.5), json!(null), json!("100")] {
        assert_eq!(told(&|it| it["transactions"][0]["fee"] = odd.clone()).1, None, "{odd}");
    }
    assert_eq!(told(&|it| it["transactions"][0]["fee"] = json!(reward)).1, None);
    assert_eq!(told(&|it| it["transactions"] = json!([])).1, Some(reward));
}

#[test]
fn the_commitment_is_recomputed_as_the_real_block_has_it() {
    let (mut host, real) = (Host::up(&[], to_pool(), 1), block_482683());
    host.answer("getblocktemplate", 0, &template_of(&real, 482_683));
    let tail = hex::encode(&host.jobs[0].consts[1]);
    assert!(
        tail.contains("266a24aa21a9ed0f8b0182863aa4713e94bb72c47c57dcbae7de8f3df2af23453f60f1965dab77"),
        "{tail}"
    );
    // The branch of the real coinbase: it does not depend on the coinbase itself.
    assert!(
        hex::encode(&host.jobs[0].consts[2])
            .starts_with("cb46cd2a3fda9520ef43a9337a9fb193eb17a400d42b42546fdd2d6c")
    );
}

#[test]
fn a_chain_without_segwit_in_force_gets_no_witness() {
    let (mut host, real) = (Host::up(&[], to_pool(), 1), block_482683());
    let mut template = template_of(&real, 400);
    template["rules"] = json!(["csv"]);
    template["transactions"] = json!([]);
    template["default_witness_commitment"] = json!(format!("6a24aa21a9ed{}", "00".repeat(32)));
    host.answer("getblocktemplate", 0, &template);
    let (solution, _) = solve(&host, &host.jobs[0], None);
    let block: Block =
        deserialize(&submitted(&host.adapter.assemble(solution).unwrap(), &host.body)).unwrap();
    assert!(block.txdata[0].input[0].witness.is_empty());
    assert_eq!(block.txdata[0].output.len(), 1);
}

#[test]
fn solo_pays_each_sessions_own_payee_and_the_pools_fee() {
    let outputs = vec![Output { payee: POOL.to_vec(), weight: 2 }, Output { payee: vec![], weight: 98 }];
    let (mut host, real) = (Host::up(&[], outputs, 1), block_482683());
    host.answer("getblocktemplate", 0, &template_of(&real, 482_683));
    let job = host.jobs.pop().unwrap();
    assert_eq!(job.recipe, 1);
    let reward = job.reward;
    for payee in [vec![0x51], hex::decode("76a9143abf61fe3281230780ed82676f9fa971e95f7ac188ac").unwrap()] {
        let (solution, id) = solve(&host, &job, Some(&payee));
        let block: Block =
            deserialize(&submitted(&host.adapter.assemble(solution).unwrap(), &host.body)).unwrap();
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        assert_eq!(block.block_hash().to_byte_array(), id);
        let paid: Vec<(Vec<u8>, u64)> = block.txdata[0]
            .output
            .iter()
            .map(|out| (out.script_pubkey.to_bytes(), out.value.to_sat()))
            .collect();
        assert_eq!(paid[0], (payee, reward - reward * 2 / 100));
        assert_eq!(paid[1], (POOL.to_vec(), reward * 2 / 100));
        assert_eq!(paid.len(), 3);
    }
}

#[test]
fn another_proof_of_work_and_data_behind_the_transactions_are_settings() {
    let settings = [
        ("network", Setting::Text("litecoin".into())),
        ("chain", Setting::Text("regtest".into())),
        ("algorithm", Setting::Text("scrypt".into())),
        ("rules", Setting::Text("mweb,segwit".into())),
        ("trailer.key", Setting::Text("mweb".into())),
    ];
    let (mut host, real) = (Host::up(&settings, to_pool(), 1), block_482683());
    let call = host.take("getblocktemplate", 0);
    assert!(String::from_utf8_lossy(&call.body).contains(r#""rules":["mweb", "segwit"]"#));
    let mut template = template_of(&real, 9);
    template["mweb"] = json!("aabbcc");
    template["rules"] = json!(["!mweb", "!segwit"]);
    host.reply(&call, Ok(template.to_string().into_bytes()));
    let (solution, id) = solve(&host, &host.jobs[0], None);
    let assembled = host.adapter.assemble(solution).unwrap();
    let bytes = submitted(&assembled, &host.body);
    assert!(bytes.ends_with(&[0x01, 0xaa, 0xbb, 0xcc]));
    let block: Block = deserialize(&bytes[..bytes.len() - 4]).unwrap();
    assert_eq!(block.block_hash().to_byte_array(), id, "named by sha256d whatever the proof of work");
}

#[test]
fn a_node_is_shown_the_block_of_its_template_when_asked_to() {
    let (mut host, real) = (Host::up(&[("proposal", Setting::Flag(true))], to_pool(), 1), block_482683());
    host.answer("getblocktemplate", 0, &template_of(&real, 482_683));
    let call = host.take_proposal(0).unwrap();
    let params: Vec<serde_json::Value> = serde_json::from_slice(&call.body).unwrap();
    let block: Block = deserialize(&hex::decode(params[0]["data"].as_str().unwrap()).unwrap()).unwrap();
    assert!(block.check_merkle_root() && block.check_witness_commitment());
    assert_eq!(block.txdata.len(), real.txdata.len());

    host.facts();
    host.reply(&call, Ok(br#""bad-cb-amount""#.to_vec()));
    assert!(matches!(
        host.facts().as_slice(),
        [millpond_sdk::chain::Action::Alarm((true, text))] if text.contains("bad-cb-amount")
    ));
}

#[test]
fn a_full_block_of_four_megabytes_passes() {
    let (mut host, real) = (Host::up(&[], to_pool(), 1), block_482683());
    let mut template = template_of(&real, 482_683);
    let ids = |n: u32| format!("{n:064x}");
    let large: Vec<_> = (0..4_000)
        .map(|n| json!({"data": "00".repeat(1_000), "txid": ids(n), "hash": ids(n + 1), "fee": n, "depends": [1, 2]}))
        .collect();
    template["transactions"] = json!(large);
    host.answer("getblocktemplate", 0, &template);
    let job = &host.jobs[0];
    assert!(host.body.len() > 8_000_000 && job.private.len() < 256 * 1024, "{}", job.private.len());
    let (solution, _) = solve(&host, job, None);
    let assembled = host.adapter.assemble(solution).unwrap();
    assert!(submitted(&assembled, &host.body).len() > 4_000_000);
    // The guest hands over places, never the transactions themselves.
    let literal = |chunk: &millpond_sdk::chain::Chunk| match chunk {
        millpond_sdk::chain::Chunk::Literal(text) => text.len(),
        millpond_sdk::chain::Chunk::Body(_) => 0,
    };
    assert!(assembled.request.iter().map(literal).sum::<usize>() < 2_000);
}

#[test]
fn a_solution_with_foreign_private_bytes_is_refused() {
    let (mut host, real) = (Host::up(&[], to_pool(), 1), block_482683());
    host.answer("getblocktemplate", 0, &template_of(&real, 482_683));
    let (mut solution, _) = solve(&host, &host.jobs[0], None);
    solution.private.truncate(3);
    assert!(host.adapter.assemble(solution.clone()).is_err());
    solution.private = host.jobs[0].private.clone();
    solution.results.pop();
    assert!(host.adapter.assemble(solution).is_err());
}
