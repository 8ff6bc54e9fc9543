//! From the operator's configuration to what a pool is started with: components found and loaded, settings checked
//! against their schemas, secrets read, addresses resolved. Every error names the option it comes from.

use crate::dialects;
use crate::plugins::{Component, PluginStore, StoreError};
use crate::policy::{MAX_FEES, PolicyError, Wanted, WantedFee, pays_the_finder};
use crate::shadow::Order;
use millpond_chain::{AddressCheck, BitcoinAddresses, BitcoinCoinbase, Grant, Trust, resolve};
use millpond_config::settings::check;
use millpond_config::{Chain, Payout, Pool as Section, Secret, Span};
use millpond_contracts::chain::{ChainAdapter, Output, Payee, TransportKind};
use millpond_contracts::payout::Terms;
use millpond_contracts::{Setting, Settings, load_adapter, load_fee_policy, load_scheme, schema};
use millpond_dialect::Dialect;
use millpond_ledger::FeeName;
use millpond_node::{Address, Auth, Endpoint, NodeSpec, Transport};
use millpond_payout::{BoundScheme, Recipient};
use millpond_runtime::{LogSink, Sandbox};
use millpond_types::{Amount, ShareSeq, Target};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What a fee is measured on where it has to become a part of the coinbase: basis points come out exactly.
const NOMINAL: u64 = 10_000;

/// A pool cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SetupError(pub Vec<String>);

impl SetupError {
    fn one(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }
}

/// A pool's configuration with everything found, loaded and checked.
pub struct Prepared {
    /// The configuration.
    pub section: Section,
    /// The adapter's component.
    pub adapter_component: Component,
    /// The adapter, loaded with its settings.
    pub adapter: Arc<dyn ChainAdapter>,
    /// Its settings.
    pub adapter_settings: Settings,
    /// Dialects of the operator's own.
    pub dialects: Vec<Arc<Dialect>>,
    /// What it is granted.
    pub grants: Vec<Grant>,
    /// Transports to nodes.
    pub transports: Vec<Transport>,
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// Who decides about money.
    pub wanted: Wanted,
    /// Policies that divide beside it.
    pub shadows: Vec<Order>,
    /// Who the coinbase pays.
    pub outputs: Vec<Output>,
    /// How addresses are read natively; none where the operator trusts the adapter with them.
    pub addresses: Option<Arc<dyn AddressCheck>>,
    /// What the operator has to compare, since the adapter alone vouches for it.
    pub trusted: Vec<String>,
    /// The easiest network target.
    pub floor: Option<Target>,
    /// Fee recipients' addresses.
    pub fee_addresses: BTreeMap<FeeName, String>,
    /// Nothing is paid, and no open payment brought on, before an operator says so: the data was restored.
    pub payments_held: bool,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("pool", &self.section.name).finish_non_exhaustive()
    }
}

impl Prepared {
    /// What the host holds the adapter to, as the section says.
    pub(crate) fn trust(&self) -> Trust {
        let chain = &self.section.chain;
        let trusting = chain.trust_adapter_with_coinbase;
        Trust {
            floor: self.floor,
            reward_cap: (chain.reward_cap > Amount::ZERO).then_some(chain.reward_cap),
            confirmations: chain.confirmations,
            coinbase: (!trusting).then(|| Arc::new(BitcoinCoinbase { height: true }) as _),
            addresses: self.addresses.clone(),
            adapter_writes_coinbase: trusting,
            maturity: None,
        }
    }
}

/// A place in the file, for errors of what only the plugins know.
pub(crate) fn at(span: Span, option: &str, message: &dyn std::fmt::Display) -> String {
    if span.line == 0 {
        format!("{option}: {message}")
    } else {
        format!("line {}: {option}: {message}", span.line)
    }
}

/// Settings from a command line, with the defaults of those that are not given.
///
/// # Errors
/// Every setting that the schema does not admit.
pub fn given_settings(schema: &str, given: Settings, option: &str) -> Result<Settings, Vec<String>> {
    let one = |setting| match setting {
        Setting::Text(text) => toml::Value::String(text),
        Setting::Int(number) => toml::Value::Integer(number),
        Setting::Flag(flag) => toml::Value::Boolean(flag),
    };
    let given = given.into_iter().map(|(name, setting)| (name, (one(setting), Span::default()))).collect();
    plugin_settings(schema, &given, option, Span::default())
}

