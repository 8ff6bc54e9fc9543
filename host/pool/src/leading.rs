//! Which adapter version miners and pages see: whoever leads, by a swap or because the version before it broke.

use crate::dialects;
use crate::policy::Loader;
use millpond_chain::{Version, tells_subsidy};
use millpond_dialect::Dialect;
use millpond_stratum::{Chain as StratumChain, ServerHandle};
use millpond_types::Digest;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of sessions' rolled fields in an adapter's description: `roll.<field>`, the bits as bytes.
const ROLL: &str = "roll.";

/// Who has which part in a pool: name and digest by role.
pub(crate) type Named = BTreeMap<&'static str, (String, Digest)>;

/// The same, followed by whoever changes it.
pub(crate) type Roles = Arc<Mutex<Named>>;

/// What has to change when another version leads.
pub(crate) struct Leading {
    /// Sockets, with the dialects that connections are served by.
    pub(crate) server: ServerHandle,
    /// What pages show.
    pub(crate) roles: Roles,
    /// Dialects of the operator's own.
    pub(crate) dialects: Vec<Arc<Dialect>>,
    /// What binds schemes, of which some need jobs that tell their subsidy.
    pub(crate) loader: Arc<Loader>,
    /// The names under which operators know components.
    pub(crate) names: Mutex<BTreeMap<Digest, String>>,
}

impl Leading {
    /// Another version leads.
    pub(crate) fn leads(&self, version: &Version) {
        if let Some(served) = stratum_chain(version, &self.dialects) {
            self.server.replace_chain(served);
        }
        self.loader.tells_subsidy(tells_subsidy(version.description()));
        let digest = version.origin.adapter;
        let known = self.names.lock().get(&digest).cloned();
        let name = known.unwrap_or_else(|| digest.short().to_string());
        self.roles.lock().insert("adapter", (name, digest));
    }
}

/// What sockets serve of a version; none when it has no dialect.
pub(crate) fn stratum_chain(version: &Version, own: &[Arc<Dialect>]) -> Option<StratumChain> {
    let description = version.description();
    let masks = description
        .extra
        .iter()
        .filter_map(|(name, bits)| Some((name.strip_prefix(ROLL)?.to_owned(), bits.clone())));
    Some(StratumChain {
        dialects: dialects::served(&version.dialects, own)?,
        diff1: version.diff1,
        extranonce: usize::from(description.extranonce),
        masks: masks.collect(),
    })
}
