//! How deep one of our blocks is in a node's chain, asked by native code: what an adapter and a node's templates say of
//! maturity is held against it.

use crate::{Rpc, WalletError};
use serde_json::{Value, json};

/// How many blocks a node's chain has from our block on, itself included: 0 when another stands at its height, or none.
/// `block` is its hash in either order of bytes. The height's own block is asked for, since some nodes count
/// confirmations for blocks that their chain has left.
///
/// # Errors
/// When the node gives no answer, or none that can be read: then it proves nothing.
pub fn depth(rpc: &dyn Rpc, block: &[u8], height: u64) -> Result<u32, WalletError> {
    let call = "getblockcount";
    let answer = rpc.call(call, json!([]))?;
    let unfit = |call: &str, why: &str| WalletError::Answer { call: call.to_owned(), why: why.to_owned() };
    let tip = answer.as_u64().ok_or_else(|| unfit(call, "it is no height"))?;
    let Some(above) = tip.checked_sub(height) else { return Ok(0) };
    let call = "getblockhash";
    let there = match rpc.call(call, json!([height]))? {
        Value::String(hash) => hex::decode(hash).map_err(|_| unfit(call, "it is no hash"))?,
        _ => return Err(unfit(call, "it is no hash")),
    };
    let ours = there == block || there.iter().rev().eq(block);
    Ok(if ours { u32::try_from(above).unwrap_or(u32::MAX).saturating_add(1) } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node(Value, Value);

    impl Rpc for Node {
        fn call(&self, method: &str, params: Value) -> Result<Value, WalletError> {
            match method {
                "getblockcount" => Ok(self.0.clone()),
                "getblockhash" if params == json!([100]) => Ok(self.1.clone()),
                other => panic!("{other} {params}"),
            }
        }
    }

    #[test]
    fn a_block_counts_itself_and_what_is_on_it_and_another_block_in_its_place_counts_nothing() {
        let ours = json!("01020304");
        for block in [[1, 2, 3, 4], [4, 3, 2, 1]] {
            assert_eq!(depth(&Node(json!(100), ours.clone()), &block, 100), Ok(1));
            assert_eq!(depth(&Node(json!(109), ours.clone()), &block, 100), Ok(10));
            assert_eq!(depth(&Node(json!(99), Value::Null), &block, 100), Ok(0), "the node is not there yet");
        }
        assert_eq!(depth(&Node(json!(300), json!("ffffffff")), &[1, 2, 3, 4], 100), Ok(0));
        for node in [Node(Value::Null, ours), Node(json!(300), Value::Null), Node(json!(300), json!("x"))] {
            assert!(matches!(depth(&node, &[1, 2, 3, 4], 100), Err(WalletError::Answer { .. })));
        }
    }
}
