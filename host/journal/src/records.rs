//! Raw records: what happened, in the order in which it became durable. They are never changed; what becomes of a
//! fact is another record.

mod money;
mod parties;
mod work;

use crate::carry::More;
use crate::codec::{DecodeError, Field, Input, Versions};
use crate::shares::ShareBlock;
use crate::state::State;

pub use money::RUN_OFF;
pub use money::{
    CoinbasePlan, Decision, Income, IncomeAt, IncomeLost, Notice, PlannedFor, PlannedOutput, PluginInForce,
    Policy, Promise, Setting, WindowEnd,
};
pub use parties::{Admin, Authority, ExtranonceLease, List, ListRow, Miner, MinerSetting, Worker, WorkerId};
pub use work::{BlockFate, Fate, Job, Solution, Submission, Verdict};

macro_rules! records {
    ($($(#[$doc:meta])* $kind:literal [$($version:literal)+] $name:ident($type:ty),)*) => {
        /// One record of the journal.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Record {
            $($(#[$doc])* $name($type),)*
        }

        impl Record {
            /// The kind of its frame. Kinds are never reused.
            #[must_use]
            pub fn kind(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $kind,)*
                }
            }

            /// Its bytes: the version of its kind, then its fields.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                let mut out = Vec::new();
                match self {
                    $(Self::$name(record) => {
                        out.push(record.version());
                        record.put_version(&mut out);
                    })*
                }
                out
            }

            /// Reads the bytes of a kind.
            ///
            /// # Errors
            /// When kind or version are not known, or the bytes are no such record.
            pub fn decode(kind: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
                let mut input = Input(bytes);
                let version: u8 = input.field("a record's version")?;
                let record = match kind {
                    $($kind if [$($version),+].contains(&version) => {
                        let read = Versions::take_version(version, &mut input);
                        Self::$name(read.ok_or(DecodeError::Malformed { what: stringify!($name) })?)
                    })*
                    $($kind => return Err(DecodeError::Version { what: stringify!($name), version }),)*
                    _ => return Err(DecodeError::Kind { kind }),
                };
                input.end()?;
                Ok(record)
            }
        }

        $(impl From<$type> for Record {
            fn from(record: $type) -> Self {
                Self::$name(record)
            }
        })*
    };
}

records! {
    /// A payee was seen for the first time.
    1 [1] Miner(Miner),
    /// A worker of a payee was seen for the first time.
    2 [1] Worker(Worker),
    /// A job is about to be sent out. Version 2 tells the subsidy, version 3 the plan of its coinbase.
    3 [1 2 3] Job(Job),
    /// Shares that were accepted, one commit group's. Version 2 tells the subsidy of their jobs.
    4 [1 2] Shares(ShareBlock),
    /// A share that solves a block.
    5 [1] Solution(Solution),
    /// What a node said of a block.
    6 [1] Submission(Submission),
    /// What became of a block.
    7 [1] Fate(Fate),
    /// The pool earned something.
    8 [1] Income(Income),
    /// An income will never come.
    9 [1] IncomeLost(IncomeLost),
    /// A plugin decided about money.
    10 [1] Decision(Decision),
    /// A payout scheme and fee policies came into force.
    11 [1] Policy(Policy),
    /// A miner's setting was changed.
    12 [1] MinerSetting(MinerSetting),
    /// An operator did something.
    13 [1] Admin(Admin),
    /// A front end may hand out extranonces.
    14 [1] ExtranonceLease(ExtranonceLease),
    /// What older segments said that still matters: first in every segment.
    15 [1] CarriedOver(Box<State>),
    /// Old shares are about to be dropped.
    16 [1] Retention(Retention),
    /// More of what older segments said, where one record does not hold it: right behind `CarriedOver`.
    17 [1] CarriedMore(More),
    /// Whom coinbases pay that pay many.
    18 [1] CoinbasePlan(CoinbasePlan),
    /// Numbers of miners, by the operator or by themselves, that fee policies may ask for.
    19 [1] List(List),
    /// Another policy is announced, or withdrawn.
    21 [1] Notice(Notice),
    /// How long other policies are announced is promised anew.
    22 [1] Promise(Promise),
}

pub(crate) const JOB: u16 = 3;
pub(crate) const SHARES: u16 = 4;
/// Solutions, what nodes said of them, fates, incomes and lost incomes.
pub(crate) const OF_BLOCKS: std::ops::RangeInclusive<u16> = 5..=9;

crate::codec::fields! {
    /// Shares up to here are dropped: windows that reach back further can no longer be computed.
    #[derive(Copy, Default)]
    struct Retention {
        /// The last share that is dropped.
        last: millpond_types::ShareSeq,
        /// The newest time among the dropped shares.
        time: millpond_types::UnixMillis,
        /// The highest coordinate among the dropped shares.
        coord: u64,
    }
}

impl<T: Field> Field for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_ref().put(out);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        T::take(from).map(Self::new)
    }
}
