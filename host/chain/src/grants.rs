//! Which node methods an adapter may call: what its manifest names and the operator granted, and never a wallet, key
//! or shutdown method, whoever grants it.

use crate::method_names::never;
use millpond_contracts::chain::{Description, Transport};
use serde::{Deserialize, Serialize};

/// What the operator granted at install: one transport and its methods, paths or topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The transport's name.
    pub transport: String,
    /// Granted methods.
    pub methods: Vec<String>,
}

impl Grant {
    /// Everything that an adapter asks for: what an install proposes to the operator. What can never be granted is
    /// refused all the same.
    #[must_use]
    pub fn all_wanted(description: &Description) -> Vec<Self> {
        let grant = |t: &Transport| Self { transport: t.name.clone(), methods: t.methods.clone() };
        description.transports.iter().map(grant).collect()
    }
}

/// Why an adapter does not get what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A method that no operator can grant.
    #[error(
        "the adapter asks for {method:?} on transport {transport:?}: wallet, key and shutdown methods can never be granted to an adapter ({why})"
    )]
    Never {
        /// The transport.
        transport: String,
        /// The method.
        method: String,
        /// Which rule it falls under.
        why: &'static str,
    },
    /// Methods of a transport that were not granted.
    #[error(
        "the adapter asks for {methods} on transport {transport:?}, which is not granted: put `grant = [{methods}]`, with what stands there already, under [pool.chain], or use another adapter"
    )]
    NotGranted {
        /// The transport.
        transport: String,
        /// All of the transport's methods that are lacking, quoted, with commas between them.
        methods: String,
    },
    /// Two transports of one name, or more transports or methods than an adapter may have.
    #[error("the adapter's transports are malformed: {0}")]
    Malformed(String),
}

/// Most transports of an adapter.
const TRANSPORTS: usize = 16;
/// Most methods of a transport.
const METHODS: usize = 64;

/// The grants of one adapter version, checked.
#[derive(Clone, Debug)]
pub struct Granted {
    transports: Vec<Transport>,
}

impl Granted {
    /// Checks an adapter's wishes against the operator's grants.
    ///
    /// # Errors
    /// The first wish that can never be granted, or all of the first transport's that are not.
    pub fn check(description: &Description, grants: &[Grant]) -> Result<Self, GrantError> {
        let transports = &description.transports;
        if transports.len() > TRANSPORTS
            || transports.iter().any(|transport| transport.methods.len() > METHODS)
        {
            let text = format!("at most {TRANSPORTS} transports of {METHODS} methods");
            return Err(GrantError::Malformed(text));
        }
        for (at, transport) in transports.iter().enumerate() {
            if transports.iter().take(at).any(|earlier| earlier.name == transport.name) {
                return Err(GrantError::Malformed(format!("{:?} is there twice", transport.name)));
            }
            for method in &transport.methods {
                if let Some(why) = never(method) {
                    let (transport, method) = (transport.name.clone(), method.clone());
                    return Err(GrantError::Never { transport, method, why });
                }
            }
            let granted = |method: &&String| {
                grants
                    .iter()
                    .any(|grant| grant.transport == transport.name && grant.methods.contains(*method))
            };
            let lacking: Vec<String> = transport
                .methods
                .iter()
                .filter(|method| !granted(method))
                .map(|method| format!("{method:?}"))
                .collect();
            if !lacking.is_empty() {
                let (transport, methods) = (transport.name.clone(), lacking.join(", "));
                return Err(GrantError::NotGranted { transport, methods });
            }
        }
        Ok(Self { transports: transports.clone() })
    }

    /// Whether a call may be made: the transport's name, or why not. Checked again at every call, since the manifest
    /// was checked only at load.
    ///
    /// # Errors
    /// Words for the adapter and the operator.
    pub fn call(&self, transport: u16, method: &str) -> Result<&str, String> {
        if let Some(why) = never(method) {
            return Err(format!("{method:?} can never be granted to an adapter: {why}"));
        }
        let Some(granted) = self.transports.get(usize::from(transport)) else {
            return Err(format!("there is no transport {transport}"));
        };
        if !granted.methods.iter().any(|name| name == method) {
            return Err(format!("{method:?} is not granted on transport {:?}", granted.name));
        }
        Ok(&granted.name)
    }

    /// The name of a transport.
    #[must_use]
    pub fn transport(&self, transport: u16) -> Option<&str> {
        self.transports.get(usize::from(transport)).map(|granted| granted.name.as_str())
    }

    /// The number of a transport and whether it has this topic.
    #[must_use]
    pub fn topic(&self, transport: &str, topic: &str) -> Option<u16> {
        let at = self.transports.iter().position(|granted| granted.name == transport)?;
        let granted = self.transports.get(at)?;
        let known = granted.methods.iter().any(|name| name == topic);
        if known { u16::try_from(at).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_contracts::chain::TransportKind;

    fn wants(methods: &[&str]) -> Description {
        let methods = methods.iter().map(|&method| method.to_owned()).collect();
        let transport = Transport { name: "node".into(), kind: TransportKind::JsonrpcHttp, methods };
        crate::fake::description(vec![transport])
    }

    fn grant(methods: &[&str]) -> Vec<Grant> {
        vec![Grant { transport: "node".into(), methods: methods.iter().map(|&m| m.to_owned()).collect() }]
    }

    #[test]
    fn a_wallet_call_cannot_be_granted_whoever_grants_it() {
        for method in ["sendtoaddress", "query_key", "account_signTransaction", "stop", "send many", ""] {
            let error = Granted::check(&wants(&[method]), &grant(&[method]));
            assert!(matches!(error, Err(GrantError::Never { .. })), "{method:?} was granted");
        }
        let methods = ["getblocktemplate", "eth_getWork", "get_block_template", "hashblock"];
        assert!(Granted::check(&wants(&methods), &grant(&methods)).is_ok());
    }

    #[test]
    fn methods_that_the_operator_did_not_grant_are_named_all_at_once() {
        let wants = wants(&["getblocktemplate", "getblock", "getblockhash"]);
        let error = Granted::check(&wants, &grant(&["getblocktemplate"]));
        let text = error.unwrap_err().to_string();
        let lacking = "\"getblock\", \"getblockhash\"";
        assert!(
            text.starts_with(&format!(
                "the adapter asks for {lacking} on transport \"node\", which is not granted"
            )),
            "{text}"
        );
        assert!(text.contains(&format!("grant = [{lacking}]")), "{text}");
    }

    #[test]
    fn a_call_is_checked_again_when_it_is_made() {
        let granted = Granted::check(&wants(&["getblock"]), &grant(&["getblock"])).unwrap();
        assert_eq!(granted.call(0, "getblock"), Ok("node"));
        assert!(granted.call(0, "getblocktemplate").is_err());
        assert!(granted.call(1, "getblock").is_err());
        assert!(granted.call(0, "dumpprivkey").unwrap_err().contains("can never be granted"));
    }
}
