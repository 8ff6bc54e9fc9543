//! The glue between logins and the codec of the Bitcoin family: an address of that family names its payee itself.

use crate::trust::AddressCheck;
use millpond_codec_bitcoin::{Network, scripts_for};
use millpond_contracts::chain::Payee;

/// The longest name that is looked at.
const MAX_NAME: usize = 1024;

/// The reading of addresses for chains whose addresses are Bitcoin's.
#[derive(Clone, Debug, Default)]
pub struct BitcoinAddresses {
    /// What version bytes of base58 addresses mean. Without it, whether such an address is a key's or a script's is the
    /// adapter's word; whose key or script it is never is.
    pub network: Option<Network>,
}

impl BitcoinAddresses {
    /// By the name that the adapter's description gives the network. A false name makes no other payee: it is only asked
    /// what version bytes mean.
    #[must_use]
    pub fn of_network(name: &str) -> Self {
        Self { network: Network::by_name(name) }
    }

    fn stands_for(&self, address: &str, script: &[u8]) -> bool {
        scripts_for(address, self.network.as_ref())
            .is_ok_and(|scripts| scripts.iter().any(|own| own == script))
    }
}

impl AddressCheck for BitcoinAddresses {
    fn payee(&self, name: &str, payee: &Payee) -> Result<(), String> {
        if name.len() > MAX_NAME {
            return Err(format!("a name of {} bytes, at most {MAX_NAME}", name.len()));
        }
        if !self.stands_for(&payee.address, &payee.payee) {
            let (address, script) =
                (payee.address.chars().take(128).collect::<String>(), shown(&payee.payee));
            return Err(format!("the address {address:?} does not stand for the script {script}"));
        }
        // The miner wrote the address into his login, between whatever the dialect of his kind puts around it.
        let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        match words.into_iter().any(|word| self.stands_for(word, &payee.payee)) {
            true => Ok(()),
            false => Err(format!("no address in the name stands for the script {}", shown(&payee.payee))),
        }
    }

    fn leaves_open(&self, address: &str) -> bool {
        scripts_for(address, self.network.as_ref()).is_ok_and(|scripts| scripts.len() > 1)
    }
}

fn shown(script: &[u8]) -> String {
    hex::encode(script.get(..64).unwrap_or(script))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";
    const HASH: &str = "62e907b15cbf27d5425399ebf6f0fb50ebb88f18";
    const OTHER: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

    fn payee(address: &str, script: &str) -> Payee {
        let payee = hex::decode(script).unwrap();
        Payee { payee, address: address.into(), worker: String::new(), extra: String::new() }
    }

    fn key_script() -> String {
        format!("76a914{HASH}88ac")
    }

    #[test]
    fn a_login_pays_the_address_that_stands_in_it() {
        let check = BitcoinAddresses::of_network("mainnet");
        for name in [KEY.to_owned(), format!("{KEY}.rig"), format!("{KEY}_rig"), format!("solo:{KEY}+100")] {
            assert_eq!(check.payee(&name, &payee(KEY, &key_script())), Ok(()), "{name}");
        }
        let upper = OTHER.to_ascii_uppercase();
        let script = "0014751e76e8199196d454941c45d1b3a323f1433bd6";
        assert_eq!(check.payee(&upper, &payee(OTHER, script)), Ok(()));
    }

    #[test]
    fn another_script_and_another_address_are_refused() {
        let check = BitcoinAddresses::of_network("mainnet");
        let other = "0014751e76e8199196d454941c45d1b3a323f1433bd6";
        // The script is a thief's, the address for the settlement is the miner's, and the other way round.
        assert!(check.payee(KEY, &payee(KEY, other)).unwrap_err().contains("does not stand for"));
        assert!(check.payee(KEY, &payee(OTHER, &key_script())).is_err());
        // Both are the thief's.
        assert!(check.payee(KEY, &payee(OTHER, other)).unwrap_err().contains("no address in the name"));
        // The same hash as a script's: nobody could spend it.
        assert!(check.payee(KEY, &payee(KEY, &format!("a914{HASH}87"))).is_err());
    }

    #[test]
    fn a_network_that_nobody_knows_leaves_the_kind_open_and_not_the_payee() {
        let check = BitcoinAddresses::of_network("somecoin");
        assert!(check.leaves_open(KEY) && !check.leaves_open(OTHER));
        assert_eq!(check.payee(KEY, &payee(KEY, &format!("a914{HASH}87"))), Ok(()));
        assert!(check.payee(KEY, &payee(KEY, "0014751e76e8199196d454941c45d1b3a323f1433bd6")).is_err());
        assert!(!BitcoinAddresses::of_network("mainnet").leaves_open(KEY));
    }
}
