//! Who decides about money from which share on: the journal's policy records, and the components they name.
//!
//! What belongs to the decision and is the operator's rather than the plugin's (who receives fees, the reserve, who
//! the coinbase pays) is recorded with the plugin's settings under names that begin with `@`, which no schema can
//! have. A replay therefore needs the journal and the components, and no configuration.

use crate::columns::{Frozen, is_known, is_of_shares};
use crate::plugins::{Component, PluginStore, StoreError};
use crate::run_off::{Follows, RunOff};
use millpond_config::{Fee, FeeRecipient, Payout, Pool as Section, Span as Place};
use millpond_contracts::payout::{Reversal, Span, Terms, Window};
use millpond_contracts::{Setting, Settings, load_fee_policy, load_scheme};
use millpond_journal::{Income, PluginInForce, Policy, Setting as Recorded};
use millpond_ledger::FeeName;
use millpond_payout::{BoundFee, BoundScheme, PayoutError, Recipient};
use millpond_runtime::{LoadError, LogSink, Sandbox};
use millpond_types::{Amount, Digest, ShareSeq, UnixMillis};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Fee policies that apply to one income.
pub const MAX_FEES: usize = 8;
/// What they are called where a pool's plugins are listed.
pub(crate) const FEE_ROLES: [&str; MAX_FEES] =
    ["fee", "fee.2", "fee.3", "fee.4", "fee.5", "fee.6", "fee.7", "fee.8"];

const DIRECT: &str = "@direct";
const COINBASE: &str = "@coinbase";
const SCHEME: &str = "scheme";
const RESERVE: &str = "@reserve";
const RECIPIENT: &str = "@recipient.";
const TO_RESERVE: &str = "@to-reserve";
const WORK_SHIFT: &str = "@work-shift";
const FRACTIONS: &str = "@fractions";

/// A fee policy as the operator wants it.
#[derive(Clone, Debug)]
pub struct WantedFee {
    /// The component.
    pub component: Component,
    /// Its settings, checked.
    pub settings: Settings,
    /// Who receives; nobody where it goes to the reserve.
    pub recipients: Vec<Recipient>,
    /// What it takes goes to the reserve that the scheme pays from.
    pub to_reserve: bool,
    /// The chain's work unit, 2^so many hashes, for a policy that asks for hashrates.
    pub work_shift: Option<u8>,
    /// No part of a unit is forgotten of its fees: for a scheme that credits each share.
    pub fractions: bool,
}

/// A policy as the operator wants it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The payout scheme.
    pub scheme: Component,
    /// Its settings, checked.
    pub scheme_settings: Settings,
    /// Fee policies in the order in which they apply, their settings, and who receives.
    pub fees: Vec<WantedFee>,
    /// What the operator stands in with.
    pub reserve: Amount,
    /// The coinbase pays miners itself, and the pool nothing.
    pub direct: bool,
    /// It pays those whom a plan names; else the finder.
    pub planned: bool,
    /// How long before it takes over it is announced.
    pub notice: Duration,
    /// What the scheme before it still owes is settled by its own rule, for at most so many incomes; `None`: it is not.
    pub run_off: Option<u64>,
}

impl Wanted {
    /// What is recorded once more, by the components that the store keeps of it: whatever lies under their names since.
    ///
    /// # Errors
    /// When the store has one of them no more.
    pub(crate) fn again(
        recorded: &Policy,
        store: &PluginStore,
        section: &Payout,
    ) -> Result<Self, StoreError> {
        let kept = |plugin: &PluginInForce| {
            let kept = store.get(plugin.component)?;
            Ok::<_, StoreError>(Component { name: plugin.name.clone(), ..kept })
        };
        let fee = |plugin: &PluginInForce| {
            Ok(WantedFee {
                component: kept(plugin)?,
                settings: plugin_settings(plugin),
                recipients: recipients_of(plugin),
                to_reserve: says(plugin, TO_RESERVE),
                work_shift: work_shift_of(plugin),
                fractions: says(plugin, FRACTIONS),
            })
        };
        Ok(Self {
            scheme: kept(&recorded.scheme)?,
            scheme_settings: plugin_settings(&recorded.scheme),
            fees: recorded.fees.iter().map(fee).collect::<Result<_, StoreError>>()?,
            reserve: reserve_of(recorded),
            direct: is_direct(recorded),
            planned: is_planned(recorded),
            notice: section.notice,
            run_off: section.run_off.then_some(section.run_off_limit),
        })
    }

