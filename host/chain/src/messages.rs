//! Signed messages: whether the owner of a payee signed a text. Which native codec reads a chain's signatures its adapter
//! declares, in the description's `extra`: `message.<codec>` with what the codec wants to know. An adapter has no other
//! part in it: the payee was resolved before, and the codec is the host's own.

use millpond_contracts::chain::Description;
use std::sync::Arc;

/// A codec's look at a signed message. It does no I/O; an elliptic curve operation or a few.
pub trait SignedMessages: Send + Sync {
    /// Checks that the owner of `payee` (as the adapter resolved it) signed `message`.
    ///
    /// # Errors
    /// What is wrong with the signature, for whoever sent it.
    fn verify(&self, payee: &[u8], message: &str, signature: &str) -> Result<(), String>;
}

/// Entries of `extra` that declare a codec.
const PREFIX: &str = "message.";

type Make = fn(&[u8]) -> Option<Arc<dyn SignedMessages>>;

/// The codecs by the names that adapters declare them by.
const CODECS: [(&str, Make); 1] = [("bitcoin", bitcoin)];

/// The codec that a description declares; `None` when it declares none that the host has.
#[must_use]
pub fn signed_messages(description: &Description) -> Option<Arc<dyn SignedMessages>> {
    description.extra.iter().find_map(|(name, wants)| {
        let codec = name.strip_prefix(PREFIX)?;
        let (_, make) = CODECS.iter().find(|(name, _)| *name == codec)?;
        make(wants)
    })
}

/// `signmessage` and BIP 322 over output scripts; it wants to know what wallets put before a message.
struct Bitcoin {
    magic: String,
}

fn bitcoin(magic: &[u8]) -> Option<Arc<dyn SignedMessages>> {
    let magic = String::from_utf8(magic.to_vec()).ok().filter(|magic| !magic.is_empty())?;
    Some(Arc::new(Bitcoin { magic }))
}

impl SignedMessages for Bitcoin {
    fn verify(&self, payee: &[u8], message: &str, signature: &str) -> Result<(), String> {
        millpond_codec_bitcoin::message::verify_script(payee, message, signature, &self.magic)
            .map_err(|why| why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::description;

    #[test]
    fn the_codec_is_the_one_that_the_adapter_declares_and_none_otherwise() {
        let with = |name: &str, value: &[u8]| {
            let mut described = description(vec![]);
            described.extra = vec![("roll.mask".to_owned(), vec![1]), (name.to_owned(), value.to_vec())];
            signed_messages(&described)
        };
        assert!(with("message.bitcoin", b"Bitcoin Signed Message:\n").is_some());
        for (name, value) in [("message.bitcoin", &b""[..]), ("message.other", b"x"), ("bitcoin", b"x")] {
            assert!(with(name, value).is_none(), "{name}");
        }
        // BIP 322's own vector, for the script of bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l.
        let codec = with("message.bitcoin", b"Bitcoin Signed Message:\n").unwrap();
        let script = hex::decode("00142b05d564e6a7a33c087f16e0f730d1440123799d").unwrap();
        let signature = "AkcwRAIgZRfIY3p7/DoVTty6YZbWS71bc5Vct9p9Fia83eRmw2QCICK/ENGfwLtptFluMGs2KsqoNSk89pO7F29zJLUx9a/s\
                         ASECx/EgAxlkQpQ9hYjgGu6EBCPMVPwVIVJqO4XCsMvViHI=";
        assert_eq!(codec.verify(&script, "Hello World", signature), Ok(()));
        assert!(codec.verify(&script, "Hello World!", signature).is_err());
        assert!(codec.verify(&[0x6a], "Hello World", signature).is_err());
    }
}