/// Settings as a plugin is called with them.
///
/// # Errors
/// Every setting that the schema does not admit.
pub fn plugin_settings(
    schema: &str,
    given: &BTreeMap<String, (toml::Value, Span)>,
    option: &str,
    section: Span,
) -> Result<Settings, Vec<String>> {
    let checked = check(schema, given).map_err(|errors| {
        let one = |error: &millpond_config::settings::SettingError| {
            at(error.span.unwrap_or(section), &format!("{option}.settings.{}", error.name), &error.message)
        };
        errors.iter().map(one).collect::<Vec<_>>()
    })?;
    let one = |setting| match setting {
        millpond_config::settings::Setting::Text(text) => Setting::Text(text),
        millpond_config::settings::Setting::Int(number) => Setting::Int(number),
        millpond_config::settings::Setting::Flag(flag) => Setting::Flag(flag),
    };
    Ok(checked.into_iter().map(|(name, setting)| (name, one(setting))).collect())
}

/// Finds, loads and checks everything that a pool's section names. `beside` is the configuration's folder.
///
/// # Errors
/// All errors that were found, each with its option and line.
pub fn prepare(
    section: Section,
    beside: &Path,
    sandbox: &Sandbox,
    sink: &Arc<dyn LogSink>,
) -> Result<Prepared, SetupError> {
    let adapter = adapter(&section.chain, beside, sandbox, sink);
    prepare_with(section, adapter, beside, sandbox, sink)
}

/// As [`prepare`], with the adapter loaded already.
pub(crate) fn prepare_with(
    section: Section,
    adapter: Result<Adapter, Vec<String>>,
    beside: &Path,
    sandbox: &Sandbox,
    sink: &Arc<dyn LogSink>,
) -> Result<Prepared, SetupError> {
    let mut errors = Vec::new();
    let adapter = adapter.map_err(|why| errors.extend(why)).ok();
    // Without an adapter there is an error already, and nothing is put in force.
    let work_shift = adapter.as_ref().map_or(0, |(_, adapter, _)| adapter.description().work_shift);
    let wanted = wanted(&section, work_shift, beside, sandbox, sink).map_err(|why| errors.extend(why)).ok();
    let shadows = shadows(&section, work_shift, beside, sandbox, sink).map_err(|why| errors.extend(why)).ok();
    let dialects = dialects::read(&section, beside).map_err(|why| errors.extend(why)).ok();
    let nodes = match &adapter {
        Some((_, adapter, _)) => nodes(&section, adapter.as_ref()).map_err(|why| errors.extend(why)).ok(),
        None => None,
    };
    let floor = section.chain.easiest_target.as_ref().and_then(|text| {
        let mut bytes = [0; 32];
        let read = hex::decode_to_slice(text, &mut bytes);
        if read.is_err() {
            errors.push(at(section.chain.span, "chain.easiest_target", &"has to be 64 hex digits"));
        }
        read.ok().map(|()| Target::from_be_bytes(bytes))
    });
    let (Some((component, adapter, settings)), Some((transports, nodes)), Some(dialects), true) =
        (adapter, nodes, dialects, errors.is_empty())
    else {
        return Err(SetupError(errors));
    };
    let (Some(wanted), Some(shadows)) = (wanted, shadows) else {
        return Err(SetupError(errors));
    };
    let grants = grants(&section.chain, adapter.as_ref(), &component);
    let misfits = dialects::misfits(&dialects, &adapter, &grants);
    if !misfits.is_empty() {
        let say = |why: &String| at(section.stratum.span, "stratum.dialects", why);
        return Err(SetupError(misfits.iter().map(say).collect()));
    }
    let addresses = addresses(&section.chain, adapter.as_ref());
    let resolver = Resolver { adapter: adapter.as_ref(), check: addresses.as_deref() };
    let fees = fee_addresses(&section, &resolver).map_err(|why| errors.extend(why.0)).ok();
    let outputs = outputs(&section, &resolver, &wanted, sandbox, sink);
    let outputs = outputs.map_err(|why| errors.extend(why.0)).ok();
    let (Some((fee_addresses, mut trusted)), Some((outputs, of_coinbase))) = (fees, outputs) else {
        return Err(SetupError(errors));
    };
    for fact in of_coinbase {
        if !trusted.contains(&fact) {
            trusted.push(fact);
        }
    }
    Ok(Prepared {
        section,
        adapter_component: component,
        adapter,
        adapter_settings: settings,
        dialects,
        grants,
        transports,
        nodes,
        wanted,
        shadows,
        outputs,
        addresses,
        trusted,
        floor,
        fee_addresses,
        payments_held: false,
    })
}