    /// Whether the chain pays a block alike under a recorded policy: the pool, the finder less the same fee, or whom plans
    /// name. Versions of one fee policy with the same settings and recipients take the same.
    pub(crate) fn pays_as(&self, recorded: &Policy) -> bool {
        let wanted = Pays::of(self.direct, self.planned);
        pays(recorded) == wanted
            && (wanted != Pays::Finder || same_fees(&recorded.fees, &self.fees_in_force()))
    }

    /// Whether a recorded policy is what is wanted. One from before fees of credits had fractions is, as long as nothing else
    /// changes: what miners pay does not change because the program did.
    pub(crate) fn is(&self, recorded: &Policy) -> bool {
        let same_fee = |recorded: &PluginInForce, wanted: &PluginInForce| {
            let own = |(name, _): &&(String, Recorded)| name != FRACTIONS || says(recorded, FRACTIONS);
            recorded.name == wanted.name
                && recorded.component == wanted.component
                && recorded.settings.iter().eq(wanted.settings.iter().filter(own))
        };
        let fees = self.fees_in_force();
        recorded.scheme.is_same_as(&self.scheme_in_force())
            && recorded.fees.len() == fees.len()
            && recorded.fees.iter().zip(&fees).all(|(recorded, wanted)| same_fee(recorded, wanted))
    }

    /// As the journal records it, for what comes after a share.
    pub(crate) fn policy(&self, from: ShareSeq, reason: &str, time: UnixMillis) -> Policy {
        let (scheme, fees) = (self.scheme_in_force(), self.fees_in_force());
        let policy = Policy { from, scheme, fees, reason: reason.to_owned(), time };
        debug_assert_eq!(reserve_of(&policy), self.reserve);
        policy
    }

    /// The scheme as the journal records it.
    #[must_use]
    pub fn scheme_in_force(&self) -> PluginInForce {
        let mut settings = recorded(&self.scheme_settings);
        settings.push((DIRECT.to_owned(), Recorded::Flag(self.direct)));
        // Only where it says something: a policy without it keeps the digest that it always had.
        if self.planned {
            settings.push((COINBASE.to_owned(), Recorded::Text(SCHEME.to_owned())));
        }
        let reserve = i64::try_from(self.reserve.0).unwrap_or(i64::MAX);
        settings.push((RESERVE.to_owned(), Recorded::Int(reserve)));
        in_force(&self.scheme, settings)
    }

    /// The fee policies as the journal records them.
    #[must_use]
    pub fn fees_in_force(&self) -> Vec<PluginInForce> {
        let fee = self.fees.iter().map(|fee| {
            let mut settings = recorded(&fee.settings);
            for recipient in &fee.recipients {
                let name = format!("{RECIPIENT}{}", recipient.name);
                settings.push((name, Recorded::Int(i64::from(recipient.weight))));
            }
            // Only where they say something: a policy without them keeps the digest that it always had.
            if fee.to_reserve {
                settings.push((TO_RESERVE.to_owned(), Recorded::Flag(true)));
            }
            if let Some(shift) = fee.work_shift {
                settings.push((WORK_SHIFT.to_owned(), Recorded::Int(i64::from(shift))));
            }
            if fee.fractions {
                settings.push((FRACTIONS.to_owned(), Recorded::Flag(true)));
            }
            in_force(&fee.component, settings)
        });
        fee.collect()
    }
}

fn in_force(component: &Component, mut settings: Vec<(String, Recorded)>) -> PluginInForce {
    settings.sort_by(|a, b| a.0.cmp(&b.0));
    PluginInForce {
        name: component.name.clone(),
        component: component.digest,
        config: digest_of(&settings),
        settings,
    }
}

pub(crate) fn digest_of(settings: &[(String, Recorded)]) -> Digest {
    Digest::of(format!("{settings:?}").as_bytes())
}

