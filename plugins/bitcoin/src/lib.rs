//! The bundled chain adapter for Bitcoin and coins like it: what of getblocktemplate is theirs, the coinbase, addresses.
//! Asking nodes, following blocks and submitting is the SDK's [`gbt`].
//!
//! Everything that differs between coins of the family is a setting (see `network`).

mod address;
mod coinbase;
mod network;
mod work;

use millpond_sdk::chain::gbt::{self, Block, Profile, Template, Work};
use millpond_sdk::chain::{Description, Output, Payee, Settings};
use millpond_sdk::json::Cursor;
use network::Network;
use work::More;

/// The coins of the family, by their settings.
pub struct Family {
    network: Network,
}

/// The adapter.
pub type Bitcoin = gbt::Chain<Family>;

impl gbt::Coin for Family {
    type More = More;

    fn schema() -> String {
        network::schema()
    }

    fn new(settings: &Settings) -> Result<(Self, Description, Profile), String> {
        let network = Network::from_settings(settings)?;
        let (description, profile) = (network.describe(settings)?, network.profile.clone());
        Ok((Self { network }, description, profile))
    }

    fn member(&self, key: &str, value: &mut Cursor<'_>, more: &mut More) -> Result<bool, String> {
        match key {
            "coinbaseaux" => value.object(|_, flag| {
                more.flags.extend(flag.hex()?);
                Ok(())
            })?,
            "signet_challenge" => more.challenge = Some(value.hex()?),
            "default_witness_commitment" => more.commitment = Some(value.hex()?),
            key if self.network.trailer.as_ref().is_some_and(|(trailer, _)| trailer == key) => {
                more.trailer = Some(value.place()?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn work(&self, template: &Template<More>, outputs: &[Output]) -> Result<Work, String> {
        work::of(template, outputs, &self.network)
    }

    fn proposal(&self, template: &Template<More>, work: &Work) -> Result<Option<Block>, String> {
        self.network.proposal.then(|| work::proposal(template, work, &self.network)).transpose()
    }

    fn subsidy(&self, template: &Template<More>) -> Option<u64> {
        template.subsidy()
    }

    fn solved(&self, results: &[Vec<u8>], transactions: usize, more: &[u8]) -> Result<Block, String> {
        work::solved(results, transactions, more, &self.network)
    }

    fn resolve(&self, name: &str) -> Result<Payee, String> {
        address::resolve(&self.network, name)
    }
}

millpond_sdk::export_adapter!(Bitcoin);