/// How addresses are read natively: every chain whose coinbase the host reads has Bitcoin's addresses too.
#[must_use]
pub fn addresses(chain: &Chain, adapter: &dyn ChainAdapter) -> Option<Arc<dyn AddressCheck>> {
    (!chain.trust_adapter_with_coinbase)
        .then(|| Arc::new(BitcoinAddresses::of_network(&adapter.description().network)) as _)
}

/// An adapter's component, the adapter itself, and the settings it was loaded with.
pub type Adapter = (Component, Arc<dyn ChainAdapter>, Settings);

/// Finds and loads the adapter that a section names.
pub(crate) fn adapter(
    chain: &Chain,
    beside: &Path,
    sandbox: &Sandbox,
    sink: &Arc<dyn LogSink>,
) -> Result<Adapter, Vec<String>> {
    let wrong = |why: &dyn std::fmt::Display| vec![at(chain.span, "chain.adapter", why)];
    let component = PluginStore::find(&chain.adapter, beside).map_err(|why| wrong(&why))?;
    let schema = schema(sandbox, &component.name, &component.bytes, sink).map_err(|why| wrong(&why))?;
    let settings = plugin_settings(&schema, &chain.settings, "chain", chain.span)?;
    let adapter = load_adapter(sandbox, &component.name, &component.bytes, &settings, sink)
        .map_err(|why| wrong(&why))?;
    Ok((component, adapter, settings))
}

/// Loads another adapter under a pool's present settings, for a swap.
///
/// # Errors
/// When it is not to be had or refuses the settings.
pub fn other_adapter(
    section: &Section,
    name: &str,
    beside: &Path,
    sandbox: &Sandbox,
    sink: &Arc<dyn LogSink>,
) -> Result<Adapter, SetupError> {
    let mut chain = Chain { adapter: name.to_owned(), span: Span::default(), ..section.chain.clone() };
    forget_lines(&mut chain.settings);
    adapter(&chain, beside, sandbox, sink).map_err(SetupError)
}

/// What an order says stands in no file: its errors name the option alone.
pub(crate) fn ordered(section: &Section) -> Section {
    let mut ordered = section.clone();
    ordered.payout.span = Span::default();
    forget_lines(&mut ordered.payout.settings);
    for fee in &mut ordered.fee.0 {
        fee.span = Span::default();
        forget_lines(&mut fee.settings);
        fee.recipient.iter_mut().for_each(|recipient| recipient.span = Span::default());
    }
    ordered
}

fn forget_lines(settings: &mut BTreeMap<String, (toml::Value, Span)>) {
    settings.values_mut().for_each(|(_, span)| *span = Span::default());
}

/// Policies in shadow, as the section says.
fn shadows(
    section: &Section,
    work_shift: u8,
    beside: &Path,
    sandbox: &Sandbox,
    sink: &Arc<dyn LogSink>,
) -> Result<Vec<Order>, Vec<String>> {
    let mut orders: Vec<Order> = Vec::new();
    let mut errors = Vec::new();
    for shadow in &section.shadow {
        if orders.iter().any(|order| order.name == shadow.name) {
            errors.push(at(shadow.span, "shadow.name", &"is that of another shadow"));
        }
        // A section like the pool's own, that pays by the shadow.
        let payout = Payout {
            span: shadow.span,
            scheme: shadow.scheme.clone(),
            settings: shadow.settings.clone(),
            reserve: shadow.reserve.clone(),
            ..section.payout.clone()
        };
        let mut like = Section { payout, fee: shadow.fee.clone(), ..section.clone() };
        "pool".clone_into(&mut like.chain.coinbase);
        match wanted(&like, work_shift, beside, sandbox, sink) {
            Ok(wanted) => orders.push(Order {
                name: shadow.name.clone(),
                wanted,
                since: ShareSeq(shadow.since),
                every: shadow.every,
            }),
            Err(why) => errors.extend(why.into_iter().map(|why| format!("shadow {}: {why}", shadow.name))),
        }
    }
    if errors.is_empty() { Ok(orders) } else { Err(errors) }
}