fn recorded(settings: &Settings) -> Vec<(String, Recorded)> {
    let one = |setting: &Setting| match setting {
        Setting::Text(text) => Recorded::Text(text.clone()),
        Setting::Int(number) => Recorded::Int(*number),
        Setting::Flag(flag) => Recorded::Flag(*flag),
    };
    settings.iter().map(|(name, setting)| (name.clone(), one(setting))).collect()
}

/// Has a section say what is recorded. Recipients keep the addresses that it has of them.
pub(crate) fn pay_by(section: &mut Section, recorded: &Policy) {
    let given = |plugin: &PluginInForce| {
        let one = |setting: Setting| match setting {
            Setting::Text(text) => toml::Value::String(text),
            Setting::Int(number) => toml::Value::Integer(number),
            Setting::Flag(flag) => toml::Value::Boolean(flag),
        };
        let own = plugin_settings(plugin).into_iter();
        own.map(|(name, setting)| (name, (one(setting), Place::default()))).collect()
    };
    let known: Vec<FeeRecipient> = section.fee.iter().flat_map(|fee| &fee.recipient).cloned().collect();
    let recipient = |one: Recipient| {
        let name = one.name.to_string();
        let address = known.iter().find(|known| known.name == name).and_then(|known| known.address.clone());
        FeeRecipient { span: Place::default(), name, weight: one.weight, address }
    };
    let fee = |plugin: &PluginInForce| Fee {
        span: Place::default(),
        policy: plugin.name.clone(),
        to_reserve: says(plugin, TO_RESERVE),
        recipient: recipients_of(plugin).into_iter().map(recipient).collect(),
        settings: given(plugin),
    };
    section.payout.scheme.clone_from(&recorded.scheme.name);
    section.payout.settings = given(&recorded.scheme);
    section.fee.0 = recorded.fees.iter().map(fee).collect();
}

/// What the plugin itself is called with.
fn plugin_settings(plugin: &PluginInForce) -> Settings {
    let one = |setting: &Recorded| match setting {
        Recorded::Text(text) => Setting::Text(text.clone()),
        Recorded::Int(number) => Setting::Int(*number),
        Recorded::Flag(flag) => Setting::Flag(*flag),
    };
    let own = plugin.settings.iter().filter(|(name, _)| !name.starts_with('@'));
    own.map(|(name, setting)| (name.clone(), one(setting))).collect()
}

/// Whether the coinbase pays the miner under this policy.
#[must_use]
pub fn is_direct(policy: &Policy) -> bool {
    policy.scheme.settings.iter().any(|(name, value)| name == DIRECT && *value == Recorded::Flag(true))
}

/// Whether plans name whom the coinbase pays under this policy.
#[must_use]
pub fn is_planned(policy: &Policy) -> bool {
    let planned = Recorded::Text(SCHEME.to_owned());
    policy.scheme.settings.iter().any(|(name, value)| name == COINBASE && *value == planned)
}

/// Whether the coinbase pays the pool, which divides it.
pub(crate) fn pays_the_pool(policy: &Policy) -> bool {
    pays(policy) == Pays::Pool
}

/// Whom a coinbase pays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pays {
    Pool,
    Finder,
    Planned,
}

impl Pays {
    fn of(direct: bool, planned: bool) -> Self {
        match (direct, planned) {
            (_, true) => Self::Planned,
            (true, false) => Self::Finder,
            (false, false) => Self::Pool,
        }
    }
}

fn pays(policy: &Policy) -> Pays {
    Pays::of(is_direct(policy), is_planned(policy))
}

/// Whether the chain pays a block alike under two policies.
pub(crate) fn pays_alike(a: &Policy, b: &Policy) -> bool {
    match (pays(a), pays(b)) {
        (Pays::Finder, Pays::Finder) => same_fees(&a.fees, &b.fees),
        (one, other) => one == other,
    }
}

fn same_fees(a: &[PluginInForce], b: &[PluginInForce]) -> bool {
    a.iter().map(|fee| fee.config).eq(b.iter().map(|fee| fee.config))
}

