//! Bytes of the Bitcoin family that come from adapters, wallets and miners.

use crate::input::Input;
use millpond_codec_bitcoin::{
    Network, OutPoint, Transaction, coinbase, message, payment, script_of, scripts_for,
};
use millpond_types::Amount;

/// Transactions, coinbases, payments, addresses and signed messages of any bytes.
pub fn bitcoin(data: &[u8]) {
    let mut input = Input(data);
    let (head, hole) = (usize::from(input.word()), usize::from(input.byte()));
    let height = input.word();
    let address = String::from_utf8_lossy(input.until(0)).into_owned();
    let signature = String::from_utf8_lossy(input.until(0)).into_owned();
    for network in [Network::mainnet(), Network::regtest(), Network::litecoin()] {
        if let Ok(script) = script_of(&address, &network) {
            assert!(!script.is_empty(), "{address} pays nobody");
            let known = scripts_for(&address, Some(&network)).unwrap_or_default();
            assert!(known.contains(&script), "{address} has two scripts");
        }
        let _ = message::verify(&address, "Millpond", &signature, &network);
    }
    let bytes = input.0;
    let parsed = Transaction::parse(bytes);
    let (mut expected, mut intents, mut coins, mut reward) = (Vec::new(), Vec::new(), Vec::new(), 0_u64);
    if let Ok(transaction) = &parsed {
        // What the bytes say of themselves, so that the checks behind the decoder are reached.
        for output in &transaction.outputs {
            expected.push(coinbase::ExpectedOutput { script: output.script.clone(), amount: output.amount });
            intents.push(payment::Intent { script: output.script.clone(), amount: output.amount });
            reward = reward.saturating_add(output.amount.0);
        }
        for input in &transaction.inputs {
            coins.push(payment::Coin { at: input.spends, amount: Amount(u64::MAX / 4) });
        }
        for output in &transaction.outputs {
            let _ = transaction.outputs_to(&output.script).count();
        }
    }
    let rules = coinbase::Rules {
        outputs: &expected,
        reward: Amount(reward),
        height: (height != 0).then_some(u32::from(height)),
    };
    let at = head.min(bytes.len());
    let hole = at..at.saturating_add(hole).min(bytes.len());
    if let Ok(checked) = coinbase::check(bytes, hole, rules) {
        assert!(parsed.is_ok(), "a coinbase that is no transaction");
        assert_eq!(checked.vouts.len(), expected.len());
    }
    let change = [vec![0x51], bytes.iter().copied().take(22).collect()];
    let rules =
        payment::Rules { intents: &intents, coins: &coins, change: &change, max_fee: Amount(u64::MAX) };
    if let Ok(payment) = payment::verify(bytes, rules) {
        let known = |spent: &OutPoint| coins.iter().any(|coin| coin.at == *spent);
        assert!(payment.spends.iter().all(known), "a payment of somebody else's coins");
    }
}