/// Whether a scheme credits shares as they come: fees are taken of small amounts then, in parts of a unit.
///
/// # Errors
/// When it does not load, or refuses its settings.
pub fn credits_shares(
    scheme: &Component,
    settings: &Settings,
    sandbox: &Sandbox,
    sink: &Arc<dyn LogSink>,
) -> Result<bool, PolicyError> {
    let load = |why| PolicyError::Load { name: scheme.name.clone(), why };
    let loaded = load_scheme(sandbox, &scheme.name, &scheme.bytes, sink).map_err(load)?;
    let bound = BoundScheme::new(&scheme.name, loaded, settings.clone())?;
    Ok(credits_from_reserve(bound.terms()))
}

/// Whether a scheme of these terms credits shares as they come, from the operator's reserve.
pub(crate) fn credits_from_reserve(terms: &Terms) -> bool {
    terms.reserve && terms.batch > 0
}

/// What such a scheme does without one.
pub(crate) const NO_RESERVE: &str = "it credits each share from the operator's reserve, and none is declared: it credits nothing until an \
     income fills it; [pool.payout.reserve] declares one";

/// Who decides about money, as the section says. `work_shift` is the chain's unit of work.
///
/// # Errors
/// Every component and setting that does not fit.
pub fn wanted(
    section: &Section,
    work_shift: u8,
    beside: &Path,
    sandbox: &Sandbox,
    sink: &Arc<dyn LogSink>,
) -> Result<Wanted, Vec<String>> {
    let payout = &section.payout;
    let find = |name: &str, option: &str, span| {
        PluginStore::find(name, beside).map_err(|why: StoreError| vec![at(span, option, &why)])
    };
    let ask = |component: &Component, option: &str, span| {
        schema(sandbox, &component.name, &component.bytes, sink).map_err(|why| vec![at(span, option, &why)])
    };
    let scheme = find(&payout.scheme, "payout.scheme", payout.span)?;
    let text = ask(&scheme, "payout.scheme", payout.span)?;
    let scheme_settings = plugin_settings(&text, &payout.settings, "payout", payout.span)?;
    let fractions = credits_shares(&scheme, &scheme_settings, sandbox, sink)
        .map_err(|why| vec![at(payout.span, "payout.scheme", &why)])?;
    Ok(Wanted {
        scheme,
        scheme_settings,
        fees: wanted_fees(section, (work_shift, fractions), beside, sandbox, sink)?,
        reserve: payout.reserve.as_ref().map_or(Amount::ZERO, |reserve| reserve.amount),
        direct: section.chain.coinbase != "pool",
        planned: section.chain.coinbase == "scheme",
        notice: payout.notice,
        run_off: payout.run_off.then_some(payout.run_off_limit),
    })
}

/// What the pool keeps, as the section says; `fractions` under a scheme that credits shares.
///
/// # Errors
/// Every component and setting that does not fit.
pub(crate) fn wanted_fees(
    section: &Section,
    (work_shift, fractions): (u8, bool),
    beside: &Path,
    sandbox: &Sandbox,
    sink: &Arc<dyn LogSink>,
) -> Result<Vec<WantedFee>, Vec<String>> {
    let mut fees = Vec::with_capacity(section.fee.len());
    for fee in &section.fee {
        // The bundled policy goes by its short name as well.
        let name = if fee.policy == "flat" { "flat-fee" } else { fee.policy.as_str() };
        let wrong = |why: &dyn std::fmt::Display| vec![at(fee.span, "fee.policy", why)];
        let component = PluginStore::find(name, beside).map_err(|why| wrong(&why))?;
        let text = schema(sandbox, &component.name, &component.bytes, sink).map_err(|why| wrong(&why))?;
        let settings = plugin_settings(&text, &fee.settings, "fee", fee.span)?;
        let mut recipients = Vec::new();
        for recipient in &fee.recipient {
            let name = FeeName::try_from(recipient.name.clone())
                .map_err(|why| vec![at(recipient.span, "fee.recipient.name", &why)])?;
            recipients.push(Recipient { name, weight: recipient.weight });
        }
        let policy =
            load_fee_policy(sandbox, &component.name, &component.bytes, sink).map_err(|why| wrong(&why))?;
        let columns = policy.describe(&settings).map_err(|why| wrong(&why))?.value;
        let work_shift = columns.iter().any(|column| column == "hashrate").then_some(work_shift);
        let to_reserve = fee.to_reserve;
        fees.push(WantedFee { component, settings, recipients, to_reserve, work_shift, fractions });
    }
    if let Some(fee) = section.fee.get(MAX_FEES) {
        return Err(vec![at(fee.span, "fee", &PolicyError::Fees(section.fee.len()))]);
    }
    Ok(fees)
}

