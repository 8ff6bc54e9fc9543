//! How deep the bcoin driver says that a conflict is, over a node that does not tell who spent a coin.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_ledger::{InputId, TxId};
use millpond_settlement::{BcoinWallet, Lookup, Rest, Rpc, Wallet, WalletError};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

const COIN: &str = "aa";

/// A node with one coin, and the hashes of its blocks by height.
#[derive(Clone, Debug)]
struct Node(Arc<Mutex<(bool, Vec<String>)>>);

impl Rpc for Node {
    fn call(&self, method: &str, params: Value) -> Result<Value, WalletError> {
        let node = self.0.lock();
        match method {
            "getblockcount" => Ok(json!(node.1.len() - 1)),
            "getblockhash" => Ok(json!(node.1[usize::try_from(params[0].as_u64().unwrap()).unwrap()])),
            "gettxout" if node.0 => Ok(Value::Null),
            "gettxout" => Ok(json!({ "value": 1 })),
            "getrawtransaction" if params[0] == COIN.repeat(32) => Ok(json!({ "confirmations": 9 })),
            "getrawtransaction" => {
                let (call, why) = (method.to_owned(), "Transaction not found.".to_owned());
                Err(WalletError::Refused { call, why, code: -1 })
            }
            other => panic!("{other} {params}"),
        }
    }
}

impl Rest for Node {
    fn post(&self, path: &str, _: &Value) -> Result<(u16, Value), WalletError> {
        panic!("{path}")
    }
    /// Nor does the wallet know of a transaction of ours: what took its place came from elsewhere.
    fn get(&self, path: &str) -> Result<(u16, Value), WalletError> {
        assert!(path.starts_with("/wallet/primary/tx/bb"), "{path}");
        Ok((404, Value::Null))
    }
}

#[test]
fn a_conflict_grows_deeper_with_every_block_and_starts_again_when_its_block_is_gone() {
    let node = Node(Arc::new(Mutex::new((false, vec!["00".to_owned(), "01".to_owned()]))));
    let wallet = BcoinWallet::new(node.clone(), node.clone(), node.clone(), "primary", 1, 100);
    let (ours, inputs) = (TxId("bb".repeat(32)), [InputId(format!("{}:0", COIN.repeat(32)))]);
    let look = || wallet.lookup(&ours, &inputs).unwrap();
    assert_eq!(look(), Lookup::NotFound, "its coin is there");
    node.0.lock().0 = true;
    assert_eq!((look(), look()), (Lookup::Conflicted(1), Lookup::Conflicted(1)), "no block came meanwhile");
    node.0.lock().1.push("02".to_owned());
    assert_eq!(look(), Lookup::Conflicted(2));
    node.0.lock().1.push("03".to_owned());
    assert_eq!(look(), Lookup::Conflicted(3));
    node.0.lock().1.splice(1.., ["f1", "f2", "f3", "f4"].map(str::to_owned));
    assert_eq!(look(), Lookup::Conflicted(1), "another chain, whose blocks are counted anew");
    node.0.lock().1.push("f5".to_owned());
    assert_eq!(look(), Lookup::Conflicted(2));
}