/// The policy that divides an income: the newest that begins before the share that ends its windows. A block whose share
/// earns nothing ends at the newest share before it, and that is where a policy begins that came into force with another
/// coinbase: there the times tell, which are recorded both, whether the block was found behind that start.
pub(crate) fn of_income<'a>(policies: &'a [Policy], income: &Income) -> Option<&'a Policy> {
    let end = &income.end;
    let usual = at(policies, end.seq)?;
    let begins_there = |policy: &&Policy| {
        policy.from == end.seq && end.seq.0 > 0 && policy.time < end.time && !pays_alike(usual, policy)
    };
    policies.iter().rev().find(begins_there).or(Some(usual))
}

/// The policy that an income was divided by, from what the ledger has of it: as [`of_income`].
pub(crate) fn of_booked(policies: &[Policy], end: ShareSeq, direct: bool) -> Option<&Policy> {
    let usual = at(policies, end)?;
    if is_direct(usual) == direct {
        return Some(usual);
    }
    let other = policies.iter().rev().find(|policy| policy.from == end && is_direct(policy) == direct);
    other.or(Some(usual))
}

/// The newest policy that begins before a share.
pub(crate) fn at(policies: &[Policy], end: ShareSeq) -> Option<&Policy> {
    policies.iter().rev().find(|policy| policy.from < end || policy.from.0 == 0)
}

/// Whether a scheme of these terms gives all of an income to the finder of its block, as a coinbase does that pays him.
#[must_use]
pub fn pays_the_finder(terms: &Terms) -> bool {
    let finder = |window: &Window| window.span == Span::Finder;
    let windows = !terms.windows.is_empty() && terms.windows.iter().all(finder);
    windows && terms.cells == 0 && terms.batch == 0 && !terms.reserve
}

/// The reserve that the operator declared under this policy.
#[must_use]
pub fn reserve_of(policy: &Policy) -> Amount {
    let found = policy.scheme.settings.iter().find(|(name, _)| name == RESERVE);
    match found {
        Some((_, Recorded::Int(number))) => Amount(u64::try_from(*number).unwrap_or(0)),
        _ => Amount::ZERO,
    }
}

/// Whether a policy was recorded with this word of the operator's.
fn says(plugin: &PluginInForce, word: &str) -> bool {
    plugin.settings.iter().any(|(name, value)| name == word && *value == Recorded::Flag(true))
}

fn work_shift_of(plugin: &PluginInForce) -> Option<u8> {
    plugin.settings.iter().find_map(|(name, value)| match value {
        Recorded::Int(shift) if name == WORK_SHIFT => u8::try_from(*shift).ok(),
        _ => None,
    })
}

fn recipients_of(plugin: &PluginInForce) -> Vec<Recipient> {
    let one = |(name, value): &(String, Recorded)| {
        let Recorded::Int(weight) = value else { return None };
        let name = FeeName::try_from(name.strip_prefix(RECIPIENT)?.to_owned()).ok()?;
        Some(Recipient { name, weight: u32::try_from(*weight).ok()? })
    };
    plugin.settings.iter().filter_map(one).collect()
}