/// What the adapter is granted: a bundled one what it asks for, another what the operator lists. The chain refuses
/// wallet, key and shutdown methods whoever grants them.
#[must_use]
pub fn grants(chain: &Chain, adapter: &dyn ChainAdapter, component: &Component) -> Vec<Grant> {
    let bundled = millpond_bundled::all().iter().any(|known| known.digest == component.digest);
    let one = |transport: &millpond_contracts::chain::Transport| {
        let granted = |method: &&String| bundled || chain.grant.contains(method);
        let methods = transport.methods.iter().filter(granted).cloned().collect();
        Grant { transport: transport.name.clone(), methods }
    };
    adapter.description().transports.iter().map(one).collect()
}

type Nodes = (Vec<Transport>, Vec<NodeSpec>);

fn nodes(section: &Section, adapter: &dyn ChainAdapter) -> Result<Nodes, Vec<String>> {
    let mut errors = Vec::new();
    let wanted = &adapter.description().transports;
    let kind = |kind| match kind {
        TransportKind::JsonrpcHttp => millpond_node::TransportKind::JsonRpcHttp,
        TransportKind::JsonrpcWs => millpond_node::TransportKind::JsonRpcWs,
        TransportKind::GrpcStream => millpond_node::TransportKind::GrpcStream,
        TransportKind::GrpcUnary => millpond_node::TransportKind::GrpcUnary,
        TransportKind::ZmqSub => millpond_node::TransportKind::ZmqSub,
        TransportKind::Webhook => millpond_node::TransportKind::Webhook,
    };
    let transports = wanted
        .iter()
        .map(|transport| Transport {
            name: transport.name.clone(),
            kind: kind(transport.kind),
            methods: transport.methods.clone(),
        })
        .collect();
    let mut specs = Vec::new();
    for (number, node) in section.node.iter().enumerate() {
        let auth = match (&node.cookie, &node.password) {
            (Some(cookie), _) => Ok(Auth::Cookie(cookie.clone())),
            (None, Some(password)) => basic(&node.user, password),
            (None, None) => Ok(Auth::None),
        };
        let auth = match auth {
            Ok(auth) => auth,
            Err(why) => {
                errors.push(at(node.span, &format!("node.{number}.password"), &why));
                continue;
            }
        };
        let mut addresses = Vec::new();
        for transport in wanted {
            match transport.kind {
                TransportKind::ZmqSub => {
                    if let Some(zmq) = &node.zmq {
                        addresses.push((transport.name.clone(), Address::Zmq(zmq.clone())));
                    }
                }
                _ => {
                    let endpoint = Endpoint { url: node.url.clone(), auth: auth.clone() };
                    addresses.push((transport.name.clone(), Address::Http(endpoint)));
                }
            }
        }
        // An address that nobody listens at would be silence that looks like a setting.
        if node.zmq.is_some() && !wanted.iter().any(|transport| transport.kind == TransportKind::ZmqSub) {
            let why = "the adapter does not listen over ZMQ under these settings: have it do so in chain.settings (the bundled adapter: zmq = true), or leave this out";
            errors.push(at(node.span, &format!("node.{number}.zmq"), &why));
        }
        specs.push(NodeSpec { name: format!("node {number}"), addresses });
    }
    if errors.is_empty() { Ok((transports, specs)) } else { Err(errors) }
}

/// Basic authentication with a secret of the configuration.
///
/// # Errors
/// When the secret cannot be read.
pub fn basic(user: &str, password: &Secret) -> Result<Auth, String> {
    let password = millpond_node::Secret::new(password.reveal()?);
    Ok(Auth::Basic { user: user.to_owned(), password })
}

