//! What made a result: with it, the same result can be made again.

use millpond_types::Digest;
use serde::{Deserialize, Serialize};

/// What every output carries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Head {
    /// Of the configuration or scenario in one form, whatever its file looked like.
    pub config: Digest,
    /// What the random stream began with.
    pub seed: u64,
    /// How often it was run.
    pub replications: u64,
    /// Of the program.
    pub version: String,
    /// The schemes that took part, in their order.
    pub schemes: Vec<SchemeHead>,
    /// What random stream it was.
    pub stream: String,
}

/// One scheme of a result.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SchemeHead {
    /// What the result calls it.
    pub name: String,
    /// The component whose code it is.
    pub component: Digest,
    /// Whether that code ran as part of the program, and not as the component.
    pub native: bool,
    /// Of its settings.
    pub settings: Digest,
}
