//! Keys that follow from the seed, and signatures with them.

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::key::{CompressedPublicKey, Secp256k1};
use bitcoin::secp256k1::{All, Message, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{Address, ScriptBuf, Transaction, TxOut, Witness};
use std::collections::HashMap;

/// Whose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Wallet,
    Economy,
}

impl Account {
    fn tag(self) -> &'static [u8] {
        match self {
            Self::Wallet => b"wallet",
            Self::Economy => b"economy",
        }
    }
}

/// A row of keys, each with its P2WPKH script.
pub(crate) struct Keys {
    seed: u64,
    account: Account,
    secp: Secp256k1<All>,
    keys: HashMap<ScriptBuf, (u32, SecretKey)>,
    next: u32,
}

impl Keys {
    pub(crate) fn new(seed: u64, account: Account) -> Self {
        Self { seed, account, secp: Secp256k1::new(), keys: HashMap::new(), next: 0 }
    }

    /// The next key's script.
    pub(crate) fn next(&mut self) -> ScriptBuf {
        loop {
            let index = self.next;
            self.next = self.next.wrapping_add(1);
            let mut engine = sha256::Hash::engine();
            for part in
                [b"millpond devchain", self.account.tag(), &self.seed.to_le_bytes(), &index.to_le_bytes()]
            {
                engine.input(part);
            }
            // One hash in 2^128 is no key.
            let Ok(key) = SecretKey::from_slice(sha256::Hash::from_engine(engine).as_byte_array()) else {
                continue;
            };
            let public = CompressedPublicKey(key.public_key(&self.secp));
            let script = ScriptBuf::new_p2wpkh(&public.wpubkey_hash());
            self.keys.insert(script.clone(), (index, key));
            return script;
        }
    }

    pub(crate) fn owns(&self, script: &ScriptBuf) -> bool {
        self.keys.contains_key(script)
    }

    /// How many keys were handed out.
    pub(crate) fn count(&self) -> usize {
        self.keys.len()
    }

    /// The address of one of these scripts.
    pub(crate) fn address(script: &ScriptBuf) -> String {
        Address::from_script(script, &bitcoin::params::Params::REGTEST)
            .map_or_else(|_| String::new(), |a| a.to_string())
    }

    /// The script of an address of the network's.
    pub(crate) fn script(address: &str) -> Option<ScriptBuf> {
        let address: Address<_> = address.parse().ok()?;
        let address = address.require_network(bitcoin::Network::Regtest).ok()?;
        Some(address.script_pubkey())
    }

    /// Signs every input that spends an output of ours, of those that are given, and says which are left.
    pub(crate) fn sign(&self, tx: &mut Transaction, spent: &[Option<TxOut>]) -> Vec<usize> {
        let mut left = Vec::new();
        let mut witnesses = Vec::new();
        {
            let mut sighashes = SighashCache::new(&*tx);
            for (index, output) in spent.iter().enumerate() {
                let key = output.as_ref().and_then(|output| self.keys.get(&output.script_pubkey));
                let (Some(output), Some((_, key))) = (output, key) else {
                    left.push(index);
                    continue;
                };
                let kind = EcdsaSighashType::All;
                let Ok(digest) =
                    sighashes.p2wpkh_signature_hash(index, &output.script_pubkey, output.value, kind)
                else {
                    left.push(index);
                    continue;
                };
                let digest = Message::from_digest(digest.to_byte_array());
                let signature = bitcoin::ecdsa::Signature {
                    signature: self.secp.sign_ecdsa(&digest, key),
                    sighash_type: kind,
                };
                witnesses.push((index, Witness::p2wpkh(&signature, &key.public_key(&self.secp))));
            }
        }
        for (index, witness) in witnesses {
            if let Some(input) = tx.input.get_mut(index) {
                input.witness = witness;
            }
        }
        // What somebody else signed before needs nothing from us.
        left.retain(|index| {
            tx.input.get(*index).is_some_and(|input| input.witness.is_empty() && input.script_sig.is_empty())
        });
        left
    }
}