/// Fee recipients' addresses as the chain writes them: a mistyped one is an error of the file, and no payment that a
/// wallet refuses. And what of them rests on the adapter's word.
fn fee_addresses(
    section: &Section,
    resolver: &Resolver<'_>,
) -> Result<(BTreeMap<FeeName, String>, Vec<String>), SetupError> {
    let mut addresses = BTreeMap::new();
    let (mut trusted, mut errors) = (Vec::new(), Vec::new());
    for recipient in section.fee.iter().flat_map(|fee| &fee.recipient) {
        let Some(address) = &recipient.address else { continue };
        let name = FeeName::try_from(recipient.name.clone()).map_err(|why| why.to_string());
        match name.and_then(|name| Ok((name, resolver.resolved(address)?))) {
            Ok((name, payee)) => {
                trusted.extend(resolver.left_open("fee.recipient.address", address, &payee.payee));
                if addresses.get(&name).is_some_and(|known| *known != payee.address) {
                    let why =
                        format!("{name} has another address under another policy: give him another name");
                    errors.push(at(recipient.span, "fee.recipient.address", &why));
                }
                addresses.insert(name, payee.address);
            }
            Err(why) => errors.push(at(recipient.span, "fee.recipient.address", &why)),
        }
    }
    if errors.is_empty() { Ok((addresses, trusted)) } else { Err(SetupError(errors)) }
}

/// Who the coinbase pays: the pool, or the session's own payee and, in front of him, the fee. And what of it rests on the
/// adapter's word.
fn outputs(
    section: &Section,
    resolver: &Resolver<'_>,
    wanted: &Wanted,
    sandbox: &Sandbox,
    sink: &Arc<dyn LogSink>,
) -> Result<(Vec<Output>, Vec<String>), SetupError> {
    let chain = &section.chain;
    if !wanted.direct {
        let address = chain.payout_address.as_deref().unwrap_or_default();
        let payee = resolver
            .payee(address)
            .map_err(|why| SetupError::one(at(chain.span, "chain.payout_address", &why)))?;
        let trusted = resolver.trusted("chain.payout_address", address, &payee);
        return Ok((vec![Output { payee, weight: 1 }], trusted));
    }
    let scheme = &wanted.scheme;
    let wrong = |why: &dyn std::fmt::Display| SetupError::one(at(section.payout.span, "payout.scheme", why));
    let loaded = load_scheme(sandbox, &scheme.name, &scheme.bytes, sink).map_err(|why| wrong(&why))?;
    let bound = BoundScheme::new(&scheme.name, loaded, wanted.scheme_settings.clone());
    if wanted.planned {
        let bound = bound.map_err(|why| wrong(&why))?;
        return planned(section, resolver, &bound);
    }
    if !pays_the_finder(bound.map_err(|why| wrong(&why))?.terms()) {
        return Err(wrong(&PolicyError::Coinbase(scheme.name.clone())));
    }
    let fee = section.fee.first();
    let span = fee.map_or(Span::default(), |fee| fee.span);
    let wrong = |why: &dyn std::fmt::Display| SetupError::one(at(span, "fee", why));
    let (component, settings) = match wanted.fees.as_slice() {
        [] => return Ok((vec![Output { payee: Vec::new(), weight: 1 }], resolver.trusted_logins())),
        [fee] if !fee.to_reserve => (&fee.component, &fee.settings),
        [_] => return Err(wrong(&"coinbase = \"miner\" has no reserve that a fee could go to")),
        _ => {
            let why = "coinbase = \"miner\" takes one fee policy, so that every unit is as the ledger has it";
            return Err(wrong(&why));
        }
    };
    let recipients: Vec<_> =
        fee.into_iter().flat_map(|fee| &fee.recipient).filter(|one| one.weight > 0).collect();
    let [recipient] = recipients.as_slice() else {
        return Err(wrong(
            &"coinbase = \"miner\" pays one fee recipient, so that every unit is as the ledger has it",
        ));
    };
    let address = recipient.address.as_deref().ok_or_else(|| {
        wrong(&"coinbase = \"miner\" pays the fee in the coinbase: the recipient needs an address")
    })?;
    let payee = resolver.payee(address).map_err(|why| wrong(&why))?;
    let trusted = resolver.trusted("fee.recipient.address", address, &payee);
    let policy =
        load_fee_policy(sandbox, &component.name, &component.bytes, sink).map_err(|why| wrong(&why))?;
    let of = |amount: u64| {
        let income = millpond_contracts::payout::Income {
            key: b"coinbase".to_vec(),
            gross: amount,
            finder: Some(1),
            ..Default::default()
        };
        let fees = policy.fees(settings, &income, &[1], &[amount], &[]).map_err(|why| wrong(&why))?.value;
        let (fee, rebate) =
            (fees.fee.first().copied().unwrap_or(0), fees.rebate.first().copied().unwrap_or(0));
        Ok(fee.saturating_sub(rebate))
    };
    let part = of(NOMINAL)?;
    if part > NOMINAL || of(NOMINAL * 1_000_000)? != part.saturating_mul(1_000_000) {
        return Err(wrong(&"coinbase = \"miner\" needs a policy that takes the same part of every amount"));
    }
    // The fee first: it is rounded down, as the policy rounds it, and the miner gets all the rest.
    let fee = Output { payee, weight: part };
    let miner = Output { payee: Vec::new(), weight: NOMINAL - part };
    Ok(([fee, miner].into_iter().filter(|output| output.weight > 0).collect(), trusted))
}