/// A policy cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The component is not to be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It does not load.
    #[error("plugin {name}: {why}")]
    Load {
        /// The plugin.
        name: String,
        /// Why.
        why: LoadError,
    },
    /// It refuses its settings or its terms are wrong.
    #[error(transparent)]
    Payout(#[from] PayoutError),
    /// The coinbase pays the finder, and it would book another division.
    #[error(
        "chain.coinbase = \"miner\" has the chain pay the finder of a block, and scheme {0} divides it otherwise: take \
         \"solo\", or chain.coinbase = \"pool\""
    )]
    Coinbase(String),
    /// Plans name whom the coinbase pays, and these cannot be planned by.
    #[error(
        "chain.coinbase = \"scheme\" cannot pay by scheme {name}: {why}; docs/schemes/README.md says which can"
    )]
    Planned {
        /// The scheme.
        name: String,
        /// Why not.
        why: String,
    },
    /// A scheme that takes shares and restores its state, by a contract that does not give the shares again.
    #[error(
        "scheme {0} takes shares and restores its state when an income is lost: built for payout 0.1 it would forget the \
         shares since; build it for payout 0.2, or declare another reversal"
    )]
    Forgets(String),
    /// The scheme has a part for the operator, and nobody is named who gets it.
    #[error(
        "scheme {0} leaves a part of incomes to the operator, and nobody receives it: name recipients in [pool.fee], with \
         \"flat-fee\" at basis_points = 0 when the scheme's part is fee enough"
    )]
    Operator(String),
    /// The scheme pays subsidy and fees apart.
    #[error(
        "scheme {0} divides subsidy and fees apart, and the chain's adapter does not tell the subsidy of its jobs"
    )]
    Subsidy(String),
    /// More fee policies than apply to one income.
    #[error("{0} fee policies, at most {MAX_FEES}: join sections [[pool.fee]] that take the same")]
    Fees(usize),
    /// What the journal says of whom it follows cannot be read.
    #[error(
        "scheme {0} took over with a word about the scheme before it that this version cannot read ({1}): start with a \
         version that can"
    )]
    RunOff(String, String),
    /// What it takes would go to a reserve that is none, or that would keep fees of incomes that are lost.
    #[error(
        "fee policy {0} gives to the reserve: that wants a scheme that pays from one and takes its part of a lost income \
         back (pps, fpps)"
    )]
    ToReserve(String),
    /// It asks for what the pool does not keep.
    #[error(
        "fee policy {name} asks for the column {column:?}; there are work, hashrate (where the configuration's chain tells \
         its unit), workers, reserve, and list:NAME"
    )]
    Column {
        /// The policy.
        name: String,
        /// What it asks for first.
        column: String,
    },
}

/// A policy with its components loaded.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The scheme.
    pub scheme: BoundScheme,
    /// The fee policies, in the order in which they apply.
    pub fees: Vec<BoundFee>,
    /// The coinbase pays miners itself.
    pub direct: bool,
    /// It pays those whom a plan names.
    pub planned: bool,
    /// The chain's work unit, where a fee policy asks for hashrates.
    pub(crate) work_shift: Option<u8>,
    /// What was computed for fee policies last, of the journal of the loader's pool.
    pub(crate) frozen: Arc<Frozen>,
    /// Whom it follows.
    pub(crate) run_off: Option<Arc<RunOff>>,
    /// Jobs of the chain tell their subsidy, or nobody asked.
    told: bool,
}

impl Bound {
    /// Whether a fee policy asks for statistics of shares, which are kept for it.
    pub(crate) fn asks_for_shares(&self) -> bool {
        self.fees.iter().flat_map(BoundFee::columns).any(|column| is_of_shares(column))
    }

    /// That it may come into force: the ledger would book what the chain pays, and nothing is forgotten when an income is
    /// lost. What was in force before there was this check is still read.
    ///
    /// # Errors
    /// When the coinbase pays the finder and the scheme somebody else, the scheme is built for a version of the contract that
    /// does not give shares again, or it needs a subsidy that jobs do not tell.
    pub fn fits(&self) -> Result<(), PolicyError> {
        if self.scheme.forgets_shares() {
            return Err(PolicyError::Forgets(self.scheme.name().to_owned()));
        }
        if self.planned {
            let name = self.scheme.name().to_owned();
            return match crate::plan::misfit(&self.scheme, &self.fees) {
                Some(why) => Err(PolicyError::Planned { name, why }),
                None => Ok(()),
            };
        }
        if self.direct && !pays_the_finder(self.scheme.terms()) {
            return Err(PolicyError::Coinbase(self.scheme.name().to_owned()));
        }
        if self.scheme.terms().needs_subsidy && !self.told {
            return Err(PolicyError::Subsidy(self.scheme.name().to_owned()));
        }
        Ok(())
    }
}

/// Component and settings of the scheme, and of each fee policy.
type PolicyKey = ([Digest; 2], Vec<[Digest; 2]>);

/// Loads components by digest, once each.
pub struct Loader {
    sandbox: Sandbox,
    store: PluginStore,
    sink: Arc<dyn LogSink>,
    bound: Mutex<HashMap<PolicyKey, Bound>>,
    /// Jobs of the chain tell their subsidy, or nobody asked.
    subsidy: AtomicBool,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loader")
    }
}

impl Loader {
    /// A loader over a store.
    #[must_use]
    pub fn new(sandbox: Sandbox, store: PluginStore, sink: Arc<dyn LogSink>) -> Self {
        Self { sandbox, store, sink, bound: Mutex::default(), subsidy: AtomicBool::new(true) }
    }

