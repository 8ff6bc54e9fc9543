//! Who takes part: miners, workers, operators, front ends.

use crate::codec::{Field, Input, cases, fields};
use millpond_types::{MinerId, UnixMillis};
use std::fmt;

/// A worker of a miner, numbered from 1 in the order of first sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Field for WorkerId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        u64::take(from).map(Self)
    }
}

fields! {
    /// A payee: whoever shares this payee is one miner, however he writes his address.
    struct Miner {
        /// His number.
        id: MinerId,
        /// The adapter's canonical bytes of the payee (for Bitcoin the output script).
        payee: Vec<u8>,
        /// The address as it was first seen, for people.
        address: String,
    }

    /// A machine or group of machines of one miner.
    struct Worker {
        /// Its number.
        id: WorkerId,
        /// Whose it is.
        miner: MinerId,
        /// Its name as the miner gave it.
        name: String,
    }

    /// A setting of one miner, for example his minimum payout. The newest one of a key counts.
    struct MinerSetting {
        /// Whose.
        miner: MinerId,
        /// Which, by its dotted name.
        key: String,
        /// The value as text.
        value: String,
        /// On whose authority.
        by: Authority,
        /// When.
        time: UnixMillis,
    }

    /// Numbers of miners under a name: what a fee policy asks for as `list:NAME`. It counts for windows that end behind
    /// the newest share before it.
    struct List {
        /// Its name.
        name: String,
        /// These rows and no others; else they are changed in the list as it stands.
        whole: bool,
        /// The miners in it.
        rows: Vec<ListRow>,
        /// On whose authority.
        by: Authority,
        /// When.
        time: UnixMillis,
    }

    /// One miner's number.
    #[derive(Copy)]
    struct ListRow {
        /// Who.
        miner: MinerId,
        /// His number.
        value: u64,
    }

    /// An operator's action, from the command line, the admin socket or the API.
    struct Admin {
        /// Who: the user of the socket or the name of the token.
        who: String,
        /// What, by the command's name.
        what: String,
        /// With which arguments; secrets left out.
        args: Vec<String>,
        /// When.
        time: UnixMillis,
    }

    /// Extranonce slots that a front end may hand out, durable before it does so that no other ever gets them.
    struct ExtranonceLease {
        /// Which front end.
        front_end: u32,
        /// First slot.
        from: u64,
        /// Slot after the last.
        to: u64,
        /// When.
        time: UnixMillis,
    }
}

cases! {
    /// Who may change a miner's setting.
    enum Authority {
        /// The miner: a signature by the key of his address.
        0 => Signature(Vec<u8>),
        /// An operator, by name.
        1 => Operator(String),
    }
}
