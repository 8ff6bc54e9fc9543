//! What the pool earns, and who decided how it is shared.

use crate::codec::{cases, fields};
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, UnixMillis};

fields! {
    /// Something that the pool earned. The same key again, with `mature` set, says that it can be spent.
    struct Income {
        /// Unique: block hash, outpoint, uncle.
        key: Vec<u8>,
        /// How much, in ledger units.
        amount: Amount,
        /// Whose window it pays.
        at: IncomeAt,
        /// Whether the chain lets it be spent.
        mature: bool,
        /// The job of the block, when it is ours.
        job: Option<JobId>,
        /// Who found the block, when it is ours.
        finder: Option<MinerId>,
        /// Where its windows end, fixed here so that a replay computes the same windows.
        end: WindowEnd,
        /// When this was seen.
        time: UnixMillis,
    }

    /// The near end of an income's windows. With this and the shares every window can be computed again.
    #[derive(Copy, Default)]
    struct WindowEnd {
        /// The last share that belongs to it; 0 when there were no shares yet.
        seq: ShareSeq,
        /// The time that `millis` counts back from.
        time: UnixMillis,
        /// The coordinate that `coord` counts back from.
        coord: u64,
        /// The network's work there, for `work`.
        network_work: u128,
        /// Where the round before ended: a round is all shares after this one.
        round_after: ShareSeq,
    }

    /// Whom the coinbases of jobs pay from now on: durable before a miner is sent one of them. What everybody was due is
    /// not in it: it follows from the window's end and the policy.
    struct CoinbasePlan {
        /// The policy that divided, by its place among all that were ever recorded.
        policy: u64,
        /// Where its windows end.
        end: WindowEnd,
        /// The reward that was divided: of the job that was newest.
        gross: Amount,
        /// The record of the ledger up to which deferred balances counted.
        ledger: u64,
        /// Bytes of the coinbase without the outputs that pay somebody, and without witness.
        fixed: u32,
        /// Bytes that it may have.
        limit: u32,
        /// The block before: ties and the order of outputs go by it.
        parent: Vec<u8>,
        /// Fee recipients by name with their payees, whether an output pays them or not.
        recipients: Vec<(String, Vec<u8>)>,
        /// Whom the outputs pay, in their order.
        outputs: Vec<PlannedOutput>,
    }

    /// One output of a planned coinbase.
    struct PlannedOutput {
        /// Whom it pays.
        to: PlannedFor,
        /// His payee (for Bitcoin the output script); empty for the finder's.
        payee: Vec<u8>,
        /// Its part of the sum of weights.
        weight: u64,
    }

    /// An income that was seen will never be paid. Only on positive proof.
    struct IncomeLost {
        /// Its key.
        key: Vec<u8>,
        /// The proof, in words.
        reason: String,
        /// When this was seen.
        time: UnixMillis,
    }

    /// A plugin decided about money: all that is needed to decide it again and compare.
    struct Decision {
        /// What was decided about: an income's key, or the range of a batch.
        subject: Vec<u8>,
        /// The contract, for example `millpond:payout@0.1.0`.
        contract: String,
        /// The function, for example `scheme.allocate`.
        function: String,
        /// Digest of the component.
        component: Digest,
        /// Digest of its settings.
        config: Digest,
        /// Digest of the input.
        input: Digest,
        /// The input itself.
        stored_input: Vec<u8>,
        /// Fuel it was given.
        fuel_limit: u64,
        /// Fuel it used. To look at, never to compare: it changes between engine versions.
        fuel_used: u64,
        /// The engine and its version.
        engine: String,
        /// Digest of the output.
        output: Digest,
        /// When.
        time: UnixMillis,
    }

    /// From a boundary on, incomes are shared by these plugins.
    struct Policy {
        /// Incomes whose window ends after this share are shared by this policy.
        from: ShareSeq,
        /// The payout scheme.
        scheme: PluginInForce,
        /// The fee policies, in the order in which they are applied.
        fees: Vec<PluginInForce>,
        /// On whose word: configuration, or an operator's swap.
        reason: String,
        /// When.
        time: UnixMillis,
    }

    /// Another policy takes over at a block that is yet to be found, or after all it does not. The newest one counts, until
    /// what it announced is in force.
    struct Notice {
        /// What takes over, with boundary 0; `None` withdraws what was announced before.
        policy: Option<Policy>,
        /// When this was announced.
        announced: UnixMillis,
        /// It takes over behind a block that was found then or later.
        not_before: UnixMillis,
        /// Why, in the operator's words; they are public.
        reason: String,
        /// The configuration says so, and no order: when it no longer does at a start, it is withdrawn.
        by_file: bool,
    }

    /// For how long other policies are announced before they take over. A shorter time counts when the longer one is over.
    struct Promise {
        /// Milliseconds, for what is announced before `since`.
        before: u64,
        /// From then on.
        notice: u64,
        /// When that is.
        since: UnixMillis,
    }

    /// A plugin with its settings.
    struct PluginInForce {
        /// Its name.
        name: String,
        /// Digest of its component, by which it is kept for ever.
        component: Digest,
        /// Digest of its settings.
        config: Digest,
        /// The settings themselves, sorted by key.
        settings: Vec<(String, Setting)>,
    }
}

impl Promise {
    /// What is announced at this time waits for so many milliseconds.
    #[must_use]
    pub fn at(&self, time: UnixMillis) -> u64 {
        if time < self.since { self.before } else { self.notice }
    }
}

/// The setting of a scheme that says what of incomes is another's to pay. It is known where a policy takes over, and no sooner.
pub const RUN_OFF: &str = "@run-off";

impl PluginInForce {
    /// Whether it is the same plugin with the same settings, whatever of incomes is another's to pay.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        fn own(plugin: &PluginInForce) -> impl Iterator<Item = &(String, Setting)> {
            plugin.settings.iter().filter(|(name, _)| name != RUN_OFF)
        }
        let same = self.name == other.name && self.component == other.component;
        // The digest of settings that are all equal is kept as it was recorded.
        same && own(self).eq(own(other))
    }
}

impl Notice {
    /// Whether a policy that came into force is the one that was announced: on the same word too, so that an earlier policy
    /// which is recorded again is not taken for it.
    #[must_use]
    pub fn announces(&self, policy: &Policy) -> bool {
        self.policy.as_ref().is_some_and(|announced| {
            announced.scheme.is_same_as(&policy.scheme)
                && announced.fees == policy.fees
                && announced.reason == policy.reason
        })
    }
}

cases! {
    /// Whose window an income pays.
    enum IncomeAt {
        /// That of our block with this hash.
        0 => Block(Vec<u8>),
        /// That which ends at this coordinate.
        1 => Coord(u64),
    }

    /// Whom an output of a planned coinbase pays.
    enum PlannedFor {
        /// Whoever finds the block.
        0 => Finder,
        /// A miner.
        1 => Miner(MinerId),
        /// A recipient of fees, by name.
        2 => Fee(String),
    }

    /// A plugin's setting.
    enum Setting {
        /// A text.
        0 => Text(String),
        /// A number.
        1 => Int(i64),
        /// Yes or no.
        2 => Flag(bool),
    }
}