    /// For a chain whose jobs tell their subsidy, or do not: schemes that need it are refused there.
    #[must_use]
    pub fn with_subsidy(self, told: bool) -> Self {
        self.tells_subsidy(told);
        self
    }

    /// The same, by the adapter that leads from now on.
    pub fn tells_subsidy(&self, told: bool) {
        self.subsidy.store(told, Ordering::Relaxed);
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &PluginStore {
        &self.store
    }

    /// Keeps what a policy needs to be loaded.
    pub(crate) fn keep(&self, wanted: &Wanted) -> Result<(), PolicyError> {
        let mut components =
            std::iter::once(&wanted.scheme).chain(wanted.fees.iter().map(|fee| &fee.component));
        components.try_for_each(|component| Ok(self.store.keep(component)?))
    }

    /// The sandbox.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Where guests log to.
    #[must_use]
    pub fn sink(&self) -> &Arc<dyn LogSink> {
        &self.sink
    }

    /// A recorded policy with its components loaded.
    ///
    /// # Errors
    /// When a component is missing or does not load.
    pub fn bind(&self, policy: &Policy) -> Result<Bound, PolicyError> {
        let which = |plugin: &PluginInForce| [plugin.component, plugin.config];
        let key = (which(&policy.scheme), policy.fees.iter().map(which).collect());
        let in_force = |bound: &Bound| Bound {
            scheme: bound.scheme.clone().in_force_after(policy.from),
            told: self.subsidy.load(Ordering::Relaxed),
            ..bound.clone()
        };
        if let Some(bound) = self.bound.lock().get(&key) {
            return Ok(in_force(bound));
        }
        let load = |plugin: &PluginInForce, why| PolicyError::Load { name: plugin.name.clone(), why };
        let kept = self.store.get(policy.scheme.component)?;
        let scheme = load_scheme(&self.sandbox, &policy.scheme.name, &kept.bytes, &self.sink)
            .map_err(|why| load(&policy.scheme, why))?;
        let scheme = BoundScheme::new(&policy.scheme.name, scheme, plugin_settings(&policy.scheme))?;
        if policy.fees.len() > MAX_FEES {
            return Err(PolicyError::Fees(policy.fees.len()));
        }
        let mut fees = Vec::with_capacity(policy.fees.len());
        let mut work_shift = None;
        for plugin in &policy.fees {
            let kept = self.store.get(plugin.component)?;
            let loaded = load_fee_policy(&self.sandbox, &plugin.name, &kept.bytes, &self.sink)
                .map_err(|why| load(plugin, why))?;
            let settings = plugin_settings(plugin);
            let bound = if says(plugin, TO_RESERVE) {
                if !scheme.terms().reserve || scheme.terms().reversal == Reversal::KeepReserve {
                    return Err(PolicyError::ToReserve(plugin.name.clone()));
                }
                BoundFee::to_reserve(&plugin.name, loaded, settings)?
            } else {
                BoundFee::new(&plugin.name, loaded, settings, recipients_of(plugin))?
            };
            let shift = work_shift_of(plugin);
            let unknown = bound.columns().iter().find(|column| !is_known(column, shift));
            if let Some(column) = unknown.cloned() {
                return Err(PolicyError::Column { name: plugin.name.clone(), column });
            }
            work_shift = work_shift.or(shift);
            fees.push(if says(plugin, FRACTIONS) { bound.with_fractions() } else { bound });
        }
        if scheme.terms().operator_most > 0 && fees.iter().all(BoundFee::is_to_reserve) {
            return Err(PolicyError::Operator(scheme.name().to_owned()));
        }
        let (direct, planned, frozen) = (is_direct(policy), is_planned(policy), Arc::default());
        let run_off = Follows::of(policy)?.map(|follows| RunOff::bind(self, follows)).transpose()?;
        let run_off = run_off.map(Arc::new);
        let bound = Bound { scheme, fees, direct, planned, work_shift, frozen, run_off, told: true };
        let given = in_force(&bound);
        self.bound.lock().insert(key, bound);
        Ok(given)
    }
}