/// What can be planned, and who is paid before the first plan: whoever finds the block. No job of that is given out.
fn planned(
    section: &Section,
    resolver: &Resolver<'_>,
    scheme: &BoundScheme,
) -> Result<(Vec<Output>, Vec<String>), SetupError> {
    let (chain, mut errors) = (&section.chain, Vec::new());
    if chain.trust_adapter_with_coinbase {
        let why = "goes with a coinbase that the host reads itself: \"scheme\" pays by what the host has seen in it";
        errors.push(at(chain.span, "chain.trust_adapter_with_coinbase", &why));
    }
    if millpond_stratum::coinbase_limit(&chain.coinbase_limit).is_none() {
        let why = "is no number of bytes from 200 to 6500 (what the firmware that takes most takes), and no kind of firmware: nerdminer, esp-miner, antminer, s21, whatsminer";
        errors.push(at(chain.span, "chain.coinbase_limit", &why));
    }
    if let Some(why) = crate::plan::misfit(scheme, &[]) {
        let why = PolicyError::Planned { name: scheme.name().to_owned(), why };
        errors.push(at(section.payout.span, "payout.scheme", &why));
    }
    for fee in &section.fee {
        if fee.to_reserve {
            errors.push(at(
                fee.span,
                "fee.to_reserve",
                &"a planned coinbase pays everything out: there is no reserve",
            ));
        }
        for recipient in fee.recipient.iter().filter(|recipient| recipient.address.is_none()) {
            let why = "is missing: with coinbase = \"scheme\" the block itself pays the fee";
            errors.push(at(recipient.span, "fee.recipient.address", &why));
        }
    }
    if errors.is_empty() {
        return Ok((vec![Output { payee: Vec::new(), weight: 1 }], resolver.trusted_logins()));
    }
    Err(SetupError(errors))
}

/// The operator's own addresses as the chain pays them.
#[derive(Clone, Copy)]
pub struct Resolver<'a> {
    /// Resolves them.
    pub adapter: &'a dyn ChainAdapter,
    /// Reads them natively.
    pub check: Option<&'a dyn AddressCheck>,
}

impl Resolver<'_> {
    /// An address as the chain pays it.
    ///
    /// # Errors
    /// When the adapter does not know it on this network, or resolves it to somebody else.
    pub fn payee(&self, address: &str) -> Result<Vec<u8>, String> {
        self.resolved(address).map(|payee| payee.payee)
    }

    fn resolved(&self, address: &str) -> Result<Payee, String> {
        let names = [address.to_owned()];
        let answers = resolve(self.adapter, self.check, &names).map_err(|why| why.to_string())?.value;
        match answers.into_iter().next() {
            Some(Ok(payee)) => Ok(payee),
            Some(Err(why)) => Err(format!("{address:?}: {why}")),
            None => Err("the adapter gave no answer".to_owned()),
        }
    }

    /// What of an address the operator has to compare with his own wallet.
    #[must_use]
    pub fn trusted(&self, option: &str, address: &str, payee: &[u8]) -> Vec<String> {
        self.left_open(option, address, payee).into_iter().chain(self.trusted_logins()).collect()
    }

    fn left_open(&self, option: &str, address: &str, payee: &[u8]) -> Option<String> {
        let open = self.check.is_none_or(|check| check.leaves_open(address));
        open.then(|| {
            let payee = hex::encode(payee);
            format!(
                "that {option} {address} is the payee {payee}: compare with your own wallet, and with the coinbase of the first block in an explorer"
            )
        })
    }

    /// What of miners' logins they have to compare.
    fn trusted_logins(&self) -> Vec<String> {
        let said = match self.check {
            None => {
                "whom a miner's login pays: compare the addresses of miners with those they logged in with"
            }
            Some(_) => return Vec::new(),
        };
        vec![said.to_owned()]
    }
}
